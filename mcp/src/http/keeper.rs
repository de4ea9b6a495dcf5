//! Keeps a caller's credential alive, and ends the caller when its token has ended.

use super::exchange::{ExchangeError, Exchanger};
use postroad_client::{Client, Presence};
use postroad_protocol::TimeMs;
use postroad_protocol::token::Token;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause after each exchange, whatever came of it: nats-server may refuse a moment longer what the issuer has
/// just signed.
const PAUSE: Duration = Duration::from_millis(250);
/// How long saying that the agent has left may take.
const FAREWELL: Duration = Duration::from_millis(300);

/// Has a new JWT signed in time, and at once when nats-server refuses the connection: that is how one hears that
/// the token was revoked. Returns when the caller has ended, with its connection closed.
pub(super) async fn keep(
    client: Client,
    presence: Presence,
    token: Token,
    exchanger: Exchanger,
    ended: &CancellationToken,
) {
    let kept = async {
        loop {
            tokio::select! {
                () = tokio::time::sleep(until_due(&client)) => {}
                () = client.credential_refused() => {}
            }
            match exchanger.exchange(&token).await {
                Ok(jwt) if client.adopt_credential(&jwt).is_ok() => {}
                // It was issued anew with other rights: the caller comes in again, as what it is now.
                Ok(_) | Err(ExchangeError::Unknown) => return,
                Err(error) => tracing::debug!(%error, "a caller's credential is not renewed yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = kept => {
            ended.cancel();
            // The connection is cut, and silence says the same.
            drop(presence);
        }
        () = ended.cancelled() => {
            let _ = tokio::time::timeout(FAREWELL, presence.leave()).await;
        }
    }
    // Where it is cut there is nothing left to close but the attempts to restore it.
    let _ = client.close().await;
}

/// Two thirds of what is left of the credential's life.
fn until_due(client: &Client) -> Duration {
    let left_ms = client
        .credential_expires_at()
        .map_or(u64::MAX / 3, |end| end.0.saturating_sub(TimeMs::now().0));
    Duration::from_millis(left_ms / 3 * 2)
}
