//! An erased tenant leaves nothing: in no file, in nobody's memory, under no name. What was killed in
//! the middle of it goes on with it, and whoever bears the name next starts empty.

use crate::harness::fleet::Fleet;
use crate::harness::scan::files_with;
use crate::harness::witness::Witness;
use crate::harness::{self, Deployment, cli, connect, eventually, issue, log};
use postroad_client::{Check, Client, ClientError, Draft, Page, ReplayOf};
use postroad_protocol::query::ReplayedEvent;
use postroad_protocol::seal::KeyRecord;
use postroad_protocol::{ErrorCode, MessageId, TenantId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CANARY: &str = "canary-3b61f0-of-acme";
const NEIGHBOUR: &str = "canary-77ad04-of-its-neighbour";

/// Says something in every field that takes text, reads some of it; two message ids.
async fn busy(alice: &Client, bob: &Client, canary: &str) -> [MessageId; 2] {
    let first = Draft::new("bob", format!("{canary} first")).label("secret", canary);
    let first = alice.send(&first).await.unwrap().message_id;
    for number in 0..40 {
        let draft = Draft::new("bob", format!("{canary} {number}"));
        alice.send(&draft).await.unwrap();
    }
    let answer = Draft::new("broadcast", format!("{canary} answer")).reply_to(first);
    let answer = bob.send(&answer).await.unwrap().message_id;
    bob.set_summary(&format!("{canary} summary")).await.unwrap();
    let unread = bob.check(&Check::default().limit(10)).await.unwrap();
    let receipts = unread.messages.iter().filter_map(|m| m.receipt_id.clone());
    let receipts: Vec<String> = receipts.collect();
    bob.mark_as_read(receipts).await.unwrap();
    [first, answer]
}

fn code(error: &ClientError) -> ErrorCode {
    error.code()
}

/// Whether an agent is told that its tenant is gone: by a broker, or by nats-server.
fn has_ended(error: &ClientError) -> bool {
    matches!(
        error.code(),
        ErrorCode::NotFound | ErrorCode::Unauthenticated
    )
}

/// The wrapped keys of a tenant, as they lie in the keys stream.
async fn wrapped_keys(dir: &Path, url: &str, tenant: &str) -> Vec<Vec<u8>> {
    let witness = Witness::connect(dir, url).await;
    let jetstream = async_nats::jetstream::new(witness.client);
    let keys = jetstream.get_stream("POSTROAD_KEYS").await.unwrap();
    let subject = format!("postroad._keys.{tenant}");
    let (mut found, mut next) = (Vec::new(), 1);
    while let Ok(record) = keys
        .get_first_raw_message_by_subject(subject.as_str(), next)
        .await
    {
        next = record.sequence + 1;
        let record: KeyRecord = rmp_serde::from_slice(&record.payload).unwrap();
        if !record.wrapped.is_empty() {
            found.push(record.wrapped);
        }
    }
    found
}

/// Everything that the deployment keeps in files, the memory behind its batches included.
fn kept(deployment: &Deployment) -> Vec<PathBuf> {
    let mut folders = vec![deployment.dir.path().to_owned()];
    folders.extend(std::fs::read_link(deployment.batches()));
    folders
}

async fn erasures(operator: &Client) -> Vec<ReplayedEvent> {
    let mut events = log::events(operator, ReplayOf::Shard(0), 1).await;
    events.retain(|event| event.type_name == "tenant_erased");
    events
}

#[tokio::test]
async fn an_erased_tenant_is_in_no_file_and_its_name_starts_empty() {
    let mut deployment = Deployment::start();
    let acme = deployment.tenant("acme").await;
    deployment.tenant("acme-two").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    let creds = deployment.creds("acme", "bob", Some("b")).await;
    let bob = connect(&deployment.url, &creds, None).await;
    // Retired, and still to be revoked: nobody can read later that it was issued.
    deployment.agent("acme", "carol", "c").await;
    let retire = ["agent", "retire", "--tenant", "acme", "--role", "carol"];
    deployment.run(&retire).expect(0);
    let neighbours = [
        deployment.agent("acme-two", "alice", "a").await,
        deployment.agent("acme-two", "bob", "b").await,
    ];
    let ids = busy(&alice, &bob, CANARY).await;
    busy(&neighbours[0], &neighbours[1], NEIGHBOUR).await;
    let cursor = bob.check(&Check::default().limit(2)).await.unwrap();
    let cursor = cursor.next_cursor.expect("there is more");
    deployment
        .run(&["tenant", "rotate-key", "--tenant", "acme"])
        .expect(0);
    busy(&alice, &bob, CANARY).await;

    let wrapped = wrapped_keys(&deployment.path(), &deployment.url, "acme").await;
    assert_eq!(wrapped.len(), 2, "one key, and the one after it");
    let secrets: Vec<&[u8]> = wrapped.iter().map(Vec::as_slice).collect();
    let canary = [CANARY.as_bytes()];
    eventually("the rows hold the canary", async || {
        !files_with(&kept(&deployment), &canary).is_empty()
    })
    .await;
    for secret in &secrets {
        assert!(!files_with(&kept(&deployment), &[secret]).is_empty());
    }

    // A check that waits is not left waiting.
    let all = bob.check(&Check::default().limit(200)).await.unwrap();
    let ids_of = all.messages.iter().map(|m| m.message_id.to_string());
    bob.mark_messages_as_read(ids_of).await.unwrap();
    let waiting = bob.clone();
    let waits = Check::default().wait(Duration::from_secs(50));
    let waiting = tokio::spawn(async move { waiting.check(&waits).await });

    let confirm = |name| ["tenant", "erase", "--tenant", "acme", "--confirm", name];
    deployment.run(&confirm("acme-two")).expect(2);
    alice.whoami().await.expect("nothing happened");
    let erased = deployment.run(&[&["--json"][..], &confirm("acme")].concat());
    assert_eq!(erased.expect(0).json()["generation"], 1);

    let sought: Vec<&[u8]> = canary.iter().chain(&secrets).copied().collect();
    let nothing: [PathBuf; 0] = [];
    assert_eq!(files_with(&kept(&deployment), &sought), nothing);
    assert!(!files_with(&kept(&deployment), &[NEIGHBOUR.as_bytes()]).is_empty());
    let waited = waiting.await.unwrap().unwrap_err();
    assert_eq!(code(&waited), ErrorCode::Unauthenticated);
    // Agents are told what agents of a tenant that never was are told, until nats-server cuts them off.
    for agent in [&alice, &bob] {
        let asked = agent.whoami().await.unwrap_err();
        assert_eq!(code(&asked), ErrorCode::Unauthenticated, "{asked}");
        let sent = agent.send(&Draft::new("bob", CANARY)).await.unwrap_err();
        assert!(has_ended(&sent), "{sent}");
    }
    neighbours[0].whoami().await.expect("its neighbour stays");
    deployment.run(&["tenant", "show", "acme"]).expect(3);
    let tenants = deployment.run(&["--json", "tenant", "list"]).expect(0);
    let listed = tenants.json()["tenants"].to_string();
    assert!(!listed.contains("\"acme\""), "{listed}");
    // Once more: it is done.
    deployment.run(&confirm("acme")).expect(0);
    let never = ["tenant", "erase", "--tenant", "never", "--confirm", "never"];
    deployment.run(&never).expect(3);

    let operator = deployment.operator().await;
    let told = erasures(&operator).await;
    let destroyed: Vec<_> = told
        .iter()
        .map(|event| event.data["keyDestroyed"].as_bool())
        .collect();
    assert_eq!(destroyed, [Some(false), Some(true)]);
    assert_eq!(told[0].tenant, "_sys");
    let void = told[0].data["credentials"].as_array().unwrap();
    assert_eq!(void.len(), 3, "alice, bob, and carol who was retired");
    assert!(void.iter().all(|one| {
        let key = one["publicKey"].as_str().unwrap();
        key.starts_with('U') && one["expiresAt"].as_u64().unwrap() > told[0].time.0
    }));
    operator.close().await.unwrap();

    assert_eq!(deployment.stop(), 0);
    assert_eq!(files_with(&kept(&deployment), &sought), nothing);
    deployment.restart();

    // The name again: another tenant.
    let made = deployment
        .run(&["--json", "tenant", "create", "acme"])
        .expect(0);
    assert_eq!(made.json()["generation"], 2);
    let refused = bob.whoami().await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::Unauthenticated, "{refused}");
    let refused = bob.send(&Draft::new("bob", "hello")).await.unwrap_err();
    assert!(has_ended(&refused), "{refused}");
    // Behind nats-server, the new roster does not know them either.
    deployment.run(&["--as", "acme/bob/b", "whoami"]).expect(3);
    let bob = deployment.agent("acme", "bob", "b").await;
    starts_empty(&bob, &ids, &cursor).await;
    bob.send(&Draft::new("bob", "of the second")).await.unwrap();
    let shown = bob.list_messages(&Default::default()).await.unwrap();
    assert_eq!(shown.messages.len(), 1);
    let operator = deployment.operator().await;
    let own = log::events(&operator, ReplayOf::Tenant(acme), 1).await;
    let problems = own.iter().filter(|event| event.problem.is_some());
    assert_eq!(problems.count(), 0, "{own:?}");

    // Folded anew, the rows are the same.
    operator.operator().unwrap().rebuild().await.unwrap();
    eventually("the rows are followed again", async || {
        let status = operator.operator().unwrap().status().await;
        status.is_ok_and(|status| status.shards.iter().all(|shard| shard.state == "following"))
    })
    .await;
    let shown = bob.list_messages(&Default::default()).await.unwrap();
    assert_eq!(shown.messages.len(), 1);
    assert_eq!(files_with(&kept(&deployment), &sought), nothing);
}

/// Nothing of who bore the name before is there, nor reached by what was known of it.
async fn starts_empty(bob: &Client, ids: &[MessageId], cursor: &str) {
    assert_eq!(bob.whoami().await.unwrap().unread_total, Some(0));
    let unread = bob.check(&Check::default()).await.unwrap();
    assert!(unread.messages.is_empty() && unread.unread_total == 0);
    let peers = bob.list_peers(&Page::default()).await.unwrap().peers;
    assert_eq!(peers.len(), 1, "{peers:?}");
    assert!(peers[0].summary.is_none() || peers[0].summary.as_deref() == Some(""));
    for id in ids {
        let missing = bob.get_message(*id).await.unwrap_err();
        assert_eq!(code(&missing), ErrorCode::NotFound);
        let draft = Draft::new("bob", "x").reply_to(*id);
        let missing = bob.send(&draft).await.unwrap_err();
        assert_eq!(code(&missing), ErrorCode::NotFound);
        let marked = bob.mark_messages_as_read([id.to_string()]).await.unwrap();
        assert_eq!(marked.not_found.len(), 1);
    }
    let stale = bob
        .check(&Check::default().after(cursor))
        .await
        .unwrap_err();
    let field = stale
        .refusal()
        .and_then(|refusal| refusal.field.as_deref().map(str::to_owned));
    assert_eq!(field.as_deref(), Some("cursor"), "{stale}");
    let lost = bob.send(&Draft::new("alice", "x")).await.unwrap_err();
    assert_eq!(code(&lost), ErrorCode::NotFound);
}

/// An erase as an operator types it, on a fleet.
fn erase(dir: &Path, name: &str) -> std::process::Command {
    let mut command = std::process::Command::new(harness::binary());
    command.arg("--dir").arg(dir);
    command.args(["tenant", "erase", "--tenant", name, "--confirm", name]);
    command
}

/// Two agents of a new tenant that have said something.
async fn settle(fleet: &Fleet, name: &str) {
    fleet.tenant(name, 0).await;
    let operator = fleet.operator().await;
    let mut agents = Vec::new();
    for role in ["alice", "bob"] {
        let creds = issue(&operator, name, role, Some("x")).await;
        agents.push(connect(&fleet.url, &creds, None).await);
    }
    busy(&agents[0], &agents[1], CANARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erase_that_is_killed_at_any_instant_is_ended_by_repeating_it() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut fleet = Fleet::start(1, 2, 2);
    for round in 0..4 {
        let name = format!("acme-{round}");
        settle(&fleet, &name).await;
        let mut erasing = harness::process::Process::start_unheard(erase(&fleet.path(), &name));
        // The instant of the kill is the random part of this test, so it does pause. Brokers listen for
        // some seconds before they trust that they know every part.
        let most = if round == 0 { 8_000 } else { 600 };
        let pause = Duration::from_millis(random.random_range(0..most));
        tokio::time::sleep(pause).await;
        for part in fleet.brokers.iter_mut().chain(&mut fleet.projectors) {
            part.take().unwrap().kill();
        }
        if random.random_bool(0.5) {
            fleet.kill_nats();
        }
        if !erasing.has_ended() {
            erasing.kill();
        }
        fleet.revive();
        let ran = cli::run(erase(&fleet.path(), &name), "");
        ran.expect(0);
        let folder = [fleet.dir.path().to_owned()];
        let nothing: [PathBuf; 0] = [];
        assert_eq!(files_with(&folder, &[CANARY.as_bytes()]), nothing);
        let tenant = TenantId::parse(&name).unwrap();
        let operator = fleet.operator().await;
        let gone = operator.operator().unwrap().get_tenant(&tenant).await;
        assert_eq!(code(&gone.unwrap_err()), ErrorCode::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_that_was_away_clears_its_file_when_it_is_back() {
    let mut fleet = Fleet::start(1, 1, 2);
    settle(&fleet, "acme").await;
    let rows = [fleet.rows(1)];
    let canary = [CANARY.as_bytes()];
    eventually("both have it in their rows", async || {
        !files_with(&rows, &canary).is_empty()
    })
    .await;
    fleet.projectors[1].take().unwrap().kill();
    cli::run(erase(&fleet.path(), "acme"), "").expect(0);
    let nothing: [PathBuf; 0] = [];
    assert_eq!(files_with(&[fleet.rows(0)], &canary), nothing);
    assert!(!files_with(&rows, &canary).is_empty(), "it was away");
    fleet.start_projector(1);
    eventually("its file is clear", async || {
        files_with(&rows, &canary).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stored_for_a_tenant_behind_its_end_whoever_goes_on_sending() {
    let fleet = Fleet::start(1, 2, 1);
    fleet.tenant("acme", 0).await;
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..8 {
        let agent = fleet.agent("acme", "alice", &format!("a{number}")).await;
        sending.spawn(async move {
            let mut sent = 0;
            loop {
                let draft = Draft::new("alice", format!("{CANARY} {number} {sent}"));
                match agent.send(&draft).await {
                    Ok(_) => sent += 1,
                    Err(error) => return (sent, code(&error)),
                }
            }
        });
    }
    let witness = Witness::connect(&fleet.path(), &fleet.url).await;
    witness.wait_for_end(0, 200).await;
    cli::run(erase(&fleet.path(), "acme"), "").expect(0);
    let after = witness.log_end(0).await;
    for (sent, ended) in sending.join_all().await {
        assert!(sent > 0, "it was at work");
        let ends = [ErrorCode::NotFound, ErrorCode::Unauthenticated];
        assert!(
            ends.contains(&ended) || ended == ErrorCode::OutcomeUnknown,
            "{ended:?}"
        );
    }
    let operator = fleet.operator().await;
    let events = log::events(&operator, ReplayOf::Shard(0), 1).await;
    let last = |is_meant: &dyn Fn(&ReplayedEvent) -> bool| {
        let found = events.iter().filter(|event| is_meant(event));
        found.map(|event| event.position.sequence).max().unwrap()
    };
    let end = last(&|event| event.type_name == "tenant_erased");
    assert!(last(&|event| event.tenant == "acme") < end);
    assert_eq!(witness.log_end(0).await, after, "nothing came later");
    let mut of_acme = events.iter().filter(|event| event.tenant == "acme");
    assert!(of_acme.all(|event| event.problem.is_some() && event.data.is_null()));
    let folder = [fleet.dir.path().to_owned()];
    let nothing: [PathBuf; 0] = [];
    assert_eq!(files_with(&folder, &[CANARY.as_bytes()]), nothing);
}
