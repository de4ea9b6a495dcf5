use super::*;
use async_nats::ConnectErrorKind;
use async_nats::rustls::ServerConfig;
use async_nats::rustls::pki_types::PrivateKeyDer;
use async_nats::rustls::sign::{CertifiedKey, SingleCertAndKey};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate with its key, made for a test.
struct Made {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

fn made(certificate: &rcgen::Certificate, key: KeyPair) -> Made {
    let (pem, der) = (certificate.pem(), certificate.der().clone());
    Made { pem, der, key }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn self_signed(name: &str) -> Made {
    let key = KeyPair::generate().unwrap();
    made(&params(name).self_signed(&key).unwrap(), key)
}

fn tls_error_of(error: &io::Error) -> &TlsError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// Shakes hands with a server that shows `shown` and signs with `key`, as a client that goes to `name`.
async fn handshake(trust: &Trust, shown: &Made, key: &KeyPair, name: &str) -> io::Result<()> {
    let provider = Arc::new(crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signing = provider.key_provider.load_private_key(key).unwrap();
    // Whether the key belongs to the certificate is for the client to find out.
    let certified = SingleCertAndKey::from(CertifiedKey::new(vec![shown.der.clone()], signing));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certified));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(server))
            .accept(stream)
            .await
            .map(drop)
    });
    let client = TlsConnector::from(Arc::new(trust.client_config().unwrap().unwrap()));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let shaken = client.connect(name, stream).await.map(drop);
    // The client's word is what counts; a server that it left has nothing to say.
    let _ = serve.await.unwrap();
    shaken
}

#[tokio::test]
async fn exactly_the_certificate_is_believed_under_any_name_and_at_any_time() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = params("postroad.test");
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        let own = made(&params.self_signed(&key).unwrap(), key);
        let trust = Trust::Exactly(own.pem.clone());
        for name in ["127.0.0.1", "postroad.test", "other.test"] {
            handshake(&trust, &own, &own.key, name).await.unwrap();
        }
    }
}

#[tokio::test]
async fn another_certificate_of_the_same_name_or_key_is_not_the_one() {
    let own = self_signed("postroad.test");
    let trust = Trust::Exactly(own.pem.clone());
    let other = self_signed("postroad.test");
    let again = params("postroad.test").self_signed(&own.key).unwrap();
    let again = made(&again, KeyPair::generate().unwrap());
    for (shown, key) in [(&other, &other.key), (&again, &own.key)] {
        let error = handshake(&trust, shown, key, "postroad.test")
            .await
            .unwrap_err();
        let pinned = CertificateError::ApplicationVerificationFailure;
        assert_eq!(*tls_error_of(&error), TlsError::InvalidCertificate(pinned));
    }
}

#[tokio::test]
async fn who_shows_the_certificate_without_its_key_is_refused() {
    let own = self_signed("postroad.test");
    let thief = KeyPair::generate().unwrap();
    for trust in [Trust::Exactly(own.pem.clone()), Trust::Pem(own.pem.clone())] {
        let error = handshake(&trust, &own, &thief, "postroad.test")
            .await
            .unwrap_err();
        let unsigned = TlsError::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(*tls_error_of(&error), unsigned, "{trust:?}");
    }
}

#[tokio::test]
async fn an_authority_vouches_for_names_and_nobody_else_does() {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = params("authority.test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = made(
        &params("postroad.test").signed_by(&key, &issuer).unwrap(),
        key,
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, &authority_pem).unwrap();
    for trust in [Trust::Pem(authority_pem), Trust::File(file)] {
        handshake(&trust, &server, &server.key, "postroad.test")
            .await
            .unwrap();
        let error = handshake(&trust, &server, &server.key, "other.test")
            .await
            .unwrap_err();
        let (message, _) = told(tls_error_of(&error));
        assert!(message.contains("another name"), "{message}");
    }
    // Neither one of another name, nor one of the same name with another key.
    for name in ["stranger.test", "authority.test"] {
        let stranger = Trust::Pem(self_signed(name).pem);
        let error = handshake(&stranger, &server, &server.key, "postroad.test")
            .await
            .unwrap_err();
        let refusal = tls_refusal(&error.into(), "tls://h:1").unwrap();
        assert_eq!(refusal.code, ErrorCode::Unauthenticated);
        assert_eq!(refusal.field.as_deref(), Some("server"));
        assert!(refusal.message.contains("tls://h:1"), "{}", refusal.message);
        assert!(
            refusal.remedy.contains("context.json"),
            "{}",
            refusal.remedy
        );
    }
    // Whoever trusts the one certificate that stands for itself needs no authority.
    let own = self_signed("postroad.test");
    let trust = Trust::Pem(own.pem.clone());
    handshake(&trust, &own, &own.key, "postroad.test")
        .await
        .unwrap();
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.pem");
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let mut cases = vec![Trust::File(missing)];
    for text in ["", "no certificate", bad, cut] {
        cases.push(Trust::Pem(text.to_owned()));
    }
    cases.push(Trust::Exactly(String::new()));
    for trust in cases {
        let refusal = trust.client_config().unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidArgument, "{trust:?}");
        assert_eq!(refusal.field.as_deref(), Some("ca"), "{trust:?}");
    }
    assert!(Trust::System.client_config().unwrap().is_none());
}

#[test]
fn what_failed_for_another_reason_is_not_blamed_on_tls() {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(tls_refusal(&refused.into(), "nats://h:1"), None);
    let timed_out = ConnectErrorKind::TimedOut.into();
    assert_eq!(tls_refusal(&timed_out, "nats://h:1"), None);
}
