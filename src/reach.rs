//! How a deployment's nats-server is reached: in the clear on this machine, or over TLS from others too, and
//! under which address they are told to find it.
//!
//! Owns the options that say so, for `up` and `init`, and what they come to. Never starts anything.

use crate::cli::instance::host_name;
use crate::cli::output::say;
use crate::deployment::certificate::ServerCertificate;
use async_nats::rustls::pki_types::{ServerName, UnixTime};
use postroad_client::Context;
use postroad_protocol::Refusal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// What TLS needs, for `--help`.
pub(crate) const TLS_HELP: &str = "\
For agents on other machines, with a certificate made here:
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \\
    -subj /CN=road.example.com -addext subjectAltName=DNS:road.example.com \\
    -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";

/// How others reach it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Other machines")]
pub(crate) struct ReachArgs {
    /// Serve over TLS, and not without: the certificate in PEM, its intermediates behind it.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM, not encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authority that clients are to trust, in PEM; `agent issue` hands it out. Leave it out where everybody
    /// trusts it, and for a certificate that vouches for itself.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Where other machines find this one, which `agent issue` tells them; by default what --listen says,
    /// or the certificate, or the host's name.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Option<Advertised>,
    /// Listen beyond this machine without TLS: who can hear the network can read along.
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) insecure: bool,
}

/// A host, and a port where it is another than that of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    host: ServerName<'static>,
    port: Option<u16>,
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write it as HOST or HOST:PORT, such as road.example.com:4222".to_owned();
        let at = |ip: IpAddr, port| {
            Ok(Self {
                host: ServerName::from(ip),
                port,
            })
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            let port = Some(address.port()).filter(|port| *port != 0);
            return at(address.ip(), Some(port.ok_or_else(wrong)?));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return at(ip, None);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port != 0u16);
                (host, Some(port.ok_or_else(wrong)?))
            }
            None => (text, None),
        };
        let host = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        Ok(Self { host, port })
    }
}

/// What the options came to.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    certificate: Option<Arc<ServerCertificate>>,
    advertised: Advertised,
}

impl Reach {
    /// Reads the certificate, and decides. Warns where everybody could read along.
    ///
    /// # Errors
    /// `invalid_argument` at the option that cannot be followed.
    pub(crate) fn decide(args: &ReachArgs, listen: SocketAddr) -> Result<Self, Refusal> {
        let certificate = match (&args.tls_cert, &args.tls_key) {
            (Some(cert), Some(key)) => {
                let ca = args.tls_ca.as_deref();
                Some(ServerCertificate::load(cert, key, ca, UnixTime::now())?)
            }
            _ => None,
        };
        if certificate.is_none() && in_the_clear(listen, args.insecure)? == Exposure::Network {
            say(&format!(
                "warning: {listen} is open to the network without TLS (--insecure): whoever can hear it can read \
                 every message. --tls-cert ends that."
            ));
        }
        let advertised = match &args.advertise {
            Some(advertised) => named(advertised.clone(), certificate.as_ref())?,
            None => found(listen, certificate.as_ref(), &host_name())?,
        };
        Ok(Self {
            certificate: certificate.map(Arc::new),
            advertised,
        })
    }

    /// What nats-server is to show; none where it serves in the clear.
    pub(crate) fn certificate(&self) -> Option<&Arc<ServerCertificate>> {
        self.certificate.as_ref()
    }

    /// What a context says on another machine.
    pub(crate) fn elsewhere(&self, port: u16) -> Context {
        let Advertised { host, port: own } = &self.advertised;
        let scheme = if self.certificate.is_some() {
            "tls"
        } else {
            "nats"
        };
        let port = own.unwrap_or(port);
        let url = match host {
            ServerName::IpAddress(ip) => {
                format!("{scheme}://{}", SocketAddr::new(IpAddr::from(*ip), port))
            }
            host => format!("{scheme}://{}:{port}", host.to_str()),
        };
        let ca_pem = self
            .certificate
            .as_ref()
            .and_then(|shown| shown.authorities_pem());
        Context {
            url,
            ca_pem,
            ..Context::default()
        }
    }

    /// What the context in DIR says, of a server that is reached at `url` from here: it is known by its very
    /// certificate, whose names need not hold that address.
    pub(crate) fn here(&self, url: &str, port: u16) -> Context {
        let elsewhere = self.elsewhere(port);
        let here = Context {
            url: url.to_owned(),
            pin_pem: self.certificate.as_ref().map(|shown| shown.own_pem()),
            ..Context::default()
        };
        let elsewhere = (elsewhere != here).then(|| Box::new(elsewhere));
        Context { elsewhere, ..here }
    }
}

/// A context as its file holds it.
///
/// # Errors
/// When it cannot be encoded, which plain text always can.
pub(crate) fn written(context: &Context) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(context)?;
    text.push(b'\n');
    Ok(text)
}

/// Who can hear what is sent in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposure {
    /// Nobody but this machine.
    Machine,
    /// The network, as somebody wishes.
    Network,
}

fn in_the_clear(listen: SocketAddr, insecure: bool) -> Result<Exposure, Refusal> {
    match (listen.ip().to_canonical().is_loopback(), insecure) {
        (true, _) => Ok(Exposure::Machine),
        (false, true) => Ok(Exposure::Network),
        (false, false) => Err(Refusal::invalid(
            "listen",
            format!("{listen} is open to the network, and there is no TLS"),
            "give --tls-cert and --tls-key; or listen on 127.0.0.1; or, on a network where nobody else can \
             listen in, say --insecure",
        )),
    }
}

/// An address that was named: clients must take the certificate there.
fn named(
    wanted: Advertised,
    certificate: Option<&ServerCertificate>,
) -> Result<Advertised, Refusal> {
    match certificate {
        Some(certificate) if !certificate.is_for(&wanted.host) => {
            let host = wanted.host.to_str();
            let message =
                format!("the certificate is not for `{host}`, so no client would take it there");
            Err(Refusal::invalid(
                "advertise",
                message,
                names_remedy(certificate),
            ))
        }
        _ => Ok(wanted),
    }
}

fn names_remedy(certificate: &ServerCertificate) -> String {
    match certificate.dns_names().as_slice() {
        [] => "advertise an IP address that stands in it, or have one issued for a name".to_owned(),
        names => format!(
            "advertise a name that stands in it ({}), or have one issued for another",
            names.join(", ")
        ),
    }
}

/// The address that goes without saying: where it listens, the certificate's first name, or the host's; the first
/// of them at which clients take the certificate.
fn found(
    listen: SocketAddr,
    certificate: Option<&ServerCertificate>,
    host_name: &str,
) -> Result<Advertised, Refusal> {
    let ip = listen.ip();
    let listened = (!ip.is_unspecified()).then(|| ServerName::from(ip));
    let names = certificate
        .map(ServerCertificate::dns_names)
        .unwrap_or_default();
    let names = names.into_iter().chain([host_name.trim().to_owned()]);
    // A wildcard is no host.
    let names = names.filter_map(|name| ServerName::try_from(name).ok());
    let mut hosts = listened.into_iter().chain(names);
    let host = hosts.find(|host| certificate.is_none_or(|certificate| certificate.is_for(host)));
    let host = host.ok_or_else(|| match certificate {
        Some(certificate) => Refusal::invalid(
            "advertise",
            "it is not clear under which address other machines find this one: the certificate names neither \
             the one of --listen nor a host",
            names_remedy(certificate),
        ),
        None => Refusal::invalid(
            "advertise",
            "it is not clear under which address other machines find this one, which has no host name",
            "say it with --advertise HOST",
        ),
    })?;
    Ok(Advertised { host, port: None })
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
