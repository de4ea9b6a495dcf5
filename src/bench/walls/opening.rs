//! What opening seals adds to folding a log: the same events folded in this process as they are stored,
//! with their seals opened before, and decoded before. Owns these turns.

use super::super::Bench;
use super::super::backlog::Backlog;
use super::super::figure::{Figure, Must};
use super::super::samples::least;
use super::log::{Log, read};
use anyhow::Context as _;
use postroad_log::{Anchor, Keyring, Opened, StoredEvent};
use postroad_projector::ahead::prepared;
use postroad_projector::apply::{Durability, Incoming, Outcome, apply_each};
use postroad_projector::checkpoint::Checkpoint;
use postroad_projector::store::Store;
use postroad_protocol::TenantId;
use postroad_protocol::limits::{APPLY_MAX_EVENTS, ROW_CACHE_BYTES};
use postroad_protocol::subject::{Owner, SYSTEM, Subjects};
use postroad_protocol::tenancy::replay::StoredFor;
use std::borrow::Borrow;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Most that folding sealed events may take, by folding them with their seals opened.
const COST: f64 = 1.10;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, backlog: &Backlog) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("opening", plan.openings + 1);
    bench.progress.says("reading the log");
    let count = plan.opened.min(backlog.ids.len());
    let log = read(&backlog.deployment, count).await?;
    let material = tokio::task::spawn_blocking(move || Material::of(log)).await??;
    let material = Arc::new(material);
    bench.progress.step();
    let (mut sealed, mut opened, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    let mut opening = Vec::new();
    for number in 0..plan.openings {
        bench
            .progress
            .says("folding the same events, sealed and open");
        let place = bench.place(&format!("opening-{number}"));
        std::fs::create_dir(&place)?;
        let turned = Arc::clone(&material);
        let turn = tokio::task::spawn_blocking(move || turned.turn(&place, number)).await??;
        sealed.push(turn[0]);
        opened.push(turn[1]);
        decoded.push(turn[2]);
        let material = Arc::clone(&material);
        opening.push(tokio::task::spawn_blocking(move || material.opening()).await??);
        bench.progress.step();
    }
    let name = format!("{count} events, seals opened before, folding one");
    let of_opened = least(&opened);
    let must = Must::WithinTimes {
        times: COST,
        other: of_opened,
        name: name.clone(),
    };
    let whole = Figure::new(
        format!("{count} events, sealed, folding one"),
        least(&sealed),
        "us",
    );
    bench.add(whole.beside(of_opened).must(&must));
    bench.add(Figure::new(name, of_opened, "us"));
    let name = format!("{count} events, decoded before, folding one");
    bench.add(Figure::new(name, least(&decoded), "us"));
    let name = format!("{count} events, opening one, by itself");
    bench.add(Figure::new(name, least(&opening), "us"));
    bench.explain(
        "sealed: the same events in the same process, in turns, their seals opened before, the quickest turn of each; as in a projector that catches up, \
         what is folded is opened and decoded ahead on another core. By itself: opening and decoding, less decoding, on one",
    );
    Ok(())
}

/// One event in every form from which it is folded.
struct Material {
    shard: u16,
    epoch: u64,
    keyring: Keyring,
    events: Vec<Forms>,
}

struct Forms {
    stored: StoredEvent,
    stored_for: StoredFor,
    plain: Vec<u8>,
    decoded: Incoming,
}

/// A form to fold.
#[derive(Clone, Copy, Debug)]
enum Form {
    Sealed,
    Opened,
    Decoded,
}

impl Form {
    const ALL: [Self; 3] = [Self::Sealed, Self::Opened, Self::Decoded];
}

impl Material {
    fn of(log: Log) -> anyhow::Result<Self> {
        let Log {
            shard,
            epoch,
            keyring,
            events,
        } = log;
        let forms = |stored: StoredEvent| {
            let plain = plain(&keyring, &stored)?;
            let decoded = open(shard, &keyring, &stored).context("an event does not open")?;
            let Outcome::Event { stored_for, .. } = &decoded.outcome else {
                anyhow::bail!("an event holds nothing");
            };
            Ok(Forms {
                stored_for: stored_for.clone(),
                stored,
                plain,
                decoded,
            })
        };
        let events = events
            .into_iter()
            .map(forms)
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            shard,
            epoch,
            keyring,
            events,
        })
    }

    /// Microseconds by event of each form; which one begins, changes with the number of the turn.
    fn turn(&self, place: &Path, number: usize) -> anyhow::Result<[f64; 3]> {
        let mut took = [0.0; 3];
        for step in 0..took.len() {
            let at = (number + step) % took.len();
            let rows = place.join(format!("{at}.redb"));
            took[at] = self.fold(&rows, Form::ALL[at])?;
            std::fs::remove_file(&rows)?;
        }
        Ok(took)
    }

    /// Microseconds that opening an event takes more than decoding what is open, with nothing beside it.
    fn opening(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        for event in &self.events {
            let opened = open(self.shard, &self.keyring, &event.stored);
            black_box(opened.context("an event does not open")?);
        }
        let opened = begun.elapsed();
        let begun = Instant::now();
        for event in &self.events {
            black_box(event.decode().context("an event is not decoded")?);
        }
        let took = opened.saturating_sub(begun.elapsed());
        Ok(took.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.events.len())?))
    }

    fn fold(&self, rows: &Path, form: Form) -> anyhow::Result<f64> {
        match form {
            Form::Sealed => {
                self.fold_each(rows, |event| open(self.shard, &self.keyring, &event.stored))
            }
            Form::Opened => self.fold_each(rows, Forms::decode),
            Form::Decoded => self.fold_each(rows, |event| Some(&event.decoded)),
        }
    }

    /// Folds every event into new rows, in the batches of a projector that catches up, and with what is
    /// made of them ahead of it as there. Nothing waits for the disk: that would hide a part of what
    /// opening costs.
    fn fold_each<'a, I: Borrow<Incoming> + Send>(
        &'a self,
        rows: &Path,
        incoming: impl Fn(&'a Forms) -> Option<I> + Sync,
    ) -> anyhow::Result<f64> {
        let store = Store::open(rows, ROW_CACHE_BYTES)?;
        let mut folded = 0;
        let begun = Instant::now();
        for batch in self.events.chunks(APPLY_MAX_EVENTS) {
            let last = &batch.last().context("a batch is empty")?.stored;
            let anchor = || Checkpoint::from(Anchor::after(self.epoch, last));
            let apply = |batch: &mut dyn Iterator<Item = I>| {
                apply_each(&store, self.epoch, batch, anchor, Durability::Visible)
            };
            folded += prepared(batch, &incoming, apply)?.folded;
        }
        let took = begun.elapsed();
        let events = u32::try_from(self.events.len())?;
        anyhow::ensure!(
            folded == u64::from(events),
            "{folded} of {events} events were folded"
        );
        Ok(took.as_secs_f64() * 1e6 / f64::from(events))
    }
}

impl Forms {
    fn decode(&self) -> Option<Incoming> {
        let head = self.stored.head.as_ref().ok()?;
        let record = head.decode(&self.plain).ok()?;
        Some(Incoming {
            sequence: self.stored.sequence,
            outcome: Outcome::Event {
                stored_for: self.stored_for.clone(),
                record,
            },
        })
    }
}

/// The event as the projector's writer opens it.
fn open(shard: u16, keyring: &Keyring, event: &StoredEvent) -> Option<Incoming> {
    match keyring.open_event(shard, event) {
        Opened::Event { stored_for, record } => Some(Incoming {
            sequence: event.sequence,
            outcome: Outcome::Event { stored_for, record },
        }),
        _ => None,
    }
}

/// The bytes behind the seal.
fn plain(keyring: &Keyring, event: &StoredEvent) -> anyhow::Result<Vec<u8>> {
    let head = event.head.clone()?;
    let subject = Subjects::default();
    let raw = subject
        .parse_event(&event.subject)
        .context("no event of ours")?;
    let tenant = TenantId::parse(raw.tenant);
    let owner = match &tenant {
        Ok(tenant) => Owner::Tenant(tenant),
        Err(_) if raw.tenant == SYSTEM => Owner::System,
        Err(_) => anyhow::bail!("an event is nobody's"),
    };
    let key = keyring
        .current(owner)
        .context("an event's key is not loaded")?;
    Ok(head.open_plain(&event.subject, &key.key, &event.payload)?)
}
