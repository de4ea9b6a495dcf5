//! A deployment that serves MCP, with two tenants. Owns how a client reaches an agent's tools: the command that
//! it starts, or the address and the token that it is given.

use crate::harness::{Deployment, binary};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

/// How MCP comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
}

/// A running deployment.
pub struct Stage {
    deployment: Deployment,
    transport: Transport,
}

/// What an agent's tools are reached by.
pub enum Way {
    /// A program and its arguments.
    Command(Vec<String>),
    /// An endpoint and a bearer token for it.
    Endpoint { url: String, token: String },
}

impl Stage {
    /// With the tenants `acme` and `globex`, in which nobody is yet, to be reached by `transport`.
    pub fn set(transport: Transport) -> Self {
        Self::set_with(transport, &[])
    }

    /// The same, with more arguments for `up`.
    pub fn set_with(transport: Transport, more: &[&str]) -> Self {
        let args: &[&str] = match transport {
            Transport::Stdio => &[],
            Transport::Http => &["--http", "127.0.0.1:0"],
        };
        let deployment = Deployment::start_with(&[args, more].concat());
        for tenant in ["acme", "globex"] {
            deployment.run(&["tenant", "create", tenant]).expect(0);
        }
        Self {
            deployment,
            transport,
        }
    }

    /// Puts an agent on the roster, with these scopes or the usual ones.
    pub fn issue(&self, tenant: &str, role: &str, scopes: &[&str]) -> Way {
        let instance = format!("{role}-1");
        let mut args = vec!["--tenant", tenant, "--role", role, "--instance", &instance];
        for scope in scopes {
            args.extend(["--scope", scope]);
        }
        match self.transport {
            Transport::Stdio => {
                let folder = self.deployment.dir.path();
                let file = text(folder.join(format!("{tenant}-{role}.creds")));
                let issue = ["agent", "issue", "--out", &file];
                self.deployment.run(&[&issue, &args[..]].concat()).expect(0);
                let dir = text(self.deployment.path());
                let words = [binary(), "--dir", &dir, "--creds", &file, "mcp"];
                Way::Command(words.map(str::to_owned).to_vec())
            }
            Transport::Http => {
                let issue = ["--json", "token", "issue"];
                let issued = self.deployment.run(&[&issue, &args[..]].concat());
                let issued = issued.expect(0).json();
                Way::Endpoint {
                    url: self.endpoint().to_owned(),
                    token: issued["token"].as_str().expect("a token").to_owned(),
                }
            }
        }
    }

    /// Where MCP is served over HTTP.
    fn endpoint(&self) -> &str {
        let ready = &self.deployment.ready;
        ready["mcp"].as_str().unwrap_or_else(|| panic!("{ready}"))
    }

    /// The same as an address and a path.
    pub fn address(&self) -> (SocketAddr, &str) {
        let (_, rest) = self.endpoint().split_once("://").expect("a URL");
        let (address, path) = rest.split_at(rest.find('/').expect("a URL with a path"));
        (address.parse().expect("an address"), path)
    }
}

impl Way {
    /// As the Python driver takes it.
    pub fn put_into(&self, request: &mut Value) {
        match self {
            Self::Command(words) => {
                request["stdio"] = json!({"command": words[0], "args": words[1..]});
            }
            Self::Endpoint { url, token } => request["http"] = json!({"url": url, "token": token}),
        }
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("a path that is text")
}
