//! The clients that scripts/mcp-clients.sh installs. Owns where they lie, and saying that some are not to be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder with the clients.
pub struct Kit(PathBuf);

impl Kit {
    /// What `make test` prepared, else what the script prepares now. Panics where it cannot.
    pub fn prepared() -> Self {
        if let Some(folder) = std::env::var_os("POSTROAD_MCP_CLIENTS") {
            return Self(folder.into());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mcp-clients.sh");
        let output = Command::new(script)
            .stderr(Stdio::inherit())
            .output()
            .expect("the script starts");
        assert!(output.status.success(), "it says above why it failed");
        let folder = String::from_utf8(output.stdout).expect("the path is text");
        Self(folder.trim_end().into())
    }

    /// Python, with the package `mcp`.
    pub fn python(&self) -> Command {
        Command::new(self.0.join("python/bin/python"))
    }

    /// The MCP inspector's command line; nothing, and a word about why, where this machine can have no Node.js.
    pub fn inspector(&self) -> Option<Command> {
        let mut command =
            self.node("@modelcontextprotocol/inspector/clients/launcher/build/index.js")?;
        command.arg("--cli");
        Some(command)
    }

    /// The conformance suite; nothing, and a word about why, where this machine can have no Node.js.
    pub fn conformance(&self) -> Option<Command> {
        self.node("@modelcontextprotocol/conformance/dist/index.js")
    }

    fn node(&self, program: &str) -> Option<Command> {
        if let Ok(reason) = std::fs::read_to_string(self.0.join("no-node")) {
            eprintln!("skipped: {}", reason.trim_end());
            return None;
        }
        let mut command = Command::new(self.0.join("node/bin/node"));
        command.arg(self.0.join("clients/node_modules").join(program));
        Some(command)
    }
}
