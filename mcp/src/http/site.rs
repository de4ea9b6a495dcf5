//! Under which names this server is called, and from which web pages. A page in somebody's browser must not be
//! able to call a server on their machine or in their network, by whatever name it has made that resolve to.

use super::refusal::with_header;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri};
use postroad_protocol::error::{ErrorCode, Refusal};
use std::net::IpAddr;

/// Names of this machine to itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Headers that a page of an allowed origin may send.
const HEADERS: &str = "authorization, content-type, accept, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name, last-event-id";

/// The names and origins that are allowed.
#[derive(Clone, Debug)]
pub(super) struct Site {
    hosts: Vec<String>,
    origins: Vec<Uri>,
    /// As others call it, where that is not what the request says.
    public_url: Option<String>,
    is_tls: bool,
}

/// A request that passed, with the base of this server's URLs as the caller knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Such as `https://road.example.com`.
    pub(super) base: String,
    /// The page that calls, if one does.
    pub(super) origin: Option<String>,
}

impl Site {
    /// Loopback, the address that is listened on, the public URL's host, and whatever is allowed beside.
    pub(super) fn new(
        listen: IpAddr,
        hosts: &[String],
        origins: &[Uri],
        public_url: Option<&Uri>,
        is_tls: bool,
    ) -> Self {
        let mut all = LOOPBACK.map(str::to_owned).to_vec();
        if !listen.is_unspecified() {
            all.push(listen.to_string());
        }
        all.extend(hosts.iter().map(|host| host.to_ascii_lowercase()));
        all.extend(public_url.and_then(Uri::host).map(bare));
        Self {
            hosts: all,
            origins: origins.to_vec(),
            public_url: public_url.map(|url| url.to_string().trim_end_matches('/').to_owned()),
            is_tls,
        }
    }

    /// What rmcp is told, which looks again.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// What rmcp is told.
    pub(super) fn origins(&self) -> Vec<String> {
        let text = |origin: &Uri| origin.to_string().trim_end_matches('/').to_owned();
        self.origins.iter().map(text).collect()
    }

    /// Lets a request pass that was sent to this server, and by no page that may not.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Passed, Refusal> {
        let host = authority(uri, headers).ok_or_else(|| wrong_host("none, or several"))?;
        if !self.hosts.contains(&bare(host.host())) {
            return Err(wrong_host(host.host()));
        }
        let origin = match headers.get(ORIGIN).map(|origin| origin.to_str()) {
            None => None,
            Some(Ok(text)) if self.allows_origin(text) => Some(text.to_owned()),
            Some(_) => return Err(wrong_origin()),
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        let base = self.public_url.clone();
        Ok(Passed {
            base: base.unwrap_or_else(|| format!("{scheme}://{host}")),
            origin,
        })
    }

    fn allows_origin(&self, text: &str) -> bool {
        let Ok(origin) = text.parse::<Uri>() else {
            return false;
        };
        let parts = |uri: &Uri| {
            let scheme = uri.scheme_str()?.to_ascii_lowercase();
            let usual = if scheme == "https" { 443 } else { 80 };
            Some((scheme, bare(uri.host()?), uri.port_u16().unwrap_or(usual)))
        };
        let Some(asked) = parts(&origin) else {
            return false;
        };
        self.origins
            .iter()
            .any(|allowed| parts(allowed).as_ref() == Some(&asked))
    }
}

impl Passed {
    /// Where the metadata of the MCP endpoint lies.
    pub(super) fn metadata_url(&self) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp", self.base)
    }

    /// The response, which the page may read.
    pub(super) fn shared(&self, response: Response) -> Response {
        let Some(origin) = &self.origin else {
            return response;
        };
        let response = with_header(response, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = "mcp-session-id, www-authenticate, retry-after";
        let response = with_header(response, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        with_header(response, VARY, "origin")
    }

    /// The answer to a browser that asks whether the page may call.
    pub(super) fn preflight(&self, method: &Method) -> Option<Response> {
        self.origin.as_ref().filter(|_| method == Method::OPTIONS)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let response = with_header(response, ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE");
        let response = with_header(response, ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        Some(self.shared(with_header(response, ACCESS_CONTROL_MAX_AGE, "600")))
    }
}

/// The one authority that a request names.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut named = headers.get_all(HOST).iter();
    let authority: Option<Authority> = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        (None, _) => uri.authority().cloned(),
        _ => None,
    };
    // No user stands in a host. It would stand in the URLs that are told of this server.
    authority.filter(|authority| !authority.as_str().contains('@'))
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}

fn wrong_host(host: &str) -> Refusal {
    let shown: String = host.chars().take(80).collect();
    Refusal::new(
        ErrorCode::PermissionDenied,
        format!("this server is not called {}", shown.escape_debug()),
        "call it by the name it is started for; its operator allows another with --allow-host",
    )
    .at("host")
}

fn wrong_origin() -> Refusal {
    Refusal::new(
        ErrorCode::PermissionDenied,
        "web pages of this origin may not call this server",
        "its operator allows one with --allow-origin",
    )
    .at("origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn site() -> Site {
        Site::new(
            "10.1.2.3".parse().unwrap(),
            &["Road.example.com".to_owned()],
            &[
                "https://app.example.com".parse().unwrap(),
                "http://localhost:6274".parse().unwrap(),
            ],
            None,
            true,
        )
    }

    fn check(site: &Site, given: &[(&'static str, &str)]) -> Result<Passed, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let passed = site.check(&"/mcp".parse().unwrap(), &headers);
        passed.map_err(|refused| refused.field.unwrap())
    }

    #[test]
    fn only_names_of_this_server_pass() {
        let site = site();
        for host in [
            "localhost:8808",
            "127.0.0.1",
            "[::1]:1",
            "10.1.2.3:8808",
            "ROAD.example.com",
        ] {
            let passed = check(&site, &[("host", host)]).unwrap();
            assert_eq!(passed.base, format!("https://{host}"));
        }
        for host in [
            "evil.example",
            "road.example.com.evil.example",
            "localhost.evil",
            "0.0.0.0",
            "evil.example@localhost",
            "",
        ] {
            assert!(check(&site, &[("host", host)]).is_err(), "{host}");
        }
        assert!(check(&site, &[]).is_err());
        assert!(check(&site, &[("host", "localhost"), ("host", "evil")]).is_err());
        let public = "https://road.example.org/".parse().unwrap();
        let listen = "0.0.0.0".parse().unwrap();
        let site = Site::new(listen, &[], &[], Some(&public), false);
        let passed = check(&site, &[("host", "road.example.org")]).unwrap();
        assert_eq!(
            passed.metadata_url(),
            "https://road.example.org/.well-known/oauth-protected-resource/mcp"
        );
    }

    #[test]
    fn only_allowed_pages_pass_and_programs_that_are_no_page() {
        let site = site();
        let of = |origin: &str| check(&site, &[("host", "localhost"), ("origin", origin)]);
        for origin in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "http://localhost:6274",
        ] {
            assert_eq!(of(origin).unwrap().origin.as_deref(), Some(origin));
        }
        for origin in [
            "null",
            "http://app.example.com",
            "https://app.example.com:8443",
            "http://localhost",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "",
        ] {
            assert_eq!(of(origin).unwrap_err(), "origin", "{origin}");
        }
        assert_eq!(check(&site, &[("host", "localhost")]).unwrap().origin, None);
    }

    #[test]
    fn a_browser_is_told_what_an_allowed_page_may_do_and_no_other() {
        let passed = check(
            &site(),
            &[("host", "localhost"), ("origin", "https://app.example.com")],
        );
        let passed = passed.unwrap();
        let response = passed.preflight(&Method::OPTIONS).unwrap();
        let headers = response.headers();
        assert_eq!(
            headers[ACCESS_CONTROL_ALLOW_ORIGIN],
            "https://app.example.com"
        );
        assert!(
            headers[ACCESS_CONTROL_ALLOW_HEADERS]
                .to_str()
                .unwrap()
                .contains("authorization")
        );
        assert!(passed.preflight(&Method::POST).is_none());
        let program = check(&site(), &[("host", "localhost")]).unwrap();
        assert!(program.preflight(&Method::OPTIONS).is_none());
        let answered = program.shared(Response::default());
        assert!(!answered.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
