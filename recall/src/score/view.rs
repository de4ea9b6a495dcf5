//! The documents of one partition that count in a search: they are there as of its time, and no newer version of them is.

use std::ops::Range;

use crate::block::{is_set, rank};
use crate::facts::{FACTS_BLOCK_DOCUMENTS, Facts, Tag};
use crate::held::Held;
use crate::score::episodes::Episodes;
use crate::search::AsOf;

/// How many writers are looked at before another is noted down once more.
const WRITERS_AT_A_TIME: usize = 8;

/// The documents that count, side by side: each has a *place*, in order of numbers.
#[derive(Debug)]
pub(crate) struct View {
    /// Of each block of facts, which documents count, and the place of the first.
    spans: Vec<Span>,
    /// The number of each.
    numbers: Vec<u32>,
    /// Words of each.
    pub(crate) lengths: Vec<u32>,
    /// Words of all together.
    pub(crate) words: u64,
    /// Identifiers and paths among them.
    pub(crate) identifiers: u64,
    /// Where they stand.
    pub(crate) episodes: Episodes,
    /// Who wrote them, in order.
    writers: Vec<Tag>,
    /// The places of those that another memory superseded.
    pub(crate) superseded: Vec<u32>,
    /// During which time nothing of it expires, in milliseconds since 1970.
    holds: Range<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    counted: u64,
    first: u32,
}

impl View {
    pub(crate) fn of(held: &Held, now_ms: i64, as_of: Option<AsOf>) -> Self {
        let seen = Seen::at(now_ms, as_of);
        let mut documents = Vec::new();
        let mut view = Self {
            spans: Vec::new(),
            numbers: Vec::new(),
            lengths: Vec::new(),
            words: 0,
            identifiers: 0,
            episodes: Episodes::default(),
            writers: Vec::new(),
            superseded: Vec::new(),
            holds: i64::MIN..i64::MAX,
        };
        for (first, block) in held.blocks() {
            let mut span = Span {
                counted: 0,
                first: view.place_of_next(),
            };
            let places = (0..FACTS_BLOCK_DOCUMENTS).filter(|at| is_set(block.present, *at));
            for (at, facts) in places.zip(&block.facts) {
                view.bound(facts, seen.at_ms);
                if seen.counts(held, facts) {
                    span.counted |= 1 << at;
                    view.take(first + at, facts);
                    documents.push(facts);
                }
            }
            view.spans
                .resize((first / FACTS_BLOCK_DOCUMENTS) as usize, Span::default());
            view.spans.push(span);
        }
        view.writers.sort_unstable();
        view.writers.dedup();
        view.writers.shrink_to_fit();
        view.episodes = Episodes::of(&documents);
        view
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the document at a place.
    pub(crate) fn number(&self, place: u32) -> u32 {
        self.numbers[place as usize]
    }

    /// Where a document stands, if it counts.
    pub(crate) fn place(&self, number: u32) -> Option<u32> {
        let span = self.spans.get((number / FACTS_BLOCK_DOCUMENTS) as usize)?;
        let at = number % FACTS_BLOCK_DOCUMENTS;
        let before = || u32::try_from(rank(span.counted, at)).expect("at most 64");
        is_set(span.counted, at).then(|| span.first + before())
    }

    /// Whether somebody wrote one of the documents.
    pub(crate) fn has_writer(&self, writer: Tag) -> bool {
        self.writers.binary_search(&writer).is_ok()
    }

    /// Whether the same documents count at a time, where they are asked for as they are then.
    pub(crate) fn holds_at(&self, now_ms: i64) -> bool {
        self.holds.contains(&now_ms)
    }

    fn place_of_next(&self) -> u32 {
        u32::try_from(self.numbers.len()).expect("fewer documents than numbers")
    }

    fn take(&mut self, number: u32, facts: &Facts) {
        if facts.successor.is_some() {
            self.superseded.push(self.place_of_next());
        }
        self.numbers.push(number);
        self.lengths.push(facts.length);
        self.words += u64::from(facts.length);
        self.identifiers += u64::from(facts.identifiers);
        // Few write at a time.
        let mut lately = self.writers.iter().rev().take(WRITERS_AT_A_TIME);
        if facts.writer != Tag::NONE && lately.all(|writer| *writer != facts.writer) {
            self.writers.push(facts.writer);
        }
    }

    fn bound(&mut self, facts: &Facts, at_ms: i64) {
        let expires_ms = facts.expires_ms;
        if expires_ms == 0 {
        } else if expires_ms <= at_ms {
            self.holds.start = self.holds.start.max(expires_ms);
        } else {
            self.holds.end = self.holds.end.min(expires_ms);
        }
    }
}

/// What a search sees of the log.
struct Seen {
    as_of: Option<AsOf>,
    /// When it looks whether something has expired.
    at_ms: i64,
}

impl Seen {
    fn at(now_ms: i64, as_of: Option<AsOf>) -> Self {
        let at_ms = match as_of {
            Some(AsOf::Time(at_ms)) => at_ms,
            None | Some(AsOf::Sequence(_)) => now_ms,
        };
        Self { as_of, at_ms }
    }

    fn is_stored(&self, facts: &Facts) -> bool {
        match self.as_of {
            None => true,
            Some(AsOf::Time(at_ms)) => facts.stored_ms <= at_ms,
            Some(AsOf::Sequence(sequence)) => facts.sequence <= sequence,
        }
    }

    /// A version that has expired hides the one before all the same: what it said is over.
    fn counts(&self, held: &Held, facts: &Facts) -> bool {
        let newer = || facts.newer.and_then(|number| held.facts(number));
        self.is_stored(facts)
            && (facts.expires_ms == 0 || facts.expires_ms > self.at_ms)
            && !newer().is_some_and(|newer| self.is_stored(newer))
    }
}
