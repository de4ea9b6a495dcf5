//! Messages are found by their words: one's own and nobody else's, at once, and the same after a restart, a
//! rebuild and a kill while the index is made. What is erased is found nowhere.

use crate::harness::fleet::Fleet;
use crate::harness::scan::files_with;
use crate::harness::{self, Deployment, cli, connect, eventually, issue};
use postroad_client::{Check, Client, Draft, History, Search};
use postroad_protocol::query::FoundMessages;
use postroad_protocol::{InstanceId, Role, TenantId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

async fn find(client: &Client, words: &str) -> FoundMessages {
    let found = client.search_messages(&Search::of(words).limit(100)).await;
    let found = found.unwrap();
    assert_eq!(found.indexing, 0);
    found
}

fn contents(found: &FoundMessages) -> BTreeSet<String> {
    let messages = found.messages.iter();
    messages.map(|one| one.message.content.clone()).collect()
}

/// Everything that its history shows.
async fn listed(client: &Client) -> BTreeSet<String> {
    let page = client.list_messages(&History::default().limit(200)).await;
    let messages = page.unwrap().messages.into_iter();
    messages.map(|one| one.content).collect()
}

#[tokio::test]
async fn a_search_finds_ones_own_history_and_nothing_of_others() {
    let mut deployment = Deployment::start();
    let mut agents = Vec::new();
    for tenant in ["acme", "acme-two"] {
        deployment.tenant(tenant).await;
        for (role, instance) in [("alice", "a"), ("bob", "b"), ("bob", "c"), ("eve", "e")] {
            agents.push((tenant, deployment.agent(tenant, role, instance).await));
        }
    }
    for four in agents.chunks(4) {
        let (tenant, alice, bob, eve) = (four[0].0, &four[0].1, &four[1].1, &four[3].1);
        let canary = |text: &str| format!("ferry {text} of {tenant}");
        for (number, (from, to)) in [
            (alice, "bob"),
            (alice, "broadcast"),
            (bob, "alice"),
            (bob, "bob"),
            (eve, "eve"),
            (eve, "alice,bob"),
        ]
        .into_iter()
        .enumerate()
        {
            let text = canary(&format!("{number} to {to}"));
            from.send(&Draft::new(to, text)).await.unwrap();
        }
        let narrow =
            Draft::new("bob", canary("to b alone")).instance(&InstanceId::parse("b").unwrap());
        eve.send(&narrow).await.unwrap();
    }
    for (tenant, agent) in &agents {
        let found = find(agent, "ferries").await;
        let all = listed(agent).await;
        assert_eq!(contents(&found), all);
        assert_eq!(found.matched, all.len() as u64);
        assert!(
            all.iter().all(|text| text.ends_with(&format!(" {tenant}"))),
            "{all:?}"
        );
        let foreign = if *tenant == "acme" { "two" } else { "unheard" };
        assert_eq!(find(agent, foreign).await.matched, 0);
    }
    let (alice, bob, bobs_other) = (&agents[0].1, &agents[1].1, &agents[2].1);
    assert_eq!(find(bob, "alone").await.matched, 1);
    assert_eq!(find(bobs_other, "alone").await.matched, 0);
    // A reader that comes later inherits what its role has not read.
    let unread = bob.check(&Check::default().limit(2)).await.unwrap();
    let ids = unread.messages.iter().map(|one| one.message_id.to_string());
    bob.mark_messages_as_read(ids).await.unwrap();
    let late = deployment.agent("acme", "bob", "late").await;
    assert_eq!(contents(&find(&late, "ferry").await), listed(&late).await);
    let search = Search::of("ferry").sender(Role::parse("eve").unwrap());
    let from_eve = alice.search_messages(&search).await.unwrap();
    assert_eq!(from_eve.matched, 1);
    let search = Search::of("ferry").channel("broadcast").limit(1);
    let to_all = alice.search_messages(&search).await.unwrap();
    assert_eq!((to_all.matched, to_all.messages.len()), (1, 1));
    let sent_at = to_all.messages[0].message.sent_at;
    for (search, count) in [
        (Search::of("broadcast").since(sent_at), 1),
        (Search::of("broadcast").until(sent_at), 0),
    ] {
        let found = alice.search_messages(&search).await.unwrap();
        assert_eq!(found.matched, count);
    }
    // Its own send is found at once, whatever the index holds by then.
    let quick = deployment.agent_by_position("acme", "eve", "e").await;
    for number in 0..30 {
        let text = format!("quick number n{number}");
        quick.send(&Draft::new("bob", text.clone())).await.unwrap();
        let found = quick
            .search_messages(&Search::of(format!("n{number}")))
            .await;
        assert_eq!(found.unwrap().messages[0].message.content, text);
    }
    same_after_restart_and_rebuild(&mut deployment, &agents[1].1).await;
}

async fn same_after_restart_and_rebuild(deployment: &mut Deployment, bob: &Client) {
    let answers = async || {
        let mut answers = Vec::new();
        for words in ["ferry", "to broadcast of acme", "quick n7", "alone"] {
            let found = find(bob, words).await;
            let delivered = |mut one: postroad_protocol::query::FoundMessage| {
                (one.message.delivered_at, one.message.read_at) = (None, None);
                one
            };
            let messages = found
                .messages
                .into_iter()
                .map(delivered)
                .collect::<Vec<_>>();
            answers.push((found.matched, messages));
        }
        answers
    };
    let before = answers().await;
    assert!(before.iter().all(|(matched, _)| *matched > 0));
    assert_eq!(deployment.stop(), 0);
    let file = deployment.path().join("rows/words-0.redb");
    assert!(file.exists(), "the index is beside the rows");
    deployment.restart();
    assert_eq!(answers().await, before);
    let operator = deployment.operator().await;
    let rebuild = async || {
        operator.operator().unwrap().rebuild().await.unwrap();
        eventually("the rows are followed again", async || {
            let status = operator.operator().unwrap().status().await;
            status.is_ok_and(|status| status.shards.iter().all(|one| one.state == "following"))
        })
        .await;
    };
    rebuild().await;
    assert_eq!(answers().await, before);
    // An index that is garbled, and one that is gone, are made anew.
    for spoil in [
        (|path: &PathBuf| std::fs::write(path, b"nonsense").unwrap()) as fn(&PathBuf),
        |path| std::fs::remove_file(path).unwrap(),
    ] {
        assert_eq!(deployment.stop(), 0);
        spoil(&file);
        deployment.restart();
        assert_eq!(answers().await, before);
    }
}

#[tokio::test]
async fn what_is_typed_shows_what_is_found() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    deployment.agent("default", "bob", "b").await;
    alice
        .send(&Draft::new("bob", "The ferry leaves at nine"))
        .await
        .unwrap();
    alice.send(&Draft::new("bob", "Lunch?")).await.unwrap();
    let run = |args: &[&str]| deployment.run(&[&["--as", "default/bob/b"], args].concat());
    let shown = run(&["message", "search", "ferries leaving"]).expect(0);
    assert!(
        shown.stdout.contains("The ferry leaves at nine"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("score ") && !shown.stdout.contains("Lunch"));
    let json = run(&[
        "--json", "message", "search", "ferry", "--from", "alice", "--to", "bob",
    ]);
    let json = json.expect(0).json();
    assert_eq!(json["matched"], 1);
    assert_eq!(json["messages"][0]["content"], "The ferry leaves at nine");
    assert!(
        json["messages"][0]["score"]
            .as_f64()
            .is_some_and(|score| score > 0.0)
    );
    let none = run(&["message", "search", "ferry", "--to", "broadcast"]).expect(0);
    assert_eq!(none.stdout, "");
    run(&["message", "search", " "]).expect(2);
    run(&["message", "search", "x", "--limit", "101"]).expect(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_killed_while_it_indexes_misses_and_doubles_nothing() {
    const SENDERS: usize = 20;
    const EACH: usize = 150;
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut fleet = Fleet::start(1, 1, 1);
    fleet.tenant("acme", 0).await;
    let bob = fleet.agent("acme", "bob", "b").await;
    let alice = fleet.agent("acme", "alice", "a").await;
    let mut sending = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let alice = alice.clone();
        sending.spawn(async move {
            for number in 0..EACH {
                let text = format!("ferry s{sender}n{number} w{} and so on", number % 50);
                alice.send(&Draft::new("bob", text)).await.unwrap();
            }
        });
    }
    let mut kills = 0;
    while !sending.is_empty() || kills < 6 {
        // The instant of a kill is the random part of this test, so it does pause.
        let pause = Duration::from_millis(random.random_range(10..300));
        tokio::time::sleep(pause).await;
        fleet.projectors[0].take().unwrap().kill();
        kills += 1;
        if kills == 3 {
            // From nothing, so that there is much to index.
            std::fs::remove_file(fleet.rows(0).join("words-0.redb")).unwrap();
        }
        fleet.start_projector(0);
        while sending.try_join_next().is_some() {}
    }
    let total = (SENDERS * EACH) as u64;
    eventually("all is indexed", async || {
        let found = bob.search_messages(&Search::of("ferry")).await;
        found.is_ok_and(|found| found.indexing == 0)
    })
    .await;
    assert_eq!(find(&bob, "ferry").await.matched, total);
    assert_eq!(find(&bob, "w7").await.matched, total / 50);
    for sender in 0..SENDERS {
        let number = random.random_range(0..EACH);
        let found = find(&bob, &format!("s{sender}n{number}")).await;
        assert!(
            found.messages[0]
                .message
                .content
                .contains(&format!("s{sender}n{number} "))
        );
    }
    assert_eq!(find(&alice, "ferry").await.matched, total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_tenants_words_are_in_no_file_and_its_namesake_finds_nothing() {
    const CANARY: &str = "quxblorp";
    const NEIGHBOUR: &str = "zanglewump";
    let mut fleet = Fleet::start(1, 1, 2);
    let mut clients = Vec::new();
    for (name, word) in [("acme", CANARY), ("acme-two", NEIGHBOUR)] {
        fleet.tenant(name, 0).await;
        let operator = fleet.operator().await;
        for role in ["alice", "bob"] {
            let creds = issue(&operator, name, role, Some("x")).await;
            clients.push(connect(&fleet.url, &creds, None).await);
        }
        let alice = &clients[clients.len() - 2];
        for number in 0..50 {
            let text = format!("{word} n{number}");
            alice.send(&Draft::new("bob", text)).await.unwrap();
        }
    }
    let words = |index: usize| [fleet.rows(index).join("words-0.redb")];
    let files = [words(0), words(1)];
    for file in &files {
        eventually("it is indexed", async || {
            !files_with(file, &[CANARY.as_bytes()]).is_empty()
                && !files_with(file, &[NEIGHBOUR.as_bytes()]).is_empty()
        })
        .await;
    }
    // One is away, and clears its file when it is back.
    fleet.projectors[1].take().unwrap().kill();
    let mut erase = std::process::Command::new(harness::binary());
    erase.arg("--dir").arg(fleet.path());
    erase.args(["tenant", "erase", "--tenant", "acme", "--confirm", "acme"]);
    cli::run(erase, "").expect(0);
    let nothing: [PathBuf; 0] = [];
    assert_eq!(files_with(&[fleet.rows(0)], &[CANARY.as_bytes()]), nothing);
    assert!(!files_with(&files[0], &[NEIGHBOUR.as_bytes()]).is_empty());
    fleet.start_projector(1);
    eventually("the other's file is clear", async || {
        files_with(&[fleet.rows(1)], &[CANARY.as_bytes()]).is_empty()
    })
    .await;
    let name = TenantId::parse("acme").unwrap();
    let operator = fleet.operator().await;
    eventually("the name is free", async || {
        operator
            .operator()
            .unwrap()
            .create_tenant(&name, None)
            .await
            .is_ok()
    })
    .await;
    let mut again = Vec::new();
    for role in ["alice", "bob"] {
        let creds = issue(&operator, "acme", role, Some("x")).await;
        again.push(connect(&fleet.url, &creds, None).await);
    }
    assert_eq!(find(&again[1], CANARY).await.matched, 0);
    again[0].send(&Draft::new("bob", "hello n7")).await.unwrap();
    assert_eq!(contents(&find(&again[1], "n7").await).len(), 1);
    assert_eq!(find(&clients[3], NEIGHBOUR).await.matched, 50);
}
