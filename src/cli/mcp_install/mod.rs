//! `mcp install`: enters Postroad into the settings of an agent's client.
//!
//! Owns the command and what it says. `plan` knows the clients' files, `json` and `toml` change a text,
//! `file` replaces a file. No secret is ever written, only where one is found: a variable's name, or the
//! path of a credential. What stands in a file already stays as it is, to the byte.

mod file;
mod json;
mod plan;
mod toml;

use self::plan::{Client, Edit, Part, Places, Scope, Wanted};
use super::failure::Failure;
use super::session::Session;
use super::text::one_line;
use clap::Args;
use http::Uri;
use postroad_protocol::token;
use serde::Serialize;
use std::fmt::Display;
use std::path::Path;

/// Enter Postroad into the settings of an agent's client, or print what to enter.
///
/// The client then starts `postroad mcp` by itself, and `postroad hook` where it has hooks (Claude Code, Codex).
/// Written is the credential's path (--creds), the agent's name (--as), or else a reference to NATS_CREDS in
/// the client's environment; with --url the client goes there instead, with the token that it finds in a
/// variable. What stands in the files stays, repeating changes nothing, and a file that cannot be read is
/// left alone. The file as it was is kept beside it as NAME.postroad.bak.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad --creds bob.creds mcp install --client claude-code
  postroad --creds bob.creds mcp install --client codex
  postroad mcp install --client cursor --user --print
  postroad mcp install --client vscode --url https://road.example.org/mcp")]
#[expect(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    reason = "these sentences are what --help prints, and each flag is its own"
)]
pub(crate) struct InstallArgs {
    /// Which client
    #[arg(long, value_name = "CLIENT")]
    client: Client,
    /// Print what would be written into files that are empty, and change nothing
    #[arg(long)]
    print: bool,
    /// Into this directory's settings; the default, save for Codex
    #[arg(long, conflicts_with = "user")]
    project: bool,
    /// Into your own settings, for every directory; Codex's default
    #[arg(long)]
    user: bool,
    /// Where an MCP server of the deployment listens, instead of starting one
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<String>,
    /// Variable in which the client finds the bearer token for --url
    #[arg(long, value_name = "NAME", default_value = "POSTROAD_TOKEN", requires = "url", value_parser = variable)]
    token_env: String,
    /// Enter no hooks
    #[arg(long)]
    no_hooks: bool,
}

/// What became of a file, for programs.
#[derive(Serialize)]
struct Changed {
    path: String,
    /// `written` or `unchanged`; with --print, `printed`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// Answer of `mcp install`, for programs.
#[derive(Serialize)]
struct Document {
    files: Vec<Changed>,
}

pub(crate) fn install(session: &Session, args: &InstallArgs) -> Result<(), Failure> {
    let wanted = Wanted {
        program: program(),
        speaker: session.speaker_words()?,
        http: args.url.clone().map(|url| (url, args.token_env.clone())),
        hooks: !args.no_hooks,
    };
    let scope = match (args.user, args.project, args.client) {
        (true, ..) | (_, false, Client::Codex) => Scope::User,
        _ => Scope::Project,
    };
    let parts = plan::parts(args.client, scope, &wanted, &Places::of_process())?;
    let files = if args.print {
        parts.iter().map(printed).collect::<Result<_, _>>()?
    } else {
        written(&parts)?
    };
    let document = Document { files };
    session.out.show(&document, |_| told(&document))?;
    if let (Some((_, variable)), false) = (&wanted.http, args.client == Client::Vscode) {
        session.out.note(&format!(
            "the client finds its token in {variable}; `postroad token issue` makes one"
        ));
    }
    if wanted.speaker.is_empty() && wanted.http.is_none() {
        session
            .out
            .note("the client finds the credential by NATS_CREDS in its environment, or name it with --creds FILE");
    }
    if !args.print && parts.iter().any(|part| matches!(part.edit, Edit::Hooks(_))) {
        session.out.note(match args.client {
            Client::Codex => "Codex asks you to trust new hooks before it runs them",
            _ => "restart the client; /hooks and /mcp show what it found",
        });
    }
    Ok(())
}

/// Every file is changed in memory before any is written: a broken one leaves all of them alone.
fn written(parts: &[Part]) -> Result<Vec<Changed>, Failure> {
    let mut changes = Vec::new();
    for part in parts {
        let before = file::read(&part.path)?;
        let after = part
            .edit
            .apply(before.as_deref().unwrap_or_default())
            .map_err(|reason| broken(&part.path, &reason))?;
        changes.push((&part.path, before, after));
    }
    let mut files = Vec::new();
    for (path, before, after) in changes {
        let is_same = before.as_deref() == Some(after.as_str());
        let backup = if is_same {
            None
        } else {
            file::replace(path, before.as_deref(), &after)?
        };
        files.push(Changed {
            path: path.display().to_string(),
            outcome: if is_same { "unchanged" } else { "written" },
            backup: backup.map(|backup| backup.display().to_string()),
            content: None,
        });
    }
    Ok(files)
}

fn printed(part: &Part) -> Result<Changed, Failure> {
    let content = part.edit.apply("");
    Ok(Changed {
        path: part.path.display().to_string(),
        outcome: "printed",
        backup: None,
        content: Some(content.map_err(|reason| broken(&part.path, &reason))?),
    })
}

fn told(document: &Document) -> String {
    let told = document.files.iter().map(|file| {
        let path = one_line(&file.path);
        match (&file.content, &file.backup) {
            (Some(content), _) => format!("# {path}\n{content}"),
            (None, Some(backup)) => {
                format!("{} {path} (as it was: {})", file.outcome, one_line(backup))
            }
            (None, None) => format!("{} {path}", file.outcome),
        }
    });
    told.collect::<Vec<_>>().join("\n")
}

fn broken(path: &Path, reason: &dyn Display) -> Failure {
    Failure::usage(
        "client",
        format!("{} is left as it is: {reason}", path.display()),
        "mend the file, or see with --print what to enter by hand",
    )
}

/// How the client starts this program: by its name where PATH leads to it, else by its path.
fn program() -> String {
    let Ok(own) = std::env::current_exe().and_then(|path| path.canonicalize()) else {
        return "postroad".to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("postroad"))
        .find_map(|candidate| candidate.canonicalize().ok());
    if found.as_ref() == Some(&own) {
        return "postroad".to_owned();
    }
    own.display().to_string()
}

/// A variable's name, so that nobody writes the token itself.
fn variable(name: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty()
        && name.chars().all(is_word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with(token::PREFIX)
    {
        return Ok(name.to_owned());
    }
    Err("name a variable, as in POSTROAD_TOKEN; the token itself is never written".to_owned())
}

/// A URL that holds no secret.
fn address(url: &str) -> Result<String, String> {
    let parsed = url.parse::<Uri>().ok();
    let is_web = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|at| !at.as_str().contains('@'))
    };
    if parsed.as_ref().is_some_and(is_web) && !url.contains(token::PREFIX) {
        return Ok(url.to_owned());
    }
    Err(
        "name a server as in https://road.example.org/mcp, without a user or a token; the client \
         sends the token that it finds in a variable"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
