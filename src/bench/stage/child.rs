//! Child processes: started, heard, stopped by process id. Owns no more than the process; whatever
//! happens to its parent's work, the child ends with this value.

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// How long a child may take to say its next word.
const WORD_WAIT: Duration = Duration::from_mins(1);
/// How long a child may take to end when it is asked to.
const END_WAIT: Duration = Duration::from_secs(20);
/// How long a drop waits for what it has killed, and how often it looks.
const KILL_WAIT: Duration = Duration::from_secs(1);
const KILL_LOOK: Duration = Duration::from_millis(2);
/// Bytes of a failed child's stderr that are shown.
const LAST_WORDS_BYTES: usize = 2_000;
/// What would lead a child to another deployment than the one it is given, or have it say more.
const MISLEADING: [&str; 7] = [
    "NATS_URL",
    "NATS_CREDS",
    "NATS_CONTEXT",
    "POSTROAD_DIR",
    "POSTROAD_INSTANCE",
    "POSTROAD_MASTER_KEY_FILE",
    "POSTROAD_LOG",
];

/// A command that runs this very program in the folder `home`.
///
/// # Errors
/// When the system does not say where this program is.
pub(crate) fn program(home: &Path) -> anyhow::Result<Command> {
    let path = std::env::current_exe().context("this program does not find itself")?;
    let mut command = Command::new(path);
    for name in MISLEADING {
        command.env_remove(name);
    }
    command.current_dir(home);
    Ok(command)
}

/// A running child. It is killed when this is dropped, unless [`Child::stop`] has ended it.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    stopped: bool,
    /// Holds the id of a process that must not outlive this one.
    with_it: Option<PathBuf>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: PathBuf,
}

impl Child {
    /// Starts `command`, whose stderr goes to the file `NAME.stderr` in `dir`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let stderr = dir.join(format!("{name}.stderr"));
        let file = std::fs::File::create(&stderr)
            .with_context(|| format!("{} cannot be written", stderr.display()))?;
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let stdout = process
            .stdout
            .take()
            .expect("stdout was piped a moment ago");
        Ok(Self {
            name,
            process,
            stopped: false,
            with_it: None,
            stdout: BufReader::new(stdout).lines(),
            stderr,
        })
    }

    /// Kills the process whose id is in `pid_file`, too, where it comes to killing.
    #[must_use]
    pub(crate) fn with(mut self, pid_file: PathBuf) -> Self {
        self.with_it = Some(pid_file);
        self
    }

    /// The next line that it writes to stdout.
    ///
    /// # Errors
    /// When it ends, or stays silent for too long; with its last words.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        match tokio::time::timeout(WORD_WAIT, self.stdout.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => anyhow::bail!("{} ended early: {}", self.name, self.last_words()),
            Ok(Err(error)) => Err(error).with_context(|| format!("{} cannot be heard", self.name)),
            Err(_) => anyhow::bail!(
                "{} said nothing for {WORD_WAIT:?}: {}",
                self.name,
                self.last_words()
            ),
        }
    }

    /// Bytes of memory that it has by now, as `ps` tells.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub(crate) async fn resident_bytes(&self) -> anyhow::Result<u64> {
        let pid = self.process.id().context("a child has ended")?;
        let told = Command::new("ps")
            .args(["-o", "rss=", "-p", &pid.to_string()])
            .output()
            .await
            .context("ps does not run")?;
        let kib: u64 = String::from_utf8_lossy(&told.stdout).trim().parse()?;
        Ok(kib * 1024)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        // An error means that it cannot even be asked, which counts as the end.
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// The end of what it wrote to stderr.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.stderr).unwrap_or_default();
        let from = text.len().saturating_sub(LAST_WORDS_BYTES);
        String::from_utf8_lossy(&text[from..]).trim().to_owned()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not, or ends with another code than 0.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.process.id() {
            let pid = Pid::from_raw(i32::try_from(pid).context("a process id is too large")?);
            // A child that has just ended by itself cannot be told; waiting says how it ended.
            let _ = kill(pid, Signal::SIGTERM);
        }
        let Ok(status) = tokio::time::timeout(END_WAIT, self.process.wait()).await else {
            anyhow::bail!("{} did not stop: {}", self.name, self.last_words());
        };
        let status = status?;
        anyhow::ensure!(
            status.success(),
            "{} ended with {status}: {}",
            self.name,
            self.last_words()
        );
        self.stopped = true;
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        // One that is gone already is as good as killed.
        let _ = self.process.start_kill();
        let other = self.with_it.as_deref().and_then(pid_in);
        if let Some(pid) = other {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // Whoever removes the folder next must not find somebody writing there.
        let deadline = Instant::now() + KILL_WAIT;
        let is_there = |pid| kill(pid, None).is_ok();
        while (!self.has_ended() || other.is_some_and(is_there)) && Instant::now() < deadline {
            std::thread::sleep(KILL_LOOK);
        }
    }
}

/// The process id that a file holds.
fn pid_in(file: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(file).ok()?;
    // 0 and below mean groups, and 1 is nobody's child.
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1)?;
    Some(Pid::from_raw(pid))
}
