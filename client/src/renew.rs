//! Keeping the credential alive: it is renewed when a third of its life is left, and can be exchanged
//! for one with another key at any time. Owns when and how; whether is the deployment's to say.

use crate::client::{Client, Inner};
use crate::connect::Identity;
use crate::credential::{Credential, CredentialError};
use crate::error::{Advice, ClientError};
use crate::user_key::UserKey;
use postroad_protocol::command::{Issued, Revoked, wire};
use postroad_protocol::possession::prove;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, TenantId, TimeMs};
use std::sync::Weak;
use std::time::Duration;

/// Shortest and longest pause before a renewal that failed is tried again.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);

impl Client {
    /// Has this agent's credential signed anew, for as long as it was issued for. A client that lives
    /// does this by itself when a third of its life is left. One that came from a file goes back there.
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` when it was ended, or is no credential of the roster.
    pub async fn renew_credential(&self) -> Result<TimeMs, ClientError> {
        let (tenant, _) = self.agent()?;
        let held = self.wallet().current();
        let issued = self.ask_renewal(tenant, &held, None).await?;
        let renewed = held.with_jwt(&issued.jwt)?;
        self.wallet().replace(renewed);
        Ok(issued.expires_at)
    }

    /// As [`Client::renew_credential`], when a third of the credential's life is left; for a process that
    /// makes a few calls and goes. Says whether it was renewed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew_if_due(&self) -> Result<bool, ClientError> {
        let _turn = self.wallet().renewing.lock().await;
        if !self.is_renewal_due() {
            return Ok(false);
        }
        self.renew_credential().await.map(|_| true)
    }

    /// Exchanges this agent's credential for one with a fresh key, and ends the former: whoever copied
    /// its file is locked out. Says the new public key.
    ///
    /// # Errors
    /// [`ClientError`]. When it is the end of the former that failed, the new one is in use already and
    /// the former stands until it expires.
    pub async fn rotate_credential(&self) -> Result<String, ClientError> {
        let (tenant, _) = self.agent()?;
        let held = self.wallet().current();
        let key = UserKey::generate();
        let public_key = key.public_key();
        let issued = self
            .ask_renewal(tenant, &held, Some(public_key.clone()))
            .await?;
        let rotated = held.with_key(&key, &issued.jwt)?;
        // It must be safe before the former ends: the server cuts this connection then.
        rotated.store()?;
        self.wallet().replace(rotated);
        let id = CommandId::generate();
        let body = wire::EndCredential {
            public_key: held.public_key()?,
            proof: proof(&held, tenant, "end_credential", id)?,
            command_id: Some(id.to_string()),
        };
        let verb = self.own(Scope::Own, "end_credential")?;
        let _ended: Revoked = self.command(verb, id, &body).await?;
        Ok(public_key)
    }

    /// Takes another JWT for the same key and holder, to be used from the next time on that the connection
    /// comes up.
    ///
    /// # Errors
    /// [`ClientError::Credential`] for one that has expired, or is another's.
    pub fn adopt_credential(&self, jwt: &str) -> Result<(), ClientError> {
        let held = self.wallet().current();
        let adopted = held.with_jwt(jwt)?;
        if adopted.holder() != held.holder() {
            let reason = "it is another holder's";
            return Err(CredentialError::Foreign { reason }.into());
        }
        self.wallet().replace(adopted);
        Ok(())
    }

    /// Waits until nats-server refuses the credential: it was revoked, or it has ended. A new one may be
    /// taken in time, and then the connection comes up again by itself.
    pub async fn credential_refused(&self) {
        self.link().refused().await;
    }

    async fn ask_renewal(
        &self,
        tenant: &TenantId,
        held: &Credential,
        new_public_key: Option<String>,
    ) -> Result<Issued, ClientError> {
        let id = CommandId::generate();
        let body = wire::RenewCredential {
            public_key: held.public_key()?,
            proof: proof(held, tenant, "renew_credential", id)?,
            new_public_key,
            ttl_s: None,
            command_id: Some(id.to_string()),
        };
        let verb = self.own(Scope::Own, "renew_credential")?;
        self.command(verb, id, &body).await
    }

    /// Renews the credential for as long as this client lives, where it is an agent's that ends.
    pub(crate) fn keep_credential(&self) {
        let is_agents = matches!(self.identity(), Identity::Agent { .. });
        if is_agents && self.wallet().current().due_at().is_some() {
            tokio::spawn(keep(self.downgrade()));
        }
    }

    /// When this agent's credential ends; none when it never does.
    pub fn credential_expires_at(&self) -> Option<TimeMs> {
        self.wallet().current().expires_at()
    }

    fn is_renewal_due(&self) -> bool {
        let due = self.wallet().current().due_at();
        due.is_some_and(|due| due <= TimeMs::now())
    }
}

/// Ends when the client is gone, or when the deployment says that there is nothing to renew.
async fn keep(client: Weak<Inner>) {
    let mut pause = RETRY_MIN;
    loop {
        let due = match client.upgrade().map(Client::from) {
            Some(client) => client.wallet().current().due_at(),
            None => return,
        };
        let Some(due) = due else { return };
        let wait = Duration::from_millis(due.0.saturating_sub(TimeMs::now().0));
        // In pieces, so that a client that is gone is not waited for.
        tokio::time::sleep(wait.min(RETRY_MAX)).await;
        let Some(client) = client.upgrade().map(Client::from) else {
            return;
        };
        match client.renew_if_due().await {
            Ok(_) => pause = RETRY_MIN,
            Err(error) if matches!(error.advice(), Advice::Retry { .. }) => {
                tracing::debug!(%error, "the credential could not be renewed yet");
                drop(client);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
            Err(error) => {
                tracing::debug!(%error, "the credential is not renewed");
                return;
            }
        }
    }
}

fn proof(
    held: &Credential,
    tenant: &TenantId,
    verb: &str,
    id: CommandId,
) -> Result<String, CredentialError> {
    let malformed = CredentialError::Malformed {
        reason: "its seed cannot sign",
    };
    prove(&held.key()?, tenant, verb, id).ok_or(malformed)
}
