//! Rows are derived: folding the log anew gives the same bytes that the live projector wrote,
//! whatever raced with whatever, and an operator can read the log itself.

use crate::harness::{self, Deployment};
use postroad_client::{Check, Client, Draft};
use postroad_projector::store::Store;
use postroad_protocol::{InstanceId, Role};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

const ROLES: [&str; 4] = ["alice", "bob", "tau", "phi"];

/// Everything in the rows, and where they stand.
fn rows(deployment: &Deployment) -> (u64, Vec<String>) {
    let store = Store::open(
        &deployment.path().join("rows/shard-0.redb"),
        8 * 1024 * 1024,
    )
    .expect("the rows open");
    let checkpoint = store
        .snapshot()
        .expect("a snapshot")
        .checkpoint()
        .expect("it reads")
        .expect("there is one");
    (
        checkpoint.sequence,
        store
            .dump()
            .expect("the rows read")
            .iter()
            .map(|row| format!("{row:?}"))
            .collect(),
    )
}

async fn live(deployment: &Deployment, random: &mut StdRng) {
    let mut agents: Vec<Client> = Vec::new();
    for role in ROLES {
        for instance in ["one", "two"] {
            agents.push(deployment.agent("default", role, instance).await);
        }
    }
    let operator = deployment.operator().await;
    let tenant = "default".parse().unwrap();
    for step in 0..60 {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..random.random_range(1..6) {
            let agent = agents[random.random_range(0..agents.len())].clone();
            let channel = ["broadcast", "alice", "bob,tau", "phi", "alice,bob,tau,phi"]
                [random.random_range(0..5)];
            let reads = random.random_bool(0.5);
            racing.spawn(async move {
                // Agents that were retired meanwhile are refused, which is part of the race.
                drop(
                    agent
                        .send(&Draft::new(channel, format!("step {step}")))
                        .await,
                );
                if reads && let Ok(page) = agent.check(&Check::default().limit(5)).await {
                    let receipts: Vec<_> = page
                        .messages
                        .iter()
                        .step_by(2)
                        .filter_map(|message| message.receipt_id.clone())
                        .collect();
                    if !receipts.is_empty() {
                        drop(agent.mark_as_read(receipts).await);
                    }
                }
            });
        }
        if step % 10 == 5 {
            let role = Role::parse(ROLES[random.random_range(1..ROLES.len())]).unwrap();
            let instance = random
                .random_bool(0.7)
                .then(|| InstanceId::parse("two").unwrap());
            drop(
                operator
                    .operator()
                    .unwrap()
                    .retire_agent(&tenant, &role, instance.as_ref())
                    .await,
            );
        }
        if step % 10 == 8 {
            let role = ROLES[random.random_range(0..ROLES.len())];
            agents.push(
                deployment
                    .agent("default", role, ["two", "three"][random.random_range(0..2)])
                    .await,
            );
        }
        while racing.join_next().await.is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_folded_anew_equal_the_live_ones_byte_for_byte() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut deployment = Deployment::start();
    live(&deployment, &mut random).await;
    // The first stop may leave a last event to be applied; the second start applies it.
    assert_eq!(deployment.stop(), 0);
    deployment.restart();
    assert_eq!(deployment.stop(), 0);
    let (end, before) = rows(&deployment);
    assert!(end > 100, "something happened: {end}");
    std::fs::remove_dir_all(deployment.path().join("rows")).unwrap();
    deployment.restart();
    assert_eq!(deployment.stop(), 0);
    let (again, after) = rows(&deployment);
    assert_eq!(again, end);
    let differing: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(left, right)| left != right)
        .take(3)
        .collect();
    assert!(
        differing.is_empty() && before.len() == after.len(),
        "{differing:?}"
    );
}

#[tokio::test]
async fn a_replay_shows_a_tenants_log_in_order_and_is_audited_in_it() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    let sent = alice.send(&Draft::new("alice", "to myself")).await.unwrap();
    let lines = |ran: &str| -> Vec<serde_json::Value> {
        ran.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let first = lines(
        &deployment
            .run(&["--json", "replay", "--tenant", "acme"])
            .expect(0)
            .stdout,
    );
    let types: Vec<_> = first
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["tenant_created", "credential_issued", "message_sent"]
    );
    assert_eq!(first[2]["data"]["content"], "to myself");
    assert_eq!(first[2]["by"], "alice/a");
    assert_eq!(first[2]["position"]["sequence"], sent.position.sequence);
    let from = sent.position.sequence.to_string();
    let second = lines(
        &deployment
            .run(&["--json", "replay", "--tenant", "acme", "--from", &from])
            .expect(0)
            .stdout,
    );
    assert_eq!(second[0]["data"]["content"], "to myself");
    assert_eq!(
        second[1]["type"], "operator_read",
        "the first replay is in the log: {second:?}"
    );
    // Looking at nothing but operators' reads is not itself a read of the tenant's data.
    let last = second[1]["position"]["sequence"].as_u64().unwrap();
    let third = lines(
        &deployment
            .run(&[
                "--json",
                "replay",
                "--tenant",
                "acme",
                "--from",
                &last.to_string(),
            ])
            .expect(0)
            .stdout,
    );
    let fourth = lines(
        &deployment
            .run(&[
                "--json",
                "replay",
                "--tenant",
                "acme",
                "--from",
                &last.to_string(),
            ])
            .expect(0)
            .stdout,
    );
    assert_eq!(third, fourth);
}
