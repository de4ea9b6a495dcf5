mod random;

use super::indexer::index_some;
use super::layout::LAYOUT;
use crate::apply::Durability;
use crate::read_model::search::{Found, SearchError};
use crate::side::{SideFile, Tenure};
use crate::testing::{EPOCH, Road, reader, role, time};
use postroad_log::Home;
use postroad_protocol::event::Actor;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{ANSWER_MAX_BYTES, SEARCH_TAIL_MAX, WORDS_CHUNK_MESSAGES};
use postroad_protocol::query::{ChannelFilter, ListMessages, Message, Page, SearchMessages};
use postroad_protocol::seal::KeyId;
use postroad_recall::analyze::{analyze, analyze_query};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A file of words that lives as long as this.
struct Index {
    file: Arc<SideFile>,
    _folder: tempfile::TempDir,
}

impl Index {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let is_over = Arc::new(|_: &Tenure| false);
        let file = SideFile::open(folder.path(), 0, LAYOUT, 1 << 20, EPOCH, is_over);
        Self {
            file,
            _folder: folder,
        }
    }

    /// Indexes all that the rows hold.
    fn fill(&self, road: &Road) {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        while index_some(&self.file, &tenure(road), &rows, Durability::Visible).unwrap() {}
    }

    fn search(&self, road: &Road, name: &str, wanted: &SearchMessages) -> Found {
        self.try_search(road, name, wanted).unwrap()
    }

    fn try_search(
        &self,
        road: &Road,
        name: &str,
        wanted: &SearchMessages,
    ) -> Result<Found, SearchError> {
        let snapshot = road.snapshot();
        let words = self.file.snapshot().unwrap();
        let tenure = tenure(road);
        let rows = snapshot.tenant(&road.scope);
        rows.search_messages(&reader(name), wanted, Some(&words.reader(&tenure)))
    }
}

fn tenure(road: &Road) -> Tenure {
    let key_id = KeyId {
        generation: 1,
        number: 1,
    };
    Tenure::of(&road.scope, Home { shard: 0, key_id })
}

fn unindexed(road: &Road, name: &str, wanted: &SearchMessages) -> Found {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    rows.search_messages(&reader(name), wanted, None).unwrap()
}

fn words(query: &str) -> SearchMessages {
    SearchMessages {
        query: query.to_owned(),
        sender: None,
        channel: None,
        since: None,
        until: None,
        limit: 100,
    }
}

fn contents(found: &Found) -> Vec<&str> {
    let messages = found.messages.iter();
    messages.map(|one| one.message.content.as_str()).collect()
}

/// What a search must find, from the list of all that the caller may see: its messages in whatever order.
fn expected(road: &Road, name: &str, wanted: &SearchMessages) -> Vec<Message> {
    let list = ListMessages {
        page: Page {
            limit: 200,
            cursor: None,
        },
        sender: wanted.sender.clone(),
        channel: wanted.channel.clone(),
        since: wanted.since,
        until: wanted.until,
    };
    let (mut all, mut before) = (Vec::new(), None);
    let snapshot = road.snapshot();
    loop {
        let rows = snapshot.tenant(&road.scope);
        let page = rows.list_messages(&reader(name), &list, before).unwrap();
        all.extend(page.messages);
        before = page.next_before;
        if before.is_none() {
            break;
        }
    }
    let terms = analyze_query(&wanted.query).terms;
    all.retain(|message| {
        let analysis = analyze(&message.content);
        terms
            .iter()
            .any(|(term, _)| analysis.terms.contains_key(term))
    });
    all
}

fn ids(messages: impl Iterator<Item = Message>) -> BTreeSet<(String, u64, String)> {
    let id = |one: Message| {
        (
            one.message_id.to_string(),
            one.sent_at.0,
            format!("{one:?}"),
        )
    };
    messages.map(id).collect()
}

#[test]
fn a_message_is_found_by_whoever_may_see_it_and_by_nobody_else() {
    let mut road = Road::new();
    for agent in ["bob/mac", "bob/pi", "tau/pi", "eve/pi"] {
        road.issue(agent);
    }
    road.send("bob/mac", "tau", "the red ferry leaves at nine");
    road.send("tau/pi", "bob/pi", "ferries are late");
    road.send(
        "eve/pi",
        "broadcast",
        "a ferry for everybody, a ferry indeed",
    );
    road.send("eve/pi", "eve", "my own ferry");
    let index = Index::new();
    index.fill(&road);
    let ferry = words("ferries");
    let seen = |name| {
        let found = index.search(&road, name, &ferry);
        assert_eq!(found.matched, found.messages.len() as u64);
        assert_eq!(found, unindexed(&road, name, &ferry), "{name}");
        contents(&found)
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let set = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let (red, late) = ("the red ferry leaves at nine", "ferries are late");
    let (all, own) = ("a ferry for everybody, a ferry indeed", "my own ferry");
    assert_eq!(seen("bob/mac"), set(&[red, all]));
    assert_eq!(seen("bob/pi"), set(&[red, late, all]));
    assert_eq!(seen("tau/pi"), set(&[red, late, all]));
    assert_eq!(seen("eve/pi"), set(&[all, own]));
}

#[test]
fn more_words_and_rarer_ones_come_first_and_of_equal_ones_the_newest() {
    let mut road = Road::new();
    for agent in ["bob/mac", "tau/pi"] {
        road.issue(agent);
    }
    for text in [
        "deploy done",
        "deploy failed with E0382",
        "deploy done",
        "lunch",
    ] {
        road.send("bob/mac", "tau", text);
    }
    let index = Index::new();
    index.fill(&road);
    let found = index.search(&road, "tau/pi", &words("deployed E0382"));
    assert_eq!(
        contents(&found),
        ["deploy failed with E0382", "deploy done", "deploy done"]
    );
    let times: Vec<u64> = found
        .messages
        .iter()
        .map(|one| one.message.sent_at.0)
        .collect();
    assert!(times[1] > times[2], "{times:?}");
    let scores: Vec<u64> = found
        .messages
        .iter()
        .map(|one| one.score.to_bits())
        .collect();
    assert!(scores[0] > scores[1] && scores[1] == scores[2], "{found:?}");
    assert!(found.messages[2].score > 0.0, "{found:?}");
    let one = SearchMessages {
        limit: 1,
        ..words("deployed E0382")
    };
    let best = index.search(&road, "tau/pi", &one);
    assert_eq!((best.messages.len(), best.matched), (1, 3));
    assert_eq!(best.messages[0], found.messages[0]);
    assert_eq!(
        index.search(&road, "tau/pi", &words("?!")),
        Found::default()
    );
    assert_eq!(
        index.search(&road, "tau/pi", &words("unheard")),
        Found::default()
    );
    assert_eq!(index.search(&road, "tau/pi", &words("with")).matched, 1);
}

#[test]
fn a_long_history_is_searched_across_blocks_and_filters_cut_before_the_best_are_taken() {
    let mut road = Road::new();
    for agent in ["bob/mac", "tau/pi", "eve/pi"] {
        road.issue(agent);
    }
    let begin = road.end();
    for number in 0..1_300 {
        let (from, to) = match number % 5 {
            0 => ("bob/mac", "broadcast"),
            1 => ("bob/mac", "tau,eve"),
            2 => ("eve/pi", "tau"),
            3 => ("tau/pi", "tau,eve"),
            _ => ("bob/mac", "tau/pi"),
        };
        let word = if number % 7 == 0 { "seventh" } else { "other" };
        road.send(from, to, &format!("number n{number} is {word}"));
    }
    let index = Index::new();
    index.fill(&road);
    let from = |name| SearchMessages {
        sender: Some(role(name)),
        ..words("seventh")
    };
    let to = |channel| SearchMessages {
        channel: Some(channel),
        ..words("seventh")
    };
    let between = SearchMessages {
        since: Some(time(begin + 400)),
        until: Some(TimeMs(time(begin + 800).0)),
        ..words("seventh other")
    };
    for wanted in [
        words("seventh"),
        words("n1299 n0 n511 n512 n513"),
        from("bob"),
        from("tau"),
        from("nobody"),
        to(ChannelFilter::Broadcast),
        to(ChannelFilter::Role(role("eve"))),
        to(ChannelFilter::Role(role("tau"))),
        between,
    ] {
        for name in ["tau/pi", "eve/pi", "bob/mac"] {
            let found = index.search(&road, name, &wanted);
            let all = expected(&road, name, &wanted);
            assert_eq!(found.matched, all.len() as u64, "{name} {wanted:?}");
            assert_eq!(found.messages.len(), all.len().min(100));
            let shown = ids(found.messages.into_iter().map(|one| one.message));
            assert!(shown.is_subset(&ids(all.into_iter())), "{name} {wanted:?}");
        }
    }
}

#[test]
fn what_the_index_lacks_is_read_up_to_a_bound_the_newest_first() {
    let mut road = Road::new();
    for agent in ["bob/mac", "tau/pi"] {
        road.issue(agent);
    }
    road.send("bob/mac", "tau", "first ferry");
    for number in 0..SEARCH_TAIL_MAX {
        road.send("bob/mac", "tau", &format!("ferry n{number}"));
    }
    let index = Index::new();
    let found = index.search(&road, "tau/pi", &words("first ferry"));
    let bound = SEARCH_TAIL_MAX as u64;
    assert_eq!((found.matched, found.unsearched), (bound, 1));
    assert!(!contents(&found).contains(&"first ferry"));
    index.fill(&road);
    let found = index.search(&road, "tau/pi", &words("first ferry"));
    assert_eq!((found.matched, found.unsearched), (bound + 1, 0));
    assert_eq!(contents(&found)[0], "first ferry");
    road.send("bob/mac", "tau", "another ferry");
    let found = index.search(&road, "tau/pi", &words("another ferry"));
    assert_eq!(contents(&found)[0], "another ferry");
    assert_eq!((found.matched, found.unsearched), (bound + 2, 0));
}

#[test]
fn an_answer_that_would_be_too_long_says_that_it_was_cut() {
    let mut road = Road::new();
    for agent in ["bob/mac", "tau/pi"] {
        road.issue(agent);
    }
    let long = "ferry ".repeat(ANSWER_MAX_BYTES / 18);
    for _ in 0..4 {
        road.send("bob/mac", "tau", &long);
    }
    let index = Index::new();
    index.fill(&road);
    let found = index.search(&road, "tau/pi", &words("ferry"));
    assert_eq!((found.messages.len(), found.matched), (3, 4));
    assert!(found.truncated);
}

#[test]
fn an_index_of_other_rows_is_not_believed() {
    let filled = |texts: &[&str]| {
        let mut road = Road::new();
        for agent in ["bob/mac", "tau/pi"] {
            road.issue(agent);
        }
        for text in texts {
            match text.strip_prefix("summary ") {
                Some(summary) => drop(road.put(
                    Actor::Agent(reader("bob/mac")),
                    postroad_protocol::event::SummarySet {
                        reader: reader("bob/mac"),
                        summary: summary.to_owned(),
                    },
                )),
                None => drop(road.send("bob/mac", "tau", text)),
            }
        }
        road
    };
    let index = Index::new();
    index.fill(&filled(&["a", "ferry", "b"]));
    let other = filled(&["summary x", "a", "b", "ferry"]);
    let refused = index.try_search(&other, "tau/pi", &words("ferry"));
    assert!(matches!(refused, Err(SearchError::Index)), "{refused:?}");
    // Nor is it added to, and what there is goes.
    let index = Index::new();
    index.fill(&filled(&["tram", "bus"]));
    let other = filled(&["tram", "summary x", "car"]);
    let snapshot = other.snapshot();
    let rows = snapshot.tenant(&other.scope);
    let added = index_some(&index.file, &tenure(&other), &rows, Durability::Visible);
    assert!(added.is_err());
    assert!(index.file.snapshot().is_err(), "it is closed");
    index.file.tidy_now().unwrap();
    index.fill(&other);
    assert_eq!(
        contents(&index.search(&other, "tau/pi", &words("tram car"))),
        ["car", "tram"]
    );
}

#[test]
fn an_index_is_the_same_in_however_many_steps_it_was_made() {
    let mut road = Road::new();
    for agent in ["bob/mac", "tau/pi"] {
        road.issue(agent);
    }
    let (stepwise, at_once) = (Index::new(), Index::new());
    for number in 0..WORDS_CHUNK_MESSAGES + 20 {
        road.send(
            "bob/mac",
            "tau,bob",
            &format!("ferry n{number} n{}", number % 7),
        );
        if number % 3 == 0 {
            stepwise.fill(&road);
        }
    }
    stepwise.fill(&road);
    at_once.fill(&road);
    let dump = |index: &Index| {
        let words = index.file.snapshot().unwrap();
        let tenure = tenure(&road);
        let mut rows = Vec::new();
        for table in LAYOUT.tables {
            let visit = |key: &[u8], value: &[u8]| {
                rows.push((*table, key.to_vec(), value.to_vec()));
                std::ops::ControlFlow::Continue(())
            };
            words.reader(&tenure).scan(table, &(), None, visit).unwrap();
        }
        rows
    };
    let (one, other) = (dump(&stepwise), dump(&at_once));
    assert!(one.len() > WORDS_CHUNK_MESSAGES);
    assert!(one == other);
}
