//! Missions at the command line: `mission …`.
//!
//! | file | commands |
//! |---|---|
//! | `written` | `mission create`, `mission update` |
//! | `asked` | `mission list`, `mission get` |
//!
//! Beside them: `shown` (how missions look).

mod asked;
mod shown;
mod written;

use super::failure::Failure;
use super::session::Session;
use clap::Subcommand;

/// Create missions, and see how far they are: something larger, of which tasks are a part.
#[derive(Debug, Subcommand)]
pub(crate) enum MissionCommand {
    Create(written::CreateArgs),
    List(asked::ListArgs),
    Get(asked::GetArgs),
    Update(written::UpdateArgs),
}

pub(crate) async fn run(session: &Session, command: MissionCommand) -> Result<(), Failure> {
    match command {
        MissionCommand::Create(args) => written::create(session, args).await,
        MissionCommand::List(args) => asked::list(session, &args).await,
        MissionCommand::Get(args) => asked::get(session, &args).await,
        MissionCommand::Update(args) => written::update(session, args).await,
    }
}
