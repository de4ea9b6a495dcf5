//! Postroad's one binary. Owns the way from arguments to running parts; never decides anything itself.

mod deployment;
mod issuer;
mod link;
mod parts;
mod separate;
mod up;

use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
struct Cli {
    #[arg(long, global = true, default_value = ".postroad")]
    dir: PathBuf,
    #[arg(long, global = true)]
    server: Option<String>,
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Up(up::UpArgs),
    Init(separate::InitArgs),
    Broker(separate::BrokerArgs),
    Projector(separate::ProjectorArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter("info")
        .init();
    let cli = Cli::parse();
    let subjects = postroad_protocol::Subjects::default();
    match cli.command {
        Command::Up(args) => up::run(args, &cli.dir, subjects, cli.json).await,
        Command::Init(args) => separate::init(&args, &cli.dir, &subjects),
        Command::Broker(args) => {
            separate::broker(
                args,
                Some(&cli.dir),
                cli.server.as_deref(),
                subjects,
                cli.json,
            )
            .await
        }
        Command::Projector(args) => {
            separate::projector(
                args,
                Some(&cli.dir),
                cli.server.as_deref(),
                subjects,
                cli.json,
            )
            .await
        }
    }
}
