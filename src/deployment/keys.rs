//! The keys of a deployment: made once, loaded ever after.
//!
//! Owns generation, crash-safe storage and the check that all are there and of their kind.
//! Never shows a secret in `Debug`, never replaces a key, never says what a key may be used for.

mod files;

pub(crate) use self::files::seed_of;
use self::files::{
    ACCOUNT_FILE, MASTER_KEY_FILE, OPERATOR_FILE, SYSTEM_ACCOUNT_FILE, SYSTEM_USER_FILE,
    file_names, read_master, read_seed, signing_file, write_secret_line,
};
use super::layout::{Layout, LayoutError, at, make_private_dir, sync_dir};
use super::lock::DirLock;
use super::master_key::MasterKey;
use nkeys::{KeyPair, KeyPairType};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why a deployment's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeysError {
    /// The folder is there, but not all of its files.
    #[error(
        "{} lacks {}: restore the missing files from a backup. Postroad never makes new keys for \
         an existing deployment, because they could not open its log",
        dir.display(),
        missing.join(", ")
    )]
    Incomplete {
        /// The folder of keys.
        dir: PathBuf,
        /// Names of the files that are missing.
        missing: Vec<String>,
    },
    /// A log without the keys that open it.
    #[error(
        "{} holds a log but {} is gone: restore the keys from a backup, or choose another --dir",
        evidence.display(),
        keys.display()
    )]
    Lost {
        /// Where keys should be.
        keys: PathBuf,
        /// What shows that this deployment was in use.
        evidence: PathBuf,
    },
    /// No keys were ever made here.
    #[error("{} holds no keys: start the deployment once with `postroad up`", dir.display())]
    None {
        /// The deployment.
        dir: PathBuf,
    },
    /// A file does not hold what its name says.
    #[error("{} is not {expected}: restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Others may enter the folder of keys.
    #[error("{} can be entered by other users (mode {mode:o}): run `chmod 700` on it", dir.display())]
    Exposed {
        /// The folder of keys.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system has no randomness to give.
    #[error("the system gave no random bytes for the master key")]
    Randomness(#[source] getrandom::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// What a credential may be for. Each has its own signing key in the account, and that key's
/// permission template bounds whatever it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CredentialKind {
    /// An agent bound to one instance of its role.
    Agent,
    /// An agent that may serve any instance of its role.
    AgentAnyInstance,
    /// A person or program that runs the deployment.
    Operator,
    /// The command side.
    Broker,
    /// The query side.
    Projector,
    /// The issuer's own view of the account.
    Issuer,
    /// Lets callers with bearer tokens in.
    Gateway,
}

impl CredentialKind {
    /// All kinds; the position of each is its place in [`DeploymentKeys`].
    pub(crate) const ALL: [Self; 7] = [
        Self::Agent,
        Self::AgentAnyInstance,
        Self::Operator,
        Self::Broker,
        Self::Projector,
        Self::Issuer,
        Self::Gateway,
    ];

    /// Kinds that came after deployments had been made: their keys are made where they are missing.
    const LATER: [Self; 1] = [Self::Gateway];

    /// The name that key files and the account JWT use. Stored, so never changed or reused.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::AgentAnyInstance => "agent_any_instance",
            Self::Operator => "operator",
            Self::Broker => "broker",
            Self::Projector => "projector",
            Self::Issuer => "issuer",
            Self::Gateway => "gateway",
        }
    }
}

/// All secrets of one deployment. Only the issuer and `--as` on the deployment's own host hold them.
pub(crate) struct DeploymentKeys {
    operator: KeyPair,
    system_account: KeyPair,
    system_user: KeyPair,
    account: KeyPair,
    // In the order of `CredentialKind::ALL`.
    signing: Vec<KeyPair>,
    /// None where it is kept elsewhere.
    master: Option<MasterKey>,
}

impl fmt::Debug for DeploymentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentKeys")
            .field("account", &self.account.public_key())
            .finish_non_exhaustive()
    }
}

impl DeploymentKeys {
    /// Loads the keys, or makes them where none were ever first. The second value says whether they are new.
    /// A master key that is `given` from elsewhere is not made.
    ///
    /// New keys are written beside their place and moved there by one rename, so a crash leaves
    /// either none (and the attempt is thrown away: nothing was ever signed with it) or all.
    pub(crate) fn load_or_create(
        layout: &Layout,
        _held: &DirLock,
        given: Option<&MasterKey>,
    ) -> Result<(Self, bool), KeysError> {
        if layout.keys_dir().exists() {
            return Ok((Self::load(layout)?, false));
        }
        if let Some(evidence) = sign_of_use(layout)? {
            return Err(KeysError::Lost {
                keys: layout.keys_dir(),
                evidence,
            });
        }
        let mut keys = Self::generate()?;
        if given.is_some() {
            // Whoever keeps it elsewhere does not want it here.
            keys.master = None;
        }
        keys.store(layout)?;
        Ok((keys, true))
    }

    /// Loads keys that must be there, complete and private.
    pub(crate) fn load(layout: &Layout) -> Result<Self, KeysError> {
        let dir = layout.keys_dir();
        let mode = match fs::metadata(&dir) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeysError::None {
                    dir: layout.root().to_owned(),
                });
            }
            Err(error) => return Err(at("read", &dir)(error).into()),
        };
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed { dir, mode });
        }
        make_later(layout, &dir)?;
        let missing: Vec<String> = file_names()
            .into_iter()
            .filter(|name| !dir.join(name).exists())
            .collect();
        if !missing.is_empty() {
            return Err(KeysError::Incomplete { dir, missing });
        }
        let mut signing = Vec::with_capacity(CredentialKind::ALL.len());
        for kind in CredentialKind::ALL {
            signing.push(read_seed(&dir, &signing_file(kind), &KeyPairType::Account)?);
        }
        Ok(Self {
            operator: read_seed(&dir, OPERATOR_FILE, &KeyPairType::Operator)?,
            system_account: read_seed(&dir, SYSTEM_ACCOUNT_FILE, &KeyPairType::Account)?,
            system_user: read_seed(&dir, SYSTEM_USER_FILE, &KeyPairType::User)?,
            account: read_seed(&dir, ACCOUNT_FILE, &KeyPairType::Account)?,
            signing,
            master: read_master(&dir)?,
        })
    }

    /// Signs account JWTs; its public key is the root of trust in the server's configuration.
    pub(crate) fn operator(&self) -> &KeyPair {
        &self.operator
    }

    /// The account through which the issuer pushes account JWTs.
    pub(crate) fn system_account(&self) -> &KeyPair {
        &self.system_account
    }

    /// The issuer's user in the system account.
    pub(crate) fn system_user(&self) -> &KeyPair {
        &self.system_user
    }

    /// The account POSTROAD. Its own key signs nothing: what it signed would be bounded by no template.
    pub(crate) fn account(&self) -> &KeyPair {
        &self.account
    }

    /// The key that signs credentials of one kind.
    pub(crate) fn signing(&self, kind: CredentialKind) -> &KeyPair {
        &self.signing[kind as usize]
    }

    /// The key that wraps the tenants' data keys, where it is kept here.
    pub(crate) fn master(&self) -> Option<&MasterKey> {
        self.master.as_ref()
    }

    fn generate() -> Result<Self, KeysError> {
        Ok(Self {
            operator: KeyPair::new_operator(),
            system_account: KeyPair::new_account(),
            system_user: KeyPair::new_user(),
            account: KeyPair::new_account(),
            signing: CredentialKind::ALL.map(|_| KeyPair::new_account()).into(),
            master: Some(MasterKey::generate().map_err(KeysError::Randomness)?),
        })
    }

    fn store(&self, layout: &Layout) -> Result<(), KeysError> {
        let making = layout.keys_making_dir();
        let place = layout.keys_dir();
        match fs::remove_dir_all(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at("clear", &making)(error).into());
            }
            _ => {}
        }
        make_private_dir(&making).map_err(at("make", &making))?;
        let signing = CredentialKind::ALL.map(|kind| (signing_file(kind), self.signing(kind)));
        let fixed = [
            (OPERATOR_FILE.to_owned(), &self.operator),
            (SYSTEM_ACCOUNT_FILE.to_owned(), &self.system_account),
            (SYSTEM_USER_FILE.to_owned(), &self.system_user),
            (ACCOUNT_FILE.to_owned(), &self.account),
        ];
        for (name, key) in fixed.into_iter().chain(signing) {
            write_secret_line(&making.join(name), &seed_of(key))?;
        }
        if let Some(master) = &self.master {
            write_secret_line(&making.join(MASTER_KEY_FILE), &master.to_hex())?;
        }
        sync_dir(&making).map_err(at("write", &making))?;
        fs::rename(&making, &place).map_err(at("make", &place))?;
        sync_dir(layout.root()).map_err(at("write", layout.root()))?;
        Ok(())
    }
}

/// Makes the keys of kinds that there were none of when the deployment was made. Nothing was ever signed with
/// them, so making them loses nothing; of several processes that make one, the first has made it.
fn make_later(layout: &Layout, dir: &Path) -> Result<(), KeysError> {
    for kind in CredentialKind::LATER {
        let path = dir.join(signing_file(kind));
        if path.exists() {
            continue;
        }
        let making = dir.join(format!(".{}.{}", signing_file(kind), std::process::id()));
        write_secret_line(&making, &seed_of(&KeyPair::new_account()))?;
        let placed = fs::hard_link(&making, &path);
        fs::remove_file(&making).map_err(at("clear", &making))?;
        match placed {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(at("make", &path)(error).into());
            }
            _ => sync_dir(&layout.keys_dir()).map_err(at("write", dir))?,
        }
    }
    Ok(())
}

/// Whatever in DIR could only be there because keys were, once.
fn sign_of_use(layout: &Layout) -> Result<Option<PathBuf>, LayoutError> {
    for dir in [
        layout.jetstream_dir(),
        layout.resolver_dir(),
        layout.rows_dir(),
    ] {
        match fs::read_dir(&dir) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Ok(Some(dir));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at("read", &dir)(error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, Layout, DirLock) {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let lock = DirLock::acquire(&layout).unwrap();
        (temp, layout, lock)
    }

    #[test]
    fn keys_are_made_once_and_are_the_same_ever_after() {
        let (_temp, layout, lock) = dir();
        let (first, new) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        assert!(new);
        let (loaded, new) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        assert!(!new);
        assert_eq!(
            first.operator().public_key(),
            loaded.operator().public_key()
        );
        assert_eq!(
            first.system_account().public_key(),
            loaded.system_account().public_key()
        );
        assert_eq!(
            first.system_user().public_key(),
            loaded.system_user().public_key()
        );
        assert_eq!(first.account().public_key(), loaded.account().public_key());
        assert_eq!(
            first.master().unwrap().expose(),
            loaded.master().unwrap().expose()
        );
        for kind in CredentialKind::ALL {
            assert_eq!(
                first.signing(kind).public_key(),
                loaded.signing(kind).public_key()
            );
        }
        for name in file_names() {
            let mode = fs::metadata(layout.keys_dir().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_attempt_that_crashed_is_thrown_away() {
        let (_temp, layout, lock) = dir();
        make_private_dir(&layout.keys_making_dir()).unwrap();
        fs::write(layout.keys_making_dir().join(OPERATOR_FILE), "half").unwrap();
        let (_, new) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        assert!(new);
        assert!(!layout.keys_making_dir().exists());
    }

    #[test]
    fn a_missing_or_wrong_key_is_refused_and_nothing_is_replaced() {
        let (_temp, layout, lock) = dir();
        DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        let account = layout.keys_dir().join(ACCOUNT_FILE);
        let seed = fs::read(&account).unwrap();

        fs::remove_file(&account).unwrap();
        let refused = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap_err();
        assert!(
            matches!(&refused, KeysError::Incomplete { missing, .. } if missing == &[ACCOUNT_FILE])
        );
        assert!(!account.exists());

        fs::copy(layout.keys_dir().join(OPERATOR_FILE), &account).unwrap();
        let refused = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap_err();
        assert!(matches!(refused, KeysError::Malformed { .. }));

        fs::write(&account, seed).unwrap();
        fs::write(layout.keys_dir().join(MASTER_KEY_FILE), "zz").unwrap();
        let refused = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap_err();
        assert!(matches!(refused, KeysError::Malformed { .. }));
    }

    #[test]
    fn a_deployment_from_before_there_were_tokens_gets_the_key_that_it_lacks() {
        let (_temp, layout, lock) = dir();
        let (first, _) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        let path = layout
            .keys_dir()
            .join(signing_file(CredentialKind::Gateway));
        fs::remove_file(&path).unwrap();
        let loaded = DeploymentKeys::load(&layout).unwrap();
        let of = |keys: &DeploymentKeys, kind| keys.signing(kind).public_key();
        let agent = CredentialKind::Agent;
        assert_eq!(of(&first, agent), of(&loaded, agent));
        let again = DeploymentKeys::load(&layout).unwrap();
        let gateway = CredentialKind::Gateway;
        assert_eq!(of(&again, gateway), of(&loaded, gateway));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(layout.keys_dir()).unwrap().count();
        assert_eq!(names, file_names().len() + 1, "and the master key, no more");
    }

    #[test]
    fn a_master_key_that_is_kept_elsewhere_is_not_made_here() {
        let (_temp, layout, lock) = dir();
        let elsewhere = MasterKey::generate().unwrap();
        let (keys, new) = DeploymentKeys::load_or_create(&layout, &lock, Some(&elsewhere)).unwrap();
        assert!(new && keys.master().is_none());
        assert!(!layout.keys_dir().join(MASTER_KEY_FILE).exists());
        assert!(DeploymentKeys::load(&layout).unwrap().master().is_none());
    }

    #[test]
    fn a_log_without_keys_gets_no_new_ones() {
        let (_temp, layout, lock) = dir();
        fs::write(layout.jetstream_dir().join("block"), "x").unwrap();
        let refused = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap_err();
        assert!(matches!(refused, KeysError::Lost { .. }));
        assert!(!layout.keys_dir().exists());
    }

    #[test]
    fn keys_that_others_can_read_are_refused_with_the_remedy() {
        let (_temp, layout, lock) = dir();
        DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        fs::set_permissions(layout.keys_dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = DeploymentKeys::load(&layout).unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (_temp, layout, lock) = dir();
        let (keys, _) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        let shown = format!("{keys:?} {:?}", keys.master());
        for key in [
            keys.operator(),
            keys.account(),
            keys.system_account(),
            keys.system_user(),
        ] {
            assert!(!shown.contains(seed_of(key).as_str()));
        }
        assert!(!shown.contains(keys.master().unwrap().to_hex().as_str()));
    }

    #[test]
    fn the_order_of_kinds_is_the_order_of_their_keys() {
        for (place, kind) in CredentialKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
