//! `recall --queries`: a whole file of questions, several under way at once, answered in its order.

use super::lines::{Line, Lines, count_of, is_of_the_line, tell_bad};
use super::recall::{Asker, memories};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::cli::session::Session;
use crate::cli::tenant_export::bar;
use crate::cli::text::count;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use indicatif::ProgressBar;
use postroad_client::{Advice, ClientError};
use postroad_protocol::Refusal;
use postroad_protocol::command::bare_is_project;
use postroad_protocol::query::{RecallMode, Recalled};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Questions under way at once: far fewer than a projector answers one tenant at once.
const UNDER_WAY: usize = 8;
/// How often a question is asked, each time for as long as --timeout says, before all are given up.
const ATTEMPTS: u32 = 6;
/// How often it is looked how many memories still wait to be read for meaning.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is asked to look.
const ANYTHING: &str = "anything";
/// How long the number may stay as it is before nobody seems to be reading them.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A question of the file.
#[derive(Deserialize)]
struct Question {
    /// What tells its answer apart, in any form.
    id: Value,
    query: String,
    namespace: Option<String>,
}

/// Its answer, as it is printed.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Value,
    #[serde(flatten)]
    recalled: &'a Recalled,
}

/// What became of a line.
enum Outcome {
    Answered(Value, Box<Recalled>),
    Bad(u64, Refusal),
}

pub(super) async fn run(
    session: &Session,
    asker: &Asker<'_>,
    file: &Path,
    wait: Duration,
) -> Result<(), Failure> {
    let path = file.to_owned();
    let total = tokio::task::spawn_blocking(move || count_of(&path)).await;
    let mut lines = Lines::open(file)?;
    let bar = bar(total.ok().flatten(), "recalling");
    let mut under_way = FuturesOrdered::new();
    let (mut answered, mut bad, mut at_end) = (0_u64, 0_u64, false);
    let mut has_settled = false;
    loop {
        while under_way.len() < UNDER_WAY && !at_end {
            match lines.next().await {
                None => at_end = true,
                Some(line) => {
                    let line = line?;
                    if !has_settled {
                        settle(session, &bar, asker, wait).await?;
                        has_settled = true;
                    }
                    under_way.push_back(answer(asker, line));
                }
            }
        }
        let Some(outcome) = under_way.next().await else {
            break;
        };
        bar.inc(1);
        match outcome? {
            Outcome::Answered(id, recalled) => {
                answered += 1;
                let (id, recalled) = (&id, &*recalled);
                let line = serde_json::to_string(&Answer { id, recalled });
                let line = line.map_err(std::io::Error::other)?;
                bar.suspend(|| print(&line))?;
            }
            Outcome::Bad(number, refusal) => {
                bad += 1;
                tell_bad(session, &bar, number, &refusal);
            }
        }
    }
    bar.finish_and_clear();
    let told = format!("{} answered", count(answered, "question"));
    session.out.note(&match bad {
        0 => told,
        _ => format!("{told}; {}", count(bad, "bad line")),
    });
    Ok(())
}

async fn answer(asker: &Asker<'_>, line: Line) -> Result<Outcome, Failure> {
    let number = line.number;
    let question: Question = match line.read() {
        Ok(question) => question,
        Err(refusal) => return Ok(Outcome::Bad(number, refusal)),
    };
    let namespace = question.namespace.map(bare_is_project);
    match patiently(asker, &question.query, namespace.as_deref()).await {
        Ok(recalled) => Ok(Outcome::Answered(question.id, Box::new(recalled))),
        Err(error) => match error.refusal() {
            Some(refusal) if is_of_the_line(refusal) => Ok(Outcome::Bad(number, refusal.clone())),
            _ => Err(error.into()),
        },
    }
}

/// Asks again while the road is busy.
async fn patiently(
    asker: &Asker<'_>,
    query: &str,
    namespace: Option<&str>,
) -> Result<Recalled, ClientError> {
    let mut attempt = 1;
    loop {
        let error = match asker.ask(query, namespace).await {
            Ok(recalled) => return Ok(recalled),
            Err(error) => error,
        };
        match error.advice() {
            Advice::Retry { after } if attempt < ATTEMPTS => sleep(after).await,
            _ => return Err(error),
        }
        attempt += 1;
    }
}

/// Waits until every memory that is searched has been read for meaning, so that the first answers are made
/// as the last ones are; no longer than `wait`, and not where nothing seems to read them.
async fn settle(
    session: &Session,
    bar: &ProgressBar,
    asker: &Asker<'_>,
    wait: Duration,
) -> Result<(), Failure> {
    // Programs find the number in each answer.
    let tell = |text: String| bar.suspend(|| session.out.note(&text));
    let begun = Instant::now();
    let mut least: Option<(u64, Instant)> = None;
    loop {
        let state = patiently(asker, ANYTHING, None).await;
        let (awaiting, mode) = match state {
            Ok(recalled) => (recalled.awaiting, recalled.mode),
            // Whatever is wrong with what all questions have in common is told of each.
            Err(error) if error.refusal().is_some_and(is_of_the_line) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if awaiting == 0 || mode == RecallMode::Words {
            return Ok(());
        }
        let now = Instant::now();
        if least.is_none() && !wait.is_zero() {
            let awaiting = memories(awaiting);
            tell(format!("{awaiting} not yet read for meaning; waiting"));
        }
        let since = match least {
            Some((number, since)) if number <= awaiting => since,
            _ => now,
        };
        least = Some((awaiting, since));
        if begun.elapsed() >= wait || since.elapsed() >= STUCK_AFTER {
            let awaiting = memories(awaiting);
            tell(format!("{awaiting} searched by words alone"));
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}
