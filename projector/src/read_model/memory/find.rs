//! Recall: namespaces of one or more owners searched as one. What is not reached is neither read nor counted.

use super::index::IndexReader;
use super::reach::Reach;
use super::read::{Asking, MemoryReader};
use super::rows::VersionAt;
use crate::read_model::table::Table;
use crate::store::StoreError;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{RECALL_LOOKUPS_MAX, RECALL_WORDS_MIN};
use postroad_protocol::memory::Namespace;
use postroad_protocol::query::{self, AsOf, Recall, Why};
use postroad_recall::analyze::analyze_query;
use postroad_recall::facts::Tag;
use postroad_recall::held::Held;
use postroad_recall::search::{self, Answer, Ask, Filter, Hit, Partition, search};
use postroad_recall::vector::Vector;
use std::sync::Arc;

/// One namespace that is searched.
pub(crate) struct Searched<'r, 's> {
    reader: &'r MemoryReader<'r, 's>,
    rows: IndexReader<'r>,
    held: Arc<Held>,
}

impl<'s> MemoryReader<'_, 's> {
    /// The namespaces within `reach` to be searched; `look` gives what is held in memory of each.
    pub(crate) fn searched<'r>(
        &'r self,
        reach: &Reach,
        look: impl Fn(&Namespace, &IndexReader<'_>) -> Result<Arc<Held>, StoreError>,
    ) -> Result<Vec<Searched<'r, 's>>, StoreError> {
        let mut searched = Vec::new();
        for namespace in reach.namespaces(self.rows)? {
            let table = self.rows.raw(Table::MemoryIndex)?;
            let rows = IndexReader::new(table, self.rows.prefix(), &namespace);
            let held = look(&namespace, &rows)?;
            searched.push(Searched {
                reader: self,
                rows,
                held,
            });
        }
        Ok(searched)
    }
}

/// What a recall found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The best first, each with its score.
    pub(crate) results: Vec<query::Memory>,
    /// Which of `searched` each is of.
    pub(crate) of: Vec<usize>,
    /// Memories that matched.
    pub(crate) matched: usize,
    /// Memories that await their vector.
    pub(crate) awaiting: usize,
    /// Whether results were left out for their size.
    pub(crate) truncated: bool,
}

/// Searches `searched` as one, and shows at most `max_bytes` of content; the best in any case.
///
/// # Errors
/// When the rows do not read.
pub(crate) fn recall(
    searched: &[Searched<'_, '_>],
    wanted: &Recall,
    vector: Option<&Vector>,
    now: TimeMs,
    max_bytes: usize,
) -> Result<Found, StoreError> {
    let partitions: Vec<_> = searched
        .iter()
        .map(|one| Partition {
            rows: &one.rows,
            held: &one.held,
        })
        .collect();
    let mut terms = analyze_query(&wanted.query);
    // A long query in very many namespaces must not keep a processor busy for seconds.
    terms.shorten((RECALL_LOOKUPS_MAX / partitions.len().max(1)).max(RECALL_WORDS_MIN));
    let filter = Filter {
        kinds: wanted
            .kind
            .iter()
            .map(|kind| Tag::of(kind.as_str()))
            .collect(),
        writers: wanted
            .created_by
            .iter()
            .map(|author| Tag::of_writer(author))
            .collect(),
        since_ms: wanted.since.map(ms),
        until_ms: wanted.until.map(ms),
        ..Filter::default()
    };
    let ask = Ask {
        query: &terms,
        vector,
        filter: &filter,
        now_ms: ms(now),
        as_of: wanted.as_of.map(|as_of| match as_of {
            AsOf::Time(at) => search::AsOf::Time(ms(at)),
            AsOf::Sequence(at) => search::AsOf::Sequence(at),
        }),
        limit: wanted.limit,
    };
    let answer = search(&partitions, &ask)?;
    show(
        searched,
        &answer,
        Asking {
            now,
            as_of: wanted.as_of,
        },
        max_bytes,
    )
}

fn show(
    searched: &[Searched<'_, '_>],
    answer: &Answer,
    asking: Asking,
    max_bytes: usize,
) -> Result<Found, StoreError> {
    let mut found = Found {
        results: Vec::new(),
        of: Vec::new(),
        matched: answer.matched,
        awaiting: answer.awaiting,
        truncated: false,
    };
    let mut bytes = 0;
    for hit in &answer.hits {
        let reader = searched[hit.partition].reader;
        let version = VersionAt {
            number: hit.number,
            sequence: hit.facts.sequence,
        };
        let text = reader.text(version)?;
        bytes += text.content.len();
        if bytes > max_bytes && !found.results.is_empty() {
            found.truncated = true;
            break;
        }
        let id = text.memory();
        let row = reader.memory(id)?;
        let mut memory = reader.shown(id, &row, text, asking)?;
        memory.score = Some(hit.score);
        memory.why = Some(why(hit));
        found.results.push(memory);
        found.of.push(hit.partition);
    }
    Ok(found)
}

fn why(hit: &Hit) -> Why {
    Why {
        words: hit.parts.words,
        meaning: hit.parts.meaning,
        neighbours: hit.parts.neighbours,
        episode: hit.parts.episode,
        author: hit.parts.author,
        chain: hit.parts.chain,
    }
}

fn ms(time: TimeMs) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
