//! A new data key is for what comes; what lies in the log stays readable, and nothing is rewritten.

use crate::harness::witness::Witness;
use crate::harness::{Deployment, eventually, log, raw};
use postroad_client::{Draft, ReplayOf};
use postroad_protocol::subject::inbox_prefix;
use serde_json::json;

#[tokio::test]
async fn messages_sealed_before_and_after_a_rotation_are_readable_also_from_a_rebuild() {
    let deployment = Deployment::start();
    let acme = deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    alice.send(&Draft::new("alice", "under 1")).await.unwrap();
    let rotate = ["--json", "tenant", "rotate-key", "--tenant", "acme"];
    let rotated = deployment.run(&rotate).expect(0).json();
    assert_eq!(
        (&rotated["generation"], &rotated["number"]),
        (&json!(1), &json!(2))
    );
    alice.send(&Draft::new("alice", "under 2")).await.unwrap();

    // The same command twice makes one key.
    let creds = std::fs::read_to_string(deployment.path().join("operator.creds")).unwrap();
    let inbox = inbox_prefix("_all", "_operator", "local");
    let operator = raw::connect(&deployment.url, &creds, &inbox).await;
    let body = json!({"commandId": postroad_protocol::CommandId::generate().to_string()});
    for _ in 0..2 {
        let subject = "postroad.acme.cmd._operator.local.admin.rotate_key";
        let answer = raw::request(&operator, subject, body.to_string()).await;
        assert_eq!(answer["number"], 3, "{answer}");
    }
    alice.send(&Draft::new("alice", "under 3")).await.unwrap();
    deployment
        .run(&["tenant", "rotate-key", "--tenant", "never"])
        .expect(3);

    let witness = Witness::connect(&deployment.path(), &deployment.url).await;
    let jetstream = async_nats::jetstream::new(witness.client.clone());
    let shard = jetstream.get_stream("POSTROAD_0").await.unwrap();
    let (mut keys, mut next) = (Vec::new(), 1);
    while let Ok(stored) = shard
        .get_first_raw_message_by_subject("postroad.acme.evt.0.message.alice", next)
        .await
    {
        next = stored.sequence + 1;
        keys.push(stored.headers.get("Pr-Key").unwrap().to_string());
    }
    assert_eq!(keys, ["1.1", "1.2", "1.3"]);

    let operator = deployment.operator().await;
    operator.operator().unwrap().rebuild().await.unwrap();
    eventually("the rows are followed again", async || {
        let status = operator.operator().unwrap().status().await;
        status.is_ok_and(|status| status.shards.iter().all(|shard| shard.state == "following"))
    })
    .await;
    let shown = alice.list_messages(&Default::default()).await.unwrap();
    let contents: Vec<&str> = shown.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(contents, ["under 3", "under 2", "under 1"]);
    let trail = log::events(&operator, ReplayOf::Tenant(acme), 1).await;
    let audited = trail
        .iter()
        .filter(|event| event.type_name == "data_key_rotated");
    let numbers: Vec<_> = audited.map(|event| event.data["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(2), Some(3)]);
}
