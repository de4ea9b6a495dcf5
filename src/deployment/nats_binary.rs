//! Which nats-server binary to run.
//!
//! Owns where it is looked for and which versions will do. Never installs or starts one.

use std::env;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Older servers ignore atomic batches silently and cannot make an acknowledged event durable.
const OLDEST: Version = Version {
    major: 2,
    minor: 12,
    patch: 0,
};
/// A binary that does not say its version within this time is none.
const VERSION_WAIT: Duration = Duration::from_secs(10);
const NAME: &str = "nats-server";
const VARIABLE: &str = "NATS_SERVER";
const REMEDY: &str = "install nats-server 2.12 or newer and put it on PATH, or name it with --nats-server or \
     $NATS_SERVER (in a checkout, `make run` fetches one)";

/// Why there is no nats-server to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BinaryError {
    /// Nowhere.
    #[error("no nats-server found: {REMEDY}")]
    NotFound,
    /// The only one, or the one that was named, is too old.
    #[error("{} is nats-server {found}, Postroad needs {OLDEST} or newer: {REMEDY}", path.display())]
    TooOld {
        /// The binary.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// It did not answer `--version` as a nats-server does.
    #[error("{} does not run as a nats-server: {REMEDY}", path.display())]
    NotAServer {
        /// The binary.
        path: PathBuf,
        /// Why, where the system said.
        source: Option<std::io::Error>,
    },
}

/// A version of nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads `nats-server: v2.15.1`, and `v2.12.0-RC.3` too, which counts as what it will become.
    fn parse(line: &str) -> Option<Self> {
        let text = line.trim().strip_prefix("nats-server: v")?;
        let mut numbers = text.split(['.', '-', '+']);
        let mut next = || numbers.next()?.parse().ok();
        Some(Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A nats-server that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct NatsBinary {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// What it says of itself.
    pub(crate) version: Version,
}

impl NatsBinary {
    /// The one that was named, else `$NATS_SERVER`, else the first good one on PATH, else the one
    /// that the checkout of this executable keeps in `.tools`.
    ///
    /// A named one must do; one that was merely found and is too old gives way to the next. The
    /// current directory is not searched: a binary that lies in somebody's project is not to be run
    /// because `postroad` was started there.
    pub(crate) async fn find(named: Option<&Path>) -> Result<Self, BinaryError> {
        let variable = env::var_os(VARIABLE)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        if let Some(path) = named.map(Path::to_owned).or(variable) {
            return Self::examine(&path).await;
        }
        Self::first_good(candidates()).await
    }

    async fn first_good(candidates: Vec<PathBuf>) -> Result<Self, BinaryError> {
        let mut first_refusal = None;
        for path in candidates {
            match Self::examine(&path).await {
                Ok(binary) => return Ok(binary),
                Err(refusal) => {
                    first_refusal.get_or_insert(refusal);
                }
            }
        }
        Err(first_refusal.unwrap_or(BinaryError::NotFound))
    }

    async fn examine(path: &Path) -> Result<Self, BinaryError> {
        let refused = |source| BinaryError::NotAServer {
            path: path.to_owned(),
            source,
        };
        let path = std::path::absolute(path).map_err(|error| refused(Some(error)))?;
        let asked = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(VERSION_WAIT, asked).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(refused(Some(error))),
            Err(_) => return Err(refused(None)),
        };
        let Some(version) = Version::parse(&String::from_utf8_lossy(&output.stdout)) else {
            return Err(refused(None));
        };
        if version < OLDEST {
            return Err(BinaryError::TooOld {
                path,
                found: version,
            });
        }
        Ok(Self { path, version })
    }
}

fn candidates() -> Vec<PathBuf> {
    let on_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let executable = env::current_exe().unwrap_or_default();
    // target/debug/postroad and target/debug/deps/it-… lie at most this deep in their checkout.
    let checkouts = executable
        .ancestors()
        .skip(1)
        .take(5)
        .map(|above| above.join(".tools"));
    on_path
        .into_iter()
        .filter(|dir| dir.is_absolute())
        .chain(checkouts)
        .map(|dir| dir.join(NAME))
        .filter(|path| runs(path))
        .collect()
}

fn runs(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::write_program;
    use super::*;
    use std::fs;

    fn fake(dir: &Path, version: &str) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        let path = dir.join(NAME);
        write_program(&path, &format!("echo 'nats-server: v{version}'"));
        path
    }

    #[test]
    fn versions_compare_as_numbers() {
        let version = |text: &str| Version::parse(&format!("nats-server: v{text}\n")).unwrap();
        assert!(version("2.9.10") < OLDEST);
        assert!(version("2.11.99") < OLDEST);
        assert!(version("2.12.0") >= OLDEST);
        assert!(version("2.15.1") > version("2.12.8"));
        assert!(version("3.0.0-RC.1") > OLDEST);
        for bad in [
            "",
            "v2.12.0",
            "nats-server: 2.12.0",
            "nats-server: v2.12",
            "nats-server: vx.y.z",
        ] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_old_server_is_refused_by_name_and_version() {
        let temp = tempfile::tempdir().unwrap();
        let old = fake(temp.path(), "2.9.10");
        let refused = NatsBinary::find(Some(&old)).await.unwrap_err().to_string();
        assert!(
            refused.contains(old.to_str().unwrap())
                && refused.contains("2.9.10")
                && refused.contains("2.12")
        );
    }

    #[tokio::test]
    async fn an_old_server_on_the_way_gives_way_to_a_newer_one() {
        let temp = tempfile::tempdir().unwrap();
        let old = fake(&temp.path().join("old"), "2.9.10");
        let new = fake(&temp.path().join("new"), "2.14.2");
        let found = NatsBinary::first_good(vec![old.clone(), new.clone()])
            .await
            .unwrap();
        assert_eq!(
            (found.path, found.version.to_string()),
            (new, "2.14.2".to_owned())
        );
        assert!(matches!(
            NatsBinary::first_good(vec![old]).await,
            Err(BinaryError::TooOld { .. })
        ));
        assert!(matches!(
            NatsBinary::first_good(Vec::new()).await,
            Err(BinaryError::NotFound)
        ));
    }

    #[tokio::test]
    async fn what_is_no_server_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(NAME);
        let refused = NatsBinary::find(Some(&path)).await.unwrap_err();
        assert!(matches!(
            refused,
            BinaryError::NotAServer {
                source: Some(_),
                ..
            }
        ));
        write_program(&path, "echo hello");
        let refused = NatsBinary::find(Some(&path)).await.unwrap_err();
        assert!(matches!(
            refused,
            BinaryError::NotAServer { source: None, .. }
        ));
    }
}
