//! Two tenants to whom anything happens, their index filled at any time: a search finds what the list of one's
//! own history shows with the words, and nothing else.

use super::{Index, expected, ids, unindexed, words};
use crate::testing::{Road, role};
use postroad_protocol::query::{ChannelFilter, SearchMessages};
use proptest::prelude::*;

/// Something that happens to the tenant of a property test.
#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize, Vec<usize>),
    Register(usize),
    Retire(usize),
    /// The index comes to all that there is.
    Index,
}

const AGENTS: [&str; 6] = ["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"];
const CHANNELS: [&str; 8] = ["a", "b", "c", "a,b", "a,b,c", "broadcast", "a/1", "b/2"];
const VOCABULARY: [&str; 9] = [
    "ferry",
    "ferries",
    "red",
    "tenant_id",
    "tenantId",
    "the",
    "E0382",
    "naïve",
    "src/lib.rs",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = prop::collection::vec(0..VOCABULARY.len(), 1..5);
    let step = prop_oneof![
        12 => (0..AGENTS.len(), 0..CHANNELS.len(), text).prop_map(|(f, t, w)| Step::Send(f, t, w)),
        2 => (0..AGENTS.len()).prop_map(Step::Register),
        1 => (0..AGENTS.len()).prop_map(Step::Retire),
        2 => Just(Step::Index),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_search_finds_what_is_in_the_history_with_the_words_and_nothing_else(
        of_acme in steps(),
        of_globex in steps(),
        query in prop::collection::vec(0..VOCABULARY.len(), 1..4),
        sender in prop::option::of(0..3_usize),
        channel in prop::option::of(0..4_usize),
    ) {
        let index = Index::new();
        let mut roads = [("acme", &of_acme), ("globex", &of_globex)].map(|(tenant, steps)| {
            let mut road = Road::of(tenant);
            for role in ["a", "b", "c"] {
                road.issue(role);
            }
            for step in steps {
                match step {
                    Step::Send(from, to, text) => {
                        let text: Vec<&str> = text.iter().map(|at| VOCABULARY[*at]).collect();
                        let text = format!("{} of-{tenant}", text.join(" "));
                        road.send(AGENTS[*from], CHANNELS[*to], &text);
                    }
                    Step::Register(agent) => drop(road.register(AGENTS[*agent])),
                    Step::Retire(agent) => drop(road.retire(AGENTS[*agent])),
                    Step::Index => index.fill(&road),
                }
            }
            road
        });
        let query: Vec<&str> = query.iter().map(|at| VOCABULARY[*at]).collect();
        let wanted = SearchMessages {
            sender: sender.map(|at| role(["a", "b", "c"][at])),
            channel: channel.map(|at| match at {
                3 => ChannelFilter::Broadcast,
                at => ChannelFilter::Role(role(["a", "b", "c"][at])),
            }),
            ..words(&query.join(" "))
        };
        for road in &roads {
            for name in AGENTS {
                let all = expected(road, name, &wanted);
                let partly = index.search(road, name, &wanted);
                // The same to the last bit, wherever a message is read from.
                prop_assert_eq!(&partly, &unindexed(road, name, &wanted));
                prop_assert_eq!(partly.matched, all.len() as u64);
                let scores: Vec<f64> = partly.messages.iter().map(|one| one.score).collect();
                prop_assert!(scores.iter().all(|score| *score > 0.0), "{:?}", scores);
                prop_assert!(scores.is_sorted_by(|one, other| one >= other), "{:?}", scores);
                let shown = ids(partly.messages.into_iter().map(|one| one.message));
                prop_assert_eq!(shown, ids(all.into_iter()));
            }
        }
        // What others send changes no score and no count.
        let before = index.search(&roads[0], "a/1", &wanted);
        for number in 0..5 {
            roads[1].send("b/1", "a", &format!("{} n{number}", query.join(" ")));
            roads[0].send("b/1", "c", &format!("{} n{number}", query.join(" ")));
        }
        prop_assert_eq!(&index.search(&roads[0], "a/1", &wanted), &before);
        for road in &roads {
            index.fill(road);
        }
        prop_assert_eq!(&index.search(&roads[0], "a/1", &wanted), &before);
    }
}
