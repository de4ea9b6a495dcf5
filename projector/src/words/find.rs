//! Messages are found: BM25 over the parts of lanes that a caller may see. Reads the rows of those lanes and
//! no other; what it costs depends on what holds the words, and not on how much else there is.

use super::layout::{
    DOCUMENTS, DOCUMENTS_BLOCK, Document, Documents, LABELS, LANES, Label, LaneWords, POSTINGS,
    POSTINGS_BLOCK, Term, block_key, block_of, decode, place,
};
use crate::read_model::keys::RowKey as _;
use crate::read_model::lanes::Lane;
use crate::side::SideReader;
use crate::store::StoreError;
use postroad_protocol::channel::BROADCAST;
use postroad_protocol::id::Role;
use postroad_protocol::query::{ChannelFilter, SearchMessages};
use postroad_recall::postings;
use std::ops::ControlFlow;

/// The index cannot be used: it does not read, or says what the rows do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

impl From<StoreError> for Unfit {
    fn from(_: StoreError) -> Self {
        Self
    }
}

impl From<postroad_recall::Damaged> for Unfit {
    fn from(_: postroad_recall::Damaged) -> Self {
        Self
    }
}

/// The part of a lane that a caller may see and that is in the index.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) lane: Lane,
    /// Its first ordinal.
    pub(crate) low: u64,
    /// Behind its last.
    pub(crate) high: u64,
    /// The role whose messages are left out, since another part has them.
    pub(crate) without: Option<Role>,
}

/// What statistics are made of: how much is searched, and how much of it holds each term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) messages: u64,
    pub(crate) words: u64,
    /// By place of the term in the query.
    pub(crate) with: Vec<u64>,
}

impl Counted {
    pub(crate) fn none(terms: usize) -> Self {
        Self {
            messages: 0,
            words: 0,
            with: vec![0; terms],
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.words += other.words;
        for (with, more) in self.with.iter_mut().zip(&other.with) {
            *with += more;
        }
    }
}

/// How many messages of `lane` the index holds.
pub(crate) fn indexed(rows: &SideReader<'_>, lane: &Lane) -> Result<u64, Unfit> {
    Ok(lane_words(rows, lane)?.count)
}

fn lane_words(rows: &SideReader<'_>, lane: &Lane) -> Result<LaneWords, Unfit> {
    let row = rows.get(LANES, &lane.bytes().as_slice())?;
    Ok(decode(row.as_deref(), LANES)?.unwrap_or_default())
}

/// Blocks of postings that touch a part, in order of block and term.
pub(crate) struct Matching {
    blocks: Vec<(u64, usize, Vec<u8>)>,
}

/// Reads what a part has of the terms, and counts it.
pub(crate) fn collect(
    rows: &SideReader<'_>,
    part: &Part,
    terms: &[(String, u32)],
) -> Result<(Matching, Counted), Unfit> {
    let mut counted = Counted::none(terms.len());
    let mut blocks = Vec::new();
    if part.low >= part.high {
        return Ok((Matching { blocks }, counted));
    }
    counted.messages = part.high - part.low;
    counted.words = words_before(rows, &part.lane, part.high)?
        .saturating_sub(words_before(rows, &part.lane, part.low)?);
    let (first, last) = (part.low / POSTINGS_BLOCK, (part.high - 1) / POSTINGS_BLOCK);
    for (at, (term, _)) in terms.iter().enumerate() {
        let under = place(&part.lane, &Term(term));
        let before = first.checked_sub(1).map(|block| block_key(&under, block));
        let mut failed = None;
        rows.scan(
            POSTINGS,
            &under.as_slice(),
            before.as_deref(),
            |key, block| match block_of(key) {
                Ok(number) if number <= last => {
                    blocks.push((number, at, block.to_vec()));
                    ControlFlow::Continue(())
                }
                Ok(_) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    for (number, at, block) in &blocks {
        let with = &mut counted.with[*at];
        each_ordinal(*number, block, |ordinal, _| {
            *with += u64::from((part.low..part.high).contains(&ordinal));
        })?;
    }
    blocks.sort_unstable_by_key(|(number, at, _)| (*number, *at));
    Ok((Matching { blocks }, counted))
}

fn each_ordinal(number: u64, block: &[u8], mut visit: impl FnMut(u64, u32)) -> Result<(), Unfit> {
    let first = number.checked_mul(POSTINGS_BLOCK).ok_or(Unfit)?;
    postings::each(block, |posting| {
        visit(first + u64::from(posting.offset), posting.count);
    })?;
    Ok(())
}

/// Words in the messages of a lane before `ordinal`.
fn words_before(rows: &SideReader<'_>, lane: &Lane, ordinal: u64) -> Result<u64, Unfit> {
    if ordinal == 0 {
        return Ok(0);
    }
    let known = lane_words(rows, lane)?;
    if ordinal == known.count {
        return Ok(known.words);
    }
    let place = usize::try_from(ordinal % DOCUMENTS_BLOCK).map_err(|_| Unfit)?;
    let block = documents(rows, lane, ordinal / DOCUMENTS_BLOCK)?;
    Ok(block.words_until(place))
}

fn documents(rows: &SideReader<'_>, lane: &Lane, block: u64) -> Result<Documents, Unfit> {
    let key = block_key(&lane.bytes(), block);
    let row = rows.get(DOCUMENTS, &key.as_slice())?;
    decode(row.as_deref(), DOCUMENTS)?.ok_or(Unfit)
}

/// Words a message, on average, below which a history is one of short notes.
const SHORT: f64 = 24.0;

/// BM25 of one question over what was counted. The sum over terms goes in the order of the query, so a
/// message has one score to the last bit, wherever it is read from.
#[derive(Debug)]
pub(crate) struct Scoring {
    /// What each term weighs.
    weights: Vec<f64>,
    k1: f64,
    b: f64,
    mean: f64,
}

impl Scoring {
    pub(crate) fn of(terms: &[(String, u32)], counted: &Counted) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let number = |count: u64| count as f64;
        let all = number(counted.messages);
        let mean = if counted.words > 0 {
            number(counted.words) / all
        } else {
            1.0
        };
        // As recall weighs short and long memories: measured there.
        let (k1, b) = if mean < SHORT {
            (0.9, 0.4)
        } else {
            (1.2, 0.75)
        };
        let weight = |(said, with): (u32, u64)| {
            let with = number(with);
            let rarity = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            f64::from(said) * rarity * (k1 + 1.0)
        };
        let said = terms.iter().map(|(_, said)| *said);
        let weights = said.zip(counted.with.iter().copied()).map(weight).collect();
        Self {
            weights,
            k1,
            b,
            mean,
        }
    }

    /// What a message of `words` words gains by holding a term `count` times.
    pub(crate) fn term(&self, at: usize, count: u32, words: u32) -> f64 {
        let norm = self.k1 * (1.0 - self.b + self.b * f64::from(words) / self.mean);
        let count = f64::from(count);
        self.weights[at] * count / (count + norm)
    }
}

/// Shows every message of a part that holds a term and fits `wanted`: its ordinal, its sequence, its score.
pub(crate) fn each_match(
    rows: &SideReader<'_>,
    part: &Part,
    matching: &Matching,
    scoring: &Scoring,
    wanted: &SearchMessages,
    mut visit: impl FnMut(u64, u64, f64),
) -> Result<(), Unfit> {
    let mut held: Option<(u64, Vec<Document>)> = None;
    for same in matching.blocks.chunk_by(|one, other| one.0 == other.0) {
        let number = same[0].0;
        let fitting = Fitting::load(rows, part, number, wanted)?;
        let mut counts: Vec<(u64, usize, u32)> = Vec::new();
        for (_, at, block) in same {
            each_ordinal(number, block, |ordinal, count| {
                if (part.low..part.high).contains(&ordinal) && fitting.takes(ordinal) {
                    counts.push((ordinal, *at, count));
                }
            })?;
        }
        counts.sort_unstable();
        for of_one in counts.chunk_by(|one, other| one.0 == other.0) {
            let ordinal = of_one[0].0;
            let block = ordinal / DOCUMENTS_BLOCK;
            if held.as_ref().is_none_or(|(number, _)| *number != block) {
                let read = documents(rows, &part.lane, block)?;
                held = Some((block, read.documents().collect()));
            }
            let place = usize::try_from(ordinal % DOCUMENTS_BLOCK).map_err(|_| Unfit)?;
            let read = held.as_ref().and_then(|(_, read)| read.get(place));
            let document = *read.ok_or(Unfit)?;
            let in_time = wanted.since.is_none_or(|since| document.time >= since.0)
                && wanted.until.is_none_or(|until| document.time < until.0);
            if in_time {
                let gains = of_one
                    .iter()
                    .map(|(_, at, count)| scoring.term(*at, *count, document.words));
                visit(ordinal, document.sequence, gains.sum());
            }
        }
    }
    Ok(())
}

/// Which messages of one block fit by their labels.
struct Fitting {
    /// Those that must be in each of these.
    within: Vec<Set>,
    without: Option<Set>,
}

type Set = [u64; (POSTINGS_BLOCK / 64) as usize];

impl Fitting {
    fn load(
        rows: &SideReader<'_>,
        part: &Part,
        number: u64,
        wanted: &SearchMessages,
    ) -> Result<Self, Unfit> {
        let set = |label: Label<'_>| labelled(rows, &part.lane, label, number);
        let from = wanted
            .sender
            .as_ref()
            .map(|role| Label::From(role.as_str()));
        let to = wanted.channel.as_ref().map(|channel| {
            Label::To(match channel {
                ChannelFilter::Broadcast => BROADCAST,
                ChannelFilter::Role(role) => role.as_str(),
            })
        });
        let within = from.into_iter().chain(to).map(set);
        let without = part.without.as_ref();
        Ok(Self {
            within: within.collect::<Result<_, _>>()?,
            without: without
                .map(|role| set(Label::From(role.as_str())))
                .transpose()?,
        })
    }

    fn takes(&self, ordinal: u64) -> bool {
        let place = ordinal % POSTINGS_BLOCK;
        let holds = |set: &Set| {
            let word = usize::try_from(place / 64).unwrap_or(0);
            set[word] & (1 << (place % 64)) != 0
        };
        self.within.iter().all(holds) && !self.without.as_ref().is_some_and(holds)
    }
}

fn labelled(
    rows: &SideReader<'_>,
    lane: &Lane,
    label: Label<'_>,
    number: u64,
) -> Result<Set, Unfit> {
    let mut set = Set::default();
    let key = block_key(&place(lane, &label), number);
    if let Some(block) = rows.get(LABELS, &key.as_slice())? {
        postings::each(&block, |posting| {
            let word = usize::try_from(posting.offset / 64).unwrap_or(0);
            set[word] |= 1 << (posting.offset % 64);
        })?;
    }
    Ok(set)
}
