//! A partition that lives through events: once as rows, once as a list of what is known.

use std::collections::BTreeMap;

use postroad_recall::facts::ContentHash;
use postroad_recall::held::Held;
use postroad_recall::index::{Document, Succession, add, remove, set_successor};
use postroad_recall::rows::MemoryRows;
use postroad_recall::vector::{DIMENSIONS, Embedding, Vector};
use proptest::sample::Index;

use crate::oracle::Known;

pub(crate) const MINUTE: i64 = 60_000;
const WHOLE: &str = "the rows are whole";
/// Far apart, so that few documents reach several blocks of facts and of postings.
const NUMBERS_APART: u32 = 23;

/// One event.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Stored(Text),
    /// A new version of a memory.
    Updated(Index, Text),
    /// A new memory that supersedes another.
    Superseded(Index, Text),
    /// All versions of a memory go.
    Forgotten(Index),
    /// The model comes on, past so many events.
    Embedded(u64),
    /// What is held is brought up to now.
    Refreshed,
}

#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) content: String,
    pub(crate) writer: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) episode: Option<&'static str>,
    pub(crate) minutes: i64,
    pub(crate) lasts: Option<i64>,
}

/// What an index holds, once as rows and once as a list.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) rows: MemoryRows,
    pub(crate) known: Vec<Known>,
    pub(crate) vectors: BTreeMap<ContentHash, Embedding>,
    pub(crate) embedded_to: u64,
    pub(crate) sequence: u64,
    numbers: u32,
}

impl World {
    pub(crate) fn happen(&mut self, event: &Event) {
        self.sequence += 1;
        match event {
            Event::Stored(text) => {
                self.store(text);
            }
            Event::Updated(which, text) => self.succeed(*which, text, Succession::Version),
            Event::Superseded(which, text) => self.succeed(*which, text, Succession::Memory),
            Event::Forgotten(which) => {
                if let Some(newest) = self.newest(*which) {
                    self.forget(newest);
                }
            }
            Event::Embedded(events) => {
                let to = self.sequence.min(self.embedded_to + events);
                for known in &mut self.known {
                    if (self.embedded_to + 1..=to).contains(&known.sequence) {
                        known.vectors = embedding(&known.content);
                        if let Some(vectors) = known.vectors.clone() {
                            self.vectors
                                .insert(ContentHash::of(&known.content), vectors);
                        }
                    }
                }
                self.embedded_to = to;
            }
            Event::Refreshed => {}
        }
    }

    fn store(&mut self, text: &Text) -> u32 {
        let number = self.numbers;
        self.numbers += NUMBERS_APART;
        let occurred_ms = text.minutes * MINUTE;
        let stored_ms = time_of(self.sequence);
        let known = Known {
            number,
            content: text.content.clone(),
            writer: text.writer,
            kind: text.kind,
            episode: text.episode,
            occurred_ms,
            stored_ms,
            expires_ms: text.lasts.map(|minutes| stored_ms + minutes * MINUTE),
            sequence: self.sequence,
            successor: None,
            newer: None,
            vectors: None,
        };
        let document = Document {
            content: &known.content,
            writer: known.writer,
            kind: known.kind,
            episode: known.episode,
            occurred_ms,
            stored_ms,
            expires_ms: known.expires_ms,
            sequence: known.sequence,
        };
        add(&mut self.rows, number, &document, self.sequence).expect(WHOLE);
        self.known.push(known);
        number
    }

    fn succeed(&mut self, which: Index, text: &Text, succession: Succession) {
        let before = self.newest(which);
        let number = self.store(text);
        let Some(before) = before else { return };
        let known = &mut self.known[before];
        match succession {
            Succession::Version => known.newer = Some(number),
            Succession::Memory => known.successor = Some(number),
        }
        let before = known.number;
        set_successor(
            &mut self.rows,
            before,
            succession,
            Some(number),
            self.sequence,
        )
        .expect(WHOLE);
    }

    /// Some memory's newest version.
    fn newest(&self, which: Index) -> Option<usize> {
        let newest: Vec<usize> = (0..self.known.len())
            .filter(|at| self.known[*at].newer.is_none())
            .collect();
        (!newest.is_empty()).then(|| newest[which.index(newest.len())])
    }

    pub(crate) fn forget(&mut self, newest: usize) {
        let mut gone = Some(self.known[newest].number);
        while let Some(number) = gone {
            let at = self
                .known
                .iter()
                .position(|one| one.number == number)
                .expect("it is known");
            let known = self.known.remove(at);
            remove(&mut self.rows, number, &known.content, self.sequence).expect(WHOLE);
            let before = self.known.iter().find(|one| one.newer == Some(number));
            gone = before.map(|one| one.number);
        }
    }

    pub(crate) fn load(&self) -> Held {
        Held::load(&self.rows, Some(&self.vectors), self.embedded_to).expect(WHOLE)
    }
}

/// When an event happens.
pub(crate) fn time_of(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("few events") * MINUTE
}

/// What a model might make of a text: one chunk a few words; of some texts nothing, since it fails.
pub(crate) fn embedding(content: &str) -> Option<Embedding> {
    if content.contains("openFile openFile") {
        return None;
    }
    let words: Vec<&str> = content.split_whitespace().collect();
    let chunk = |words: &[&str]| {
        let mut values = [0.01_f32; DIMENSIONS];
        for word in words {
            let at = usize::from(ContentHash::of(word).0[0]);
            values[at] += 1.0;
        }
        Vector::quantize(&values)
    };
    let mut chunks: Vec<Vector> = words.chunks(3).map(chunk).collect();
    if chunks.is_empty() {
        chunks.push(chunk(&[]));
    }
    Some(Embedding(chunks))
}
