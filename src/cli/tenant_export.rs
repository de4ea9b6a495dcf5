//! `tenant export`: a tenant's history as lines that `tenant import` takes in elsewhere.

use super::failure::Failure;
use super::output::say;
use super::session::Session;
use super::text::{count, one_line};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use postroad_client::{Operator, ReplayOf, ReplayRange};
use postroad_protocol::portable::{Header, Lost, Scribe, Totals};
use postroad_protocol::query::{ERASED, ReplayedEvent};
use postroad_protocol::{ErrorCode, Refusal, TenantId, TimeMs};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Write a tenant's whole history down, to import it into another deployment.
///
/// One header, one line an event in the order of the log, one closing line that tells a whole export from
/// a cut one: NDJSON. Whoever has it can read everything that the tenant's agents wrote. What happens in
/// the tenant after the export began is not in it. The read is written into the tenant's own log. An event
/// that cannot be read any more is said on stderr and leaves a line that says `lost`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad tenant export --tenant acme --out acme.ndjson
  postroad tenant export --tenant acme | zstd > acme.ndjson.zst")]
pub(crate) struct ExportArgs {
    /// Which tenant
    #[arg(long)]
    tenant: TenantId,
    /// File to write, readable by you alone; it must not exist. `-` is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What `--out FILE` prints for programs.
#[derive(Serialize)]
struct Exported<'a> {
    tenant: &'a TenantId,
    file: &'a Path,
    events: u64,
    lost: u64,
    digest: &'a str,
}

/// Lost events that stderr names one by one; more are only counted.
const LOST_NAMED: u64 = 20;

pub(crate) async fn export(session: &Session, args: &ExportArgs) -> Result<(), Failure> {
    let client = session.operator().await?;
    let operator = client.operator()?;
    let mut sink = Sink::open(&args.out)?;
    let totals = write_all(session, operator, &args.tenant, &mut sink).await?;
    let file = sink.finish()?;
    let told = format!(
        "{} of tenant {}",
        count(totals.events, "event"),
        args.tenant
    );
    if totals.lost > 0 {
        let lost = count(totals.lost, "line");
        say(&format!("{lost} of the export stand for what was lost"));
    }
    let Some(file) = file else {
        session.out.note(&format!("exported {told}"));
        return Ok(());
    };
    let document = Exported {
        tenant: &args.tenant,
        file: &file,
        events: totals.events,
        lost: totals.lost,
        digest: &totals.digest,
    };
    session.out.show(&document, |style| {
        let file = style.strong(&one_line(&file.to_string_lossy()));
        format!("wrote {file}: {told}")
    })
}

async fn write_all(
    session: &Session,
    operator: Operator<'_>,
    tenant: &TenantId,
    sink: &mut Sink,
) -> Result<Totals, Failure> {
    let began = TimeMs::now();
    // The end is taken first, so that the export's own reads lie behind it.
    let status = operator.status().await?;
    let shown = operator.get_tenant(tenant).await?;
    let shard = status.shards.iter().find(|row| row.shard == shown.shard);
    let end = shard
        .map(|row| row.end)
        .ok_or_else(|| Refusal::unavailable(format!("no projector shows shard {}", shown.shard)))?;
    let range = ReplayRange {
        to_sequence: Some(end),
        ..ReplayRange::default()
    };
    let mut replay = operator.replay(ReplayOf::Tenant(tenant.clone()), range);
    let mut scribe = Scribe::default();
    let header = Header::new(tenant.clone(), shown.generation, began);
    sink.write(&scribe.header(&header))?;
    let bar = progress(session, Some(end), "exporting");
    let mut lost = 0;
    while let Some(events) = replay.next_page().await? {
        let mut missing = replay.missing().iter().peekable();
        for event in events {
            let sequence = event.position.sequence;
            bar.set_position(sequence);
            while let Some(range) = missing.next_if(|(from, _)| *from < sequence) {
                sink.write(&gap(&mut scribe, *range))?;
            }
            if let Some(line) = line_of(&mut scribe, event, &mut lost) {
                sink.write(&line)?;
            }
        }
        for range in missing {
            sink.write(&gap(&mut scribe, *range))?;
        }
    }
    bar.finish_and_clear();
    let (line, totals) = scribe.end();
    sink.write(&line)?;
    Ok(totals)
}

/// The line of an event; none for one of a tenant that had the name before.
fn line_of(scribe: &mut Scribe, event: ReplayedEvent, lost: &mut u64) -> Option<String> {
    match event.problem {
        None => Some(scribe.event(&event.into())),
        Some(problem) if problem == ERASED => None,
        Some(problem) => {
            let sequence = event.position.sequence;
            *lost += 1;
            if *lost <= LOST_NAMED {
                say(&format!("event {sequence} is lost: {}", one_line(&problem)));
            }
            let lost = problem;
            Some(scribe.lost(&Lost { sequence, lost }))
        }
    }
}

/// The line of events that the log has lost, and that may have been the tenant's.
fn gap(scribe: &mut Scribe, (from, to): (u64, u64)) -> String {
    let lost = format!("events {from} to {to} were given up; whose they were is not known");
    say(&lost);
    scribe.lost(&Lost {
        sequence: from,
        lost,
    })
}

/// A bar on stderr, where that is a terminal; without a length where there is none to know.
pub(super) fn progress(session: &Session, length: Option<u64>, what: &'static str) -> ProgressBar {
    if session.out.is_json() {
        return ProgressBar::hidden();
    }
    bar(length, what)
}

/// The same, also where programs read stdout.
pub(super) fn bar(length: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match length {
        Some(_) => "{elapsed_precise} {prefix} [{bar:24}] {human_pos}/{human_len} ({per_sec})",
        None => "{elapsed_precise} {prefix} {spinner} {human_pos} ({per_sec})",
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.expect("the template is one of the two above"));
    bar.set_prefix(what);
    bar
}

/// Where the lines go: stdout, or a file that has its name only once it is whole.
pub(super) struct Sink {
    out: BufWriter<Box<dyn Write>>,
    file: Option<(PathBuf, PathBuf)>,
}

impl Sink {
    pub(super) fn open(out: &Path) -> Result<Self, Failure> {
        if out == Path::new("-") {
            return Ok(Self {
                out: BufWriter::new(Box::new(io::stdout())),
                file: None,
            });
        }
        if out.symlink_metadata().is_ok() {
            let refusal = Refusal::new(
                ErrorCode::Conflict,
                format!("{} is there already", out.display()),
                "name another file, or move that one away",
            );
            return Err(refusal.at("out").into());
        }
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // What an export that was stopped left there is of no use to anybody.
        let _none = fs::remove_file(&part);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part);
        let opened = opened.map_err(|error| unwritable(&part, &error))?;
        Ok(Self {
            out: BufWriter::new(Box::new(opened)),
            file: Some((part, out.to_owned())),
        })
    }

    pub(super) fn write(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.out.write_all(line.as_bytes());
        written.map_err(|error| self.failed(error))
    }

    /// Everything is written; the file's name, where it has one.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>, Failure> {
        if let Err(error) = self.out.flush() {
            return Err(self.failed(error));
        }
        let Some((part, target)) = self.file else {
            return Ok(None);
        };
        let named = fs::File::open(&part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, &target));
        named.map_err(|error| unwritable(&target, &error))?;
        Ok(Some(target))
    }

    fn failed(&self, error: io::Error) -> Failure {
        match &self.file {
            Some((part, _)) => unwritable(part, &error),
            None => error.into(),
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let remedy = "name a file in a directory that is yours to write and has room";
    Failure::file("write", path, error, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::portable::{Line, Lines};

    fn event(sequence: u64, problem: Option<&str>) -> ReplayedEvent {
        serde_json::from_value(serde_json::json!({
            "position": {"shard": 0, "epoch": 1, "sequence": sequence}, "tenant": "acme",
            "id": "01890000-0000-7000-8000-000000000001", "type": "reader_registered", "schema": 1,
            "time": 5, "by": "_sys", "data": {"reader": {"role": "tau", "instance": "pi"}},
            "problem": problem,
        }))
        .unwrap()
    }

    #[test]
    fn what_cannot_be_read_leaves_a_line_and_a_former_tenant_of_the_name_leaves_none() {
        let (mut scribe, mut lost) = (Scribe::default(), 0);
        let header = Header::new(TenantId::parse("acme").unwrap(), 1, TimeMs(5));
        let mut text = scribe.header(&header);
        for (sequence, problem) in [(3, Some(ERASED)), (4, None), (9, Some("damaged: bits"))] {
            let line = line_of(&mut scribe, event(sequence, problem), &mut lost);
            text.extend(line);
        }
        let (end, totals) = scribe.end();
        assert_eq!((totals.events, totals.lost, lost), (1, 1, 1));
        let mut reader = Lines::default();
        let mut read = |line: &str| reader.read(line.as_bytes()).unwrap();
        let read: Vec<Line> = (text + &end).lines().map(&mut read).collect();
        let [_, Line::Event(event), Line::Lost(lost), Line::End(_)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!((event.sequence, lost.sequence), (4, 9));
        assert_eq!(lost.lost, "damaged: bits");
    }
}
