//! The operator's library, which every tenant reads and none writes; and what the operator reads, which each tenant is told.

use super::{by_words, remember};
use crate::harness::{Deployment, log};
use postroad_client::{Client, MemoryFilter, MemoryUpdate, NewMemory, Recall, ReplayOf};
use postroad_protocol::ErrorCode;
use postroad_protocol::memory::{MemoryId, RelationKind};
use postroad_protocol::query::ReplayedEvent;
use serde_json::json;

async fn listed(agent: &Client) -> Vec<(MemoryId, bool, String)> {
    let page = agent.list_memories(&MemoryFilter::default()).await.unwrap();
    let shown = |one: postroad_protocol::query::Memory| (one.memory_id, one.shared, one.content);
    page.memories.into_iter().map(shown).collect()
}

#[tokio::test]
async fn the_library_is_everybodys_to_read_and_nobodys_to_write() {
    let deployment = Deployment::start();
    let client = deployment.operator().await;
    let operator = client.operator().unwrap();
    let mut agents = Vec::new();
    for tenant in ["acme", "globex"] {
        deployment.tenant(tenant).await;
        agents.push(deployment.agent(tenant, "tau", "i1").await);
    }
    let shared = NewMemory::new("global", "Toll on the bridge is two coins.").tag("toll");
    let shared = operator.store_memory(&shared).await.unwrap().memory_id;
    let own = remember(&agents[0], "global", "The bridge is ours.").await;
    for (agent, count) in [(&agents[0], 2), (&agents[1], 1)] {
        let found = agent.recall(&Recall::new("bridge")).await.unwrap();
        assert_eq!(by_words(&found).len(), count);
        let one = found
            .results
            .iter()
            .find(|one| one.memory_id == shared)
            .unwrap();
        assert!(one.shared && one.created_by == "_operator", "{one:?}");
        assert_eq!((one.namespace.as_str(), &one.tenant_id), ("global", &None));
        assert!(
            listed(agent)
                .await
                .contains(&(shared, true, one.content.clone()))
        );
        assert_eq!(listed(agent).await.len(), count);
        let by_tag = MemoryFilter::default().namespace("global").tag("toll");
        assert_eq!(
            agent.list_memories(&by_tag).await.unwrap().memories.len(),
            1
        );
        assert!(agent.get_memory(shared, None).await.unwrap().memory.shared);
        // It is read, not written; and it is not of the tenant's projects.
        let change = MemoryUpdate::new(shared).content("free");
        assert_eq!(
            agent.update_memory(&change).await.unwrap_err().code(),
            ErrorCode::NotFound
        );
        assert_eq!(
            agent.forget_memory(shared).await.unwrap_err().code(),
            ErrorCode::NotFound
        );
        let takes = NewMemory::new("global", "free").relates_to(RelationKind::Updates, shared);
        agent.store_memory(&takes).await.unwrap_err();
        let project = Recall::new("bridge").namespace("project/");
        assert!(agent.recall(&project).await.unwrap().results.is_empty());
    }
    let change = MemoryUpdate::new(shared).content("Toll on the bridge is three coins.");
    operator.update_memory(&change).await.unwrap();
    for agent in &agents {
        let found = agent.recall(&Recall::new("three coins")).await.unwrap();
        assert_eq!(
            (found.results[0].memory_id, found.results[0].version),
            (shared, 2)
        );
        let old = agent.recall(&Recall::new("two")).await.unwrap();
        assert_eq!(by_words(&old).len(), 0);
    }
    // One that takes its place steps before it for everybody.
    let newer = NewMemory::new("global", "Toll on the bridge is gone.");
    let newer = newer.relates_to(RelationKind::Updates, shared);
    let newer = operator.store_memory(&newer).await.unwrap().memory_id;
    for agent in &agents {
        let found = agent.recall(&Recall::new("toll bridge")).await.unwrap();
        let place = |id| found.results.iter().position(|one| one.memory_id == id);
        assert!(place(newer) < place(shared), "{:?}", found.results);
    }
    operator.forget_memory(newer).await.unwrap();
    operator.forget_memory(shared).await.unwrap();
    assert_eq!(
        listed(&agents[0]).await,
        [(own, false, "The bridge is ours.".to_owned())]
    );
    assert!(listed(&agents[1]).await.is_empty());
    assert_eq!(
        agents[1]
            .recall(&Recall::new("toll bridge"))
            .await
            .unwrap()
            .matched,
        0
    );
}

/// Which reads of memories a tenant's log tells of.
async fn reads(operator: &Client, tenant: &str) -> Vec<String> {
    let of = ReplayOf::Tenant(tenant.parse().unwrap());
    let events = log::events(operator, of, 1).await;
    let reads = events
        .iter()
        .filter(|event| event.type_name == "operator_read");
    let verb = |event: &ReplayedEvent| {
        let event = json!(event).to_string();
        let verbs = ["get_memory", "list_memories", "recall"];
        let verb = verbs.iter().find(|verb| event.contains(**verb));
        verb.map(|verb| (*verb).to_owned())
    };
    reads.filter_map(verb).collect()
}

#[tokio::test]
async fn what_the_operator_reads_is_told_to_each_tenant_and_what_agents_read_to_nobody() {
    let deployment = Deployment::start();
    let client = deployment.operator().await;
    let operator = client.operator().unwrap();
    let acme = deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let theirs = deployment.agent("globex", "tau", "i1").await;
    let id = remember(&tau, "orchestrator/tau", "The ferry is mine.").await;
    remember(&theirs, "global", "The ferry is ours.").await;
    for agent in [&tau, &theirs] {
        agent.recall(&Recall::new("ferry")).await.unwrap();
        agent.list_memories(&MemoryFilter::default()).await.unwrap();
    }
    tau.get_memory(id, None).await.unwrap();
    assert_eq!(reads(&client, "acme").await, [""; 0]);
    operator.get_memory(Some(&acme), id, None).await.unwrap();
    assert_eq!(reads(&client, "acme").await, ["get_memory"]);
    operator
        .list_memories(Some(&acme), &MemoryFilter::default())
        .await
        .unwrap();
    operator
        .recall(Some(&acme), &Recall::new("ferry"))
        .await
        .unwrap();
    assert_eq!(
        reads(&client, "acme").await,
        ["get_memory", "list_memories", "recall"]
    );
    assert_eq!(reads(&client, "globex").await, [""; 0]);
    let all = operator.recall(None, &Recall::new("ferry")).await.unwrap();
    assert_eq!(all.results.len(), 2);
    assert_eq!(reads(&client, "acme").await.len(), 4);
    assert_eq!(reads(&client, "globex").await, ["recall"]);
    // One that reads nothing reads nothing of anybody.
    let of_nobody = deployment.run(&["--json", "recall", "ferry", "--tenant", "nobody"]);
    assert_eq!(of_nobody.code, 3, "{of_nobody:?}");
    assert_eq!(reads(&client, "acme").await.len(), 4);
}
