//! Cases of the roster: administrators of two tenants that are alike, and what each does with its own
//! credential.

use super::cases::expect_in_the_trail;
use super::{Agent, Stage};
use postroad_protocol::possession::prove;
use postroad_protocol::{CommandId, TenantId};
use serde_json::{Value, json};

/// The administrator of one tenant reaches nobody of the other; the owner's and the operator are served.
pub(super) async fn of_the_roster(stage: &Stage, verb: &str) {
    match verb {
        "issue_credential" => issue(stage).await,
        "retire_agent" => retire(stage).await,
        "revoke_credential" => revoke(stage).await,
        _ => list(stage).await,
    }
}

async fn admin(agent: &Agent, verb: &str, body: Value) -> Value {
    agent.call("cmd", "admin", verb, body).await
}

async fn issue(stage: &Stage) {
    // A key that the other tenant's credential is for is refused just as one's own is.
    let foreign = key_of(stage, "acme-tau").public_key();
    let own = key_of(stage, "acme-two-tau").public_key();
    let ask = async |key: &str| {
        admin(
            &stage.stranger,
            "issue_credential",
            json!({"role":"spy","publicKey":key}),
        )
        .await
    };
    let (foreign, own) = (ask(&foreign).await, ask(&own).await);
    assert_eq!(foreign, own);
    assert_eq!(foreign["code"], "conflict", "{foreign}");
    let fresh = nkeys::KeyPair::new_user().public_key();
    let body = json!({"role":"temp","publicKey":fresh});
    let issued = admin(&stage.owner, "issue_credential", body).await;
    assert!(issued["jwt"].is_string(), "{issued}");
    let out = stage.road.folder().join("new.creds").display().to_string();
    let args = [
        "--json", "agent", "issue", "--tenant", "acme", "--role", "temp-two", "--out", &out,
    ];
    stage.road.run(&args).expect(0);
}

async fn list(stage: &Stage) {
    let page = async |agent: &Agent| {
        let body = json!({"fresh":true,"limit":200});
        agent.call("qry", "admin", "list_agents", body).await
    };
    let (own, foreign) = (page(&stage.owner).await, page(&stage.stranger).await);
    assert!(own.to_string().contains("only-acme"), "{own}");
    assert!(
        foreign["agents"].is_array() && !foreign.to_string().contains("only-"),
        "{foreign}"
    );
    let first = stage
        .owner
        .call("qry", "admin", "list_agents", json!({"limit":1}))
        .await;
    let cursor = json!({"cursor":first["nextCursor"]});
    let refused = stage
        .stranger
        .call("qry", "admin", "list_agents", cursor)
        .await;
    assert_eq!(refused["field"], "cursor", "{refused}");
    let args = ["--json", "agent", "list", "--tenant", "acme"];
    stage.road.run(&args).expect(0);
    expect_in_the_trail(stage, "list_agents");
}

async fn retire(stage: &Stage) {
    let ask = async |role: &str| admin(&stage.stranger, "retire_agent", json!({"role":role})).await;
    let (foreign, missing) = (ask("only-acme").await, ask("only-acmf").await);
    assert_eq!(foreign["code"], "not_found", "{foreign}");
    let told = foreign.to_string().replace("only-acme", "only-acmf");
    assert_eq!(
        told,
        missing.to_string(),
        "foreign and missing answer alike"
    );
    let done = admin(&stage.owner, "retire_agent", json!({"role":"temp"})).await;
    assert!(done["position"].is_object(), "{done}");
    let args = [
        "--json", "agent", "retire", "--tenant", "acme", "--role", "temp-two",
    ];
    stage.road.run(&args).expect(0);
}

async fn revoke(stage: &Stage) {
    let ask = async |body: Value| admin(&stage.stranger, "revoke_credential", body).await;
    let foreign = ask(json!({"publicKey":key_of(stage, "acme-tau").public_key()})).await;
    let missing = ask(json!({"publicKey":nkeys::KeyPair::new_user().public_key()})).await;
    assert_eq!(foreign, missing, "foreign and missing answer alike");
    assert_eq!(foreign["code"], "not_found", "{foreign}");
    let (foreign, missing) = (
        ask(json!({"role":"only-acme"})).await,
        ask(json!({"role":"nobody"})).await,
    );
    assert_eq!(foreign, missing, "foreign and missing answer alike");
    // The owner ends its neighbour's spare credential, and nobody else's.
    let spare = nkeys::KeyPair::new_user().public_key();
    let body = json!({"role":"only-acme","publicKey":spare});
    let issued = admin(&stage.owner, "issue_credential", body).await;
    assert!(issued["jwt"].is_string(), "{issued}");
    let revoked = admin(
        &stage.owner,
        "revoke_credential",
        json!({"publicKey":spare}),
    )
    .await;
    assert_eq!(revoked["publicKeys"], json!([spare]), "{revoked}");
}

/// Nobody renews or ends the credential of another, of whichever tenant or role, without its seed.
pub(super) async fn of_ones_own(stage: &Stage, verb: &str) {
    let own = key_of(stage, "acme-two-tau");
    for victim in ["acme-tau", "acme-two-pi", "acme-pi"] {
        let victim = key_of(stage, victim);
        // Signed with the thief's own seed, and with the victim's own: it still is not the caller's.
        for signer in [&own, &victim] {
            let refused = ask(&stage.stranger, verb, &victim.public_key(), signer).await;
            assert_eq!(refused["code"], "not_found", "{refused}");
            assert_eq!(refused["field"], "publicKey", "{refused}");
        }
    }
    let missing = nkeys::KeyPair::new_user();
    let refused = ask(&stage.stranger, verb, &missing.public_key(), &missing).await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    let creds = stage
        .road
        .folder()
        .join("acme-tau.creds")
        .display()
        .to_string();
    let (does, before) = match verb {
        "renew_credential" => ("renew", key_of(stage, "acme-pi")),
        _ => ("rotate", key_of(stage, "acme-tau")),
    };
    let args = [
        "--creds",
        &creds,
        "--server",
        stage.road.url(),
        "agent",
        does,
    ];
    stage.road.run(&args).expect(0);
    let after = key_of(stage, "acme-tau");
    assert_ne!(after.public_key(), before.public_key());
}

async fn ask(agent: &Agent, verb: &str, public_key: &str, signer: &nkeys::KeyPair) -> Value {
    let id = CommandId::generate();
    let tenant = TenantId::parse(agent.tenant).unwrap();
    let proof = prove(signer, &tenant, verb, id).unwrap();
    let body = json!({"publicKey":public_key,"proof":proof,"commandId":id.to_string()});
    agent.call("cmd", "self", verb, body).await
}

fn key_of(stage: &Stage, name: &str) -> nkeys::KeyPair {
    let creds = stage.road.folder().join(format!("{name}.creds"));
    let text = std::fs::read_to_string(creds).unwrap();
    let seed = text.lines().find(|line| line.starts_with("SU")).unwrap();
    nkeys::KeyPair::from_seed(seed).unwrap()
}
