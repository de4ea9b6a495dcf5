//! SIGTERM and ctrl-c: how a person or a supervisor asks a command to end. Owns hearing them; what is
//! finished first is the command's own affair.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears both signals from the moment it is made, so it is made before anything that would have to
/// be cleared away.
#[derive(Debug)]
pub(crate) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits until one comes. Each is heard once, so a second call waits for a second one.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
