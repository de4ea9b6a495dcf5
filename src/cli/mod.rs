//! The command line: what can be typed, and which file answers it.
//!
//! Owns arguments and their help; every group of commands has a file of its own.
//!
//! | file | commands |
//! |---|---|
//! | `send` | `send` |
//! | `mail`, `wake` | `check`, `read`, `watch`, `watch --exec` |
//! | `message` | `message status`, `message get`, `message list`, `message search` |
//! | `people` | `peers`, `summary`, `whoami` |
//! | `tenant`, `erase`, `agent`, `token` | `tenant …`, `agent …`, `token …` |
//! | `tenant_export`, `tenant_import` | `tenant export`, `tenant import` |
//! | `life`, `limits` | `tenant suspend`, `tenant resume`, `tenant limits` |
//! | `replay`, `usage` | `replay`, `usage` |
//! | `hook` | `hook` |
//! | `service` | `up`, `init`, `broker`, `projector`, `bench`, `tour` |
//! | `upkeep`, `own_status` | `status`, `rebuild`, `shard accept-damage` |
//! | `mcp`, `mcp_install` | `mcp`, `mcp install` |
//! | `memory` | `remember`, `recall`, `memory …`, `import memories`, `export memories` |
//! | `task`, `mission` | `task …`, `mission …` |
//!
//! Beside them: `settings` (where and as whom), `session` (connecting), `instance`, `output`,
//! `failure` (exit codes), `time` and `text`.

mod agent;
mod erase;
mod failure;
mod hook;
pub(crate) mod instance;
mod life;
mod limits;
mod mail;
mod mcp;
mod mcp_install;
mod memory;
mod message;
mod mission;
pub(crate) mod output;
mod own_status;
mod people;
mod replay;
mod send;
mod service;
mod session;
mod settings;
mod shown;
mod task;
mod tenant;
mod tenant_export;
mod tenant_import;
pub(crate) mod text;
mod time;
pub(crate) use self::time::timeout as duration;
mod token;
mod upkeep;
mod usage;
mod wake;

use self::failure::{EXIT_CODES, Failure};
use self::people::WhoamiArgs;
use self::session::Session;
use self::settings::AgentName;
use self::upkeep::{RebuildArgs, StatusArgs};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use postroad_protocol::Subjects;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The road that messages travel between AI agents: durable, multi-tenant, over NATS JetStream.
///
/// Agents send, are rung, go offline, come back and miss nothing. `postroad up` starts a deployment;
/// the other commands find it from the directory they run in, or go wherever --server and --creds say.
#[derive(Debug, Parser)]
#[command(name = "postroad", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes: where to connect, as whom, and how to print.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection and output")]
#[expect(
    clippy::doc_markdown,
    reason = "these sentences are what --help prints"
)]
pub(crate) struct Global {
    /// Credential to connect with: an agent's .creds file, or operator.creds [env: NATS_CREDS]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "as")]
    pub(crate) creds: Option<PathBuf>,
    /// Speak as this agent of the deployment on this machine: tenant/role or tenant/role/instance
    #[arg(long, global = true, value_name = "AGENT")]
    pub(crate) r#as: Option<AgentName>,
    /// nats-server to connect to, as nats://HOST:PORT or tls://HOST:PORT; several separated by commas [env: NATS_URL]
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Context of the `nats` CLI to take server and credential from [env: NATS_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Directory of a local deployment; by default the nearest .postroad above [env: POSTROAD_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// First token of every subject of the deployment, for two on one NATS account
    #[arg(long, global = true, value_name = "NAME", env = "POSTROAD_ROOT", default_value = "postroad", value_parser = Subjects::with_root)]
    pub(crate) root: Subjects,
    /// How long to try before giving up, such as 500ms, 5s or 1m
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = time::timeout)]
    pub(crate) timeout: Duration,
    /// Print JSON: one document, or one a line when streaming; times are milliseconds since 1970
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(crate::up::UpArgs),
    Init(crate::separate::InitArgs),
    Broker(crate::separate::BrokerArgs),
    Projector(crate::separate::ProjectorArgs),
    Send(send::SendArgs),
    Check(mail::CheckArgs),
    Read(mail::ReadArgs),
    Watch(mail::WatchArgs),
    #[command(subcommand)]
    Message(message::MessageCommand),
    Peers(people::PeersArgs),
    Summary(people::SummaryArgs),
    Whoami(people::WhoamiArgs),
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    Replay(replay::ReplayArgs),
    Status(upkeep::StatusArgs),
    Rebuild(upkeep::RebuildArgs),
    #[command(subcommand)]
    Shard(upkeep::ShardCommand),
    Bench(crate::bench::BenchArgs),
    Tour(crate::tour::TourArgs),
    Completions(CompletionsArgs),
    Usage(usage::UsageArgs),
    #[command(subcommand)]
    Token(token::TokenCommand),
    Mcp(mcp::McpArgs),
    Hook(hook::HookArgs),
    Remember(memory::RememberArgs),
    Recall(memory::RecallArgs),
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    #[command(subcommand)]
    Import(memory::ImportCommand),
    #[command(subcommand)]
    Export(memory::ExportCommand),
    #[command(subcommand)]
    Task(task::TaskCommand),
    #[command(subcommand)]
    Mission(mission::MissionCommand),
}

/// Print a script that completes commands and options in your shell.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postroad completions bash > ~/.local/share/bash-completion/completions/postroad"
)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Reads the arguments of this process. Where they ask for help, or cannot be read, the answer has
/// been printed when this returns the code to end with.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let code = if wants_json && !is_help {
        usage_failure(&error).exit(true)
    } else {
        // Nobody is left to tell where this fails.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    };
    // A client takes a 2 of its hook for a refusal of what its user typed.
    if !is_help && is_hook(std::env::args().skip(1)) {
        return Err(ExitCode::FAILURE);
    }
    Err(code)
}

/// Whether the first word that names a command names `hook`.
fn is_hook(arguments: impl IntoIterator<Item = String>) -> bool {
    let cli = Cli::command();
    let mut words = arguments.into_iter();
    let command = words.find(|word| cli.find_subcommand(word).is_some());
    command.is_some_and(|command| command == "hook")
}

/// What clap says in several lines, as one refusal.
fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let remedy = "`postroad help` shows the commands, and `postroad COMMAND --help` one of them";
    Failure::usage("arguments", message, remedy)
}

/// Does what the arguments say, and ends with the code that tells how it went.
pub(crate) async fn run(cli: Cli) -> ExitCode {
    let json = cli.global.json;
    // On the heap: it holds whatever the largest command needs.
    match Box::pin(dispatch(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(json),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let global = cli.global.clone();
    let session = Session::new(cli.global);
    match cli.command {
        Command::Up(args) => service::up(args, &global).await,
        Command::Init(args) => service::init(&args, &global),
        Command::Broker(args) => service::broker(args, &global).await,
        Command::Projector(args) => service::projector(args, &global).await,
        Command::Send(args) => send::send(&session, args).await,
        Command::Check(args) => mail::check(&session, args).await,
        Command::Read(args) => mail::read(&session, args).await,
        Command::Watch(args) => mail::watch(&session, args).await,
        Command::Message(command) => message::run(&session, command).await,
        Command::Peers(args) => people::peers(&session, &args).await,
        Command::Summary(args) => people::summary(&session, args).await,
        Command::Whoami(WhoamiArgs {}) => people::whoami(&session).await,
        Command::Tenant(command) => tenant::run(&session, command).await,
        Command::Agent(command) => agent::run(&session, command).await,
        Command::Replay(args) => replay::replay(&session, args).await,
        Command::Status(StatusArgs {}) => upkeep::status(&session).await,
        Command::Rebuild(RebuildArgs {}) => upkeep::rebuild(&session).await,
        Command::Shard(command) => upkeep::shard(&session, command).await,
        Command::Bench(args) => service::bench(args, &global).await,
        Command::Tour(args) => service::tour(args, &global).await,
        Command::Completions(args) => completions(&args, global.json),
        Command::Usage(args) => usage::usage(&session, &args).await,
        Command::Token(command) => token::run(&session, command).await,
        Command::Mcp(args) => mcp::mcp(&session, args, &global).await,
        Command::Hook(args) => hook::hook(&session, &args).await,
        Command::Remember(args) => memory::remember(&session, args).await,
        Command::Recall(args) => memory::recall(&session, args).await,
        Command::Memory(command) => memory::run(&session, command).await,
        Command::Import(command) => memory::import(&session, command).await,
        Command::Export(command) => memory::export(&session, command).await,
        Command::Task(command) => task::run(&session, command).await,
        Command::Mission(command) => mission::run(&session, command).await,
    }
}

fn completions(args: &CompletionsArgs, json: bool) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "postroad", &mut script);
    let script = String::from_utf8_lossy(&script);
    let shell = args.shell.to_string();
    let document = serde_json::json!({ "shell": shell, "script": script });
    output::Output::new(json).show(&document, |_| script.to_string())
}

#[cfg(test)]
mod tests;
