//! A deployment that serves MCP in both ways, with the same roles in two tenants. Owns how a client reaches an
//! agent's tools: the command that it starts, or the address and the token that it is given.

use crate::harness::{Deployment, binary};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How MCP comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
}

/// A running deployment.
pub struct Stage {
    deployment: Deployment,
    /// Where MCP is served over HTTP.
    pub endpoint: String,
}

/// What an agent is reached by.
pub enum Access {
    /// Its credential, which a client hands to the process that it starts.
    Creds(PathBuf),
    /// Its bearer token.
    Token(String),
}

impl Stage {
    /// With the tenants `acme` and `globex`, in which nobody is yet.
    pub fn set() -> Self {
        let deployment = Deployment::start_with(&["--http", "127.0.0.1:0"]);
        for tenant in ["acme", "globex"] {
            deployment.run(&["tenant", "create", tenant]).expect(0);
        }
        let endpoint = deployment.ready["mcp"]
            .as_str()
            .expect("an address of MCP")
            .to_owned();
        Self {
            deployment,
            endpoint,
        }
    }

    /// Puts an agent on the roster, with these scopes or the usual ones, to be reached by `transport`.
    pub fn issue(&self, transport: Transport, tenant: &str, role: &str, scopes: &[&str]) -> Access {
        let instance = format!("{role}-1");
        let mut args = vec!["--json"];
        args.push(if transport == Transport::Stdio {
            "agent"
        } else {
            "token"
        });
        args.extend([
            "issue",
            "--tenant",
            tenant,
            "--role",
            role,
            "--instance",
            &instance,
        ]);
        for scope in scopes {
            args.extend(["--scope", scope]);
        }
        let file = self
            .deployment
            .dir
            .path()
            .join(format!("{tenant}-{role}.creds"));
        if transport == Transport::Stdio {
            args.extend(["--out", file.to_str().expect("a path of text")]);
        }
        let issued = self.deployment.run(&args).expect(0).json();
        match transport {
            Transport::Stdio => Access::Creds(file),
            Transport::Http => Access::Token(issued["token"].as_str().expect("a token").to_owned()),
        }
    }

    /// Address and path of the endpoint.
    pub fn address(&self) -> (SocketAddr, &str) {
        let (_, rest) = self.endpoint.split_once("://").expect("a URL");
        let (address, path) = rest.split_at(rest.find('/').expect("a URL with a path"));
        (address.parse().expect("an address"), path)
    }

    /// The command line of `postroad mcp` for whoever has this credential.
    pub fn command(&self, creds: &Path) -> Vec<String> {
        let dir = self.deployment.path();
        let args = [&dir, creds].map(|path| path.to_str().expect("a path of text").to_owned());
        let [dir, creds] = args;
        let words = [binary(), "--dir", &dir, "--creds", &creds, "mcp"];
        words.map(str::to_owned).to_vec()
    }

    /// How the Python driver is to connect.
    pub fn way(&self, access: &Access) -> (&'static str, Value) {
        match access {
            Access::Creds(creds) => {
                let command = self.command(creds);
                (
                    "stdio",
                    json!({"command": command[0], "args": command[1..]}),
                )
            }
            Access::Token(token) => ("http", json!({"url": self.endpoint, "token": token})),
        }
    }
}
