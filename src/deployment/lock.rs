//! One `up` per DIR.
//!
//! Owns the advisory lock and the note of who holds it. Never decides what to do about another holder.

use super::layout::{Layout, LayoutError, at, write_private};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LockError {
    /// Another `up` runs on this DIR.
    #[error(
        "another `postroad up` (process {}) already runs on {}: stop it first, or use another --dir",
        holder.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
        dir.display()
    )]
    Held {
        /// The deployment.
        dir: PathBuf,
        /// Who holds it, when it has said so.
        holder: Option<u32>,
    },
    /// The lock's file cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Held for as long as it lives. The kernel lets go of it however the process ends, so a
/// `kill -9` never leaves a DIR that cannot be started.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
    pid_file: PathBuf,
}

impl DirLock {
    /// Takes the lock at once or says who has it.
    pub(crate) fn acquire(layout: &Layout) -> Result<Self, LockError> {
        let path = layout.lock();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(at("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    dir: layout.root().to_owned(),
                    holder: holder(layout),
                });
            }
            Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source).into()),
        }
        let lock = Self {
            file,
            pid_file: layout.up_pid(),
        };
        write_private(
            &lock.pid_file,
            format!("{}\n", std::process::id()).as_bytes(),
        )?;
        Ok(lock)
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Only a courtesy: the lock, not this note, says whether somebody is at home.
        let _ = fs::remove_file(&self.pid_file);
        // Said aloud, since closing is not enough while a child that is just being started still
        // shares the file.
        let _ = self.file.unlock();
    }
}

/// The process that says it runs this deployment. Only a held lock proves that it still does.
pub(crate) fn holder(layout: &Layout) -> Option<u32> {
    fs::read_to_string(layout.up_pid())
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let first = DirLock::acquire(&layout).unwrap();
        let refused = DirLock::acquire(&layout).unwrap_err();
        assert!(
            matches!(refused, LockError::Held { holder: Some(pid), .. } if pid == std::process::id())
        );
        assert!(
            refused
                .to_string()
                .contains(&std::process::id().to_string())
        );
        drop(first);
        DirLock::acquire(&layout).unwrap();
    }

    #[test]
    fn a_note_left_by_a_killed_process_holds_nobody_up() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        fs::write(layout.up_pid(), "4194304\n").unwrap();
        DirLock::acquire(&layout).unwrap();
    }
}
