//! Which nats-server a client believes, over TLS.
//!
//! Owns reading the certificates that are trusted and judging what a server shows. Never connects.

use async_nats::ConnectError;
use async_nats::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use async_nats::rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use async_nats::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use postroad_protocol::{ErrorCode, Refusal};
use std::error::Error as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file of certificates that is read, in bytes. A bundle of every public authority is a quarter of it.
const CERTIFICATES_MAX_BYTES: u64 = 1024 * 1024;

/// Which nats-server is believed. Each but [`Trust::System`] also demands TLS, whatever the address says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// One that an authority vouches for which the system trusts.
    #[default]
    System,
    /// One that an authority in this PEM file vouches for, and no other.
    File(PathBuf),
    /// One that an authority in this PEM text vouches for, and no other.
    Pem(String),
    /// The one that holds exactly this certificate, in PEM, whatever names and dates stand in it. For those
    /// who know the server itself.
    Exactly(String),
}

impl Trust {
    /// Makes `options`, which are for `servers`, believe such servers only. Where one of them is `tls://`, or
    /// certificates are named, TLS is demanded of all: servers tell a client of others without a scheme, and none may
    /// lead it out of TLS.
    ///
    /// # Errors
    /// `invalid_argument` when the certificates cannot be read.
    pub fn apply(
        &self,
        options: async_nats::ConnectOptions,
        servers: &str,
    ) -> Result<async_nats::ConnectOptions, Refusal> {
        Ok(match self.client_config()? {
            Some(config) => options.tls_client_config(config).require_tls(true),
            None => options.require_tls(servers.contains("tls://")),
        })
    }

    /// The settings of a TLS client that believes such servers only; none for [`Trust::System`], which is what
    /// clients do by themselves.
    ///
    /// # Errors
    /// `invalid_argument` when the certificates cannot be read.
    pub fn client_config(&self) -> Result<Option<ClientConfig>, Refusal> {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for the default versions");
        let config = match self {
            Self::System => return Ok(None),
            Self::File(path) => {
                builder.with_root_certificates(roots(&read(path)?, &path.display().to_string())?)
            }
            Self::Pem(text) => {
                builder.with_root_certificates(roots(text.as_bytes(), "the context")?)
            }
            Self::Exactly(text) => {
                let verifier = ExactCertificate::new(text.as_bytes(), &provider)?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        Ok(Some(config.with_no_client_auth()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut pem = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(CERTIFICATES_MAX_BYTES).read_to_end(&mut pem));
    match read {
        Ok(_) => Ok(pem),
        Err(error) => Err(unusable(&path.display().to_string(), &error.to_string())),
    }
}

fn certificates(pem: &[u8], origin: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable(origin, &error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(origin, "there is none in it"));
    }
    Ok(found)
}

fn roots(pem: &[u8], origin: &str) -> Result<RootCertStore, Refusal> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, origin)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(origin, &error.to_string()))?;
    }
    Ok(roots)
}

fn unusable(origin: &str, cause: &str) -> Refusal {
    Refusal::invalid(
        "ca",
        format!("the certificates to trust in {origin} cannot be used: {cause}"),
        "name a file of certificates in PEM; `postroad agent issue` writes a context.json that holds them",
    )
}

/// Believes one certificate, compared byte by byte. Whoever shows it must also prove, as with every certificate,
/// to have its key: the handshake is signed with it.
#[derive(Debug)]
struct ExactCertificate {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ExactCertificate {
    /// The first certificate in `pem` is the server's own.
    fn new(pem: &[u8], provider: &CryptoProvider) -> Result<Self, Refusal> {
        let found = certificates(pem, "the context")?;
        let certificate = found.into_iter().next().expect("one at least was found");
        Ok(Self {
            certificate,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for ExactCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What is to be told where a connection failed because of TLS; none where it failed for another reason.
pub fn tls_refusal(error: &ConnectError, servers: &str) -> Option<Refusal> {
    let (message, remedy) = told(tls_error(error)?);
    let message = format!("the nats-server at {servers} {message}");
    Some(Refusal::new(ErrorCode::Unauthenticated, message, remedy).at("server"))
}

fn tls_error(error: &ConnectError) -> Option<&TlsError> {
    let io = error.source()?.downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref()
}

fn told(error: &TlsError) -> (&'static str, &'static str) {
    use CertificateError as Bad;
    match error {
        // The second where an authority of the same name has another key, as one that was made anew.
        TlsError::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => (
            "shows a certificate that nobody vouches for who is trusted here",
            "keep beside the credential the context.json that `postroad agent issue` writes: it holds the \
             certificate to trust. `broker` and `projector` take it with --tls-ca",
        ),
        TlsError::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            (
                "shows a certificate of another name",
                "connect by a name that stands in it, as the context.json of `postroad agent issue` does",
            )
        }
        TlsError::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => (
            "shows a certificate that has expired",
            "have it renewed and `postroad up` started again; if it is new, set this machine's clock",
        ),
        TlsError::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => (
            "shows a certificate that is not valid yet",
            "set this machine's clock, or wait until it is",
        ),
        TlsError::InvalidCertificate(Bad::ApplicationVerificationFailure) => (
            "shows another certificate than this deployment's",
            "something else listens there: start `postroad up` again, which says so where the port is taken",
        ),
        TlsError::InvalidCertificate(_) => (
            "shows a certificate that cannot be trusted",
            "have it issued anew, for a server; the cause says what is wrong with it",
        ),
        _ => (
            "does not agree on TLS",
            "check that it serves TLS 1.3; a server without TLS has an address that begins with nats://",
        ),
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
