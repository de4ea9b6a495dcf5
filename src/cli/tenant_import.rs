//! `tenant import`: takes a history in that `tenant export` wrote down.

use super::failure::Failure;
use super::output::say;
use super::session::Session;
use super::tenant_export::progress;
use super::text::count;
use clap::Args;
use indicatif::ProgressBar;
use postroad_client::{Advice, ClientError, Operator};
use postroad_protocol::event::Event;
use postroad_protocol::limits::{EXPORT_LINE_MAX_BYTES, IMPORT_MAX_BYTES, IMPORT_MAX_EVENTS};
use postroad_protocol::portable::{Header, Line, Lines, PortableEvent, Totals, bad_line};
use postroad_protocol::{CommandId, ErrorCode, Refusal, TenantId};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Take a history in that `postroad tenant export` wrote, into a tenant that has none.
///
/// Messages, receipts, the roster and what was read are afterwards as they were, with the same ids and in
/// the same order. The tenant is created where it is not there. Stopped at any moment, the same command
/// goes on where it was: what is there is skipped. A FILE is read to its end before anything is stored; from
/// stdin (`-`) lines are stored as they come, so that of a damaged history everything before the damage can
/// be had. Let agents in when the import has ended: it refuses a tenant that holds anything else. The
/// credentials of the roster belong to the old deployment: each agent needs a new one (`postroad agent issue`).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad tenant import acme.ndjson
  zstd -dc acme.ndjson.zst | postroad tenant import - --tenant acme-restored")]
pub(crate) struct ImportArgs {
    /// What `tenant export` wrote; `-` is stdin
    file: PathBuf,
    /// Name of the tenant here; by default the one that it had
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,
    /// Shard to live in, where the tenant is created
    #[arg(long, value_name = "N")]
    shard: Option<u16>,
}

/// What it came to, for programs.
#[derive(Debug, Default, Serialize)]
struct Done {
    tenant: String,
    /// Events that were stored.
    imported: u64,
    /// Events that were there before.
    skipped: u64,
    /// Lines that stood for events which were lost before the export.
    lost: u64,
}

pub(crate) async fn import(session: &Session, args: &ImportArgs) -> Result<(), Failure> {
    let from_stdin = args.file == Path::new("-");
    let totals = if from_stdin {
        None
    } else {
        let path = args.file.clone();
        let checked = tokio::task::spawn_blocking(move || check(&path)).await;
        Some(checked.map_err(io::Error::other)??)
    };
    let mut source = Source::open(&args.file)?;
    let header = source.header().await?;
    let client = session.operator().await?;
    let operator = client.operator()?;
    let tenant = args.tenant.clone().unwrap_or(header.tenant);
    create(session, operator, &tenant, args.shard).await?;
    let mut importer = Importer {
        operator,
        import: CommandId::generate(),
        part: Part::default(),
        after: None,
        bar: progress(session, totals.map(|totals| totals.events), "importing"),
        done: Done {
            tenant: tenant.to_string(),
            ..Done::default()
        },
        tenant,
    };
    let taken = importer.take_all(&mut source).await;
    importer.bar.finish_and_clear();
    let done = importer.done;
    if let Err(failure) = taken {
        let stays = done.imported + done.skipped;
        if stays > 0 {
            let stays = count(stays, "event");
            say(&format!(
                "{stays} of it are in tenant {}, and stay",
                done.tenant
            ));
        }
        return Err(failure);
    }
    session.out.show(&done, |_| told(&done))?;
    let issue = format!("postroad agent issue --tenant {} --role ROLE", done.tenant);
    session
        .out
        .note(&format!("each agent needs a new credential: {issue}"));
    Ok(())
}

fn told(done: &Done) -> String {
    let mut told = format!(
        "imported {} into tenant {}",
        count(done.imported, "event"),
        done.tenant
    );
    if done.skipped > 0 {
        told += &format!("; skipped {} that were there", count(done.skipped, "event"));
    }
    if done.lost > 0 {
        let lost = count(done.lost, "line");
        told += &format!("; {lost} stood for what was lost before");
    }
    told
}

/// Creates the tenant; one that is there may be a former attempt's.
async fn create(
    session: &Session,
    operator: Operator<'_>,
    tenant: &TenantId,
    shard: Option<u16>,
) -> Result<(), Failure> {
    match operator.create_tenant(tenant, shard).await {
        Ok(made) => {
            let said = format!("created tenant {tenant} in shard {}", made.shard);
            session.out.note(&said);
            Ok(())
        }
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_conflict(error: &ClientError) -> bool {
    let code = error.refusal().map(|refusal| refusal.code);
    code == Some(ErrorCode::Conflict)
}

/// Reads a whole file, and stores nothing of it: one bad line and it is not imported.
fn check(path: &Path) -> Result<Totals, Failure> {
    let mut reader = open(path)?;
    let (mut lines, mut totals) = (Lines::default(), None);
    while let Some(line) = next_line(&mut reader, path)? {
        match lines.read(&line)? {
            Line::Event(event) => check_event(&event, lines.number())?,
            Line::End(found) => totals = Some(found),
            Line::Header(_) | Line::Lost(_) => {}
        }
    }
    lines.finish()?;
    totals.ok_or_else(|| lines.bad("it is empty").into())
}

fn check_event(event: &PortableEvent, line: u64) -> Result<(), Refusal> {
    let checked = event.record().map(|_| ());
    checked.map_err(|refusal| bad_line(line, &refusal.message))
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        let refusal = Refusal::new(
            ErrorCode::NotFound,
            format!("there is no file {}", path.display()),
            "name the file that `postroad tenant export` wrote, or - for stdin",
        );
        return refusal.at("file").into();
    }
    Failure::file(
        "read",
        path,
        error,
        "check that it is a file that you may read",
    )
}

/// The next line without its line feed. What is too long for a line comes cut, and reads as none.
fn next_line(reader: &mut dyn BufRead, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let mut bounded = reader.take(EXPORT_LINE_MAX_BYTES as u64);
    let read = bounded.read_until(b'\n', &mut line);
    let read = read.map_err(|error| unreadable(path, &error))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok((read > 0).then_some(line))
}

/// Lines as they are read by a thread of their own: a pipe that is slow must not keep the connection.
struct Source {
    lines: Lines,
    read: mpsc::Receiver<Result<Vec<u8>, Failure>>,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut reader = open(path)?;
        let path = path.to_owned();
        let (sender, read) = mpsc::channel(64);
        std::thread::spawn(move || {
            while let Some(line) = next_line(&mut *reader, &path).transpose() {
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self {
            lines: Lines::default(),
            read,
        })
    }

    async fn header(&mut self) -> Result<Header, Failure> {
        match self.next().await? {
            Some((Line::Header(header), _)) => Ok(header),
            _ => Err(self.lines.bad("this is no export of a tenant").into()),
        }
    }

    /// The next line with its length; none after the closing one.
    async fn next(&mut self) -> Result<Option<(Line, usize)>, Failure> {
        let Some(line) = self.read.recv().await else {
            self.lines.finish()?;
            return Ok(None);
        };
        let line = line?;
        Ok(Some((self.lines.read(&line)?, line.len())))
    }
}

/// How often a part is sent, each time for as long as --timeout says, before the import is given up. A
/// deployment under load answers late, and a part that was stored is skipped.
const ATTEMPTS: u32 = 6;

/// What goes in one command.
#[derive(Default)]
struct Part {
    events: Vec<PortableEvent>,
    /// The line of each.
    lines: Vec<u64>,
    bytes: usize,
}

struct Importer<'a> {
    operator: Operator<'a>,
    tenant: TenantId,
    /// Names this import in the tenant's log.
    import: CommandId,
    part: Part,
    /// Where the part before ended.
    after: Option<u64>,
    bar: ProgressBar,
    done: Done,
}

impl Importer<'_> {
    async fn take_all(&mut self, source: &mut Source) -> Result<(), Failure> {
        loop {
            let next = source.next().await;
            let bytes = match &next {
                Ok(Some((Line::Event(_), bytes))) => *bytes,
                _ => 0,
            };
            let is_full = self.part.events.len() >= IMPORT_MAX_EVENTS
                || self.part.bytes + bytes > IMPORT_MAX_BYTES;
            // What stands before a bad line is stored before it is told of.
            if is_full || !matches!(next, Ok(Some(_))) {
                self.send().await?;
            }
            match next? {
                Some((Line::Event(event), _)) => {
                    self.gather(event, source.lines.number(), bytes).await?;
                }
                Some((Line::Lost(_), _)) => self.done.lost += 1,
                Some((Line::Header(_) | Line::End(_), _)) => {}
                None => return Ok(()),
            }
        }
    }

    /// Adds an event to the part that goes next. The tenant's creation is passed over: it has one here.
    async fn gather(
        &mut self,
        event: PortableEvent,
        line: u64,
        bytes: usize,
    ) -> Result<(), Failure> {
        let record = match event.record() {
            Ok(record) => record,
            Err(refusal) => {
                self.send().await?;
                return Err(bad_line(line, &refusal.message).into());
            }
        };
        self.bar.inc(1);
        if !matches!(record.event, Event::TenantCreated(_)) {
            self.part.events.push(event);
            self.part.lines.push(line);
            self.part.bytes += bytes;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let part = std::mem::take(&mut self.part);
        if part.events.is_empty() {
            return Ok(());
        }
        let mut attempt = 0;
        let imported = loop {
            let sent = self
                .operator
                .import_events(&self.tenant, self.import, self.after, part.events.clone())
                .await;
            attempt += 1;
            match sent {
                Ok(imported) => break imported,
                Err(error) => match error.advice() {
                    Advice::Retry { after } if attempt < ATTEMPTS => {
                        tokio::time::sleep(after).await;
                    }
                    _ => return Err(at_line(error, &part.lines)),
                },
            }
        };
        self.after = Some(imported.position.sequence);
        self.done.imported += imported.imported;
        self.done.skipped += imported.skipped;
        Ok(())
    }
}

/// A refusal of one event of a part names its line.
fn at_line(error: ClientError, lines: &[u64]) -> Failure {
    let line = error.refusal().and_then(|refusal| {
        let field = refusal.field.as_deref()?;
        let index = field.strip_prefix("events[")?.split_once(']')?.0;
        lines.get(index.parse::<usize>().ok()?)
    });
    let Some(line) = line else {
        return error.into();
    };
    let mut refusal = error.to_refusal();
    refusal.message = format!("line {line}: {}", refusal.message);
    refusal.at("file").into()
}
