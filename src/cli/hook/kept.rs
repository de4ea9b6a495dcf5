//! The memory of one agent's hooks on this machine: a small file, one hook at a time.
//!
//! Owns the file and its lock. Sessions that run at once share it, so that no message is shown twice.

use super::ledger::Ledger;
use super::silent;
use crate::deployment::layout::{create_private, make_private_dir};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest memory that is read, in bytes; what is written is a small part of it.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// How often a lock is asked for that another hook holds; those hold it for one question and one write.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// The memory, while it is held.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// The kernel lets go of it however the process ends.
    _lock: File,
}

impl Kept {
    /// Opens the memory of whom `identity` names, once no other hook holds it.
    pub(super) async fn open(folder: &Path, identity: &[String]) -> Result<Self, String> {
        let folder = folder.join("hooks");
        let in_file = |error: std::io::Error| format!("{}: {error}", folder.display());
        make_private_dir(&folder).map_err(in_file)?;
        let name = blake3::hash(identity.join("\n").as_bytes()).to_hex();
        let name = &name[..32];
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options
            .open(folder.join(format!("{name}.lock")))
            .map_err(in_file)?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(in_file(error)),
            }
        }
        Ok(Self {
            path: folder.join(format!("{name}.json")),
            _lock: lock,
        })
    }

    /// What is remembered; nothing where there is none, or where it cannot be read.
    pub(super) fn read(&self) -> Ledger {
        // Opening a pipe would wait for whoever writes to it.
        if fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            return forgotten("it is no file");
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ledger::default(),
            Err(error) => return forgotten(&error.to_string()),
        };
        let mut text = Vec::new();
        let read = file.take(FILE_MAX_BYTES).read_to_end(&mut text);
        let read = read.map_err(|error| error.to_string());
        match read.and_then(|_| serde_json::from_slice(&text).map_err(|error| error.to_string())) {
            Ok(ledger) => ledger,
            Err(error) => forgotten(&error),
        }
    }

    /// Remembers: the whole, or what was there before.
    pub(super) fn write(&mut self, ledger: &Ledger) -> Result<(), String> {
        let temporary = self.path.with_extension("tmp");
        let replaced = || -> std::io::Result<()> {
            let text = serde_json::to_vec(ledger)?;
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            create_private(&temporary, &text)?;
            fs::rename(&temporary, &self.path)
        };
        replaced().map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

fn forgotten(error: &str) -> Ledger {
    silent(&format!("what was shown before is forgotten: {error}"));
    Ledger::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(role: &str) -> Vec<String> {
        ["nats://h:1", "acme", role, "pi"].map(str::to_owned).into()
    }

    #[tokio::test]
    async fn each_agent_has_its_own_memory_and_damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = serde_json::from_str(r#"{"shownUpTo":"c"}"#).unwrap();
        let mut tau = Kept::open(folder.path(), &names("tau")).await.unwrap();
        assert_eq!(tau.read(), Ledger::default());
        tau.write(&ledger).unwrap();
        assert_eq!(tau.read(), ledger);
        let phi = Kept::open(folder.path(), &names("phi")).await.unwrap();
        assert_eq!(phi.read(), Ledger::default());
        fs::write(&tau.path, b"{\"shown\": 5").unwrap();
        assert_eq!(tau.read(), Ledger::default());
        tau.write(&ledger).unwrap();
        assert_eq!(tau.read(), ledger);
        fs::remove_file(&tau.path).unwrap();
        nix::unistd::mkfifo(&tau.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(tau.read(), Ledger::default());
        tau.write(&ledger).unwrap();
        assert_eq!(tau.read(), ledger);
    }

    #[tokio::test]
    async fn a_second_hook_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Kept::open(folder.path(), &names("tau")).await.unwrap();
        let mine = names("tau");
        let second = Kept::open(folder.path(), &mine);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        let ledger = serde_json::from_str(r#"{"stoppedUpTo":"c"}"#).unwrap();
        first.write(&ledger).unwrap();
        drop(first);
        assert_eq!(second.await.unwrap().read(), ledger);
    }
}
