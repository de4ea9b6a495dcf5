//! `mcp --http`: the same tools over HTTP, for whoever presents a token.

use crate::cli::Global;
use crate::cli::failure::Failure;
use crate::cli::service::{part_dir, server, told};
use crate::gateway::{HttpArgs, Prepared};
use crate::separate::{self, PlaceArgs};

/// Where the deployment is, and as what to serve.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) http: HttpArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Serves until it is told to stop.
pub(super) async fn serve(prepared: Prepared, args: &Args, global: &Global) -> Result<(), Failure> {
    let (dir, server) = (part_dir(global), server(global));
    let root = global.root.clone();
    told(
        separate::gateway(
            prepared,
            &args.place,
            dir.as_deref(),
            server.as_deref(),
            root,
            global.json,
        )
        .await,
    )
}
