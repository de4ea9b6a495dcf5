//! The commands that run parts of Postroad rather than ask them. Owns only what they take from the
//! global options and from the environment.

use super::{Failure, Global};
use crate::bench::{self, BenchArgs, Verdict};
use crate::separate::{self, BrokerArgs, InitArgs, ProjectorArgs};
use crate::tour::{self, TourArgs};
use crate::up::{self, UpArgs};
use postroad_protocol::ErrorCode;
use std::path::PathBuf;

/// Where a deployment lies when nothing else is said.
const DEFAULT_DIR: &str = ".postroad";

fn named_dir(global: &Global) -> Option<PathBuf> {
    global
        .dir
        .clone()
        .or_else(|| std::env::var_os("POSTROAD_DIR").map(PathBuf::from))
}

fn dir(global: &Global) -> PathBuf {
    named_dir(global).unwrap_or_else(|| DEFAULT_DIR.into())
}

fn server(global: &Global) -> Option<String> {
    global
        .server
        .clone()
        .or_else(|| std::env::var("NATS_URL").ok())
}

/// `up`.
pub(super) async fn up(args: UpArgs, global: &Global) -> Result<(), Failure> {
    told(up::run(args, &dir(global), global.root.clone(), global.json).await)
}

/// `init`.
pub(super) fn init(args: &InitArgs, global: &Global) -> Result<(), Failure> {
    told(separate::init(args, &dir(global), &global.root))
}

/// `broker`.
pub(super) async fn broker(args: BrokerArgs, global: &Global) -> Result<(), Failure> {
    let (dir, server) = (named_dir(global), server(global));
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
    let (dir, server) = (named_dir(global), server(global));
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
pub(super) async fn tour(args: TourArgs) -> Result<(), Failure> {
    told(tour::run(args).await)
}

/// A part that does not start says why in its own words, which hold the remedy.
fn told(ended: anyhow::Result<()>) -> Result<(), Failure> {
    ended.map_err(|error| {
        let remedy =
            "mend what it says and start it again; `postroad COMMAND --help` shows the options";
        Failure::of(ErrorCode::Internal, &*error, remedy)
    })
}
