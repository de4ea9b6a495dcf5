//! Whether a lost connection is made again, and after which pause. The NATS library tries for ever: it sees
//! neither that nobody uses the connection any more nor that its credential has ended, so it is told here.

use crate::link::Link;
use crate::wallet::Wallet;
use async_nats::Server;
use std::sync::Arc;
use std::time::Duration;

/// Longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(4);

/// Has `options` ask here before each attempt. Where somebody else keeps the credential (`kept_by_caller`), it
/// is theirs to say that it has ended.
pub(crate) fn govern(
    options: async_nats::ConnectOptions,
    link: &Arc<Link>,
    wallet: &Arc<Wallet>,
    kept_by_caller: bool,
) -> async_nats::ConnectOptions {
    let (link, wallet) = (Arc::clone(link), Arc::clone(wallet));
    options
        // The pause is made below, where it can be cut short.
        .reconnect_delay_callback(|_| Duration::ZERO)
        .reconnect_to_server_callback(move |servers, _| {
            let (link, wallet) = (Arc::clone(&link), Arc::clone(&wallet));
            let pause = pause_of(&servers);
            async move {
                tokio::select! {
                    () = link.left() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                if link.is_left() || (!kept_by_caller && is_over(&link, &wallet)) {
                    link.end();
                    end_task().await;
                }
                // Which server is the library's own choice.
                None
            }
        })
}

/// Whether no attempt can succeed any more: the credential has ended, and there is no other. An agent renews
/// over its connection, so without one it has no way to a new one.
fn is_over(link: &Link, wallet: &Wallet) -> bool {
    link.is_ended() || (link.is_refused() && wallet.current().check_alive().is_err())
}

/// Doubles with each failure of the server that has failed least often.
fn pause_of(servers: &[Server]) -> Duration {
    let failed = servers.iter().map(|server| server.failed_attempts).min();
    match failed.unwrap_or(0) {
        0 => Duration::ZERO,
        failed => Duration::from_millis(1_u64 << failed.min(16)).min(LONGEST),
    }
}

/// Ends the connection's task, and with it all that it holds: unwinding is the only way out of the library's
/// loop. It is no panic, so nothing is printed, and tokio takes it in. A build that cannot unwind rests instead.
async fn end_task() {
    if cfg!(panic = "unwind") {
        std::panic::resume_unwind(Box::new("the connection is over"));
    }
    std::future::pending::<()>().await;
}
