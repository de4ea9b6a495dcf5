//! `recall`: memories that answer a question.

use super::{AsOfArg, batch, shown};
use crate::cli::failure::Failure;
use crate::cli::mail::STALE;
use crate::cli::session::{Session, TenantsArg};
use crate::cli::time;
use clap::Args;
use postroad_client::{Client, ClientError, Recall};
use postroad_protocol::TimeMs;
use postroad_protocol::query::{RecallMode, Recalled};
use std::path::PathBuf;
use std::time::Duration;

/// Recall what was remembered: the memories that answer a question best, by their words and by what they mean.
///
/// Searches everything that you may read, the operator's shared library included, unless --namespace names one
/// namespace or the prefix of some. Scores compare within one answer only. With --explain you see what each
/// score is made of. Times are RFC 3339, dates, or how long ago: --since 2h, --as-of 2026-11-22.
///
/// With --queries a whole file is asked, one JSON object a line: {"id", "query", "namespace"?}. For each, in
/// order, one line comes out: {"id", "results": [{"memoryId", "importId", "score", "namespace", …}], …}. There
/// a namespace without a stroke means project/NAME, as in `import memories`. Lines that cannot be asked are told
/// by number on stderr. Before the first question it waits, as --wait says, for memories that are not yet
/// found by their meaning.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad recall 'when is a release?'
  postroad recall 'how large may images be' --namespace project/ --type feedback --by tau
  postroad recall 'image size' --explain
  postroad recall 'release day' --as-of 2026-11-22
  postroad recall --tenant acme 'release day'
  postroad recall --queries queries.jsonl --limit 20 --json > run.jsonl")]
pub(crate) struct RecallArgs {
    /// What you look for, in your own words; at most 1 KiB
    #[arg(
        required_unless_present = "queries",
        conflicts_with = "queries",
        allow_hyphen_values = true
    )]
    query: Option<String>,
    /// Ask what this file holds, one JSON object a line; `-` is stdin
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Only in this namespace, or in those with this prefix, such as project/
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only memories of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only by this author: a role, whichever instance, or the author of imported memories
    #[arg(long, value_name = "AUTHOR")]
    by: Option<String>,
    /// Only what happened at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    since: Option<TimeMs>,
    /// Only what happened before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    until: Option<TimeMs>,
    /// Results to show at most, 1 to 100
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    as_of: AsOfArg,
    /// Show what each score is made of
    #[arg(long, conflicts_with = "queries")]
    explain: bool,
    /// How long --queries waits until every memory is found by its meaning, too
    #[arg(long, value_name = "DURATION", default_value = "1h", conflicts_with = "query", value_parser = time::duration)]
    wait: Duration,
    /// Whose memories, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

impl RecallArgs {
    /// What is asked of every query alike.
    fn about(&self, query: String) -> Recall {
        let mut wanted = Recall::new(query);
        if let Some(namespace) = &self.namespace {
            wanted = wanted.namespace(namespace);
        }
        if let Some(kind) = &self.kind {
            wanted = wanted.kind(kind);
        }
        if let Some(author) = &self.by {
            wanted = wanted.created_by(author);
        }
        if let Some(since) = self.since {
            wanted = wanted.since(since);
        }
        if let Some(until) = self.until {
            wanted = wanted.until(until);
        }
        if let Some(limit) = self.limit {
            wanted = wanted.limit(limit);
        }
        if let Some(as_of) = self.as_of.read() {
            wanted = wanted.as_of(as_of);
        }
        wanted
    }
}

/// Who asks, about whom.
pub(super) struct Asker<'a> {
    client: Client,
    args: &'a RecallArgs,
}

impl<'a> Asker<'a> {
    async fn connect(session: &Session, args: &'a RecallArgs) -> Result<Self, Failure> {
        let client = if args.of.is_operators() {
            session.operator().await?
        } else {
            session.agent().await?
        };
        Ok(Self { client, args })
    }

    /// Asks one question; in `namespace`, where it names one of its own.
    pub(super) async fn ask(
        &self,
        query: &str,
        namespace: Option<&str>,
    ) -> Result<Recalled, ClientError> {
        let mut wanted = self.args.about(query.to_owned());
        if let Some(namespace) = namespace {
            wanted = wanted.namespace(namespace);
        }
        if self.args.of.is_operators() {
            let operator = self.client.operator()?;
            return operator.recall(self.args.of.tenant(), &wanted).await;
        }
        self.client.recall(&wanted).await
    }
}

pub(crate) async fn recall(session: &Session, args: RecallArgs) -> Result<(), Failure> {
    let asker = Asker::connect(session, &args).await?;
    if let Some(file) = &args.queries {
        return batch::run(session, &asker, file, args.wait).await;
    }
    let query = args.query.as_deref().unwrap_or_default();
    let answer = asker.ask(query, None).await?;
    session.out.show(&answer, |style| {
        let results = shown::results(style, &answer.results, TimeMs::now());
        if !args.explain || answer.results.is_empty() {
            return results;
        }
        format!("{results}\n\n{}", shown::parts(style, &answer.results))
    })?;
    note_what_is_behind(session, &answer, args.explain);
    Ok(())
}

fn note_what_is_behind(session: &Session, answer: &Recalled, explain: bool) {
    if answer.results.is_empty() {
        session.out.note("nothing is remembered about this");
    } else if explain {
        let shown = answer.results.len() as u64;
        let matched = memories(answer.matched.max(shown));
        session
            .out
            .note(&format!("\n{shown} shown of {matched} that match"));
    }
    if explain {
        session.out.note(match answer.mode {
            RecallMode::WordsAndMeaning => "searched by words and by meaning",
            RecallMode::Words => "searched by words alone: the deployment has no model",
        });
    }
    if answer.awaiting > 0 {
        let awaiting = memories(answer.awaiting);
        session.out.note(&format!(
            "{awaiting} searched by words alone: not yet read for meaning"
        ));
    }
    if answer.truncated {
        session
            .out
            .note("some results were left out for their size: ask for fewer with --limit");
    }
    if answer.stale {
        session.out.note(STALE);
    }
}

/// `1 memory`, `2 memories`.
pub(super) fn memories(number: u64) -> String {
    match number {
        1 => "1 memory".to_owned(),
        _ => format!("{number} memories"),
    }
}
