//! A file about to be written: its place is taken before anything is asked for that has to be kept there.

use crate::cli::failure::Failure;
use crate::deployment::layout::create_private;
use postroad_protocol::{ErrorCode, Refusal};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file about to be written, readable by its owner only.
pub(super) struct Place {
    temporary: PathBuf,
    target: PathBuf,
    force: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Moved to its target it is gone, which is as good.
        let _ = fs::remove_file(&self.temporary);
    }
}

const OUT_REMEDY: &str = "name a file in a directory that is yours to write, with --out";

impl Place {
    pub(super) fn take(target: &Path, force: bool) -> Result<Self, Failure> {
        if !force && target.symlink_metadata().is_ok() {
            return Err(exists(target));
        }
        let named = |path: &Path| Some((path.parent()?.to_owned(), path.file_name()?.to_owned()));
        let (dir, name) = named(target).ok_or_else(|| {
            Failure::usage(
                "out",
                format!("{} names no file", target.display()),
                OUT_REMEDY,
            )
        })?;
        let name = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let temporary = dir.join(name);
        create_private(&temporary, b"")
            .map_err(|error| Failure::file("write", target, &error, OUT_REMEDY))?;
        Ok(Self {
            temporary,
            target: target.to_owned(),
            force,
        })
    }

    pub(super) fn fill(self, creds: &[u8]) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.temporary)?;
            file.write_all(creds)?;
            file.sync_all()
        };
        let lost = |error: io::Error| {
            let remedy =
                "the credential was issued and is lost with this; mend that and issue another";
            Failure::file("write", &self.target, &error, remedy)
        };
        write().map_err(lost)?;
        if self.force {
            return fs::rename(&self.temporary, &self.target).map_err(lost);
        }
        // Unlike a rename, a link never replaces what appeared there in the meantime.
        fs::hard_link(&self.temporary, &self.target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.target),
            _ => lost(error),
        })
    }
}

fn exists(target: &Path) -> Failure {
    Refusal::new(
        ErrorCode::Conflict,
        format!("{} is there already", target.display()),
        "name another file with --out, or replace it with --force",
    )
    .at("out")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_credential_is_private_and_replaces_nothing_unless_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tau.creds");
        Place::take(&target, false).unwrap().fill(b"one").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let Err(refused) = Place::take(&target, false) else {
            panic!("it is refused");
        };
        assert_eq!(refused.exit_code(), 5);
        Place::take(&target, true).unwrap().fill(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_while_one_is_issued_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tau.creds");
        let place = Place::take(&target, false).unwrap();
        fs::write(&target, "theirs").unwrap();
        assert_eq!(place.fill(b"ours").unwrap_err().exit_code(), 5);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_issued_where_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Place::take(&dir.path().join("gone/tau.creds"), false).is_err());
        assert!(Place::take(Path::new("/"), true).is_err());
    }
}
