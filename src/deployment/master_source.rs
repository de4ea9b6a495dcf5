//! Where a process has the master key from: a file, its environment, or systemd. Whoever names several
//! must mean the same key. Never shows a key, nor what was found in its place.

use super::master_key::MasterKey;
use postroad_protocol::Refusal;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The variable that holds the key itself.
const VARIABLE: &str = "POSTROAD_MASTER_KEY";
/// The variable with which systemd names the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The credential's name in it.
const CREDENTIAL: &str = "postroad-master-key";

/// How a process is given the master key.
#[derive(Clone, Debug, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these sentences are what --help prints"
)]
pub(crate) struct MasterKeyArgs {
    /// File with the deployment's master key, as 64 hexadecimal digits or base64.
    ///
    /// Otherwise the key itself in POSTROAD_MASTER_KEY (a file is better: other processes of the user can
    /// read a variable), else the systemd credential `postroad-master-key`, else DIR/keys/master.key. Where
    /// several are there, they must hold the same key.
    #[arg(long, value_name = "FILE", env = "POSTROAD_MASTER_KEY_FILE")]
    pub(crate) master_key: Option<PathBuf>,
}

/// What of the process's surroundings may hold the key.
#[derive(Default)]
struct Surroundings {
    variable: Option<OsString>,
    credentials: Option<PathBuf>,
}

impl MasterKeyArgs {
    /// The key that this process is given, if any.
    ///
    /// # Errors
    /// `invalid_argument` for a source that holds no key, and for several that disagree.
    pub(crate) fn given(&self) -> Result<Option<MasterKey>, Refusal> {
        let surroundings = Surroundings {
            variable: std::env::var_os(VARIABLE),
            credentials: std::env::var_os(CREDENTIALS).map(PathBuf::from),
        };
        self.given_in(&surroundings)
    }

    fn given_in(&self, surroundings: &Surroundings) -> Result<Option<MasterKey>, Refusal> {
        let mut found: Option<(String, MasterKey)> = None;
        let mut take = |source: String, text: &str| {
            let key = MasterKey::from_text(text.trim()).ok_or_else(|| no_key(&source, text))?;
            match &found {
                Some((first, known)) if known.expose() != key.expose() => {
                    Err(disagree(first, &source))
                }
                Some(_) => Ok(()),
                None => {
                    found = Some((source, key));
                    Ok(())
                }
            }
        };
        if let Some(path) = &self.master_key {
            take(path.display().to_string(), &read(path)?)?;
        }
        if let Some(variable) = &surroundings.variable {
            let text = Zeroizing::new(variable.to_string_lossy().into_owned());
            take(VARIABLE.to_owned(), &text)?;
        }
        let credential = surroundings.credentials.as_ref();
        let credential = credential.map(|folder| folder.join(CREDENTIAL));
        // The folder may hold the service's other credentials only.
        if let Some(path) = credential.filter(|path| path.exists()) {
            take(path.display().to_string(), &read(&path)?)?;
        }
        Ok(found.map(|(_, key)| key))
    }
}

/// The master key of a deployment: what this process was given, else what its folder keeps.
///
/// # Errors
/// `invalid_argument` when there is neither, and when they disagree.
pub(crate) fn choose(
    given: Option<MasterKey>,
    kept: Option<&MasterKey>,
) -> Result<MasterKey, Refusal> {
    match (given, kept) {
        (Some(given), Some(kept)) if given.expose() != kept.expose() => Err(disagree(
            "what was named as its source",
            "DIR/keys/master.key",
        )),
        (Some(key), _) => Ok(key),
        (None, Some(kept)) => Ok(kept.clone()),
        (None, None) => Err(Refusal::invalid(
            "master-key",
            "there is no master key",
            "give --master-key FILE, or --dir with the deployment's keys; one that is gone has to be restored from a backup",
        )),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Refusal> {
    let text = std::fs::read(path).map_err(|error| {
        Refusal::invalid(
            "master-key",
            format!("{} cannot be read: {error}", path.display()),
            "name a file that this user may read",
        )
    })?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(String::from_utf8_lossy(&text).into_owned()))
}

fn no_key(source: &str, text: &str) -> Refusal {
    let length = text.trim().chars().count();
    Refusal::invalid(
        "master-key",
        format!("{source} holds no master key: {length} characters that are not 32 bytes"),
        "write the key as 64 hexadecimal digits, or as its 32 bytes in base64",
    )
}

fn disagree(first: &str, second: &str) -> Refusal {
    Refusal::invalid(
        "master-key",
        format!("{first} and {second} hold different master keys"),
        "leave one of them out: only the key under which the deployment's data keys were wrapped opens its log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    fn key() -> MasterKey {
        MasterKey::generate().unwrap()
    }

    fn args(path: Option<&Path>) -> MasterKeyArgs {
        let master_key = path.map(Path::to_owned);
        MasterKeyArgs { master_key }
    }

    fn variable(text: &str) -> Surroundings {
        Surroundings {
            variable: Some(text.into()),
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_key_is_read_from_each_source_in_either_writing() {
        let (dir, key) = (tempfile::tempdir().unwrap(), key());
        let hex = key.to_hex();
        for text in [
            hex.to_string(),
            format!(" {}\n", hex.to_uppercase()),
            BASE64_STANDARD.encode(key.expose()),
            BASE64_URL_SAFE_NO_PAD.encode(key.expose()),
        ] {
            let file = dir.path().join(CREDENTIAL);
            std::fs::write(&file, &text).unwrap();
            let systemd = Surroundings {
                credentials: Some(dir.path().to_owned()),
                ..Surroundings::default()
            };
            for (args, surroundings) in [
                (args(Some(&file)), Surroundings::default()),
                (args(None), variable(&text)),
                (args(None), systemd),
            ] {
                let found = args.given_in(&surroundings).unwrap().unwrap();
                assert_eq!(found.expose(), key.expose(), "{text}");
            }
        }
        let nothing = args(None).given_in(&Surroundings::default()).unwrap();
        assert!(nothing.is_none());
        let other = Surroundings {
            credentials: Some(dir.path().join("none")),
            ..Surroundings::default()
        };
        assert!(args(None).given_in(&other).unwrap().is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_source_and_length_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [
            "",
            "secret",
            &"0".repeat(63),
            &"0".repeat(66),
            &"g".repeat(64),
            "\u{e9}",
        ] {
            let refused = args(None).given_in(&variable(bad)).unwrap_err();
            let length = bad.chars().count();
            assert_eq!(refused.field.as_deref(), Some("master-key"));
            let said = format!("{VARIABLE} holds no master key: {length} characters");
            assert!(refused.message.starts_with(&said), "{refused}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        let missing = dir.path().join("missing");
        let refused = args(Some(&missing)).given_in(&Surroundings::default());
        assert!(refused.unwrap_err().message.contains("cannot be read"));
        std::fs::write(&missing, [0xff; 32]).unwrap();
        let refused = args(Some(&missing)).given_in(&Surroundings::default());
        assert!(refused.unwrap_err().message.contains("no master key"));
    }

    #[test]
    fn sources_may_repeat_a_key_and_must_not_disagree() {
        let (dir, one, other) = (tempfile::tempdir().unwrap(), key(), key());
        let file = dir.path().join("key");
        std::fs::write(&file, one.to_hex().as_bytes()).unwrap();
        let same = args(Some(&file)).given_in(&variable(&one.to_hex()));
        assert_eq!(same.unwrap().unwrap().expose(), one.expose());
        let refused = args(Some(&file)).given_in(&variable(&other.to_hex()));
        let refused = refused.unwrap_err();
        assert!(refused.message.contains("different"), "{refused}");
        assert!(refused.message.contains(VARIABLE), "{refused}");
        assert!(choose(Some(one.clone()), Some(&other)).is_err());
        assert!(choose(None, None).is_err());
        for chosen in [
            choose(Some(one.clone()), Some(&one)),
            choose(Some(one.clone()), None),
            choose(None, Some(&one)),
        ] {
            assert_eq!(chosen.unwrap().expose(), one.expose());
        }
    }
}
