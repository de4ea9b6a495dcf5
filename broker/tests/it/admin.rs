//! What operators do: tenants, credentials, damage; retries and conflicts of each.

use crate::harness::{Caller, Town, public_key, sequence};
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::Event;
use postroad_protocol::id::{CommandId, TimeMs};
use serde_json::json;

#[tokio::test]
async fn of_racing_creators_one_makes_the_tenant_and_may_retry() {
    let town = Town::with_shards(Durability::PowerSafe, 3).await;
    let bodies: Vec<_> = (0..8)
        .map(|_| json!({"commandId": CommandId::generate().to_string()}))
        .collect();
    let create = |body| town.operator.command("acme", "admin.create_tenant", body);
    let answers = join_all(bodies.iter().map(create)).await;
    let made: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for (body, answer) in bodies.iter().zip(&answers) {
        match answer {
            Ok(first) => assert_eq!(create(body).await.unwrap(), *first),
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::Conflict);
                assert_eq!(create(body).await.unwrap_err().code, ErrorCode::Conflict);
            }
        }
    }
}

#[tokio::test]
async fn tenants_spread_over_shards_unless_one_is_wished() {
    let town = Town::with_shards(Durability::PowerSafe, 3).await;
    let create = async |name: &str, body: serde_json::Value| {
        town.operator
            .command(name, "admin.create_tenant", &body)
            .await
    };
    for shard in 0..3 {
        let made = create(&format!("t{shard}"), json!({})).await.unwrap();
        assert_eq!(made["shard"], shard);
    }
    assert_eq!(create("x", json!({"shard": 2})).await.unwrap()["shard"], 2);
    let refusal = create("y", json!({"shard": 9})).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::InvalidArgument, Some("shard"))
    );
    // Tenants of every shard can be written to.
    for name in ["t0", "t1", "t2"] {
        town.issue(name, "tau", None).await;
        town.agent(name, "tau", "pi").await.say("tau", "x").await;
    }
}

#[tokio::test]
async fn an_issue_that_is_repeated_is_the_same_credential() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &[]).await;
    let id = CommandId::generate().to_string();
    let key = public_key();
    let body = json!({"role": "tau", "publicKey": key, "commandId": id});
    let issue = || {
        town.operator
            .command("acme", "admin.issue_credential", &body)
    };
    let first = issue().await.unwrap();
    assert_eq!(first["jwt"], format!("signed {}", sequence(&first)));
    // Later by the clock from which it takes when the credential ends.
    let then = TimeMs::now();
    while TimeMs::now() <= then {
        tokio::task::yield_now().await;
    }
    assert_eq!(issue().await.unwrap(), first);
    let other = json!({"role": "tau", "publicKey": key, "commandId": id, "ttlS": 60});
    let refusal = town
        .operator
        .command("acme", "admin.issue_credential", &other)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::Conflict, Some("commandId"))
    );
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let ask = async |tenant: &str, verb: &str, body: serde_json::Value| {
        let refusal = town
            .operator
            .command(tenant, verb, &body)
            .await
            .unwrap_err();
        (refusal.code, refusal.field.unwrap())
    };
    let credential = json!({"role": "tau", "publicKey": public_key()});
    assert_eq!(
        ask("nobody", "admin.issue_credential", credential).await,
        (ErrorCode::NotFound, "tenantId".into())
    );
    assert_eq!(
        ask("acme", "admin.retire_agent", json!({"role": "phi"})).await,
        (ErrorCode::NotFound, "role".into())
    );
    assert_eq!(
        ask("_all", "admin.retire_agent", json!({"role": "tau"})).await,
        (ErrorCode::InvalidArgument, "tenantId".into())
    );
    let stranger = Caller::agent(&town.server, "nobody", "tau", "pi").await;
    let refusal = stranger
        .send(CommandId::generate(), "tau", "x")
        .await
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn accepted_damage_adds_up_and_stays_the_deployments_own() {
    let town = Town::new(Durability::PowerSafe).await;
    // What carries no seal of ours is damage: only that can be given up.
    let context = async_nats::jetstream::new(town.server.connect("_INBOX.test").await);
    for _ in 1..=30 {
        let sent = context.publish("postroad.acme.evt.0.message.tau", "torn".into());
        sent.await.unwrap().await.unwrap();
    }
    let accept = async |from: u64, to: u64| {
        let body = json!({"shard": 0, "fromSequence": from, "toSequence": to});
        town.operator
            .command("_all", "admin.accept_damage", &body)
            .await
    };
    let both = tokio::join!(accept(5, 6), accept(20, 30));
    both.0.unwrap();
    both.1.unwrap();
    let last = sequence(&accept(7, 9).await.unwrap());
    let (tenant, record) = town.log().await.at(last).await;
    assert_eq!(tenant, None);
    let Event::DamageAccepted(data) = record.event else {
        panic!("{record:?}")
    };
    assert_eq!(data.ranges, [(5, 9), (20, 30)]);
    let readable = accept(30, last).await.unwrap_err();
    assert_eq!(readable.code, ErrorCode::Conflict);
    let body = json!({"shard": 7, "fromSequence": 1, "toSequence": 1});
    let refusal = town
        .operator
        .command("_all", "admin.accept_damage", &body)
        .await
        .unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("shard"));
}

#[tokio::test]
async fn what_an_absence_decides_is_asked_of_the_streams_leader() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    // Without direct reads, which any replica answers, only the leader is left to ask.
    let context = async_nats::jetstream::new(town.server.connect("_INBOX.test").await);
    let mut stream = context.get_stream("POSTROAD_0").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.allow_direct = false;
    context.update_stream(config).await.unwrap();
    let role = |name| json!({"role": name});
    let retire = async |body| {
        town.operator
            .command("acme", "admin.retire_agent", &body)
            .await
    };
    let unknown = retire(role("phi")).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NotFound, "{unknown:?}");
    let last = sequence(&retire(role("tau")).await.unwrap());
    let damage = context.publish("postroad.acme.evt.0.message.tau", "torn".into());
    damage.await.unwrap().await.unwrap();
    let body = json!({"shard": 0, "fromSequence": last + 1, "toSequence": last + 1});
    let accepted = town
        .operator
        .command("_all", "admin.accept_damage", &body)
        .await;
    accepted.unwrap();
    let body = json!({"shard": 0, "fromSequence": last, "toSequence": last});
    let readable = town
        .operator
        .command("_all", "admin.accept_damage", &body)
        .await
        .unwrap_err();
    assert_eq!(readable.code, ErrorCode::Conflict, "{readable:?}");
}
