//! The command line as a user runs it.

use super::{Deployment, binary};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command line came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// stdout as one JSON document; panics with everything when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Panics with everything unless it ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl Deployment {
    /// Runs `postroad` with `args` on this deployment.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, "")
    }

    /// The same, as whoever holds the credential in this file; answered in JSON.
    pub fn run_as(&self, creds: &str, args: &[&str]) -> Ran {
        run_as(&self.path(), &self.url, creds, args)
    }

    /// The same, with `input` on stdin.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        run_in(&self.path(), args, input)
    }
}

/// Runs `postroad` with `args` on the deployment in `dir`, with `input` on stdin.
pub fn run_in(dir: &Path, args: &[&str], input: &str) -> Ran {
    let mut command = Command::new(binary());
    command.arg("--dir").arg(dir).args(args);
    run(command, input)
}

/// Runs `postroad` with `args` as whoever holds the credential in this file; answered in JSON.
pub fn run_as(dir: &Path, url: &str, creds: &str, args: &[&str]) -> Ran {
    let who = ["--creds", creds, "--server", url, "--json"];
    run_in(dir, &[&who[..], args].concat(), "")
}

/// Runs a prepared command to its end.
pub fn run(command: Command, input: &str) -> Ran {
    run_with(command, input, &[])
}

/// Runs a prepared command to its end, with these variables and none of the machine's own.
pub fn run_with(mut command: Command, input: &str, variables: &[(&str, &str)]) -> Ran {
    use std::io::Write as _;
    for name in [
        "NATS_URL",
        "NATS_CREDS",
        "NATS_CONTEXT",
        "POSTROAD_DIR",
        "POSTROAD_INSTANCE",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // A command that does not read its input closes the pipe, which is fine.
    let _ = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("the binary ends");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
