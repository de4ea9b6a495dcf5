//! One command that was started: in a process group of its own, so that it ends with all that it
//! started. Owns starting and ending it, by its process id.

use crate::cli::failure::Failure;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// How long a command may take to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How often its group is looked at once the command itself has ended.
const GONE_AGAIN: Duration = Duration::from_millis(20);

/// A running command.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    group: Pid,
}

impl Child {
    /// Starts the first of `words` with the others as its arguments; no shell is involved. What it prints
    /// goes where this process prints; there is nothing on its stdin.
    pub(super) fn start(words: &[OsString], variables: &[(&str, String)]) -> Result<Self, Failure> {
        let (program, arguments) = words.split_first().ok_or_else(|| {
            Failure::usage("exec", "no command is named", "write it after --exec")
        })?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .stdin(Stdio::null())
            .process_group(0);
        let process = command.spawn().map_err(|error| {
            let program = program.to_string_lossy();
            let remedy = "name a program on PATH or by its path; with `--exec sh -c '…'` a shell reads the rest";
            Failure::usage("exec", format!("{program} cannot be started: {error}"), remedy)
        })?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        let group = id.map(Pid::from_raw).ok_or_else(|| {
            Failure::usage(
                "exec",
                "the command ended before it began",
                "start it by hand to see why",
            )
        })?;
        Ok(Self { process, group })
    }

    /// Its process id, which is its group's as well.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Asks its group to end, and ends it where that takes too long: the command may have ended before what it
    /// started.
    pub(super) async fn stop(mut self) {
        // What has ended meanwhile cannot be asked, and need not.
        let _ = killpg(self.group, Signal::SIGTERM);
        let gone = async {
            let _ = self.process.wait().await;
            while killpg(self.group, None).is_ok() {
                tokio::time::sleep(GONE_AGAIN).await;
            }
        };
        if tokio::time::timeout(GRACE, gone).await.is_err() {
            let _ = killpg(self.group, Signal::SIGKILL);
            let _ = self.process.wait().await;
        }
    }
}
