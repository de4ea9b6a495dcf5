//! Messages come into the file: each into every lane that it lies in, in one transaction with how far the
//! file then is.

use super::layout::{
    DOCUMENTS, DOCUMENTS_BLOCK, Document, Documents, LABELS, LANES, LAST, Label, LaneWords,
    POSTINGS, Term, block_key, decode, encode, in_postings, place, unreadable,
};
use crate::read_model::keys::RowKey as _;
use crate::read_model::lanes::Lane;
use crate::read_model::search::Sent;
use crate::side::{SideReader, SideWriter};
use crate::store::StoreError;
use postroad_protocol::channel::{BROADCAST, Channel};
use postroad_protocol::event::EventKey;
use postroad_recall::analyze::{Analysis, analyze};
use postroad_recall::postings;
use std::collections::BTreeMap;

/// A message with its words.
pub(super) struct Analysed {
    sent: Sent,
    analysis: Analysis,
}

impl Analysed {
    /// Takes it apart, which is most of the work and needs no transaction.
    pub(super) fn of(sent: Sent) -> Self {
        let analysis = analyze(&sent.content);
        Self { sent, analysis }
    }
}

/// Adds messages in their order, which follow those that are there.
///
/// # Errors
/// [`StoreError::Unreadable`] when they do not follow: the file is of other rows.
pub(super) fn add(rows: &mut SideWriter<'_, '_>, messages: &[Analysed]) -> Result<(), StoreError> {
    let Some(last) = messages.last() else {
        return Ok(());
    };
    let mut adding = Adding::default();
    for message in messages {
        for (lane, ordinal) in &message.sent.lanes {
            adding.put_in(rows, lane, *ordinal, message)?;
        }
    }
    adding.write_out(rows)?;
    rows.put(LAST, &(), last.sent.key.as_bytes())?;
    rows.set_reached(&(), last.sent.sequence)
}

/// What one transaction changes: each row is read once and written once.
#[derive(Default)]
struct Adding {
    lanes: BTreeMap<Vec<u8>, LaneWords>,
    documents: BTreeMap<Vec<u8>, Documents>,
    postings: BTreeMap<Vec<u8>, Vec<u8>>,
    labels: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Adding {
    fn put_in(
        &mut self,
        rows: &mut SideWriter<'_, '_>,
        lane: &Lane,
        ordinal: Option<u64>,
        message: &Analysed,
    ) -> Result<(), StoreError> {
        let Analysed { sent, analysis } = message;
        let known = held(&mut self.lanes, lane.bytes(), |key| {
            let row = rows.get(LANES, &key)?;
            Ok(decode(row.as_deref(), LANES)?.unwrap_or_default())
        })?;
        let before = *known;
        if ordinal.is_some_and(|ordinal| ordinal != before.count) {
            return Err(unreadable(LANES));
        }
        known.count += 1;
        known.words += u64::from(analysis.length);
        let key = block_key(&lane.bytes(), before.count / DOCUMENTS_BLOCK);
        let block = held(&mut self.documents, key, |key| {
            let row = rows.get(DOCUMENTS, &key)?;
            let fresh = || Documents::behind(before.words);
            Ok(decode(row.as_deref(), DOCUMENTS)?.unwrap_or_else(fresh))
        })?;
        block.push(Document {
            sequence: sent.sequence,
            time: sent.time.0,
            words: analysis.length,
        });
        for (term, count) in &analysis.terms {
            let under = place(lane, &Term(term));
            add_posting(
                rows,
                POSTINGS,
                &mut self.postings,
                &under,
                before.count,
                *count,
            )?;
        }
        let from = Label::From(sent.from.as_str());
        let to: Vec<Label<'_>> = match &sent.channel {
            Channel::Broadcast => vec![Label::To(BROADCAST)],
            Channel::Roles(roles) => roles.iter().map(|role| Label::To(role.as_str())).collect(),
        };
        for label in to.iter().chain([&from]) {
            let under = place(lane, label);
            add_posting(rows, LABELS, &mut self.labels, &under, before.count, 1)?;
        }
        Ok(())
    }

    fn write_out(self, rows: &mut SideWriter<'_, '_>) -> Result<(), StoreError> {
        for (key, row) in &self.lanes {
            rows.put(LANES, &key.as_slice(), &encode(row))?;
        }
        for (key, row) in &self.documents {
            rows.put(DOCUMENTS, &key.as_slice(), &encode(row))?;
        }
        for (table, changed) in [(POSTINGS, &self.postings), (LABELS, &self.labels)] {
            for (key, row) in changed {
                rows.put(table, &key.as_slice(), row)?;
            }
        }
        Ok(())
    }
}

/// What is held at a key, read first where it is not held yet.
fn held<T>(
    rows: &mut BTreeMap<Vec<u8>, T>,
    key: Vec<u8>,
    read: impl FnOnce(&[u8]) -> Result<T, StoreError>,
) -> Result<&mut T, StoreError> {
    use std::collections::btree_map::Entry;
    Ok(match rows.entry(key) {
        Entry::Occupied(there) => there.into_mut(),
        Entry::Vacant(free) => {
            let row = read(free.key())?;
            free.insert(row)
        }
    })
}

fn add_posting(
    rows: &mut SideWriter<'_, '_>,
    table: &'static str,
    changed: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    under: &[u8],
    ordinal: u64,
    count: u32,
) -> Result<(), StoreError> {
    let (block, offset) = in_postings(ordinal);
    let row = held(changed, block_key(under, block), |key| {
        Ok(rows.get(table, &key)?.unwrap_or_default())
    })?;
    *row = postings::set(row, offset, count).map_err(|_| unreadable(table))?;
    Ok(())
}

/// The key of the last message that is in the file.
pub(super) fn last(rows: &SideReader<'_>) -> Result<Option<EventKey>, StoreError> {
    let row = rows.get(LAST, &())?;
    row.map(|row| <[u8; 16]>::try_from(row).map(EventKey::from_bytes))
        .transpose()
        .map_err(|_| unreadable(LAST))
}
