//! What is remembered stays: the same to the bit after a rebuild, once after every kill, and at once for who stored it.

use super::{by_words, recall_status, remember, until_embedded};
use crate::harness::fleet::Fleet;
use crate::harness::{self, DEADLINE, Deployment, eventually, log};
use postroad_client::{Client, MemoryFilter, MemoryUpdate, NewMemory, Recall, ReplayOf};
use postroad_protocol::TimeMs;
use postroad_protocol::memory::{MemoryId, RelationKind};
use postroad_protocol::query::{AsOf, Why};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Memories of every kind: with episodes, relations, changes, and some that are gone.
async fn furnish(tau: &Client, pi: &Client, operator: &Client) {
    const TOPICS: [&str; 6] = [
        "The ferry to the island leaves at nine",
        "PostgreSQL holds the product catalogue",
        "Alice prefers tea over coffee in meetings",
        "error E0382 came from borrow_checker::moves in parseConfig",
        "The invoice of the harbour office is overdue",
        "Backups run every night and are tested monthly",
    ];
    let mut last = None;
    for number in 0_u64..48 {
        let author = if number % 3 == 0 { pi } else { tau };
        let topic = TOPICS[usize::try_from(number).unwrap() % TOPICS.len()];
        let namespace =
            ["global", "project/road", "workspace/acme"][usize::try_from(number).unwrap() % 3];
        let mut memory = NewMemory::new(namespace, format!("{topic}, as of note {number}."));
        memory = memory.occurred_at(TimeMs(1_700_000_000_000 + number * 60_000));
        if number % 4 < 2 {
            memory = memory.episode(format!("episode {}", number / 8));
        }
        if let Some(last) = last.filter(|_| number % 7 == 0) {
            memory = memory.relates_to(RelationKind::Extends, last);
        }
        let id = author.store_memory(&memory).await.unwrap().memory_id;
        match number % 12 {
            5 => {
                author.forget_memory(id).await.unwrap();
            }
            7 => {
                let change = MemoryUpdate::new(id).content(format!("{topic}, corrected {number}."));
                author.update_memory(&change).await.unwrap();
            }
            9 => {
                let newer = NewMemory::new(namespace, format!("{topic}, replaced {number}."));
                let newer = newer.relates_to(RelationKind::Updates, id);
                author.store_memory(&newer).await.unwrap();
            }
            _ => last = Some(id),
        }
    }
    let shared = NewMemory::new("global", "Everybody's ferry has a bell.");
    operator
        .operator()
        .unwrap()
        .store_memory(&shared)
        .await
        .unwrap();
}

/// Ids, scores and the parts of each, bit for bit.
type Answers = Vec<(u64, u64, Vec<(MemoryId, String, u64, [u64; 6])>)>;

async fn answers(agents: [&Client; 2], as_of: AsOf) -> Answers {
    let bits = |why: Why| {
        [
            why.words,
            why.meaning,
            why.neighbours,
            why.episode,
            why.author,
            why.chain,
        ]
        .map(f64::to_bits)
    };
    let mut answers = Vec::new();
    for agent in agents {
        for query in [
            "when does the boat leave",
            "database of products",
            "E0382 borrow_checker",
            "what did pi say of invoices?",
            "the and of",
            "corrected replaced backups",
        ] {
            for wanted in [
                Recall::new(query).limit(100),
                Recall::new(query).namespace("project/").limit(5),
                Recall::new(query).created_by("pi"),
                Recall::new(query).since(TimeMs(1_700_000_600_000)),
                Recall::new(query).as_of(as_of),
            ] {
                let told = agent.recall(&wanted).await.unwrap();
                let result = |memory: postroad_protocol::query::Memory| {
                    let score = memory.score.expect("a score").to_bits();
                    let why = bits(memory.why.expect("its parts"));
                    (memory.memory_id, memory.content, score, why)
                };
                let results = told.results.into_iter().map(result).collect();
                answers.push((told.matched, told.awaiting, results));
            }
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_recalls_alike_to_the_bit_and_embeds_nothing_again() {
    let mut deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let pi = deployment.agent("acme", "pi", "i1").await;
    let operator = deployment.operator().await;
    let early = tau
        .store_memory(&NewMemory::new("global", "The ferry is painted blue."))
        .await
        .unwrap();
    furnish(&tau, &pi, &operator).await;
    until_embedded(&operator, &tau).await;
    let as_of = AsOf::Sequence(early.position.sequence + 20);
    let before = answers([&tau, &pi], as_of).await;
    assert!(
        before
            .iter()
            .filter(|(_, _, results)| results.len() > 2)
            .count()
            > 20
    );
    let embedded = recall_status(&operator).await.embedded;
    let rows = deployment.path().join("rows/shard-0.redb");
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&rows).unwrap());
    let old = inode();
    deployment.run(&["rebuild"]).expect(0);
    eventually("the new rows are followed", async || {
        let status = operator.operator().unwrap().status().await;
        let follows =
            status.is_ok_and(|status| status.shards.iter().all(|one| one.state == "following"));
        follows && inode() != old
    })
    .await;
    until_embedded(&operator, &tau).await;
    assert_eq!(answers([&tau, &pi], as_of).await, before);
    assert_eq!(recall_status(&operator).await.embedded, embedded);
    // The rows are gone altogether, then only restarted: what is embedded is embedded.
    for rid in [true, false] {
        assert_eq!(deployment.stop(), 0);
        if rid {
            std::fs::remove_file(&rows).unwrap();
        }
        deployment.restart();
        let operator = deployment.operator().await;
        until_embedded(&operator, &tau).await;
        assert_eq!(answers([&tau, &pi], as_of).await, before);
        assert_eq!(recall_status(&operator).await.embedded, 0);
    }
}

/// Stores until it is acknowledged, as whoever retries with the same id.
async fn store(agent: &Client, memory: &NewMemory) -> MemoryId {
    let start = Instant::now();
    loop {
        match agent.store_memory(memory).await {
            Ok(saved) => return saved.memory_id,
            Err(error) => {
                assert!(error.code().is_retryable(), "{error}");
                assert!(start.elapsed() < DEADLINE, "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_found_once_and_nothing_twice() {
    const AUTHORS: usize = 4;
    const EACH: usize = 60;
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut deployment = Deployment::start();
    deployment.tenant("acme").await;
    let mut storing = tokio::task::JoinSet::new();
    for author in 0..AUTHORS {
        let agent = deployment
            .agent_by_position("acme", &format!("author-{author}"), "i1")
            .await;
        storing.spawn(async move {
            let mut stored = Vec::new();
            for number in 0..EACH {
                let content = format!("fact a{author}n{number} of the road");
                let memory = NewMemory::new("project/road", &content);
                stored.push((store(&agent, &memory).await, content));
            }
            stored
        });
    }
    let mut stored = BTreeMap::new();
    for _ in 0..3 {
        // The instant of a kill is the random part of this test, so it does pause.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        deployment.kill_tree();
        deployment.restart();
    }
    while let Some(done) = storing.join_next().await {
        stored.extend(done.unwrap());
    }
    assert_eq!(stored.len(), AUTHORS * EACH);
    let reader = deployment.agent("acme", "reader", "i1").await;
    let mut listed = Vec::new();
    let mut filter = MemoryFilter::default().limit(50);
    loop {
        let page = reader.list_memories(&filter).await.unwrap();
        listed.extend(
            page.memories
                .into_iter()
                .map(|one| (one.memory_id, one.content)),
        );
        let Some(cursor) = page.next_cursor else {
            break;
        };
        filter = filter.after(cursor);
    }
    assert_eq!(listed.len(), stored.len(), "nothing twice");
    assert_eq!(listed.into_iter().collect::<BTreeMap<_, _>>(), stored);
    let operator = deployment.operator().await;
    let events = log::events(&operator, ReplayOf::Tenant("acme".parse().unwrap()), 1).await;
    let mut ids = BTreeSet::new();
    for event in events
        .iter()
        .filter(|event| event.type_name == "memory_stored")
    {
        assert!(ids.insert(&event.id), "stored twice: {}", event.id);
    }
    assert_eq!(ids.len(), stored.len());
    for (id, content) in &stored {
        let word = content.split(' ').nth(1).unwrap();
        let found = reader.recall(&Recall::new(word)).await.unwrap();
        let found: Vec<_> = by_words(&found).iter().map(|one| one.memory_id).collect();
        assert_eq!(found, [*id], "{content}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stored_reads_it_from_either_projector() {
    let mut fleet = Fleet::start(2, 1, 2);
    fleet.tenant("acme", 1).await;
    let tau = fleet.agent_by_position("acme", "tau", "i1").await;
    for number in 0..40 {
        let content = format!("number n{number}");
        let id = remember(&tau, "global", &content).await;
        let found = tau
            .recall(&Recall::new(format!("n{number}")))
            .await
            .unwrap();
        assert_eq!(found.results[0].content, content);
        assert_eq!(
            tau.get_memory(id, None).await.unwrap().memory.content,
            content
        );
        let newest = tau
            .list_memories(&MemoryFilter::default().limit(1))
            .await
            .unwrap();
        assert_eq!(newest.memories[0].memory_id, id);
        let change = MemoryUpdate::new(id).content(format!("changed c{number}"));
        tau.update_memory(&change).await.unwrap();
        let found = tau
            .recall(&Recall::new(format!("n{number}")))
            .await
            .unwrap();
        assert_eq!(by_words(&found).len(), 0);
        if number % 2 == 0 {
            tau.forget_memory(id).await.unwrap();
            let found = tau
                .recall(&Recall::new(format!("c{number}")))
                .await
                .unwrap();
            assert_eq!(by_words(&found).len(), 0);
        }
    }
    // Either of them alone answers the same.
    let tau = fleet.agent("acme", "tau", "i1").await;
    let mut told = Vec::new();
    for away in [0, 1] {
        fleet.projectors[away].take().unwrap().kill();
        let found = tau
            .recall(&Recall::new("changed").limit(100))
            .await
            .unwrap();
        told.push(
            found
                .results
                .iter()
                .map(|one| one.memory_id)
                .collect::<BTreeSet<_>>(),
        );
        fleet.start_projector(away);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 20);
}

#[tokio::test]
async fn memories_are_recalled_as_they_were() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let first = tau
        .store_memory(&NewMemory::new("global", "The bridge is wooden."))
        .await
        .unwrap();
    let second = tau
        .store_memory(&NewMemory::new("global", "The tunnel is closed."))
        .await
        .unwrap();
    let change = MemoryUpdate::new(first.memory_id).content("The bridge is steel.");
    let changed = tau.update_memory(&change).await.unwrap();
    let newer = NewMemory::new("global", "The bridge is closed.");
    let newer = newer.relates_to(RelationKind::Updates, first.memory_id);
    let newer = tau.store_memory(&newer).await.unwrap();
    let at = async |query: &str, sequence: u64| {
        let wanted = Recall::new(query).as_of(AsOf::Sequence(sequence));
        let found = tau.recall(&wanted).await.unwrap();
        let found: Vec<_> = by_words(&found)
            .iter()
            .map(|one| one.content.clone())
            .collect();
        found
    };
    assert_eq!(
        at("wooden", first.position.sequence).await,
        ["The bridge is wooden."]
    );
    assert_eq!(at("tunnel", first.position.sequence).await, [""; 0]);
    assert_eq!(
        at("tunnel", second.position.sequence).await,
        ["The tunnel is closed."]
    );
    assert_eq!(at("wooden", changed.position.sequence).await, [""; 0]);
    assert_eq!(
        at("steel", changed.position.sequence).await,
        ["The bridge is steel."]
    );
    assert_eq!(
        at("bridge", newer.position.sequence).await[0],
        "The bridge is closed."
    );
    let then = tau.get_memory(
        first.memory_id,
        Some(AsOf::Sequence(second.position.sequence)),
    );
    let then = then.await.unwrap().memory;
    assert_eq!((then.version, then.superseded_by), (1, None));
    let now = tau.get_memory(first.memory_id, None).await.unwrap().memory;
    assert_eq!((now.version, now.superseded_by), (2, Some(newer.memory_id)));
    // A time before anything was stored knows nothing.
    let long_ago = Recall::new("bridge tunnel").as_of(AsOf::Time(TimeMs(1_000)));
    assert!(tau.recall(&long_ago).await.unwrap().results.is_empty());
    let now = Recall::new("tunnel").as_of(AsOf::Time(TimeMs(TimeMs::now().0 + 60_000)));
    assert_eq!(by_words(&tau.recall(&now).await.unwrap()).len(), 1);
    // What is forgotten was never there, whenever it is asked as of.
    tau.forget_memory(second.memory_id).await.unwrap();
    assert_eq!(at("tunnel", second.position.sequence).await, [""; 0]);
}
