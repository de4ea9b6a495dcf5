//! The credential that a client holds, which a renewal replaces while the client lives. Owns signing in
//! with it and its copy on disk; never asks for a new one.

use crate::credential::Credential;
use async_nats::{Auth, AuthError};
use std::sync::{PoisonError, RwLock};
use tokio::sync::Mutex;

/// The credential of now.
#[derive(Debug)]
pub(crate) struct Wallet {
    held: RwLock<Credential>,
    /// Of those who find that it should be renewed, one renews it.
    pub(crate) renewing: Mutex<()>,
}

impl Wallet {
    pub(crate) fn new(credential: Credential) -> Self {
        Self {
            held: RwLock::new(credential),
            renewing: Mutex::default(),
        }
    }

    /// The credential of now.
    pub(crate) fn current(&self) -> Credential {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// Puts a new one in its place, and into the file that the former came from. Where the file cannot be
    /// written the new one serves this process alone.
    pub(crate) fn replace(&self, renewed: Credential) {
        if let Err(error) = renewed.store() {
            tracing::warn!(%error, "the renewed credential could not be written to its file");
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = renewed;
    }

    /// Answers the server's challenge with the credential of now.
    pub(crate) fn sign_in(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let credential = self.current();
        let key = credential.key().map_err(AuthError::new)?;
        let mut auth = Auth::new();
        auth.jwt = Some(credential.jwt().to_owned());
        auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
        Ok(auth)
    }
}
