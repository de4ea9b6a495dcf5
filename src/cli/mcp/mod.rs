//! `mcp`: agents' tools for MCP clients, over the streams of this process or over HTTP.
//!
//! Owns connecting as the agent and ending in time; the tools are `postroad-mcp`'s.

mod http;

use super::Global;
use super::failure::Failure;
use super::mcp_install::{self, InstallArgs};
use super::session::Session;
use crate::stop::StopSignal;
use clap::{Args, Subcommand};
use postroad_mcp::{Caller, stdio};
use postroad_protocol::{ErrorCode, Refusal};
use std::sync::Arc;
use std::time::Duration;

/// How long saying that the agent has left may take.
const FAREWELL: Duration = Duration::from_millis(300);

/// Serve agents' tools to MCP clients: one agent's over stdin and stdout, or any that has a token over HTTP.
///
/// An MCP client starts it by itself: put the example below into its configuration, with a credential
/// that `postroad agent issue` wrote. The credential says which agent of which tenant the client is,
/// and which tools it is shown; nothing that its model writes can name another. It ends when the client
/// does. `postroad mcp install` writes that configuration.
///
/// With --http it serves whoever presents a token of `postroad token issue`, each as the agent that its token
/// was issued to, and finds its deployment as `postroad broker` does: it needs the keys in DIR or gateway.creds,
/// which `postroad init` makes, and no agent's credential. SIGTERM drains.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Example, as .mcp.json of Claude Code has it (other clients call the same things much alike):
  {\"mcpServers\": {\"postroad\": {
    \"command\": \"postroad\", \"args\": [\"mcp\"], \"env\": {\"NATS_CREDS\": \"/path/to/agent.creds\"}}}}
On the machine of a local deployment, without a credential of its own, for up to 12 hours:
  postroad --dir /path/to/.postroad --as acme/tau mcp
Over HTTP, for clients that send `Authorization: Bearer …`:
  postroad --dir /path/to/.postroad mcp --http 127.0.0.1:8808
  postroad mcp --http 0.0.0.0:8808 --http-cert cert.pem --http-key key.pem --allow-host road.example.com"
)]
pub(crate) struct McpArgs {
    /// Push news of mail into a running Claude Code session: sender, priority and id, never what it says.
    /// Claude Code wants --dangerously-load-development-channels for servers that it does not know
    #[arg(long, conflicts_with = "http")]
    channel: bool,
    #[command(flatten)]
    over_http: http::Args,
    /// Something else than serving
    #[command(subcommand)]
    command: Option<McpCommand>,
}

/// What else `mcp` does.
#[derive(Debug, Subcommand)]
enum McpCommand {
    Install(InstallArgs),
}

pub(crate) async fn mcp(session: &Session, args: McpArgs, global: &Global) -> Result<(), Failure> {
    if let Some(McpCommand::Install(args)) = &args.command {
        return mcp_install::install(session, args);
    }
    if let Some(prepared) = args.over_http.http.prepare()? {
        return http::serve(prepared, &args.over_http, global).await;
    }
    // Installed first: a signal while connecting must end the command as well.
    let mut stop = StopSignal::listen()?;
    let client = tokio::select! {
        client = session.agent() => client?,
        () = stop.asked() => return Ok(()),
    };
    let presence = client.keep_present()?;
    let caller = Arc::new(Caller::new(client.clone())?);
    let options = stdio::Options {
        channel: args.channel,
    };
    let ended = stdio::serve(caller, options, stop.asked()).await;
    // Where the server is gone, too, silence says the same.
    let _ = tokio::time::timeout(FAREWELL, presence.leave()).await;
    ended.map_err(|error| {
        let remedy = "use a client that speaks MCP 2025-11-25 or 2026-07-28";
        Refusal::new(ErrorCode::InvalidArgument, error.message, remedy).into()
    })
}
