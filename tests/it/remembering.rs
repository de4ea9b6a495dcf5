//! Memories through the client library, on a real deployment: one reads what one wrote, a retry stores once, and the
//! operator's view is told from the agents'.

use crate::harness::Deployment;
use postroad_client::protocol::command::wire::ImportMemory;
use postroad_client::protocol::memory::RelationKind;
use postroad_client::protocol::query::AsOf;
use postroad_client::{Client, ClientError, MemoryFilter, MemoryUpdate, NewMemory, Recall};
use postroad_protocol::{ErrorCode, TenantId, TimeMs};

fn code<T: std::fmt::Debug>(refused: Result<T, ClientError>) -> ErrorCode {
    refused.unwrap_err().code()
}

async fn results(client: &Client, wanted: &Recall) -> Vec<String> {
    let found = client.recall(wanted).await.unwrap();
    let content = |memory: postroad_client::protocol::query::Memory| memory.content;
    found.results.into_iter().map(content).collect()
}

#[tokio::test]
async fn a_client_recalls_what_it_has_just_remembered_and_a_retry_stores_once() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = deployment.agent_by_position("acme", "tau", "pi").await;
    for number in 0..20 {
        let text = format!("Fact number{number} of the road.");
        let memory = NewMemory::new("global", &text).kind("note").tag("facts");
        let saved = tau.store_memory(&memory).await.unwrap();
        let wanted = Recall::new(format!("number{number}")).limit(1);
        assert_eq!(results(&tau, &wanted).await, [text]);
        assert_eq!(tau.store_memory(&memory).await.unwrap(), saved);
    }
    let mut listed = Vec::new();
    let mut filter = MemoryFilter::default().tag("facts").kind("note").limit(7);
    loop {
        let page = tau.list_memories(&filter).await.unwrap();
        assert_eq!(page.truncated, page.next_cursor.is_some());
        listed.extend(page.memories);
        match page.next_cursor {
            Some(cursor) => filter = filter.after(cursor),
            None => break,
        }
    }
    assert_eq!(listed.len(), 20);
    assert!(listed.is_sorted_by(|one, next| one.created_at >= next.created_at));
}

#[tokio::test]
async fn a_memory_is_changed_field_by_field_and_known_as_it_was() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = deployment.agent_by_position("acme", "tau", "pi").await;
    let first = NewMemory::new("project/road", "It leads north.").episode("survey");
    let first = tau.store_memory(&first).await.unwrap();
    let happened = TimeMs(1_711_670_400_000);
    let more = NewMemory::new("project/road", "It is paved.")
        .relates_to(RelationKind::Extends, first.memory_id)
        .occurred_at(happened)
        .expires_at(TimeMs(TimeMs::now().0 + 3_600_000));
    let more = tau.store_memory(&more).await.unwrap();
    let id = more.memory_id;
    let change = MemoryUpdate::new(id)
        .content("It is gravel.")
        .kind("feedback")
        .tags(["surface"])
        .relations([(RelationKind::Derives, first.memory_id)])
        .episode("survey")
        .expires_at(None);
    let updated = tau.update_memory(&change).await.unwrap();
    assert_eq!(tau.update_memory(&change).await.unwrap(), updated);
    let now = tau.get_memory(id, None).await.unwrap().memory;
    assert_eq!((now.content.as_str(), now.version), ("It is gravel.", 2));
    assert_eq!(
        (now.kind.as_str(), now.tags.as_slice()),
        ("feedback", &["surface".to_owned()][..])
    );
    assert_eq!(now.relates_to[0].kind, RelationKind::Derives);
    assert_eq!((now.occurred_at, now.expires_at), (happened, None));
    let as_of = AsOf::Sequence(more.position.sequence);
    let then = tau.get_memory(id, Some(as_of)).await.unwrap().memory;
    assert_eq!((then.content.as_str(), then.version), ("It is paved.", 1));
    let then = Recall::new("paved").as_of(as_of);
    assert_eq!(results(&tau, &then).await, ["It is paved."]);
    let before = Recall::new("gravel north").until(TimeMs(happened.0 + 1));
    assert_eq!(results(&tau, &before).await, ["It is gravel."]);

    let pi = deployment.agent_by_position("acme", "pi", "desk").await;
    pi.forget_memory(id).await.unwrap();
    assert_eq!(code(pi.get_memory(id, None).await), ErrorCode::NotFound);
    assert_eq!(code(pi.forget_memory(id).await), ErrorCode::NotFound);
    let empty = MemoryUpdate::new(first.memory_id);
    assert_eq!(
        code(pi.update_memory(&empty).await),
        ErrorCode::InvalidArgument
    );
}

#[tokio::test]
async fn the_operator_imports_into_a_tenant_and_publishes_to_all() {
    let deployment = Deployment::start();
    let acme: TenantId = deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let client = deployment.operator().await;
    let operator = client.operator().unwrap();
    let line = ImportMemory {
        id: Some("note/1".to_owned()),
        namespace: "notes".to_owned(),
        content: "The bridge opens in May.".to_owned(),
        created_by: Some("somebody else".to_owned()),
        ..ImportMemory::default()
    };
    let first = operator.import_memory(&acme, &line).await.unwrap();
    let again = operator.import_memory(&acme, &line).await.unwrap();
    assert!(!first.already && again.already);
    assert_eq!(
        (first.memory_id, first.position),
        (again.memory_id, again.position)
    );
    let bad = ImportMemory {
        content: String::new(),
        ..line.clone()
    };
    let refused = operator.import_memory(&acme, &bad).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().field.as_deref(), Some("content"));

    let tau = deployment.agent("acme", "tau", "pi").await;
    let theirs = deployment.agent("globex", "tau", "pi").await;
    // An agent without the scope `admin` does not even ask.
    assert_eq!(
        code(tau.import_memory(&line).await),
        ErrorCode::PermissionDenied
    );
    let bridge = Recall::new("when does the bridge open?").created_by("somebody else");
    assert_eq!(results(&tau, &bridge).await, ["The bridge opens in May."]);
    assert!(results(&theirs, &bridge).await.is_empty());

    let shared = NewMemory::new("global", "The bridge has a toll.");
    let shared = operator.store_memory(&shared).await.unwrap();
    let toll = Recall::new("toll").limit(1);
    for agent in [&tau, &theirs] {
        assert_eq!(results(agent, &toll).await, ["The bridge has a toll."]);
        assert!(agent.forget_memory(shared.memory_id).await.is_err());
    }
    let all = operator.recall(None, &Recall::new("bridge")).await.unwrap();
    let mut owners: Vec<_> = all
        .results
        .iter()
        .map(|memory| (memory.shared, memory.tenant_id.clone()))
        .collect();
    owners.sort();
    assert_eq!(owners, [(false, Some(acme.clone())), (true, None)]);
    let one = operator
        .list_memories(Some(&acme), &MemoryFilter::default())
        .await
        .unwrap();
    assert_eq!(one.memories.len(), 1);
    let change = MemoryUpdate::new(shared.memory_id).content("The toll is gone.");
    operator.update_memory(&change).await.unwrap();
    let now = operator
        .get_memory(None, shared.memory_id, None)
        .await
        .unwrap();
    assert_eq!(now.memory.content, "The toll is gone.");
    operator
        .get_memory(Some(&acme), first.memory_id, None)
        .await
        .unwrap();
    operator.forget_memory(shared.memory_id).await.unwrap();
    assert!(results(&theirs, &toll).await.is_empty());
    // Agents' verbs are not the operator's, nor the other way round.
    assert_eq!(
        code(client.recall(&toll).await),
        ErrorCode::PermissionDenied
    );
    assert!(tau.operator().is_err());
}
