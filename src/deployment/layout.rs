//! Where a deployment keeps its things below DIR, and how secrets are written there.
//!
//! Owns paths, modes and atomic writes. Never reads or interprets what the files hold.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name of the directory that `up` makes and that other commands find by walking up.
pub(crate) const DEFAULT_DIR: &str = ".postroad";

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Why a deployment's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LayoutError {
    /// The file system refused.
    #[error("cannot {action} {}: check that the path is writable and owned by you", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// The system's own reason.
        source: io::Error,
    },
    /// No DIR was named and no directory above the current one holds a `.postroad`.
    #[error(
        "no {DEFAULT_DIR} in {} or above it: start one with `postroad up`, or name one with --dir",
        start.display()
    )]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// The directory that was found belongs to somebody else, who could be laying a trap.
    #[error(
        "{} belongs to user id {owner}, not to you; if you trust it, name it with --dir",
        path.display()
    )]
    Foreign {
        /// What was found.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
}

/// The paths of one deployment. The root is absolute, so that a child process may use them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes DIR and its folders where they are missing; those that are Postroad's own become 0700.
    ///
    /// DIR itself keeps its mode when it was there before: `--dir .` must not close somebody's folder.
    pub(crate) fn create(dir: &Path) -> Result<Self, LayoutError> {
        make_private_dir(dir).map_err(at("make", dir))?;
        let layout = Self::open(dir)?;
        for own in [
            layout.nats_dir(),
            layout.jetstream_dir(),
            layout.resolver_dir(),
            layout.rows_dir(),
        ] {
            make_private_dir(&own).map_err(at("make", &own))?;
            fs::set_permissions(&own, fs::Permissions::from_mode(PRIVATE_DIR))
                .map_err(at("set the mode of", &own))?;
        }
        Ok(layout)
    }

    /// Opens a DIR that somebody named; nothing is created.
    pub(crate) fn open(dir: &Path) -> Result<Self, LayoutError> {
        let root = dir.canonicalize().map_err(at("open", dir))?;
        Ok(Self { root })
    }

    /// Finds `.postroad` in `start` or the nearest directory above it.
    ///
    /// One that belongs to another user is refused rather than used or skipped: a planted
    /// `/tmp/.postroad` would otherwise receive the messages of everybody who works below `/tmp`.
    pub(crate) fn find(start: &Path) -> Result<Self, LayoutError> {
        let from = start.canonicalize().map_err(at("open", start))?;
        for above in from.ancestors() {
            let candidate = above.join(DEFAULT_DIR);
            let Ok(metadata) = fs::metadata(&candidate) else {
                continue;
            };
            if !metadata.is_dir() {
                continue;
            }
            let owner = metadata.uid();
            if owner != nix::unistd::geteuid().as_raw() && owner != 0 {
                return Err(LayoutError::Foreign {
                    path: candidate,
                    owner,
                });
            }
            return Self::open(&candidate);
        }
        Err(LayoutError::NotFound { start: from })
    }

    /// DIR itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Seeds and the master key.
    pub(crate) fn keys_dir(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Where keys are made before one rename puts them all in place.
    pub(crate) fn keys_making_dir(&self) -> PathBuf {
        self.root.join("keys.making")
    }

    /// Everything of the supervised nats-server.
    pub(crate) fn nats_dir(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// Its configuration, rendered anew at every start.
    pub(crate) fn nats_config(&self) -> PathBuf {
        self.nats_dir().join("nats-server.conf")
    }

    /// JetStream's store: the log.
    pub(crate) fn jetstream_dir(&self) -> PathBuf {
        self.nats_dir().join("store")
    }

    /// The account JWTs that the server keeps.
    pub(crate) fn resolver_dir(&self) -> PathBuf {
        self.nats_dir().join("jwt")
    }

    /// The process id of the server, written by itself.
    pub(crate) fn nats_pid(&self) -> PathBuf {
        self.nats_dir().join("nats-server.pid")
    }

    /// The server's log; the server rotates it.
    pub(crate) fn nats_log(&self) -> PathBuf {
        self.nats_dir().join("nats-server.log")
    }

    /// What the server says before its log is open, and when it panics.
    pub(crate) fn nats_stderr(&self) -> PathBuf {
        self.nats_dir().join("nats-server.stderr")
    }

    /// The certificate that the server shows, with its intermediates: a copy of the one that was given.
    pub(crate) fn nats_certificate(&self) -> PathBuf {
        self.nats_dir().join("tls-cert.pem")
    }

    /// Its key, likewise.
    pub(crate) fn nats_certificate_key(&self) -> PathBuf {
        self.nats_dir().join("tls-key.pem")
    }

    /// The projector's files.
    pub(crate) fn rows_dir(&self) -> PathBuf {
        self.root.join("rows")
    }

    /// The credential of the person who runs this deployment.
    pub(crate) fn operator_creds(&self) -> PathBuf {
        self.root.join("operator.creds")
    }

    /// How other commands reach this deployment.
    pub(crate) fn context(&self) -> PathBuf {
        self.root.join("context.json")
    }

    /// Locked for as long as an `up` runs.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The process id of the `up` that runs.
    pub(crate) fn up_pid(&self) -> PathBuf {
        self.root.join("up.pid")
    }
}

/// Makes a directory, and those above it, that only its owner may enter. One that exists is left as it is.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIR)
        .create(dir)
}

/// Replaces a file by one that only its owner may read: complete or untouched, whenever the power fails.
///
/// Whoever calls holds the deployment's lock, so there is one writer.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> Result<(), LayoutError> {
    let io_error = at("write", path);
    let replaced = || -> io::Result<()> {
        let (dir, name) = match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => (dir, name.to_string_lossy()),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let temporary = dir.join(format!(".{name}.tmp"));
        // A crash may have left one; `create_new` then proves that nobody put a link in its place.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        create_private(&temporary, contents)?;
        fs::rename(&temporary, path)?;
        sync_dir(dir)
    };
    replaced().map_err(io_error)
}

/// Removes a file that [`write_private`] wrote, where there is one.
pub(crate) fn remove_private(path: &Path) -> Result<(), LayoutError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Creates a file that must not exist yet, readable by its owner only, and waits until it is on disk.
pub(crate) fn create_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Waits until the names in a directory are on disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Turns an IO error into ours, with the path that a person has to look at.
pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |source| LayoutError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folders_are_closed_to_others_and_an_existing_dir_keeps_its_mode() {
        let temp = tempfile::tempdir().unwrap();
        let fresh = Layout::create(&temp.path().join("a/b")).unwrap();
        assert_eq!(mode(fresh.root()), 0o700);

        let existing = temp.path().join("shared");
        fs::create_dir(&existing).unwrap();
        fs::set_permissions(&existing, fs::Permissions::from_mode(0o755)).unwrap();
        let layout = Layout::create(&existing).unwrap();
        assert_eq!(mode(layout.root()), 0o755);
        assert_eq!(mode(&layout.nats_dir()), 0o700);
        assert_eq!(mode(&layout.rows_dir()), 0o700);
        assert!(layout.root().is_absolute());
    }

    #[test]
    fn a_secret_is_replaced_whole_and_stays_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("operator.creds");
        write_private(&path, b"one").unwrap();
        // What a crash in the middle of an earlier write leaves behind.
        fs::write(temp.path().join(".operator.creds.tmp"), b"half").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_nearest_dir_above_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let made = Layout::create(&temp.path().join(DEFAULT_DIR)).unwrap();
        let below = temp.path().join("x/y");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(Layout::find(&below).unwrap(), made);
        // A plain file of that name is not a deployment.
        fs::write(below.join(DEFAULT_DIR), b"").unwrap();
        assert_eq!(Layout::find(&below).unwrap(), made);
    }

    #[test]
    fn a_dir_that_is_nowhere_says_how_to_make_one() {
        let temp = tempfile::tempdir().unwrap();
        // Only meaningful where no real deployment lies above the temporary directory.
        if let Err(error) = Layout::find(temp.path()) {
            assert!(error.to_string().contains("postroad up"), "{error}");
        }
        assert!(matches!(
            Layout::open(&temp.path().join("gone")),
            Err(LayoutError::Io { .. })
        ));
    }
}
