//! `agent …`: who is on a tenant's roster, for the operator and the tenant's administrators; and what an
//! agent does with its own credential.
//!
//! The seed of a credential is made where it is used and stays there: only its public half is sent to be
//! signed.

mod issue;
mod own;
mod place;
mod roster;

use self::issue::IssueArgs;
pub(super) use self::issue::scope;
use self::own::{CredsArgs, KeygenArgs, RenewArgs, RotateArgs};
pub(super) use self::roster::state;
use self::roster::{ListArgs, RetireArgs, RevokeArgs};
use super::failure::Failure;
use super::session::Session;
use clap::Subcommand;

/// Issue credentials to agents, list, revoke and retire them; make, renew and rotate one's own.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    Issue(IssueArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
    Retire(RetireArgs),
    Keygen(KeygenArgs),
    Creds(CredsArgs),
    Renew(RenewArgs),
    Rotate(RotateArgs),
}

pub(crate) async fn run(session: &Session, command: AgentCommand) -> Result<(), Failure> {
    match command {
        AgentCommand::Issue(args) => issue::issue(session, args).await,
        AgentCommand::List(args) => roster::list(session, &args).await,
        AgentCommand::Revoke(args) => roster::revoke(session, args).await,
        AgentCommand::Retire(args) => roster::retire(session, &args).await,
        AgentCommand::Keygen(args) => own::keygen(session, &args),
        AgentCommand::Creds(args) => own::creds(session, &args),
        AgentCommand::Renew(_) => own::renew(session).await,
        AgentCommand::Rotate(_) => own::rotate(session).await,
    }
}
