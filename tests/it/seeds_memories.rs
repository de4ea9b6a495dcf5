//! Every example of the seeds' text on tenants that is about memories, sent as it stands there. Credentials supply what the examples
//! leave to trust: agents of the two companies have the same role, and each company is a tenant.

use crate::harness::road::{Road, promised_by_both_kinds};
use crate::memories::{Speaker, contents};
use postroad_client::{MemoryFilter, Recall};
use postroad_protocol::query::RecallMode;
use serde_json::{Value, json};
use std::collections::BTreeSet;

promised_by_both_kinds!(
    the_workspace_examples_keep_the_companies_apart,
    the_four_prefixes_are_of_the_scopes_that_the_table_names,
    a_workspace_and_a_project_are_combined,
    the_admin_view_without_a_namespace_is_of_all_memories,
);

const ACME: &str = "Acme Corp uses PostgreSQL 15 with pgvector for their product catalog.";
const GLOBEX: &str = "Globex Corp runs on MongoDB Atlas with a strict schema validation policy.";

fn store_for_acme() -> Value {
    json!({
        "namespace": "workspace/acme-corp",
        "type": "project",
        "content": "Acme Corp uses PostgreSQL 15 with pgvector for their product catalog.",
        "createdBy": "tau"
    })
}

fn store_for_globex() -> Value {
    json!({
        "namespace": "workspace/globex-corp",
        "type": "project",
        "content": "Globex Corp runs on MongoDB Atlas with a strict schema validation policy.",
        "createdBy": "tau"
    })
}

async fn speaker(road: &Road, tenant: &str, role: &str) -> Speaker {
    let creds = road.creds(tenant, role, Some("i1")).await;
    Speaker::new(road.url(), &creds, [tenant, role, "i1"]).await
}

/// Agents of the role `tau` of both companies.
async fn two_companies(road: &Road) -> [Speaker; 2] {
    road.tenant("acme-corp").await;
    road.tenant("globex-corp").await;
    [
        speaker(road, "acme-corp", "tau").await,
        speaker(road, "globex-corp", "tau").await,
    ]
}

fn is_denied(told: &Value) {
    let given = (&told["code"], &told["field"]);
    assert_eq!(
        given,
        (&json!("permission_denied"), &json!("namespace")),
        "{told}"
    );
}

async fn the_workspace_examples_keep_the_companies_apart(road: Road) {
    let [acme, globex] = two_companies(&road).await;
    acme.save(store_for_acme()).await;
    globex.save(store_for_globex()).await;
    // The other company's workspace is not open, whoever says so.
    is_denied(&acme.call("store_memory", store_for_globex()).await);
    is_denied(&globex.call("store_memory", store_for_acme()).await);
    let wanted = json!({
        "query": "database setup",
        "namespace": "workspace/acme-corp"
    });
    is_denied(&globex.call("recall", wanted.clone()).await);

    // By words that it has, with a model or without one.
    for query in [
        "catalog of products",
        "PostgreSQL",
        "pgvector product catalog",
    ] {
        let by_words = json!({"query": query, "namespace": "workspace/acme-corp"});
        let told = acme.call("recall", by_words).await;
        assert_eq!(contents(&told["results"]), [ACME], "{told}");
        assert_eq!(told["results"][0]["namespace"], "workspace/acme-corp");
        assert_eq!(told["results"][0]["createdBy"], "tau");
        assert_eq!(told["results"][0]["type"], "project");
    }
    // Of the other company's words nothing is found.
    let theirs = json!({"query": "MongoDB Atlas schema validation policy"});
    let told = acme.call("recall", theirs).await;
    assert!(!told.to_string().contains("Globex"), "{told}");
    // As printed: neither memory has a word of the question, so what it means is what finds it.
    let is_named = std::env::var_os("POSTROAD_MODEL").is_some_and(|folder| !folder.is_empty());
    let mut told = Value::Null;
    crate::harness::eventually("all have their vectors", async || {
        told = acme.call("recall", wanted.clone()).await;
        told["awaiting"] == 0
    })
    .await;
    if is_named {
        assert_eq!(told["mode"], json!(RecallMode::WordsAndMeaning), "{told}");
        assert_eq!(contents(&told["results"]), [ACME], "{told}");
    } else {
        assert_eq!(told["mode"], json!(RecallMode::Words), "{told}");
        assert_eq!(told["results"], json!([]), "{told}");
    }
}

async fn the_four_prefixes_are_of_the_scopes_that_the_table_names(road: Road) {
    let [acme, globex] = two_companies(&road).await;
    let colleague = speaker(&road, "acme-corp", "pi").await;
    for namespace in [
        "project/landing-page",
        "workspace/acme-corp",
        "orchestrator/tau",
        "global",
    ] {
        let content = format!("A note about harbours in {namespace}.");
        acme.save(json!({"namespace": namespace, "type": "reference", "content": content, "createdBy": "tau"}))
            .await;
    }
    let note = |namespace: &str| format!("A note about harbours in {namespace}.");
    let found = async |who: &Speaker, body: Value| {
        let told = who.call("recall", body).await;
        let found = contents(&told["results"]).into_iter().map(str::to_owned);
        found.collect::<BTreeSet<_>>()
    };
    for namespace in [
        "project/landing-page",
        "workspace/acme-corp",
        "orchestrator/tau",
        "global",
    ] {
        let one = json!({"query": "harbours", "namespace": namespace});
        assert_eq!(
            found(&acme, one.clone()).await,
            BTreeSet::from([note(namespace)])
        );
        if namespace == "orchestrator/tau" {
            // A single agent's private state.
            is_denied(&colleague.call("recall", one).await);
        } else {
            assert_eq!(
                found(&colleague, one).await,
                BTreeSet::from([note(namespace)])
            );
        }
    }
    for (prefix, namespace) in [
        ("project/", "project/landing-page"),
        ("workspace/", "workspace/acme-corp"),
        ("orchestrator/", "orchestrator/tau"),
    ] {
        let segment = json!({"query": "harbours", "namespace": prefix});
        assert_eq!(
            found(&acme, segment).await,
            BTreeSet::from([note(namespace)])
        );
    }
    let all = json!({"query": "harbours"});
    assert_eq!(found(&acme, all.clone()).await.len(), 4);
    let private = note("orchestrator/tau");
    let colleagues = found(&colleague, all.clone()).await;
    assert!(
        colleagues.len() == 3 && !colleagues.contains(&private),
        "{colleagues:?}"
    );
    // What is shared across everything is shared across everything of its company.
    assert_eq!(found(&globex, all).await, BTreeSet::new());
    let global = json!({"query": "harbours", "namespace": "global"});
    assert_eq!(found(&globex, global).await, BTreeSet::new());
}

async fn a_workspace_and_a_project_are_combined(road: Road) {
    let [acme, _] = two_companies(&road).await;
    acme.save(store_for_acme()).await;
    let feature = "The landing page shows the product catalog in three columns.";
    acme.save(json!({
        "namespace": "project/acme-landing-page",
        "type": "project",
        "content": feature,
        "createdBy": "tau"
    }))
    .await;
    for (namespace, wanted) in [
        (json!("workspace/acme-corp"), vec![ACME]),
        (json!("project/acme-landing-page"), vec![feature]),
        (json!("project/"), vec![feature]),
        (json!(null), vec![ACME, feature]),
    ] {
        let ask = json!({"query": "product catalog", "namespace": namespace});
        let told = acme.call("recall", ask).await;
        let found: BTreeSet<_> = contents(&told["results"]).into_iter().collect();
        assert_eq!(found, wanted.iter().copied().collect(), "{told}");
        let told = acme
            .call("list_memories", json!({"namespace": namespace}))
            .await;
        assert_eq!(contents(&told["memories"]).len(), wanted.len(), "{told}");
    }
    // A prefix is of whole segments: nobody finds the project by the beginning of its name.
    let part = json!({"query": "product catalog", "namespace": "project/acme"});
    let told = acme.call("recall", part).await;
    assert_eq!(told["results"], json!([]), "{told}");
}

async fn the_admin_view_without_a_namespace_is_of_all_memories(road: Road) {
    let [acme, globex] = two_companies(&road).await;
    acme.save(store_for_acme()).await;
    globex.save(store_for_globex()).await;
    acme.save(json!({
        "namespace": "orchestrator/tau", "type": "project", "content": "Acme's own plan.", "createdBy": "tau"
    }))
    .await;
    // Without a credential of the operator's, all that there is is one's own company's.
    let pi = speaker(&road, "acme-corp", "pi").await;
    let told = pi
        .call(
            "recall",
            json!({"query": "Acme Corp Globex Corp product catalog plan"}),
        )
        .await;
    assert_eq!(contents(&told["results"]), [ACME], "{told}");

    let client = road.operator().await;
    let operator = client.operator().unwrap();
    let all = Recall::new("Corp plan").limit(50);
    let told = operator.recall(None, &all).await.unwrap();
    let found: BTreeSet<_> = told
        .results
        .iter()
        .map(|one| {
            let tenant = one.tenant_id.as_ref().map(ToString::to_string);
            (tenant.unwrap_or_default(), one.content.as_str())
        })
        .collect();
    let (of_acme, of_globex) = ("acme-corp".to_owned(), "globex-corp".to_owned());
    let wanted = [
        (of_acme.clone(), ACME),
        (of_acme, "Acme's own plan."),
        (of_globex, GLOBEX),
    ];
    assert_eq!(found, BTreeSet::from(wanted));
    let listed = operator
        .list_memories(None, &MemoryFilter::default().limit(50))
        .await
        .unwrap();
    assert_eq!(listed.memories.len(), 3);
    // With the company named, it is that company's alone.
    let one = operator
        .recall(Some(&"globex-corp".parse().unwrap()), &all)
        .await
        .unwrap();
    let found: Vec<_> = one.results.iter().map(|one| one.content.as_str()).collect();
    assert_eq!(found, [GLOBEX]);
}
