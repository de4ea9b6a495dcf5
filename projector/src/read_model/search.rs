//! Messages by their words: which parts of which lanes a caller may see, what of them the index of words does
//! not hold yet, and the messages that were found. How words are matched is [`crate::words`]'s.

use super::history::{HistoryLane, fits};
use super::keys::Prefix;
use super::lanes::{Lane, LaneView};
use super::marks::Via;
use super::messages::MessageRow;
use super::readers::{LaneState, ReaderRow};
use super::table::{Row as _, Table, TenantReader};
use super::tenants::TenantRow;
use crate::side::SideReader;
use crate::store::{Snapshot, StoreError};
use crate::words::find::{Counted, Matching, Part, Scoring, Unfit, collect, each_match, indexed};
use postroad_protocol::channel::Channel;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{Reader, Role, TimeMs};
use postroad_protocol::limits::{ANSWER_MAX_BYTES, SEARCH_TAIL_MAX, SEARCH_TAIL_MAX_BYTES};
use postroad_protocol::query::{FoundMessage, ListMessages, Page, SearchMessages};
use postroad_recall::analyze::{Analysis, analyze, analyze_query};
use redb::ReadableTable as _;

/// A message as the index of words takes it in.
pub(crate) struct Sent {
    pub(crate) sequence: u64,
    pub(crate) key: EventKey,
    pub(crate) time: TimeMs,
    pub(crate) from: Role,
    pub(crate) channel: Channel,
    pub(crate) content: String,
    /// Where it lies, and with which ordinal; none in the lane of what its sender sent.
    pub(crate) lanes: Vec<(Lane, Option<u64>)>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) messages: Vec<FoundMessage>,
    pub(crate) matched: u64,
    /// Whether messages were left out for their size.
    pub(crate) truncated: bool,
    /// Messages that were not searched.
    pub(crate) unsearched: u64,
}

/// Why a search came to nothing.
#[derive(Debug)]
pub(crate) enum SearchError {
    Rows(StoreError),
    /// The index of words cannot be used; without it the search can.
    Index,
}

impl From<StoreError> for SearchError {
    fn from(error: StoreError) -> Self {
        Self::Rows(error)
    }
}

impl From<Unfit> for SearchError {
    fn from(_: Unfit) -> Self {
        Self::Index
    }
}

/// Where a message that matches was found, and how well it does.
struct Hit {
    score: f64,
    sequence: u64,
    /// In which part and with which ordinal, when the index says so.
    said: Option<(usize, u64)>,
}

/// The best hits, gathered without keeping all.
struct Best {
    hits: Vec<Hit>,
    limit: usize,
    matched: u64,
}

impl Best {
    fn of(limit: usize) -> Self {
        Self {
            hits: Vec::new(),
            limit,
            matched: 0,
        }
    }

    fn add(&mut self, hit: Hit) {
        self.matched += 1;
        self.hits.push(hit);
        if self.hits.len() > 4 * self.limit + 1_000 {
            self.cut();
        }
    }

    /// The best first, of equal ones the newest.
    fn cut(&mut self) {
        self.hits.sort_unstable_by(|one, other| {
            let newest = other.sequence.cmp(&one.sequence);
            other.score.total_cmp(&one.score).then(newest)
        });
        self.hits.truncate(self.limit);
    }
}

/// A message that the index does not hold yet.
struct Unindexed {
    sequence: u64,
    /// In how many of the caller's lanes it lies.
    lanes: u64,
    fits: bool,
    /// How often it holds each term.
    counts: Vec<u32>,
    words: u32,
}

impl TenantReader<'_> {
    /// Messages of the history of `reader` that hold words of `wanted`, the best first. `words` is the index,
    /// of the same log; without it only the newest messages are searched.
    pub(crate) fn search_messages(
        &self,
        reader: &Reader,
        wanted: &SearchMessages,
        words: Option<&SideReader<'_>>,
    ) -> Result<Found, SearchError> {
        let terms = analyze_query(&wanted.query).terms;
        let row = self.reader_row(reader)?;
        let (parts, ends) = self.parts(reader, &row, words)?;
        let mut counted = Counted::none(terms.len());
        let mut matching: Vec<Matching> = Vec::new();
        if let Some(words) = words {
            for part in &parts {
                let (blocks, of_part) = collect(words, part, &terms)?;
                counted.add(&of_part);
                matching.push(blocks);
            }
        }
        let (unindexed, unsearched) = self.read_unindexed(&parts, &ends, &terms, wanted)?;
        for one in &unindexed {
            counted.add(&one.counted());
        }
        let scoring = Scoring::of(&terms, &counted);
        let mut best = Best::of(wanted.limit);
        for (at, blocks) in matching.iter().enumerate() {
            let Some(words) = words else { break };
            let add = |ordinal, sequence, score| {
                best.add(Hit {
                    score,
                    sequence,
                    said: Some((at, ordinal)),
                });
            };
            each_match(words, &parts[at], blocks, &scoring, wanted, add)?;
        }
        for one in unindexed.iter().filter(|one| one.is_match()) {
            best.add(Hit {
                score: one.score(&scoring),
                sequence: one.sequence,
                said: None,
            });
        }
        best.cut();
        let mut found = self.load(reader, &row, &parts, best)?;
        found.unsearched = unsearched;
        Ok(found)
    }

    /// The caller's lanes, each as far as the index holds it, and where each ends.
    fn parts(
        &self,
        reader: &Reader,
        row: &ReaderRow,
        words: Option<&SideReader<'_>>,
    ) -> Result<(Vec<Part>, Vec<u64>), SearchError> {
        let mut lanes = vec![(Lane::Sent(reader.role.clone()), None)];
        if row.is_known() {
            lanes.extend(Via::ALL.map(|via| (via.lane(reader), Some(row.lane(via)))));
        }
        let (mut parts, mut ends) = (Vec::new(), Vec::new());
        for (lane, state) in lanes {
            let count = LaneView::open(self, lane.clone())?.count();
            let low = state.map_or(0, LaneState::start);
            let end = state.map_or(count, |state| state.end(count)).max(low);
            let held = match words {
                Some(words) => indexed(words, &lane)?,
                None => 0,
            };
            parts.push(Part {
                lane,
                low,
                high: held.clamp(low, end),
                without: state.map(|_| reader.role.clone()),
            });
            ends.push(end);
        }
        Ok((parts, ends))
    }

    /// Reads what is behind the parts, the newest first, up to a bound; and says how much was not read.
    fn read_unindexed(
        &self,
        parts: &[Part],
        ends: &[u64],
        terms: &[(String, u32)],
        wanted: &SearchMessages,
    ) -> Result<(Vec<Unindexed>, u64), SearchError> {
        let filter = as_filter(wanted);
        let mut lanes = Vec::new();
        for (part, end) in parts.iter().zip(ends) {
            let lane = part.lane.clone();
            lanes.push(HistoryLane::open(self, lane, part.high, |_| *end, None)?);
        }
        let (mut read, mut bytes) = (Vec::new(), 0);
        while let Some(sequence) = lanes.iter().filter_map(HistoryLane::head).max() {
            if read.len() >= SEARCH_TAIL_MAX || bytes >= SEARCH_TAIL_MAX_BYTES {
                let left = lanes.iter().map(HistoryLane::left).sum();
                return Ok((read, left));
            }
            let message = self.message_at(sequence)?;
            bytes += message.content.len();
            let heads = lanes.iter().filter(|lane| lane.head() == Some(sequence));
            let analysis = analyze(&message.content);
            read.push(Unindexed {
                sequence,
                lanes: heads.count() as u64,
                fits: fits(&filter, &message),
                counts: counts(&analysis, terms),
                words: analysis.length,
            });
            for lane in &mut lanes {
                lane.pass(sequence)?;
            }
        }
        Ok((read, 0))
    }

    /// The messages that were found, as the caller sees them.
    fn load(
        &self,
        reader: &Reader,
        row: &ReaderRow,
        parts: &[Part],
        best: Best,
    ) -> Result<Found, SearchError> {
        let mut found = Found {
            matched: best.matched,
            ..Found::default()
        };
        let mut bytes = 0;
        for hit in best.hits {
            if let Some((at, ordinal)) = hit.said {
                let lane = parts[at].lane.clone();
                // What the index says is believed where the rows say so, too.
                if LaneView::open(self, lane)?.sequence(ordinal)? != hit.sequence {
                    return Err(SearchError::Index);
                }
            }
            let message = self.message_at(hit.sequence)?;
            bytes += message.content.len();
            if bytes > ANSWER_MAX_BYTES && !found.messages.is_empty() {
                found.truncated = true;
                break;
            }
            let route = self.route_of(&message)?;
            found.messages.push(FoundMessage {
                message: self.shown(reader, row, hit.sequence, message, &route)?,
                score: hit.score,
            });
        }
        Ok(found)
    }
}

impl Unindexed {
    /// As the index would have counted it: once in each lane.
    fn counted(&self) -> Counted {
        let holds = |count: &u32| if *count > 0 { self.lanes } else { 0 };
        Counted {
            messages: self.lanes,
            words: self.lanes * u64::from(self.words),
            with: self.counts.iter().map(holds).collect(),
        }
    }

    fn is_match(&self) -> bool {
        self.fits && self.counts.iter().any(|count| *count > 0)
    }

    fn score(&self, scoring: &Scoring) -> f64 {
        let held = self.counts.iter().enumerate();
        held.filter(|(_, count)| **count > 0)
            .map(|(at, count)| scoring.term(at, *count, self.words))
            .sum()
    }
}

fn counts(analysis: &Analysis, terms: &[(String, u32)]) -> Vec<u32> {
    let count = |term: &str| analysis.terms.get(term).copied().unwrap_or(0);
    terms.iter().map(|(term, _)| count(term)).collect()
}

fn as_filter(wanted: &SearchMessages) -> ListMessages {
    ListMessages {
        page: Page {
            limit: wanted.limit,
            cursor: None,
        },
        sender: wanted.sender.clone(),
        channel: wanted.channel.clone(),
        since: wanted.since,
        until: wanted.until,
    }
}

impl TenantReader<'_> {
    /// The tenant's messages behind `sequence`, the oldest first: as many as `limit`, or as exceed
    /// `max_bytes` of content.
    pub(crate) fn sent_after(
        &self,
        sequence: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Sent>, StoreError> {
        let after = sequence.to_be_bytes();
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for row in self.list::<MessageRow<'static>>(&(), Some(&after))? {
            let (sequence, message) = row?;
            bytes += message.content.len();
            sent.push(self.as_sent(sequence, message)?);
            if sent.len() >= limit || bytes >= max_bytes {
                break;
            }
        }
        Ok(sent)
    }

    fn as_sent(&self, sequence: u64, message: MessageRow<'static>) -> Result<Sent, StoreError> {
        let route = self.route_of(&message)?;
        let own = Lane::Sent(message.from.role.clone());
        let lanes = route.0.into_iter().map(|(lane, at)| (lane, Some(at)));
        Ok(Sent {
            sequence,
            key: message.key,
            time: message.time,
            from: message.from.into_owned().role,
            channel: message.channel.into_owned(),
            content: message.content.into_owned(),
            lanes: lanes.chain([(own, None)]).collect(),
        })
    }

    /// Whether there is a message of the tenant's behind `sequence`.
    pub(crate) fn has_sent_after(&self, sequence: u64) -> Result<bool, StoreError> {
        let after = sequence.to_be_bytes();
        let mut rows = self.list::<MessageRow<'static>>(&(), Some(&after))?;
        Ok(rows.next().transpose()?.is_some())
    }

    /// The key of the message at `sequence`, if there is one.
    pub(crate) fn key_at(&self, sequence: u64) -> Result<Option<EventKey>, StoreError> {
        let row = self.get::<MessageRow<'static>>(&sequence)?;
        Ok(row.map(|message| message.key))
    }

    /// Which creation of the tenant's name its rows tell of, where they do.
    pub(crate) fn created_as(&self) -> Result<Option<u32>, StoreError> {
        Ok(self.get::<TenantRow>(&())?.and_then(|row| row.generation()))
    }
}

impl Snapshot {
    /// The owner's part of the keys of everybody who has rows here, for whoever makes something of them in
    /// the background.
    pub(crate) fn owners(&self) -> Result<Vec<Prefix>, StoreError> {
        let mut owners = Vec::new();
        for row in self.table(TenantRow::TABLE)?.iter()? {
            let (key, _) = row?;
            let owner = Prefix::read(&mut key.value());
            owners.push(owner.ok_or_else(|| super::table::unreadable(Table::Tenants))?);
        }
        Ok(owners)
    }
}
