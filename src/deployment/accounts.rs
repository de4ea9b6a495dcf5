//! The account JWTs that nats-server finds when it starts.
//!
//! Owns putting them where the server's resolver keeps its own, before it runs. Never pushes to a
//! running server: that is the issuer's work.
//!
//! The server's `resolver_preload` is not used. It overwrites the stored JWT whenever its own was
//! signed in the same second or later, so every restart could bring revoked users back (measured
//! with nats-server 2.15.1). A file that is written only while the server is down cannot.

use super::grant::Templates;
use super::jwt::{self, JwtError, Revocations};
use super::keys::DeploymentKeys;
use super::layout::{Layout, LayoutError, at, write_private};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why the accounts could not be put in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AccountsError {
    /// A JWT could not be made.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// A file could not be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Whom the stored account JWT revoked, as far as it could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// No account JWT was stored yet.
    Nothing,
    /// Its revocations stay in force.
    Revocations,
    /// It was not readable, so everybody is locked out who was issued a credential before.
    EverybodyLockedOut,
}

/// Writes both account JWTs with this release's permissions and the stored revocations.
///
/// The server must not run. Nobody who was revoked comes back, not even behind a damaged file.
pub(crate) fn place(
    layout: &Layout,
    keys: &DeploymentKeys,
    templates: &Templates,
) -> Result<Carried, AccountsError> {
    let (revocations, carried) = stored_revocations(layout, keys)?;
    let account = jwt::account_jwt(keys, templates, &revocations)?;
    write_private(
        &path(layout, &keys.account().public_key()),
        account.as_bytes(),
    )?;
    let system = jwt::system_account_jwt(keys)?;
    write_private(
        &path(layout, &keys.system_account().public_key()),
        system.as_bytes(),
    )?;
    Ok(carried)
}

/// Where the server's resolver looks for an account.
fn path(layout: &Layout, account: &str) -> PathBuf {
    layout.resolver_dir().join(format!("{account}.jwt"))
}

fn stored_revocations(
    layout: &Layout,
    keys: &DeploymentKeys,
) -> Result<(Revocations, Carried), LayoutError> {
    let path = path(layout, &keys.account().public_key());
    let stored = match fs::read(&path) {
        Ok(stored) => stored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Revocations::new(), Carried::Nothing));
        }
        Err(error) => return Err(at("read", &path)(error)),
    };
    match jwt::revocations_of(keys, &String::from_utf8_lossy(&stored)) {
        Ok(revocations) => Ok((revocations, Carried::Revocations)),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "every credential issued before is refused");
            Ok((everybody(), Carried::EverybodyLockedOut))
        }
    }
}

/// Revokes whatever was issued before this second; the deployment's own parts, whose credentials
/// are made at every start, are not.
fn everybody() -> Revocations {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    Revocations::from([(jwt::EVERYBODY.to_owned(), now.saturating_sub(1))])
}

#[cfg(test)]
mod tests {
    use super::super::lock::DirLock;
    use super::*;

    fn deployment() -> (tempfile::TempDir, Layout, DeploymentKeys) {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let lock = DirLock::acquire(&layout).unwrap();
        let (keys, _) = DeploymentKeys::load_or_create(&layout, &lock, None).unwrap();
        (temp, layout, keys)
    }

    #[test]
    fn revocations_outlive_a_restart() {
        let (_temp, layout, keys) = deployment();
        let templates = Templates::for_root("postroad");
        assert_eq!(place(&layout, &keys, &templates).unwrap(), Carried::Nothing);

        let revoked = Revocations::from([(keys.system_user().public_key(), 7)]);
        let pushed = jwt::account_jwt(&keys, &templates, &revoked).unwrap();
        fs::write(path(&layout, &keys.account().public_key()), pushed).unwrap();
        // Another release with other permissions.
        assert_eq!(
            place(&layout, &keys, &Templates::for_root("other")).unwrap(),
            Carried::Revocations
        );
        let stored = fs::read_to_string(path(&layout, &keys.account().public_key())).unwrap();
        assert_eq!(jwt::revocations_of(&keys, &stored).unwrap(), revoked);
    }

    #[test]
    fn a_damaged_or_foreign_account_jwt_locks_everybody_out() {
        let (_temp, layout, keys) = deployment();
        let (_other_temp, _, other) = deployment();
        let templates = Templates::for_root("postroad");
        let foreign = jwt::account_jwt(&other, &templates, &Revocations::new()).unwrap();
        for stored in ["garbage", "", foreign.as_str()] {
            fs::write(path(&layout, &keys.account().public_key()), stored).unwrap();
            assert_eq!(
                place(&layout, &keys, &templates).unwrap(),
                Carried::EverybodyLockedOut
            );
            let written = fs::read_to_string(path(&layout, &keys.account().public_key())).unwrap();
            let revocations = jwt::revocations_of(&keys, &written).unwrap();
            assert!(revocations[jwt::EVERYBODY] > 1_700_000_000);
        }
    }
}
