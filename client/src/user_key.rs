//! The key pair of an agent. Owns its secret and the file that it makes with a JWT; never sends it.

use crate::credential::CredentialError;
use nkeys::{KeyPair, KeyPairType};
use std::fmt;
use zeroize::Zeroizing;

/// A fresh user key. The seed never leaves whoever made it: only the public half is sent to be signed.
pub struct UserKey(KeyPair);

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserKey")
            .field(&self.0.public_key())
            .finish()
    }
}

impl From<KeyPair> for UserKey {
    fn from(pair: KeyPair) -> Self {
        Self(pair)
    }
}

impl UserKey {
    /// Makes one.
    pub fn generate() -> Self {
        Self(KeyPair::new_user())
    }

    /// The key of a seed: the text that [`UserKey::seed`] gave.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`] for what is no seed of a user.
    pub fn from_seed(seed: &str) -> Result<Self, CredentialError> {
        let key = KeyPair::from_seed(seed.trim()).ok();
        key.filter(|key| key.key_pair_type() == KeyPairType::User)
            .map(Self)
            .ok_or(CredentialError::Malformed {
                reason: "this is not the seed of a user (it begins with SU)",
            })
    }

    /// Its secret. Whoever holds it is this user.
    pub fn seed(&self) -> Zeroizing<String> {
        let seed = self.0.seed();
        Zeroizing::new(seed.expect("a key that was generated has its seed"))
    }

    /// The public half, for `issue_credential`.
    pub fn public_key(&self) -> String {
        self.0.public_key()
    }

    /// The text of the `.creds` file that this key and its signed JWT make.
    pub fn creds(&self, jwt: &str) -> Zeroizing<String> {
        let seed = self.seed();
        Zeroizing::new(format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             Whoever holds the seed below is this user. Keep it secret.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n",
            seed.as_str()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_key_again_and_nothing_else_does() {
        let key = UserKey::generate();
        let again = UserKey::from_seed(&format!("{}\n", key.seed().as_str())).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let account = KeyPair::new_account().seed().unwrap();
        for bad in ["", "SU", &key.public_key(), &account] {
            assert!(UserKey::from_seed(bad).is_err());
        }
        assert!(!format!("{key:?}").contains(key.seed().as_str()));
    }
}
