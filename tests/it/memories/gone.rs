//! What an erased tenant remembered is nowhere, a suspended one neither asks nor stores, and a limit is met to the memory.

use super::{by_words, recall_status, remember, until_embedded};
use crate::harness::scan::files_with;
use crate::harness::{Deployment, eventually};
use postroad_client::{Client, ClientError, MemoryFilter, MemoryUpdate, NewMemory, Recall};
use postroad_protocol::ErrorCode;
use postroad_protocol::command::wire::ImportMemory;
use postroad_protocol::query::RecallMode;
use std::path::PathBuf;

const CANARY: &str = "quillfeather";
const NEIGHBOUR: &str = "marshlantern";

fn code<T: std::fmt::Debug>(refused: Result<T, ClientError>) -> ErrorCode {
    refused.unwrap_err().code()
}

/// Everything that the deployment keeps in files, the memory behind its batches included.
fn kept(deployment: &Deployment) -> Vec<PathBuf> {
    let mut folders = vec![deployment.dir.path().to_owned()];
    folders.extend(std::fs::read_link(deployment.batches()));
    folders
}

/// Remembers in every field that takes text, changes and forgets some of it, and asks for it.
async fn busy(agent: &Client, canary: &str) -> postroad_protocol::memory::MemoryId {
    let mut last = None;
    for number in 0..20 {
        let memory = NewMemory::new("global", format!("{canary} knows fact {number}"))
            .kind(format!("{canary}-type"))
            .tag(format!("{canary}-tag"))
            .episode(format!("{canary} episode"));
        let id = agent.store_memory(&memory).await.unwrap().memory_id;
        if number % 5 == 0 {
            let change = MemoryUpdate::new(id).content(format!("{canary} changed {number}"));
            agent.update_memory(&change).await.unwrap();
        }
        if number % 7 == 3 {
            agent.forget_memory(id).await.unwrap();
        } else {
            last = Some(id);
        }
    }
    agent
        .recall(&Recall::new(format!("what does {canary} know?")))
        .await
        .unwrap();
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_erased_tenant_remembered_is_in_no_file_and_its_name_recalls_nothing() {
    let mut deployment = Deployment::start();
    deployment.tenant("gonecorp").await;
    deployment.tenant("gonecorp-two").await;
    let tau = deployment.agent("gonecorp", "tau", "i1").await;
    let neighbour = deployment.agent("gonecorp-two", "tau", "i1").await;
    let operator = deployment.operator().await;
    let id = busy(&tau, CANARY).await;
    let theirs = busy(&neighbour, NEIGHBOUR).await;
    until_embedded(&operator, &tau).await;
    until_embedded(&operator, &neighbour).await;
    let has_vectors = recall_status(&operator).await.mode == RecallMode::WordsAndMeaning;
    let vectors = [deployment.path().join("rows/vectors-0.redb")];
    let key = [&b"gonecorp\0"[..]];
    if has_vectors {
        eventually("its vectors are in the file", async || {
            !files_with(&vectors, &key).is_empty()
        })
        .await;
    }
    eventually("the rows hold the canary", async || {
        !files_with(&kept(&deployment), &[CANARY.as_bytes()]).is_empty()
    })
    .await;
    let erase = [
        "tenant",
        "erase",
        "--tenant",
        "gonecorp",
        "--confirm",
        "gonecorp",
    ];
    deployment.run(&erase).expect(0);
    let nothing: [PathBuf; 0] = [];
    assert_eq!(
        files_with(&kept(&deployment), &[CANARY.as_bytes()]),
        nothing
    );
    assert_eq!(files_with(&vectors, &key), nothing);
    // Nor does any come back.
    assert_eq!(deployment.stop(), 0);
    assert_eq!(
        files_with(&kept(&deployment), &[CANARY.as_bytes()]),
        nothing
    );
    deployment.restart();
    assert_eq!(
        files_with(&kept(&deployment), &[CANARY.as_bytes()]),
        nothing
    );
    let operator = deployment.operator().await;
    let name = deployment.tenant("gonecorp").await;
    let again = deployment.agent("gonecorp", "tau", "i1").await;
    assert_eq!(code(again.get_memory(id, None).await), ErrorCode::NotFound);
    assert_eq!(code(again.forget_memory(id).await), ErrorCode::NotFound);
    let change = MemoryUpdate::new(id).content("mine now");
    assert_eq!(
        code(again.update_memory(&change).await),
        ErrorCode::NotFound
    );
    let told = again.recall(&Recall::new(CANARY)).await.unwrap();
    assert_eq!((told.results.len(), told.matched, told.awaiting), (0, 0, 0));
    let listed = again.list_memories(&MemoryFilter::default()).await.unwrap();
    assert!(listed.memories.is_empty());
    let seen = operator
        .operator()
        .unwrap()
        .get_memory(Some(&name), id, None)
        .await;
    assert_eq!(code(seen), ErrorCode::NotFound);
    // The same words may be remembered anew, and the neighbour knows what it knew.
    remember(&again, "global", "a fact of its own").await;
    assert_eq!(again.recall(&Recall::new("fact")).await.unwrap().matched, 1);
    let kept = neighbour.get_memory(theirs, None).await.unwrap().memory;
    assert!(kept.content.contains(NEIGHBOUR), "{}", kept.content);
    let found = neighbour
        .recall(&Recall::new(NEIGHBOUR).limit(50))
        .await
        .unwrap();
    assert_eq!(by_words(&found).len(), 17);
}

#[tokio::test]
async fn a_suspended_tenant_neither_asks_nor_stores_and_finds_everything_afterwards() {
    let deployment = Deployment::start();
    let acme = deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let operator = deployment.operator().await;
    let operator = operator.operator().unwrap();
    let id = remember(&tau, "global", "The gate is shut.").await;
    deployment.run(&["tenant", "suspend", "acme"]).expect(0);
    let denied = ErrorCode::PermissionDenied;
    assert_eq!(
        code(tau.store_memory(&NewMemory::new("global", "x")).await),
        denied
    );
    assert_eq!(
        code(tau.update_memory(&MemoryUpdate::new(id).content("x")).await),
        denied
    );
    assert_eq!(code(tau.forget_memory(id).await), denied);
    assert_eq!(code(tau.get_memory(id, None).await), denied);
    assert_eq!(
        code(tau.list_memories(&MemoryFilter::default()).await),
        denied
    );
    assert_eq!(code(tau.recall(&Recall::new("gate")).await), denied);
    // The operator still sees what is there.
    let seen = operator
        .recall(Some(&acme), &Recall::new("gate"))
        .await
        .unwrap();
    assert_eq!(seen.results[0].memory_id, id);
    deployment.run(&["tenant", "resume", "acme"]).expect(0);
    let found = tau.recall(&Recall::new("gate")).await.unwrap();
    assert_eq!(
        (found.results[0].memory_id, found.results[0].version),
        (id, 1)
    );
}

#[tokio::test]
async fn a_limit_of_memories_is_met_exactly_and_forgetting_makes_room() {
    let deployment = Deployment::start();
    let acme = deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let operator = deployment.operator().await;
    let operator = operator.operator().unwrap();
    deployment
        .run(&["tenant", "limits", "acme", "--memories", "10"])
        .expect(0);
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(remember(&tau, "global", &format!("fact {number}")).await);
    }
    let one_more = NewMemory::new("global", "one more");
    let refused = tau.store_memory(&one_more).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::QuotaExceeded);
    assert!(refused.to_string().contains("memories"), "{refused}");
    let line = ImportMemory {
        namespace: "notes".to_owned(),
        content: "from elsewhere".to_owned(),
        ..ImportMemory::default()
    };
    assert_eq!(
        code(operator.import_memory(&acme, &line).await),
        ErrorCode::QuotaExceeded
    );
    // What is there can be changed, and the library counts for nobody.
    tau.update_memory(&MemoryUpdate::new(ids[0]).content("fact changed"))
        .await
        .unwrap();
    operator
        .store_memory(&NewMemory::new("global", "everybody's"))
        .await
        .unwrap();
    assert_eq!(
        code(tau.store_memory(&one_more).await),
        ErrorCode::QuotaExceeded
    );
    for id in &ids[..2] {
        tau.forget_memory(*id).await.unwrap();
    }
    let mut taken = 0;
    eventually("forgetting has made room", async || {
        taken += usize::from(tau.store_memory(&one_more).await.is_ok());
        taken > 0
    })
    .await;
    // The same command again takes no more room, and there is room for another.
    tau.store_memory(&one_more).await.unwrap();
    eventually("there is room for one", async || {
        operator.import_memory(&acme, &line).await.is_ok()
    })
    .await;
    assert!(operator.import_memory(&acme, &line).await.unwrap().already);
    assert_eq!(
        code(tau.store_memory(&NewMemory::new("global", "y")).await),
        ErrorCode::QuotaExceeded
    );
    let shown = deployment
        .run(&["--json", "tenant", "limits", "acme"])
        .expect(0)
        .json();
    assert_eq!(shown["used"]["memories"], 10, "{shown}");
}
