//! The guide: runs real command lines in the tour's folder, shows what they print, and stops the
//! tour where something is not as it was told. Owns that honesty; the story is told elsewhere.

use super::told::Voice;
use crate::bench::stage::{Child, DIR, Deployment, Folder, program, up_command};
use crate::cli::text::typed;
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use postroad_client::{Credential, Holder};
use postroad_protocol::{Subjects, subject};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// How long one command may take.
const COMMAND_WAIT: Duration = Duration::from_secs(20);
/// How long something may take to come to pass, and how often it is looked at meanwhile.
const PASS_WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A guide in a deployment of its own.
#[derive(Debug)]
pub(crate) struct Guide {
    /// What it says.
    pub(crate) voice: Voice,
    // In this order: the deployment ends before its folder goes.
    deployment: Option<Deployment>,
    folder: Folder,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed on stdout, and then on stderr.
    pub(crate) output: String,
}

impl Guide {
    /// One who has not begun.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            voice: Voice::new(),
            deployment: None,
            folder: Folder::make(&std::env::temp_dir(), "postroad-tour")?,
        })
    }

    /// The folder that every command runs in.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the deployment, and shows how.
    pub(crate) async fn start(&mut self, server: &Path) -> anyhow::Result<()> {
        let up = up_command(self.home(), server, Durability::PowerSafe)?;
        self.show_command(&up);
        let deployment = Deployment::start(self.home(), up).await?;
        let line = format!("postroad ready {}", deployment.url());
        self.voice.shows(&line);
        self.deployment = Some(deployment);
        Ok(())
    }

    /// Stops the deployment.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        match self.deployment.take() {
            Some(deployment) => deployment.stop().await,
            None => Ok(()),
        }
    }

    /// Runs `postroad` with `words`, and shows both sides.
    pub(crate) async fn runs(&self, words: &[&str]) -> anyhow::Result<Ran> {
        let command = self.command(words)?;
        self.show_command(&command);
        let ran = run(command).await?;
        self.voice.shows(&ran.output);
        Ok(ran)
    }

    /// The same, for a command that must do what it was asked; what it printed.
    pub(crate) async fn does(&self, words: &[&str]) -> anyhow::Result<String> {
        let ran = self.runs(words).await?;
        anyhow::ensure!(ran.code == 0, "it ended with code {}", ran.code);
        Ok(ran.output)
    }

    /// What `postroad --json` answers to `words`, without showing it.
    pub(crate) async fn asks(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command(&["--json"])?;
        command.args(words);
        let ran = run(command).await?;
        anyhow::ensure!(
            ran.code == 0,
            "{words:?} ended with {}: {}",
            ran.code,
            ran.output
        );
        serde_json::from_str(&ran.output)
            .with_context(|| format!("{words:?} answered no JSON: {}", ran.output))
    }

    /// Asks until `is_so` holds of the answer; observations reach the log a moment after the answer
    /// that they are of.
    pub(crate) async fn awaits(
        &self,
        words: &[&str],
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PASS_WAIT;
        loop {
            let answer = self.asks(words).await?;
            if is_so(&answer) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{words:?} still answers {answer}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Starts a `postroad` that goes on until it is stopped, and shows its command line.
    pub(crate) fn starts(&self, name: &'static str, words: &[&str]) -> anyhow::Result<Child> {
        let command = self.command(words)?;
        self.show_command(&command);
        Child::start(name, command, self.home())
    }

    /// Says that `claim` holds, or ends the tour.
    pub(crate) fn confirms(&mut self, claim: &str, holds: bool) -> anyhow::Result<()> {
        anyhow::ensure!(holds, "this does not hold: {claim}");
        self.voice.confirms(claim);
        Ok(())
    }

    /// Connects with the credential in `file` as any NATS client would, without Postroad's library;
    /// `heard` is told what the server says beside answers.
    pub(crate) async fn plain_client(
        &self,
        file: &str,
        heard: tokio::sync::mpsc::UnboundedSender<String>,
    ) -> anyhow::Result<async_nats::Client> {
        let path = self.home().join(file);
        let Holder::Agent {
            tenant,
            role,
            instance: Some(instance),
            ..
        } = Credential::from_file(&path)?.holder().clone()
        else {
            anyhow::bail!("{file} is not bound to an instance");
        };
        let inbox = subject::inbox_prefix(tenant.as_str(), role.as_str(), instance.as_str());
        let deployment = self.deployment.as_ref().context("nothing runs")?;
        let options = async_nats::ConnectOptions::with_credentials_file(path).await?;
        let client = options
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(PASS_WAIT))
            .event_callback(move |event| {
                // Whoever has stopped listening does not miss it.
                let _ = heard.send(event.to_string());
                std::future::ready(())
            })
            .connect(deployment.url())
            .await?;
        Ok(client)
    }

    /// The deployment's subjects.
    #[expect(
        clippy::unused_self,
        reason = "they are the deployment's, though all of the tour's are the same"
    )]
    pub(crate) fn subjects(&self) -> Subjects {
        Subjects::default()
    }

    fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = program(self.home())?;
        command.args(words).env("POSTROAD_DIR", self.dir());
        Ok(command)
    }

    fn dir(&self) -> PathBuf {
        self.home().join(DIR)
    }

    fn show_command(&self, command: &Command) {
        let words = typed(command.as_std().get_args());
        self.voice.types(&format!("postroad {words}"));
    }
}

async fn run(mut command: Command) -> anyhow::Result<Ran> {
    let running = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(COMMAND_WAIT, running)
        .await
        .with_context(|| format!("it did not end within {COMMAND_WAIT:?}"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (stdout, stderr) = (text(&ran.stdout), text(&ran.stderr));
    let gap = if stdout.is_empty() || stderr.is_empty() {
        ""
    } else {
        "\n"
    };
    Ok(Ran {
        code: ran.status.code().unwrap_or(-1),
        output: format!("{stdout}{gap}{stderr}"),
    })
}
