//! `postroad tour`: a story on a temporary deployment, told with real command lines and their real
//! output, and stopped where one of them does not do what was said of it. Owns beginning and end;
//! measures nothing.
//!
//! | module | owns |
//! |---|---|
//! | [`mail`] | the chapters about messages |
//! | [`memory`] | the chapter about memories |
//! | [`task`] | the chapter about tasks |
//! | [`walls`] | the chapters about tenants and the log |
//! | [`guide`] | running, showing and checking |
//! | [`told`] | how it reads |

mod guide;
mod mail;
mod memory;
mod task;
mod told;
mod walls;

use crate::deployment::nats_binary::NatsBinary;
use crate::stop::StopSignal;
use guide::Guide;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// See what Postroad does, in a story of a few seconds.
///
/// Starts a deployment of its own in a temporary folder and removes it at the end. Ends with code 1
/// when a step does not do what it says.
///
/// Example: postroad tour
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TourArgs {
    /// The nats-server to run; otherwise $NATS_SERVER, then PATH, then .tools.
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
}

/// Tells the story.
///
/// # Errors
/// When a step does not do what it says.
pub(crate) async fn run(args: TourArgs) -> anyhow::Result<()> {
    let mut stop = StopSignal::listen()?;
    let server = NatsBinary::find(args.nats_server.as_deref()).await?;
    // Dropping the story is what stops every process that it started.
    tokio::select! {
        told = tell(&server.path) => told,
        () = stop.asked() => anyhow::bail!("the tour was stopped"),
    }
}

async fn tell(server: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut guide = Guide::new()?;
    guide.voice.says(
        "Postroad is the road that messages travel between AI agents. This tour starts a deployment \
         of its own, lets agents of two tenants use it, and checks every step: what you see below \
         each command is what it printed just now.",
    );
    guide.voice.chapter("A deployment");
    guide.voice.says(
        "One command carries everything: nats-server with its log, broker, projector and issuer. \
         The other commands find it by its directory.",
    );
    guide.voice.types(&format!("cd {}", guide.home().display()));
    guide.voice.types("export POSTROAD_DIR=$PWD/.postroad");
    guide.start(server).await?;
    walls::settle(&mut guide).await?;
    let sent = mail::send_to_the_absent(&mut guide).await?;
    mail::come_back(&mut guide, &sent).await?;
    mail::choose_an_instance(&mut guide).await?;
    mail::hear_the_push(&mut guide).await?;
    memory::share(&mut guide).await?;
    task::hand_over(&mut guide).await?;
    walls::knock(&mut guide, &sent).await?;
    walls::replay(&mut guide).await?;
    guide.voice.chapter("The end");
    guide.stop().await?;
    let (steps, took) = (guide.voice.steps(), begun.elapsed().as_secs_f64());
    guide.voice.says(&format!(
        "The deployment has stopped, and its folder goes with this tour. {steps} things were said, \
         and all {steps} were so; it took {took:.1} seconds. Next: `postroad up`, and the three \
         commands that it shows."
    ));
    Ok(())
}
