//! The certificate that nats-server shows, and its key: read and judged before anything is started.
//!
//! Owns every reason why clients would not take it, and PEM as it is written. Never serves, never connects.

use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::pki_types::pem::{self, PemObject as _};
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use async_nats::rustls::sign::CertifiedKey;
use async_nats::rustls::{Error as TlsError, InconsistentKeys};
use base64::Engine as _;
use jiff::Timestamp;
use postroad_protocol::Refusal;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use webpki::{EndEntityCert, Error as Judgement, KeyUsage, anchor_from_trusted_cert};
use zeroize::Zeroizing;

/// Largest file of certificates or of a key that is read, in bytes.
const PEM_MAX_BYTES: u64 = 64 * 1024;
/// Characters of base64 in a line of PEM.
const PEM_LINE: usize = 64;

/// A certificate that clients will take, with its key.
pub(crate) struct ServerCertificate {
    chain: Vec<CertificateDer<'static>>,
    key_pem: Zeroizing<String>,
    authorities: Vec<CertificateDer<'static>>,
}

/// The key is nobody's business.
impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.dns_names();
        f.debug_struct("ServerCertificate")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// Reads the certificate with its intermediates, its key, and the authority that clients are to trust
    /// where it is not one that everybody trusts. A certificate that vouches for itself is its own.
    ///
    /// # Errors
    /// `invalid_argument` at the option whose file cannot be used, or would not be taken by clients at `now`.
    pub(crate) fn load(
        cert: &Path,
        key: &Path,
        ca: Option<&Path>,
        now: UnixTime,
    ) -> Result<Self, Refusal> {
        let chain = certificates(cert, "tls-cert")?;
        let key_pem = key_of(&chain, cert, key)?;
        let (leaf, intermediates) = chain.split_first().expect("a certificate was found");
        let authorities = match ca {
            Some(ca) => {
                let authorities = certificates(ca, "tls-ca")?;
                let judged = judge(leaf, intermediates, &authorities, now);
                judged.map_err(|error| refused(cert, Some(ca), &error))?;
                authorities
            }
            None => match judge(leaf, &[], std::slice::from_ref(leaf), now) {
                Ok(()) => vec![leaf.clone()],
                // Somebody else vouches for it: an authority that clients trust already.
                Err(Judgement::UnknownIssuer | Judgement::InvalidSignatureForPublicKey) => {
                    Vec::new()
                }
                Err(error) => return Err(refused(cert, None, &error)),
            },
        };
        Ok(Self {
            chain,
            key_pem,
            authorities,
        })
    }

    /// Whether clients that connect to `host` take it.
    pub(crate) fn is_for(&self, host: &ServerName<'_>) -> bool {
        let leaf = EndEntityCert::try_from(&self.chain[0]);
        leaf.is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(host).is_ok())
    }

    /// The DNS names in it.
    pub(crate) fn dns_names(&self) -> Vec<String> {
        match EndEntityCert::try_from(&self.chain[0]) {
            Ok(leaf) => leaf.valid_dns_names().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The certificate and its intermediates, as nats-server reads them.
    pub(crate) fn chain_pem(&self) -> String {
        certificates_pem(&self.chain)
    }

    /// The certificate alone: what the deployment's own parts know the server by.
    pub(crate) fn own_pem(&self) -> String {
        certificates_pem(&self.chain[..1])
    }

    /// The certificate with its intermediates and its key, as rustls shows them.
    pub(crate) fn for_rustls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes());
        let key = key.expect("this PEM was written here");
        (self.chain.clone(), key)
    }

    /// Its key, as nats-server reads it.
    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// What clients must trust to take it; none where they do already.
    pub(crate) fn authorities_pem(&self) -> Option<String> {
        (!self.authorities.is_empty()).then(|| certificates_pem(&self.authorities))
    }
}

/// The certificates in a file, for a context: no other file is needed then, and nothing else that the file may
/// hold goes along.
pub(crate) fn inlined(path: &Path, field: &str) -> Result<String, Refusal> {
    Ok(certificates_pem(&certificates(path, field)?))
}

fn certificates(path: &Path, field: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let pem = read(path, field)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&pem).collect();
    let remedy =
        "name a file with certificates in PEM: they begin with -----BEGIN CERTIFICATE-----";
    let unusable = |cause: &str| {
        let message = format!(
            "no certificate can be read from {}: {cause}",
            path.display()
        );
        Refusal::invalid(field, message, remedy)
    };
    let found = found.map_err(|error| unusable(&error.to_string()))?;
    if found.is_empty() {
        return Err(unusable("there is none in it"));
    }
    for certificate in &found {
        EndEntityCert::try_from(certificate).map_err(|error| unusable(&error.to_string()))?;
    }
    Ok(found)
}

/// The key in a file, as PEM of its own.
fn key_of(
    chain: &[CertificateDer<'static>],
    cert: &Path,
    path: &Path,
) -> Result<Zeroizing<String>, Refusal> {
    let pem = read(path, "tls-key")?;
    let refused = |cause: &str, remedy: &str| {
        let message = format!("{} {cause}", path.display());
        Refusal::invalid("tls-key", message, remedy)
    };
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        refused(
            "holds no private key that can be read",
            "name the key's file in PEM, not encrypted: it begins with -----BEGIN PRIVATE KEY-----",
        )
    })?;
    let label = match &key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let text = pem_block(label, key.secret_der());
    match CertifiedKey::from_der(chain.to_vec(), key, &default_provider()) {
        Ok(_) => Ok(text),
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(refused(
            &format!("is not the key of the certificate in {}", cert.display()),
            "name the key that the certificate was made with; the certificate comes first in its file, \
             before its intermediates",
        )),
        Err(_) => Err(refused(
            "holds a private key that cannot be used",
            "use an RSA key of 2048 to 8192 bits, one on P-256 or P-384, or an Ed25519 key",
        )),
    }
}

fn read(path: &Path, field: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut bytes = Zeroizing::new(Vec::new());
    let size =
        File::open(path).and_then(|file| file.take(PEM_MAX_BYTES + 1).read_to_end(&mut bytes));
    let cause = match size {
        Ok(size) if size as u64 <= PEM_MAX_BYTES => return Ok(bytes),
        Ok(_) => format!("it is larger than {PEM_MAX_BYTES} bytes"),
        Err(error) => error.to_string(),
    };
    let message = format!("{} cannot be read: {cause}", path.display());
    let remedy = "name a file in PEM that you may read";
    Err(Refusal::invalid(field, message, remedy))
}

/// Judges as a client does that trusts `authorities` alone. What is wrong with the certificate itself comes first.
fn judge(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Judgement> {
    let anchors: Result<Vec<_>, _> = authorities.iter().map(anchor_from_trusted_cert).collect();
    let anchors = anchors?;
    let provider = default_provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let usage = KeyUsage::server_auth();
    let leaf = EndEntityCert::try_from(leaf)?;
    let path = leaf.verify_for_usage(algorithms, &anchors, intermediates, now, usage, None, None);
    path.map(drop)
}

fn refused(cert: &Path, ca: Option<&Path>, error: &Judgement) -> Refusal {
    let cert = cert.display();
    let day = |time: &UnixTime| {
        let time = i64::try_from(time.as_secs()).ok();
        let time = time.and_then(|time| Timestamp::from_second(time).ok());
        time.map_or_else(|| "another time".to_owned(), |time| time.to_string())
    };
    let (message, remedy) = match error {
        Judgement::CertExpired { not_after, .. } => (
            format!("a certificate in {cert} expired at {}", day(not_after)),
            "have it renewed, and start again",
        ),
        Judgement::CertNotValidYet { not_before, .. } => (
            format!(
                "a certificate in {cert} is not valid before {}",
                day(not_before)
            ),
            "set this machine's clock, or use it from then on",
        ),
        Judgement::CaUsedAsEndEntity => (
            format!(
                "the certificate in {cert} is an authority's, which clients do not take from a server"
            ),
            "have one made for a server; with `openssl req -x509`, add -addext basicConstraints=critical,CA:FALSE",
        ),
        error => {
            if let (Judgement::UnknownIssuer, Some(ca)) = (error, ca) {
                return Refusal::invalid(
                    "tls-ca",
                    format!(
                        "no authority in {} vouches for the certificate in {cert}",
                        ca.display()
                    ),
                    "name the certificate of the authority that issued it, and put its intermediates behind \
                     it into the file of --tls-cert; leave --tls-ca out where everybody trusts the authority",
                );
            }
            (
                format!("clients would not take the certificate in {cert}: {error}"),
                "have one issued that is made for a server",
            )
        }
    };
    Refusal::invalid("tls-cert", message, remedy)
}

fn certificates_pem(certificates: &[CertificateDer<'_>]) -> String {
    let blocks = certificates
        .iter()
        .map(|certificate| pem_block("CERTIFICATE", certificate));
    blocks.map(|block| block.to_string()).collect()
}

fn pem_block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(base64::prelude::BASE64_STANDARD.encode(der));
    // Room for all of it, so that nothing of a key is left behind in a smaller piece of memory.
    let mut block = Zeroizing::new(String::with_capacity(
        2 * label.len() + body.len() + body.len() / PEM_LINE + 64,
    ));
    block.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in body.as_bytes().chunks(PEM_LINE) {
        block.push_str(&String::from_utf8_lossy(line));
        block.push('\n');
    }
    block.push_str(&format!("-----END {label}-----\n"));
    block
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
