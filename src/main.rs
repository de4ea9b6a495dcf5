//! Postroad's one binary. Owns the way from arguments to running parts; never decides anything itself.

mod bench;
mod cli;
mod deployment;
mod issuer;
mod link;
mod parts;
mod reach;
mod separate;
mod stop;
mod tour;
mod up;

use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// A send allocates some dozens of small pieces on one thread and frees them on another: with the system's
/// allocator a loaded broker stored a tenth less (measured on Linux, glibc 2.36, two cores).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged when POSTROAD_LOG does not say otherwise: what an operator should look at.
const LOG_DEFAULT: &str = "warn";

#[tokio::main]
async fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_env("POSTROAD_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        // Where nobody reads stderr any more, a line that is lost is told nobody: telling would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .init();
    match cli::parse() {
        Ok(cli) => cli::run(cli).await,
        Err(code) => code,
    }
}
