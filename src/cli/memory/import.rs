//! `import memories`: takes memories in that somebody had elsewhere, line by line.

use super::lines::{Line, Lines, count_of, is_of_the_line, tell_bad};
use super::recall::memories;
use super::tenant_of;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::tenant_export::progress;
use crate::cli::text::count;
use crate::stop::StopSignal;
use clap::{Args, Subcommand};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use indicatif::ProgressBar;
use postroad_client::{Advice, Client, ClientError, Identity};
use postroad_protocol::command::{MemoryImported, wire};
use postroad_protocol::{Refusal, TenantId};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Take in what you have elsewhere.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    Memories(ImportArgs),
}

/// Take memories in, one JSON object a line.
///
/// A line is {"namespace", "content", "id"?, "type"?, "createdBy"?, "episode"?, "occurredAt"?, "expiresAt"?,
/// "tags"?}, times in milliseconds since 1970; anything else in it is passed over. A namespace without a stroke
/// becomes project/NAME. The author is kept as it is written, and marked as imported.
///
/// A line is stored once, however often the same credential imports it: its id and namespace, or without an id
/// all that it says, tell it apart. So the same command goes on where it was stopped, and what was forgotten
/// since stays forgotten. Lines that cannot be stored are told
/// by number on stderr and counted, and the rest is stored; the exit code is 0 all the same. It is another
/// only where the import could not go on, and then the error says how far it came.
///
/// Needs a credential with the scope `admin`, or the operator's and --tenant.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad import memories notes.jsonl --tenant acme
  postroad --creds admin.creds import memories notes.jsonl
  zstd -dc notes.jsonl.zst | postroad import memories - --tenant acme --json")]
pub(crate) struct ImportArgs {
    /// The lines; `-` is stdin
    file: PathBuf,
    /// Whose memories they become, for the operator
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
}

/// Lines under way at once.
const UNDER_WAY: usize = 64;
/// For how many times --timeout nothing at all may be stored before the import is given up. A tenant's rate, or a
/// deployment under load, slows an import down and does not end it.
const PATIENCE: u32 = 6;

/// What it came to, for programs.
#[derive(Clone, Debug, Default, Serialize)]
struct Done {
    tenant: String,
    /// Memories that were stored.
    imported: u64,
    /// Lines that were stored before, by this import or a former one.
    already: u64,
    /// Lines that cannot be stored.
    bad: u64,
}

pub(crate) async fn run(session: &Session, command: ImportCommand) -> Result<(), Failure> {
    match command {
        ImportCommand::Memories(args) => import(session, &args).await,
    }
}

async fn import(session: &Session, args: &ImportArgs) -> Result<(), Failure> {
    // Installed first: a signal while connecting must end the command as well.
    let mut stop = StopSignal::listen()?;
    let mut lines = Lines::open(&args.file)?;
    let path = args.file.clone();
    let total = tokio::task::spawn_blocking(move || count_of(&path)).await;
    let client = session.anyone().await?;
    let tenant = tenant_of(&client, args.tenant.as_ref())?;
    let importer = Importer {
        session,
        client: &client,
        tenant,
        bar: progress(session, total.ok().flatten(), "importing"),
        done: RefCell::new(Done {
            tenant: tenant.to_string(),
            ..Done::default()
        }),
        patience: session.timeout() * PATIENCE,
        moved: Cell::new(Instant::now()),
        is_over: Cell::new(false),
        turns: RefCell::default(),
    };
    let taken = importer.take_all(&mut lines, &mut stop).await;
    importer.bar.finish_and_clear();
    let done = importer.done.into_inner();
    match taken {
        Ok(()) => session.out.show(&done, |_| told(&done)),
        Err(failure) => Err(with_progress(failure, &done)),
    }
}

fn told(done: &Done) -> String {
    let mut told = format!(
        "imported {} into tenant {}",
        memories(done.imported),
        done.tenant
    );
    if done.already > 0 {
        let were = if done.already == 1 { "was" } else { "were" };
        told += &format!("; {} {were} there already", done.already);
    }
    if done.bad > 0 {
        told += &format!("; {}", count(done.bad, "bad line"));
    }
    told
}

/// A failure that also says how far the import came.
fn with_progress(failure: Failure, done: &Done) -> Failure {
    match failure {
        Failure::Told {
            mut refusal,
            causes,
        } => {
            refusal.message = format!("{} ({})", refusal.message, told(done));
            refusal.remedy = format!(
                "{}; then run the same again: what is there is passed over",
                refusal.remedy
            );
            Failure::Told { refusal, causes }
        }
        failure => failure,
    }
}

/// A line's namespace and id.
type Named = (String, String);
/// Held by the line of an id whose turn it is.
type Turn = Rc<Mutex<()>>;

struct Importer<'a> {
    session: &'a Session,
    client: &'a Client,
    tenant: &'a TenantId,
    bar: ProgressBar,
    done: RefCell<Done>,
    /// How long nothing at all may be stored.
    patience: Duration,
    /// When a line was last stored.
    moved: Cell<Instant>,
    /// Whether it has failed, or is to stop, and no line is tried again.
    is_over: Cell<bool>,
    /// Lines under way, by namespace and id: those with one id go in the order of the file.
    turns: RefCell<HashMap<Named, Turn>>,
}

impl Importer<'_> {
    /// Takes every line. Those under way when one fails, or when it is to stop, are heard to their end, and
    /// counted.
    async fn take_all(&self, lines: &mut Lines, stop: &mut StopSignal) -> Result<(), Failure> {
        let mut under_way = FuturesUnordered::new();
        let (mut ended, mut at_end) = (Ok(()), false);
        while !under_way.is_empty() || !(at_end || ended.is_err()) {
            let takes_more = !at_end && ended.is_ok() && under_way.len() < UNDER_WAY;
            tokio::select! {
                Some(taken) = under_way.next(), if !under_way.is_empty() => {
                    // The first one that fails tells why.
                    ended = ended.and(taken);
                }
                line = lines.next(), if takes_more => match line {
                    Some(Ok(line)) => under_way.push(self.take(line)),
                    Some(Err(failure)) => ended = Err(failure),
                    None => at_end = true,
                },
                () = stop.asked(), if ended.is_ok() => {
                    ended = Err(Refusal::unavailable("the import was stopped").into());
                }
            }
            self.is_over.set(ended.is_err());
        }
        ended
    }

    async fn take(&self, line: Line) -> Result<(), Failure> {
        let (number, read) = (line.number, line.read::<wire::ImportMemory>());
        drop(line);
        let stored = match read {
            Ok(memory) => self.store_in_turn(memory).await,
            Err(refusal) => Err(refusal.into()),
        };
        let mut done = self.done.borrow_mut();
        match stored {
            Ok(imported) if imported.already => done.already += 1,
            Ok(_) => done.imported += 1,
            Err(error) => match error.refusal() {
                Some(refusal) if is_of_the_line(refusal) => {
                    done.bad += 1;
                    tell_bad(self.session, &self.bar, number, refusal);
                }
                _ => return Err(at_line(error, number)),
            },
        }
        self.moved.set(Instant::now());
        self.bar.inc(1);
        Ok(())
    }

    /// Stores a line behind those before it that have the same id: the first of them says what the memory is.
    async fn store_in_turn(
        &self,
        memory: wire::ImportMemory,
    ) -> Result<MemoryImported, ClientError> {
        let Some(id) = memory.id.clone() else {
            return self.store(memory).await;
        };
        let key = (memory.namespace.clone(), id);
        let turn = Rc::clone(self.turns.borrow_mut().entry(key.clone()).or_default());
        let stored = {
            let _turn = turn.lock().await;
            self.store(memory).await
        };
        // This one, and the one that is kept: nobody else waits for it.
        if Rc::strong_count(&turn) == 2 {
            self.turns.borrow_mut().remove(&key);
        }
        stored
    }

    async fn store(&self, memory: wire::ImportMemory) -> Result<MemoryImported, ClientError> {
        // An id of a command in the line would make the same line, imported elsewhere, another one.
        let memory = wire::ImportMemory {
            command_id: None,
            ..memory
        };
        loop {
            let sent = match self.client.identity() {
                Identity::Operator { .. } => {
                    let operator = self.client.operator()?;
                    operator.import_memory(self.tenant, &memory).await
                }
                Identity::Agent { .. } => self.client.import_memory(&memory).await,
            };
            let Err(error) = sent else { return sent };
            match error.advice() {
                Advice::Retry { after } if self.goes_on() => sleep(after).await,
                _ => return Err(error),
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.get() && self.moved.get().elapsed() < self.patience
    }
}

/// What ended the import, with the line that met it.
fn at_line(error: ClientError, number: u64) -> Failure {
    let mut failure = Failure::from(error);
    if let Failure::Told { refusal, .. } = &mut failure {
        refusal.message = format!("line {number}: {}", refusal.message);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::ErrorCode;

    #[test]
    fn it_tells_only_what_there_is() {
        let mut done = Done {
            tenant: "acme".to_owned(),
            imported: 1,
            ..Done::default()
        };
        assert_eq!(told(&done), "imported 1 memory into tenant acme");
        (done.already, done.bad) = (2, 1);
        assert_eq!(
            told(&done),
            "imported 1 memory into tenant acme; 2 were there already; 1 bad line"
        );
        let refusal = Refusal::new(ErrorCode::QuotaExceeded, "line 9: full", "raise it");
        let failure = with_progress(refusal.into(), &done);
        assert_eq!(failure.exit_code(), 1);
        let report = failure.report(false).unwrap();
        assert!(
            report.contains("full (imported 1 memory") && report.contains("run the same again"),
            "{report}"
        );
    }
}
