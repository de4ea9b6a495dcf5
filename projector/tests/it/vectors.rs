//! Vectors beside the rows: made from the log's memories behind the write path, and kept when the rows are folded anew. What needs
//! the model runs where `POSTROAD_MODEL` names its folder.

use crate::harness::{Town, eventually, exists, host};
use postroad_projector::Projector;
use postroad_protocol::event::{Actor, MemoryStored, TenantErased};
use postroad_protocol::id::{MemoryType, TenantId};
use postroad_protocol::memory::Namespace;
use postroad_protocol::subject::Owner;
use serde_json::{Value, json};
use std::path::PathBuf;

fn model() -> Option<PathBuf> {
    let folder = std::env::var_os("POSTROAD_MODEL").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("POSTROAD_MODEL is not set: what needs the model was not tested");
    }
    folder
}

fn memory(content: &str) -> MemoryStored {
    MemoryStored {
        namespace: Namespace::Global,
        kind: MemoryType::parse("reference").unwrap(),
        content: content.to_owned(),
        tags: Vec::new(),
        relates_to: Vec::new(),
        episode: None,
        occurred_at: None,
        expires_at: None,
        imported: None,
    }
}

impl Town {
    async fn remember(&self, tenant: &str, content: &str) -> u64 {
        let tenant = TenantId::parse(tenant).unwrap();
        let owner = Owner::Tenant(&tenant);
        self.append(owner, &Actor::System, memory(content)).await
    }
}

async fn recall_status(town: &Town) -> Value {
    let operator = town.operator().await;
    let status = operator.ask("admin.status", &json!({})).await.unwrap();
    status["recall"].clone()
}

/// Waits until every memory that was stored has its vectors, so many of them made by this process.
async fn until_embedded(town: &Town, projector: &Projector, sequence: u64, embedded: u64) {
    let host = host(projector);
    eventually("the rows are there", async || {
        host.progress().sequence >= sequence
    })
    .await;
    eventually("every memory has its vectors", async || {
        let recall = recall_status(town).await;
        assert_eq!(recall["problem"], Value::Null, "{recall}");
        recall["embedded"] == json!(embedded) && recall["awaiting"] == json!(0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_another_process_embed_nothing_again() {
    let Some(model) = model() else { return };
    let town = Town::with_acme().await;
    town.remember("acme", "the car would not start").await;
    town.remember("acme", "tea is at four").await;
    let end = town
        .append(Owner::System, &Actor::System, memory("for everybody"))
        .await;
    let projector = town.projector_with("rows", Some(model.clone())).await;
    until_embedded(&town, &projector, end, 3).await;
    assert_eq!(recall_status(&town).await["mode"], "words_and_meaning");
    // Folded anew while it runs.
    let operator = town.operator().await;
    let before = host(&projector).store();
    operator.ask("admin.rebuild", &json!({})).await.unwrap();
    eventually("rebuilt rows are served", async || {
        !host(&projector).is_served(&before)
    })
    .await;
    let end = town.remember("acme", "one more").await;
    until_embedded(&town, &projector, end, 4).await;
    drop(before);
    projector.drain().await;
    // Folded anew because they are gone.
    let rows = town.folder.path().join("rows");
    std::fs::remove_file(rows.join("shard-0.redb")).unwrap();
    let projector = town.projector_with("rows", Some(model.clone())).await;
    until_embedded(&town, &projector, end, 0).await;
    let end = town.remember("acme", "and another").await;
    until_embedded(&town, &projector, end, 1).await;
    projector.drain().await;
    // Vectors that are gone are made again.
    let vectors = rows.join("vectors-0.redb");
    assert!(exists(&vectors));
    std::fs::write(&vectors, b"not what was written").unwrap();
    let projector = town.projector_with("rows", Some(model)).await;
    until_embedded(&town, &projector, end, 5).await;
    projector.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_memories_are_stored_and_the_status_says_why_words_alone_find_them() {
    let town = Town::with_acme().await;
    town.remember("acme", "the car would not start").await;
    let absent = town.folder.path().join("no-model");
    let projector = town.projector_with("rows", Some(absent)).await;
    let recall = recall_status(&town).await;
    assert_eq!(recall["mode"], "words", "{recall}");
    let problem = recall["problem"].as_str().unwrap();
    assert!(problem.contains("scripts/recall-model.sh"), "{problem}");
    assert_eq!(recall["model"], Value::Null);
    projector.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_tenants_vectors_leave_the_file() {
    let Some(model) = model() else { return };
    let town = Town::with_acme().await;
    town.tenant("bolt").await;
    for number in 0..20 {
        town.remember("acme", &format!("secret {number}")).await;
    }
    let end = town.remember("bolt", "kept").await;
    let projector = town.projector_with("rows", Some(model)).await;
    until_embedded(&town, &projector, end, 21).await;
    let path = town.folder.path().join("rows/vectors-0.redb");
    let holds = |name: &[u8]| {
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(name.len()).any(|at| at == name)
    };
    assert!(holds(b"acme\0") && holds(b"bolt\0"));
    let tenant = TenantId::parse("acme").unwrap();
    let home = town.keyring.home(Owner::Tenant(&tenant)).unwrap();
    let erased = TenantErased {
        tenant,
        generation: home.key_id.generation,
        through_sequence: end,
        key_destroyed: true,
        credentials: Vec::new(),
    };
    town.append(Owner::System, &Actor::System, erased).await;
    eventually("nothing of it is in the file", async || !holds(b"acme")).await;
    assert!(holds(b"bolt\0"));
    let end = town.remember("bolt", "one more").await;
    until_embedded(&town, &projector, end, 22).await;
    assert!(!holds(b"acme"));
    projector.drain().await;
}
