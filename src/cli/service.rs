//! The commands that run parts of Postroad rather than ask them. Owns only what they take from the
//! global options and from the environment, and which code it is when one does not start.

use super::settings::Environment;
use super::{Failure, Global};
use crate::bench::{self, BenchArgs, Verdict};
use crate::deployment::embedded::DeploymentError;
use crate::deployment::layout::Layout;
use crate::deployment::leftover::LeftoverError;
use crate::deployment::lock::LockError;
use crate::deployment::nats_server::ServerError;
use crate::issuer::account::AccountError;
use crate::link::LinkError;
use crate::separate::{self, BrokerArgs, InitArgs, ProjectorArgs};
use crate::tour::{self, TourArgs};
use crate::up::{self, UpArgs};
use postroad_protocol::{ErrorCode, Refusal};
use std::path::PathBuf;

/// Where a deployment lies when nothing else is said.
const DEFAULT_DIR: &str = ".postroad";

fn named_dir(global: &Global) -> Option<PathBuf> {
    global.dir.clone().or(Environment::of_process().dir)
}

/// Where a deployment is made.
fn new_dir(global: &Global) -> PathBuf {
    named_dir(global).unwrap_or_else(|| DEFAULT_DIR.into())
}

/// The deployment that a part belongs to: the one that was named, or the nearest above.
pub(super) fn part_dir(global: &Global) -> Option<PathBuf> {
    let nearest = || Layout::find(&Environment::of_process().current_dir).ok();
    named_dir(global).or_else(|| Some(nearest()?.root().to_owned()))
}

pub(super) fn server(global: &Global) -> Option<String> {
    global.server.clone().or(Environment::of_process().url)
}

/// `up`.
pub(super) async fn up(args: UpArgs, global: &Global) -> Result<(), Failure> {
    told(up::run(args, &new_dir(global), global.root.clone(), global.json).await)
}

/// `init`.
pub(super) fn init(args: &InitArgs, global: &Global) -> Result<(), Failure> {
    told(separate::init(
        args,
        &new_dir(global),
        &global.root,
        global.json,
    ))
}

/// `broker`.
pub(super) async fn broker(args: BrokerArgs, global: &Global) -> Result<(), Failure> {
    let (dir, server) = (part_dir(global), server(global));
    told(
        separate::broker(
            args,
            dir.as_deref(),
            server.as_deref(),
            global.root.clone(),
            global.json,
        )
        .await,
    )
}

/// `projector`.
pub(super) async fn projector(args: ProjectorArgs, global: &Global) -> Result<(), Failure> {
    let (dir, server) = (part_dir(global), server(global));
    told(
        separate::projector(
            args,
            dir.as_deref(),
            server.as_deref(),
            global.root.clone(),
            global.json,
        )
        .await,
    )
}

/// `bench`. A must that is not met is told by the table; only the code is left to say.
pub(super) async fn bench(args: BenchArgs, global: &Global) -> Result<(), Failure> {
    match bench::run(args, global.json).await {
        Ok(Verdict::Met) => Ok(()),
        Ok(Verdict::Missed) => Err(Failure::Shown(ErrorCode::Internal)),
        Err(error) => told(Err(error)),
    }
}

/// `tour`.
pub(super) async fn tour(args: TourArgs, global: &Global) -> Result<(), Failure> {
    if global.json {
        return Err(Failure::usage(
            "json",
            "the tour is a story for a person",
            "leave --json out; each command that it shows takes it",
        ));
    }
    told(tour::run(args).await)
}

/// A part that does not start says why in its own words, which hold the remedy.
pub(super) fn told(ended: anyhow::Result<()>) -> Result<(), Failure> {
    ended.map_err(|error| {
        let refused = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Refusal>());
        if let Some(refusal) = refused {
            return refusal.clone().into();
        }
        let remedy =
            "mend what it says and start it again; `postroad COMMAND --help` shows the options";
        Failure::of(code_of(&error), &*error, remedy)
    })
}

/// What kind of failure it is that kept a part from starting.
fn code_of(error: &anyhow::Error) -> ErrorCode {
    let is_unreachable = |cause: &(dyn std::error::Error + 'static)| {
        matches!(
            cause.downcast_ref(),
            Some(LinkError::Connect { .. } | LinkError::Gate { .. })
        ) || matches!(cause.downcast_ref(), Some(AccountError::Connect { .. }))
    };
    let is_taken = |cause: &(dyn std::error::Error + 'static)| {
        matches!(
            cause.downcast_ref(),
            Some(
                DeploymentError::Lock(LockError::Held { .. })
                    | DeploymentError::Leftover(LeftoverError::Foreign { .. })
                    | DeploymentError::Server(ServerError::PortInUse { .. })
            )
        ) || matches!(cause.downcast_ref(), Some(LockError::Held { .. }))
            || matches!(cause.downcast_ref(), Some(LeftoverError::Foreign { .. }))
    };
    if error.chain().any(is_unreachable) {
        ErrorCode::Unavailable
    } else if error.chain().any(is_taken) {
        ErrorCode::Conflict
    } else {
        ErrorCode::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(error: impl Into<anyhow::Error>) -> u8 {
        told(Err(error.into())).unwrap_err().exit_code()
    }

    #[test]
    fn a_part_that_does_not_start_ends_with_the_code_that_fits() {
        let config = PathBuf::from("nats-server.conf");
        let foreign = || LeftoverError::Foreign {
            pid: 1,
            config: config.clone(),
        };
        assert_eq!(exit_code(foreign()), 5);
        assert_eq!(exit_code(DeploymentError::from(foreign())), 5);
        let listen = "127.0.0.1:1".parse().unwrap();
        let in_use = DeploymentError::from(ServerError::PortInUse { listen });
        assert_eq!(exit_code(anyhow::Error::from(in_use).context("up")), 5);
        let held = LockError::Held {
            dir: config.clone(),
            holder: None,
        };
        assert_eq!(exit_code(held), 5);
        let connect = || async_nats::ConnectErrorKind::Io.into();
        let (part, url) = ("broker", "nats://h:1".to_owned());
        let unreachable = LinkError::Connect {
            part,
            url: url.clone(),
            source: connect(),
        };
        let unreachable = anyhow::Error::from(unreachable).context("the broker did not start");
        assert_eq!(exit_code(unreachable), 6);
        let source = connect();
        assert_eq!(exit_code(AccountError::Connect { url, source }), 6);
        assert_eq!(exit_code(Refusal::invalid("rows", "m", "r")), 2);
        assert_eq!(exit_code(anyhow::anyhow!("anything else")), 1);
    }
}
