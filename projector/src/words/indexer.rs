//! The work behind the rows, for as long as the projector runs: one owner after the other, some messages at
//! a time, so that nobody waits for another's long history. Reads rows that are applied, and writes the file
//! in small transactions, each with how far it came: a process that dies does a step again, or not at all.

use super::fill::{self, Analysed};
use super::{Words, Work, lock};
use crate::apply::Durability;
use crate::hosts::Host;
use crate::pipeline::with_causes;
use crate::progress::State;
use crate::read_model::keys::Prefix;
use crate::read_model::search::Sent;
use crate::side::{SideError, SideFile, Tenure};
use crate::store::{Snapshot, Store, StoreError, TenantReader};
use postroad_protocol::limits::{WORDS_CHUNK_BYTES, WORDS_CHUNK_MESSAGES, WORDS_YIELD_MS};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a step may wait to become durable. A crash does it again.
const DURABLE_EVERY: Duration = Duration::from_secs(1);
/// Pause after the file or the rows failed; who keeps them is about to open or replace them.
const RETRY: Duration = Duration::from_secs(1);

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    File(#[from] SideError),
    #[error("the rows do not read")]
    Rows(#[source] StoreError),
}

/// What a step came to.
enum Step {
    /// These have messages that are not indexed.
    Found(Vec<Prefix>),
    /// Nothing is left of this owner's.
    Done,
    /// More is left.
    More(Prefix),
}

impl Words {
    /// Indexes what the rows of `host` hold and will hold, until `stop`; then makes it durable.
    pub(crate) async fn run(self: Arc<Self>, host: Arc<Host>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work(&host) => {}
            () = self.watch_file() => {}
        }
        self.make_durable().await;
    }

    /// Has everybody looked at whenever the file was opened again: it may lack what it held.
    async fn watch_file(&self) {
        let mut opened = self.file.opened();
        while opened.changed().await.is_ok() {
            self.look_at_everybody();
        }
    }

    async fn work(self: &Arc<Self>, host: &Arc<Host>) {
        // Rows may have been made durable later than the index was: what both hold agrees once the rows have
        // caught up.
        let settled =
            |now: &crate::progress::Progress| now.is_damaged() || now.state == State::Following;
        let mut watching = host.watch().subscribe();
        // The sender lives as long as the host.
        let _ = watching.wait_for(settled).await;
        self.look_at_everybody();
        let mut durable_at = Instant::now();
        let mut is_durable = true;
        loop {
            let Some(work) = self.take_next() else {
                if is_durable {
                    self.wake.notified().await;
                } else {
                    let due = tokio::time::sleep_until((durable_at + DURABLE_EVERY).into());
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = due => {
                            self.make_durable().await;
                            (is_durable, durable_at) = (true, Instant::now());
                        }
                    }
                }
                continue;
            };
            self.let_rows_go_first().await;
            let durability = if durable_at.elapsed() >= DURABLE_EVERY {
                (is_durable, durable_at) = (true, Instant::now());
                Durability::Durable
            } else {
                is_durable = false;
                Durability::Visible
            };
            let (this, host) = (Arc::clone(self), Arc::clone(host));
            let step = tokio::task::spawn_blocking(move || this.step(&host, work, durability));
            match step.await {
                Ok(Ok(step)) => self.did(step),
                Ok(Err(error)) => {
                    let problem = with_causes(&error);
                    tracing::warn!(shard = self.shard, problem, "the index of words waits");
                    self.did(Step::Done);
                    self.look_at_everybody();
                    tokio::time::sleep(RETRY).await;
                }
                // The process is ending.
                Err(_) => return,
            }
        }
    }

    fn take_next(&self) -> Option<Work> {
        lock(&self.waiting).next()
    }

    fn did(&self, step: Step) {
        let mut waiting = lock(&self.waiting);
        waiting.at_work = None;
        match step {
            Step::Found(owners) => {
                for owner in owners {
                    waiting.add(owner);
                }
            }
            Step::More(owner) => waiting.add(owner),
            Step::Done => {}
        }
        drop(waiting);
        self.steps.send_modify(|steps| *steps += 1);
    }

    /// Waits while the rows have much to do, and no longer than a bound.
    async fn let_rows_go_first(&self) {
        let end = Instant::now() + Duration::from_millis(WORDS_YIELD_MS);
        loop {
            let until = *lock(&self.pressed);
            let now = Instant::now();
            let Some(until) = until.filter(|until| *until > now && end > now) else {
                return;
            };
            tokio::time::sleep_until(until.min(end).into()).await;
        }
    }

    async fn make_durable(self: &Arc<Self>) {
        let file = Arc::clone(&self.file);
        let write = move || file.write(Durability::Durable, |_| Ok(()));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            // Nothing is lost: what is missing is indexed again.
            tracing::debug!(shard = self.shard, %error, "the index of words was not made durable");
        }
    }

    fn step(&self, host: &Host, work: Work, durability: Durability) -> Result<Step, StepError> {
        let store = host.store();
        let stepped = match work {
            Work::Everybody => self.look(&store),
            Work::Of(owner) => self.index(&store, owner, durability),
        };
        if let Err(StepError::Rows(error)) = &stepped {
            host.did_not_read(&store, error);
        }
        stepped
    }

    /// Compares what is here with the rows, and says who has messages that are not indexed. An index that the
    /// rows do not bear out is thrown away.
    fn look(&self, store: &Store) -> Result<Step, StepError> {
        let rows = store.snapshot().map_err(StepError::Rows)?;
        let words = self.file.snapshot()?;
        let mut found = Vec::new();
        for owner in rows.owners().map_err(StepError::Rows)? {
            let Some((tenure, rows)) = self.of(&rows, &owner).map_err(StepError::Rows)? else {
                continue;
            };
            let here = words.reader(&tenure);
            let come_to = here.reached(&()).map_err(SideError::from)?;
            let last = fill::last(&here).map_err(SideError::from)?;
            let in_rows = rows.key_at(come_to).map_err(StepError::Rows)?;
            if come_to > 0 && last != in_rows {
                tracing::warn!(
                    shard = self.shard,
                    "the index of words is of other rows and made anew"
                );
                self.file.make_anew();
                return Ok(Step::Done);
            }
            if rows.has_sent_after(come_to).map_err(StepError::Rows)? {
                found.push(owner);
            }
        }
        Ok(Step::Found(found))
    }

    /// Indexes some of an owner's messages.
    fn index(
        &self,
        store: &Store,
        owner: Prefix,
        durability: Durability,
    ) -> Result<Step, StepError> {
        let rows = store.snapshot().map_err(StepError::Rows)?;
        let Some((tenure, reader)) = self.of(&rows, &owner).map_err(StepError::Rows)? else {
            return Ok(Step::Done);
        };
        let is_full = index_some(&self.file, &tenure, &reader, durability)?;
        Ok(if is_full {
            Step::More(owner)
        } else {
            Step::Done
        })
    }

    /// The owner's rows, and whose they are; none where they are not those of the name's present bearer.
    fn of<'r>(
        &self,
        rows: &'r Snapshot,
        owner: &Prefix,
    ) -> Result<Option<(Tenure, TenantReader<'r>)>, StoreError> {
        let Some(tenure) = Tenure::of_rows(owner, self.shard, &self.keyring) else {
            return Ok(None);
        };
        let reader = TenantReader::new(rows, owner.clone());
        let created = reader.created_as()?;
        let is_former = created.is_some_and(|generation| generation < tenure.generation());
        Ok((!is_former).then_some((tenure, reader)))
    }
}

/// Indexes the next messages of one tenure; whether there may be more.
pub(super) fn index_some(
    file: &Arc<SideFile>,
    tenure: &Tenure,
    rows: &TenantReader<'_>,
    durability: Durability,
) -> Result<bool, StepError> {
    let come_to = file.snapshot()?.reader(tenure).reached(&());
    let come_to = come_to.map_err(SideError::from)?;
    let sent: Vec<Sent> = rows
        .sent_after(come_to, WORDS_CHUNK_MESSAGES, WORDS_CHUNK_BYTES)
        .map_err(StepError::Rows)?;
    let bytes = sent.iter().map(|one| one.content.len()).sum::<usize>();
    let is_full = sent.len() >= WORDS_CHUNK_MESSAGES || bytes >= WORDS_CHUNK_BYTES;
    let messages: Vec<Analysed> = sent.into_iter().map(Analysed::of).collect();
    file.write(durability, |batch| {
        // It ended meanwhile, or the file was made anew.
        let Some(mut rows) = batch.writer(tenure) else {
            return Ok(());
        };
        if rows.reached(&())? != come_to {
            return Ok(());
        }
        fill::add(&mut rows, &messages)
    })?;
    Ok(is_full)
}
