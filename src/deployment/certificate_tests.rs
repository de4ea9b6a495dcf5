use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use std::path::PathBuf;

/// Files with certificates and keys.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, cert: &str, key: &str, ca: Option<&str>) -> Result<ServerCertificate, Refusal> {
        let cert = self.write("cert.pem", cert);
        let key = self.write("key.pem", key);
        let ca = ca.map(|ca| self.write("ca.pem", ca));
        ServerCertificate::load(&cert, &key, ca.as_deref(), UnixTime::now())
    }

    #[track_caller]
    fn refused(&self, cert: &str, key: &str, ca: Option<&str>, field: &str, says: &str) {
        let refusal = self.load(cert, key, ca).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{refusal:?}");
        assert!(refusal.message.contains(says), "{refusal:?}");
        assert!(!refusal.remedy.is_empty());
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn host(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

#[test]
fn a_certificate_that_vouches_for_itself_is_its_own_authority() {
    let desk = Desk::new();
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        // Not every library that makes certificates can make RSA keys.
        let Ok(key) = KeyPair::generate_for(algorithm) else {
            continue;
        };
        let own = params("postroad.test").self_signed(&key).unwrap();
        let loaded = desk.load(&own.pem(), &key.serialize_pem(), None).unwrap();
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(der(&loaded.own_pem()), *own.der());
        assert_eq!(der(&loaded.authorities_pem().unwrap()), *own.der());
        let written = PrivateKeyDer::from_pem_slice(loaded.key_pem().as_bytes()).unwrap();
        assert_eq!(written.secret_der(), key.serialize_der());
        assert_eq!(loaded.dns_names(), ["postroad.test"]);
        assert!(loaded.is_for(&host("postroad.test")) && !loaded.is_for(&host("127.0.0.1")));
        assert!(!format!("{loaded:?}").contains("PRIVATE"));
        // Named as its own authority, it is the same.
        let named = desk.load(&own.pem(), &key.serialize_pem(), Some(&own.pem()));
        assert_eq!(named.unwrap().authorities_pem(), loaded.authorities_pem());
    }
}

#[test]
fn of_a_chain_the_intermediates_are_shown_and_the_authority_is_handed_out() {
    let desk = Desk::new();
    let (root, root_pem) = authority("root.test");
    let middle_key = KeyPair::generate().unwrap();
    let mut middle = params("middle.test");
    middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(middle, middle_key);
    let key = KeyPair::generate().unwrap();
    let leaf = params("postroad.test")
        .signed_by(&key, &middle)
        .unwrap()
        .pem();
    let (key, chain) = (key.serialize_pem(), format!("{leaf}{middle_pem}"));
    // A key that lies in the same file as the authority does not get into anybody's context.
    let with_key = format!("{root_pem}{key}");
    let loaded = desk.load(&chain, &key, Some(&with_key)).unwrap();
    assert_eq!(loaded.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(loaded.own_pem().matches("BEGIN CERTIFICATE").count(), 1);
    let handed_out = loaded.authorities_pem().unwrap();
    assert_eq!(handed_out.matches("BEGIN").count(), 1);
    // Everybody trusts it already, as far as can be told from here.
    assert_eq!(
        desk.load(&chain, &key, None).unwrap().authorities_pem(),
        None
    );
    // Without the intermediate no client would take it.
    let says = "no authority in";
    desk.refused(&leaf, &key, Some(&root_pem), "tls-ca", says);
    desk.refused(
        &chain,
        &key,
        Some(&authority("other.test").1),
        "tls-ca",
        says,
    );
}

#[test]
fn what_clients_would_not_take_is_refused_before_they_see_it() {
    let desk = Desk::new();
    let key = KeyPair::generate().unwrap();
    let key_pem = key.serialize_pem();
    let (root, root_pem) = authority("root.test");
    let own = |params: &CertificateParams| params.self_signed(&key).unwrap().pem();
    let issued = |params: &CertificateParams| params.signed_by(&key, &root).unwrap().pem();

    let mut expired = params("postroad.test");
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    for (pem, ca) in [
        (own(&expired), None),
        (issued(&expired), None),
        (issued(&expired), Some(root_pem.as_str())),
    ] {
        desk.refused(&pem, &key_pem, ca, "tls-cert", "expired at 2002-01-01");
    }
    let mut later = params("postroad.test");
    later.not_before = rcgen::date_time_ymd(2999, 1, 1);
    later.not_after = rcgen::date_time_ymd(3000, 1, 1);
    desk.refused(
        &own(&later),
        &key_pem,
        None,
        "tls-cert",
        "not valid before 2999-01-01",
    );

    // As `openssl req -x509` makes them where it is told nothing else.
    let mut of_authority = params("postroad.test");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    desk.refused(
        &own(&of_authority),
        &key_pem,
        None,
        "tls-cert",
        "an authority's",
    );

    let mut for_clients = params("postroad.test");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    desk.refused(
        &issued(&for_clients),
        &key_pem,
        None,
        "tls-cert",
        "would not take",
    );
}

#[test]
fn files_that_hold_something_else_are_named() {
    let desk = Desk::new();
    let key = KeyPair::generate().unwrap();
    let (key_pem, other) = (key.serialize_pem(), KeyPair::generate().unwrap());
    let cert = params("postroad.test").self_signed(&key).unwrap().pem();
    desk.refused(
        &cert,
        &other.serialize_pem(),
        None,
        "tls-key",
        "is not the key of",
    );
    desk.refused(&cert, &cert, None, "tls-key", "holds no private key");
    desk.refused(&key_pem, &key_pem, None, "tls-cert", "there is none in it");
    desk.refused(
        &cert,
        &key_pem,
        Some("nothing"),
        "tls-ca",
        "there is none in it",
    );
    let cut = &cert[..cert.len() / 2];
    desk.refused(
        cut,
        &key_pem,
        None,
        "tls-cert",
        "no certificate can be read",
    );
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    desk.refused(
        &block("CERTIFICATE"),
        &key_pem,
        None,
        "tls-cert",
        "no certificate can be read",
    );
    desk.refused(
        &cert,
        &block("PRIVATE KEY"),
        None,
        "tls-key",
        "cannot be used",
    );
    desk.refused(
        &cert,
        &block("ENCRYPTED PRIVATE KEY"),
        None,
        "tls-key",
        "holds no private key",
    );
    desk.refused(&cert.repeat(200), &key_pem, None, "tls-cert", "larger than");
    let (cert, gone) = (desk.write("cert.pem", &cert), desk.dir.path().join("gone"));
    let refused = ServerCertificate::load(&cert, &gone, None, UnixTime::now()).unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("tls-key"));
    let refused = inlined(desk.dir.path(), "ca").unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("ca"));
}
