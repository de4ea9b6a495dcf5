//! What was true of a tenant is true of it in its new deployment: messages, receipts, roster.

use super::{Told, export, file, history, import, lines};
use crate::harness::{Deployment, eventually};
use postroad_client::{Check, Client, Draft, History, Page};
use postroad_protocol::{InstanceId, MessageId, Role, TenantId};
use serde_json::Value;

/// An answer without what only says where it was read.
pub(super) fn told(answer: impl serde::Serialize) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("position");
                fields.remove("nextCursor");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(answer).expect("an answer is plain data");
    strip(&mut value);
    value
}

/// A history of every kind; the messages in it, with who sent each.
async fn live(deployment: &Deployment) -> Vec<(&'static str, MessageId)> {
    deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    let bob = deployment.agent("acme", "bob", "b").await;
    let carol = deployment.agent("acme", "carol", "c").await;
    let mut sent = Vec::new();
    let mut post = async |who: &'static str, client: &Client, draft: Draft| {
        let id = client.send(&draft).await.unwrap().message_id;
        sent.push((who, id));
        id
    };
    let question = post("alice", &alice, Draft::new("bob", "direct")).await;
    post("alice", &alice, Draft::new("broadcast", "to all")).await;
    let several = Draft::new("bob,carol", "to two").label("task", "t-1");
    post("alice", &alice, several).await;
    post(
        "bob",
        &bob,
        Draft::new("alice", "answer").reply_to(question),
    )
    .await;
    let here = InstanceId::parse("b").unwrap();
    post(
        "carol",
        &carol,
        Draft::new("bob", "here only").instance(&here),
    )
    .await;
    bob.set_summary("reviewing \u{e9}\n".trim()).await.unwrap();
    let unread = bob.check(&Check::default().limit(3)).await.unwrap();
    let first = unread.messages.iter().take(2);
    let receipts = first.filter_map(|message| message.receipt_id.clone());
    bob.mark_as_read(receipts).await.unwrap();
    let operator = deployment.operator().await;
    let (acme, carol) = (
        TenantId::parse("acme").unwrap(),
        Role::parse("carol").unwrap(),
    );
    let operator = operator.operator().unwrap();
    operator.retire_agent(&acme, &carol, None).await.unwrap();
    post("alice", &alice, Draft::new("broadcast", "carol has left")).await;
    eventually("what was checked is marked as delivered", async || {
        let third = &unread.messages[2];
        let status = alice
            .message_status(third.message_id, &Page::default())
            .await;
        status.is_ok_and(|status| status.delivered_count > 0)
    })
    .await;
    sent
}

/// Everything that alice and bob can see, and what they could check at last.
async fn seen(deployment: &Deployment, sent: &[(&str, MessageId)]) -> Vec<Value> {
    let alice = deployment.agent("acme", "alice", "a").await;
    let bob = deployment.agent("acme", "bob", "b").await;
    let mut seen = Vec::new();
    for (who, id) in sent.iter().filter(|(who, _)| *who != "carol") {
        let client = if *who == "alice" { &alice } else { &bob };
        seen.push(told(
            client.message_status(*id, &Page::default()).await.unwrap(),
        ));
    }
    for client in [&alice, &bob] {
        seen.push(told(
            client.list_messages(&History::default()).await.unwrap(),
        ));
        seen.push(told(client.check(&Check::default()).await.unwrap()));
    }
    seen
}

#[tokio::test]
async fn a_tenant_that_moved_shows_the_same_messages_receipts_and_roster_in_the_same_order() {
    let old = Deployment::start();
    let sent = live(&old).await;
    let path = old.dir.path().join("acme.ndjson");
    let out = path.display().to_string();
    let args = [
        "--json", "tenant", "export", "--tenant", "acme", "--out", &out,
    ];
    let exported = old.run(&args).expect(0).json();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        lines(&text).len() as u64,
        exported["events"].as_u64().unwrap() + 2
    );
    old.run(&args).expect(5);

    let new = Deployment::start();
    let imported = import(&new, &path, &[]).expect(0).json();
    // All but the tenant's creation, which is its own here.
    assert_eq!(
        imported["imported"],
        exported["events"].as_u64().unwrap() - 1
    );
    assert_eq!(
        (&imported["skipped"], &imported["lost"]),
        (&0.into(), &0.into())
    );
    let before = history(&lines(&text));
    assert_eq!(history(&lines(&export(&new, "acme"))), before);
    // Once more: nothing is doubled, and that it was there is said.
    let again = import(&new, &path, &[]).expect(0).json();
    assert_eq!(again["imported"], 0);
    assert_eq!(again["skipped"], imported["imported"]);
    let after = export(&new, "acme");
    assert_eq!(history(&lines(&after)), before);
    let audited = |line: &&Value| line["data"]["verb"] == "import_events";
    assert_eq!(lines(&after).iter().filter(audited).count(), 1, "{after}");

    let roster = async |deployment: &Deployment| {
        let operator = deployment.operator().await;
        let operator = operator.operator().unwrap();
        let acme = TenantId::parse("acme").unwrap();
        let mut shown = told(operator.get_tenant(&acme).await.unwrap());
        shown["createdAt"] = Value::Null;
        // Nor does it hold the same reads of its operator.
        shown["storedBytes"] = Value::Null;
        let agents = operator.list_agents(&acme, &Page::default()).await;
        (shown, told(agents.unwrap()))
    };
    assert_eq!(roster(&new).await, roster(&old).await);
    assert_eq!(seen(&new, &sent).await, seen(&old, &sent).await);
    // And it lives on.
    let bob = new.agent("acme", "bob", "b").await;
    let unread = bob.check(&Check::default()).await.unwrap().unread_total;
    let alice = new.agent("acme", "alice", "a").await;
    alice.send(&Draft::new("bob", "here we are")).await.unwrap();
    let now = bob.check(&Check::default()).await.unwrap();
    assert_eq!(now.unread_total, unread + 1);
    assert_eq!(now.messages.last().unwrap().content, "here we are");
}

#[tokio::test]
async fn an_export_holds_one_tenant_under_a_new_name_too_and_is_audited_in_it() {
    let deployment = Deployment::start();
    live(&deployment).await;
    deployment.tenant("globex").await;
    let eve = deployment.agent("globex", "eve", "e").await;
    eve.send(&Draft::new("eve", "canary-of-globex"))
        .await
        .unwrap();
    let text = export(&deployment, "acme");
    assert!(!text.contains("globex"), "{text}");
    let trail = deployment
        .run(&["--json", "replay", "--tenant", "acme"])
        .expect(0);
    let reads = lines(&trail.stdout);
    let reads = |verb: &str| reads.iter().any(|line| line["data"]["verb"] == verb);
    assert!(reads("replay") && reads("get_tenant"), "{}", trail.stdout);
    // Into the same deployment, beside the tenant that it was taken from.
    let path = file(&deployment, "acme.ndjson", &text);
    import(&deployment, &path, &["--tenant", "acme-two"]).expect(0);
    let copied = export(&deployment, "acme-two");
    assert_eq!(history(&lines(&copied)), history(&lines(&text)));
    assert_eq!(lines(&copied)[0]["tenant"], "acme-two");
    deployment
        .run(&["tenant", "export", "--tenant", "nobody"])
        .expect(3);
}

#[tokio::test]
async fn a_history_longer_than_a_part_with_repeats_and_lost_events_is_stored_once_and_in_order() {
    let deployment = Deployment::start();
    let mut told = Told::with_messages(1_200);
    // A retry that was stored twice, as a log may hold it; then what was lost.
    let text = told.text.clone();
    let repeated = text.lines().nth(5).unwrap();
    let mut repeated: postroad_protocol::portable::PortableEvent =
        serde_json::from_str(repeated).unwrap();
    told.sequence += 3;
    repeated.sequence = told.sequence;
    told.line(&repeated);
    told.lost();
    told.message("the last");
    let text = told.end();
    let path = file(&deployment, "long.ndjson", &text);
    let ran = import(&deployment, &path, &[]).expect(0).json();
    assert_eq!(ran["imported"], 1_202, "{ran}");
    assert_eq!((&ran["skipped"], &ran["lost"]), (&1.into(), &1.into()));
    let mut expected = history(&lines(&text));
    expected.remove(1_201);
    assert_eq!(history(&lines(&export(&deployment, "acme"))), expected);
    let alice = deployment.agent("acme", "alice", "a").await;
    let page = alice.list_messages(&History::default().limit(1)).await;
    assert_eq!(page.unwrap().messages[0].content, "the last");
}
