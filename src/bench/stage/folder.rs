//! A folder that goes with whoever made it. Never touches one that was there before.

use crate::cli::output::say;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A folder of one's own; removed, with all that it holds, when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes `NAME-PID` below `parent`, which is made where it is missing.
    ///
    /// # Errors
    /// What the file system says; also when the folder exists, since it would be somebody else's.
    pub(crate) fn make(parent: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        // Absolute, so that child processes and what is printed mean the same place.
        let parent = parent.canonicalize()?;
        let path = parent.join(format!("{name}-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            say(&format!(
                "{} could not be removed: {error}",
                self.path.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_maker_and_never_takes_over_another() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(&parent.path().join("new"), "work").unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("file"), b"x").unwrap();
        let again = Folder::make(&parent.path().join("new"), "work");
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(folder);
        assert!(!path.exists());
    }
}
