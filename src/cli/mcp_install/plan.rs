//! The clients: which file each reads, and in what form. Owns that knowledge; touches no file.
//!
//! | client | servers | hooks |
//! |---|---|---|
//! | Claude Code | `.mcp.json`, `~/.claude.json` | `.claude/settings.local.json`, `~/.claude/settings.json` |
//! | Codex | `.codex/config.toml`, `~/.codex/config.toml` | `.codex/hooks.json`, `~/.codex/hooks.json` |
//! | Cursor | `.cursor/mcp.json`, `~/.cursor/mcp.json` | |
//! | VS Code | `.vscode/mcp.json`, the profile's `mcp.json` | |

use super::{json, toml};
use crate::cli::failure::Failure;
use crate::cli::text::typed;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::PathBuf;

/// Under which name the clients know this server.
pub(super) const NAME: &str = "postroad";
/// Where the client finds the credential when none is named.
const CREDS: &str = "NATS_CREDS";
/// VS Code's name for the token, which it asks for once and keeps.
const TOKEN_INPUT: &str = "postroad-token";

/// A client that can be entered into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    Vscode,
}

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of the directory at hand.
    Project,
    /// The user's own.
    User,
}

/// Where files are.
#[derive(Debug)]
pub(super) struct Places {
    /// The directory at hand.
    pub(super) project: PathBuf,
    /// The user's.
    pub(super) home: Option<PathBuf>,
    /// Codex's own, where it is not the usual one.
    pub(super) codex_home: Option<PathBuf>,
    /// Where programs keep the user's settings.
    pub(super) config: Option<PathBuf>,
}

impl Places {
    /// This process's.
    pub(super) fn of_process() -> Self {
        let path = |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let home = path("HOME");
        let usual = if cfg!(target_os = "macos") {
            "Library/Application Support"
        } else {
            ".config"
        };
        let config = home.as_ref().map(|home| home.join(usual));
        Self {
            project: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            codex_home: path("CODEX_HOME"),
            config: path("XDG_CONFIG_HOME").or(config),
            home,
        }
    }
}

/// What is to be entered.
#[derive(Debug)]
pub(super) struct Wanted {
    /// How this program is started.
    pub(super) program: String,
    /// Options that say as whom; none where the environment does.
    pub(super) speaker: Vec<String>,
    /// URL and variable of the token, where the client is to go there.
    pub(super) http: Option<(String, String)>,
    /// Whether hooks are wanted.
    pub(super) hooks: bool,
}

/// One file and what becomes of it.
#[derive(Debug)]
pub(super) struct Part {
    /// The file.
    pub(super) path: PathBuf,
    /// The change.
    pub(super) edit: Edit,
}

/// A change of a text.
#[derive(Debug)]
pub(super) enum Edit {
    /// A server's entry in JSON.
    Server {
        /// The object that holds the servers.
        section: &'static str,
        /// Its fields.
        entry: Vec<(&'static str, Value)>,
        /// An entry of `inputs`.
        input: Option<Value>,
        /// A variable's reference that an earlier entry may have, and that would now mislead.
        stale: Option<(&'static str, String)>,
    },
    /// A server's entry in TOML.
    Table(Vec<(&'static str, Value)>),
    /// Hooks in JSON.
    Hooks(Hooked),
}

/// Which hooks are entered.
#[derive(Debug)]
pub(super) struct Hooked {
    /// The command.
    pub(super) command: String,
    /// What every form of it has in it.
    pub(super) mark: String,
}

impl Hooked {
    /// Whether a command is one of these, be it for another agent or from another place.
    pub(super) fn is_form_of(&self, command: &str) -> bool {
        command.contains(NAME) && command.contains(&self.mark)
    }
}

impl Edit {
    /// The text with the change in it; the reason where it cannot be changed.
    pub(super) fn apply(&self, text: &str) -> Result<String, String> {
        match self {
            Self::Server {
                section,
                entry,
                input,
                stale,
            } => {
                let server = json::Server {
                    section,
                    name: NAME,
                    entry,
                    stale: stale.as_ref().map(|(name, value)| (*name, value.as_str())),
                };
                json::enter_server(text, &server, input.as_ref())
            }
            Self::Table(entry) => toml::enter_server(text, NAME, entry),
            Self::Hooks(hooked) => json::enter_hooks(text, hooked),
        }
    }
}

/// The files to change, and how.
pub(super) fn parts(
    client: Client,
    scope: Scope,
    wanted: &Wanted,
    places: &Places,
) -> Result<Vec<Part>, Failure> {
    let servers = Part {
        path: servers_file(client, scope, places)?,
        edit: server(client, wanted),
    };
    // A hook reaches the deployment by itself; where only a token is at hand, it could not.
    let can_hook = wanted.hooks && (wanted.http.is_none() || !wanted.speaker.is_empty());
    let hooks = match client {
        Client::ClaudeCode | Client::Codex if can_hook => Some(Part {
            path: hooks_file(client, scope, places)?,
            edit: Edit::Hooks(hooked(client, wanted)),
        }),
        _ => None,
    };
    Ok([servers].into_iter().chain(hooks).collect())
}

fn servers_file(client: Client, scope: Scope, places: &Places) -> Result<PathBuf, Failure> {
    let project = &places.project;
    Ok(match (client, scope) {
        (Client::ClaudeCode, Scope::Project) => project.join(".mcp.json"),
        (Client::ClaudeCode, Scope::User) => home(places)?.join(".claude.json"),
        (Client::Codex, _) => codex(scope, places)?.join("config.toml"),
        (Client::Cursor, Scope::Project) => project.join(".cursor/mcp.json"),
        (Client::Cursor, Scope::User) => home(places)?.join(".cursor/mcp.json"),
        (Client::Vscode, Scope::Project) => project.join(".vscode/mcp.json"),
        (Client::Vscode, Scope::User) => {
            let config = places.config.clone().ok_or_else(homeless)?;
            config.join("Code/User/mcp.json")
        }
    })
}

fn hooks_file(client: Client, scope: Scope, places: &Places) -> Result<PathBuf, Failure> {
    Ok(match (client, scope) {
        (Client::Codex, _) => codex(scope, places)?.join("hooks.json"),
        // A hook speaks as one person's agent, so it does not go into what a project shares.
        (_, Scope::Project) => places.project.join(".claude/settings.local.json"),
        (_, Scope::User) => home(places)?.join(".claude/settings.json"),
    })
}

fn codex(scope: Scope, places: &Places) -> Result<PathBuf, Failure> {
    match (scope, &places.codex_home) {
        (Scope::Project, _) => Ok(places.project.join(".codex")),
        (Scope::User, Some(own)) => Ok(own.clone()),
        (Scope::User, None) => Ok(home(places)?.join(".codex")),
    }
}

fn home(places: &Places) -> Result<PathBuf, Failure> {
    places.home.clone().ok_or_else(homeless)
}

fn homeless() -> Failure {
    Failure::usage(
        "user",
        "there is no home directory with settings of yours",
        "set HOME, or use --project",
    )
}

/// The entry, in the client's form.
fn server(client: Client, wanted: &Wanted) -> Edit {
    let (section, reference): (_, fn(&str) -> String) = match client {
        Client::ClaudeCode => ("mcpServers", |name| format!("${{{name}}}")),
        Client::Cursor => ("mcpServers", |name| format!("${{env:{name}}}")),
        Client::Vscode => ("servers", |name| format!("${{env:{name}}}")),
        Client::Codex => return Edit::Table(codex_server(wanted)),
    };
    if let Some((url, variable)) = &wanted.http {
        let mut entry = vec![("type", json!("http")), ("url", json!(url))];
        let mut input = None;
        let token = if client == Client::Vscode {
            let description = format!("Token of the Postroad server at {url}");
            input = Some(json!({
                "type": "promptString", "id": TOKEN_INPUT, "description": description, "password": true,
            }));
            format!("${{input:{TOKEN_INPUT}}}")
        } else {
            reference(variable)
        };
        entry.push((
            "headers",
            json!({"Authorization": format!("Bearer {token}")}),
        ));
        return Edit::Server {
            section,
            entry,
            input,
            stale: None,
        };
    }
    let mut entry = vec![
        ("type", json!("stdio")),
        ("command", json!(wanted.program)),
        ("args", json!(arguments(wanted, &["mcp"]))),
    ];
    let creds = reference(CREDS);
    let stale = if wanted.speaker.is_empty() {
        entry.push(("env", json!({ CREDS: creds })));
        None
    } else {
        Some((CREDS, creds))
    };
    Edit::Server {
        section,
        entry,
        input: None,
        stale,
    }
}

fn codex_server(wanted: &Wanted) -> Vec<(&'static str, Value)> {
    if let Some((url, variable)) = &wanted.http {
        return vec![
            ("url", json!(url)),
            ("bearer_token_env_var", json!(variable)),
        ];
    }
    let mut entry = vec![
        ("command", json!(wanted.program)),
        ("args", json!(arguments(wanted, &["mcp"]))),
    ];
    if wanted.speaker.is_empty() {
        entry.push(("env_vars", json!([CREDS])));
    }
    entry
}

fn hooked(client: Client, wanted: &Wanted) -> Hooked {
    let name = client.to_possible_value();
    let name = name.as_ref().map_or("", |value| value.get_name());
    let arguments = arguments(wanted, &["hook", "--client", name]);
    let words = [wanted.program.as_str()].into_iter();
    let words = words.chain(arguments.iter().map(String::as_str));
    Hooked {
        command: typed(words.map(OsStr::new)),
        mark: format!("hook --client {name}"),
    }
}

fn arguments(wanted: &Wanted, command: &[&str]) -> Vec<String> {
    let command = command.iter().map(|word| (*word).to_owned());
    wanted.speaker.iter().cloned().chain(command).collect()
}
