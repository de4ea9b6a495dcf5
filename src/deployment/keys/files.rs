//! The files that keys lie in: their names, and reading and writing one. Owns no decision about them.

use super::{CredentialKind, KeysError};
use crate::deployment::layout::{LayoutError, at, create_private};
use crate::deployment::master_key::MasterKey;
use nkeys::{KeyPair, KeyPairType};
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

pub(super) const MASTER_KEY_FILE: &str = "master.key";
pub(super) const OPERATOR_FILE: &str = "operator.nk";
pub(super) const SYSTEM_ACCOUNT_FILE: &str = "system_account.nk";
pub(super) const SYSTEM_USER_FILE: &str = "system_user.nk";
pub(super) const ACCOUNT_FILE: &str = "account.nk";

pub(super) fn signing_file(kind: CredentialKind) -> String {
    format!("signing_{}.nk", kind.name())
}

pub(super) fn file_names() -> Vec<String> {
    let fixed = [
        OPERATOR_FILE,
        SYSTEM_ACCOUNT_FILE,
        SYSTEM_USER_FILE,
        ACCOUNT_FILE,
    ];
    fixed
        .into_iter()
        .map(str::to_owned)
        .chain(CredentialKind::ALL.map(signing_file))
        .collect()
}

/// The seed of a key that was generated here or loaded from a seed.
pub(crate) fn seed_of(key: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(key.seed().expect("a deployment's keys are made from seeds"))
}

pub(super) fn write_secret_line(
    path: &Path,
    secret: &Zeroizing<String>,
) -> Result<(), LayoutError> {
    let mut line = Zeroizing::new(String::with_capacity(secret.len() + 1));
    line.push_str(secret);
    line.push('\n');
    create_private(path, line.as_bytes()).map_err(at("write", path))
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, LayoutError> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(at("read", path))
}

pub(super) fn read_seed(dir: &Path, name: &str, kind: &KeyPairType) -> Result<KeyPair, KeysError> {
    let path = dir.join(name);
    let text = read_secret(&path)?;
    match KeyPair::from_seed(text.trim()) {
        Ok(key) if key.key_pair_type() == *kind => Ok(key),
        _ => Err(KeysError::Malformed {
            path,
            expected: "the nkey seed that its name says",
        }),
    }
}

pub(super) fn read_master(dir: &Path) -> Result<Option<MasterKey>, KeysError> {
    let path = dir.join(MASTER_KEY_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_secret(&path)?;
    let key = MasterKey::from_hex(text.trim()).ok_or(KeysError::Malformed {
        path,
        expected: "32 bytes in hexadecimal",
    })?;
    Ok(Some(key))
}
