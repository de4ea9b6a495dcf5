//! Credentials: scopes, renewal, exchange, revocation, keys that never leave the agent. The operator's
//! work, and that of a tenant's own administrators.

use crate::harness::road::{Road, promised_by_both_kinds};
use crate::harness::{connect, eventually, options};
use postroad_client::{Check, Client, ClientError, Credential, Draft, NewAgent, Revoke, UserKey};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{ErrorCode, TenantId, TimeMs};
use std::time::Duration;

promised_by_both_kinds!(
    a_revoked_credential_is_cut_off_and_its_roles_mail_keeps_coming,
    a_tenants_administrator_rules_its_own_roster_only,
);

fn code(error: &ClientError) -> ErrorCode {
    error.code()
}

async fn issue(road: &Road, agent: NewAgent) -> (String, String) {
    let operator = road.operator().await;
    let tenant = TenantId::parse("default").unwrap();
    let key = UserKey::generate();
    let roster = operator.roster(Some(&tenant)).unwrap();
    let issued = roster.issue(&agent, &key.public_key()).await.unwrap();
    (key.public_key(), key.creds(&issued.jwt).to_string())
}

fn new(role: &str) -> NewAgent {
    NewAgent::new(role.parse().unwrap())
}

async fn a_revoked_credential_is_cut_off_and_its_roles_mail_keeps_coming(road: Road) {
    let (key, creds) = issue(&road, new("tau").instance("pi".parse().unwrap())).await;
    let (_, sibling) = issue(&road, new("tau").instance("mac".parse().unwrap())).await;
    let alice = connect(
        road.url(),
        &road.creds("default", "alice", Some("a")).await,
        None,
    )
    .await;
    let quick = options(road.url(), &creds).timeout(Duration::from_secs(2));
    let tau = Client::connect(quick).await.unwrap();
    let sibling = connect(road.url(), &sibling, None).await;
    let mut mail = tau.subscribe().await.unwrap();
    alice.send(&Draft::new("tau", "before")).await.unwrap();
    assert_eq!(mail.next().await.unwrap().unwrap().content, "before");

    let operator = road.operator().await;
    let tenant = TenantId::parse("default").unwrap();
    let roster = operator.roster(Some(&tenant)).unwrap();
    let revoked = roster.revoke(&Revoke::Key(key.clone())).await.unwrap();
    assert_eq!(revoked.public_keys, std::slice::from_ref(&key));
    // Refused from the answer on: a new connection, and everything over the standing one.
    let refused = Client::connect(options(road.url(), &creds))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ClientError::Unauthorized { .. }),
        "{refused:?}"
    );
    let refused = tau.send(&Draft::new("alice", "boo")).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::Unauthenticated, "{refused:?}");
    let ended = mail.next().await.unwrap().unwrap_err();
    assert_eq!(code(&ended), ErrorCode::Unauthenticated, "{ended:?}");
    drop(mail);
    // A retry, and one by role, find it ended.
    assert!(roster.revoke(&Revoke::Key(key)).await.is_ok());
    let again = Revoke::Instance("tau".parse().unwrap(), "pi".parse().unwrap());
    assert!(roster.revoke(&again).await.is_ok());

    // The sibling works on, and mail for the role keeps coming for whoever takes the place.
    let sent = alice.send(&Draft::new("tau", "after")).await.unwrap();
    assert_eq!(sent.recipient_count, 2);
    let seen = sibling.check(&Check::default()).await.unwrap();
    assert!(
        seen.messages
            .iter()
            .any(|message| message.content == "after")
    );
    let (_, creds) = issue(&road, new("tau").instance("pi".parse().unwrap())).await;
    let tau = connect(road.url(), &creds, None).await;
    let seen = tau.check(&Check::default()).await.unwrap();
    let contents: Vec<&str> = seen
        .messages
        .iter()
        .map(|message| message.content.as_str())
        .collect();
    assert_eq!(contents, ["before", "after"]);
}

async fn a_tenants_administrator_rules_its_own_roster_only(road: Road) {
    road.tenant("acme").await;
    let out = |name: &str| road.folder().join(name).display().to_string();
    let boss = out("boss.creds");
    let scopes = ["--scope", "admin", "--scope", "messages"];
    let args = [
        "agent", "issue", "--tenant", "default", "--role", "boss", "--out", &boss,
    ];
    road.run(&[&args[..], &scopes].concat()).expect(0);
    let plain = out("plain.creds");
    let args = [
        "agent", "issue", "--tenant", "default", "--role", "plain", "--out", &plain,
    ];
    road.run(&args).expect(0);
    let as_boss = |args: &[&str]| road.run_as(&boss, args);
    let fresh = out("newcomer.creds");
    as_boss(&["agent", "issue", "--role", "newcomer", "--out", &fresh]).expect(0);
    let as_newcomer = |args: &[&str]| road.run_as(&fresh, args);
    as_newcomer(&["send", "boss", "hello"]).expect(0);
    let listed = as_boss(&["agent", "list"]).expect(0);
    assert!(listed.stdout.contains("newcomer") && listed.stdout.contains("plain"));
    // Another tenant's it can neither name nor reach, and the tenant itself it does not rule.
    let other = [
        "agent",
        "issue",
        "--tenant",
        "acme",
        "--role",
        "spy",
        "--out",
        &out("spy.creds"),
    ];
    as_boss(&other).expect(4);
    as_boss(&["agent", "list", "--tenant", "acme"]).expect(4);
    as_boss(&["tenant", "create", "mine"]).expect(4);
    as_boss(&["replay", "--tenant", "default"]).expect(4);
    // Who lacks the scope is refused before NATS, by NATS, and behind it.
    road.run_as(&plain, &["agent", "list"]).expect(4);
    road.run(&["--as", "default/plain", "agent", "list"])
        .expect(4);
    as_boss(&["agent", "revoke", "--role", "newcomer"]).expect(0);
    as_newcomer(&["whoami"]).expect(4);
    as_boss(&["agent", "retire", "--role", "newcomer"]).expect(0);
    let states = as_boss(&["agent", "list"]).expect(0).json();
    let newcomer = states["agents"].as_array().unwrap().iter();
    let newcomer: Vec<_> = newcomer
        .filter(|agent| agent["role"] == "newcomer")
        .collect();
    assert!(
        newcomer.iter().all(|agent| agent["retired"] == true),
        "{newcomer:?}"
    );
    assert!(
        newcomer.iter().any(|agent| agent["revoked"] == true),
        "{newcomer:?}"
    );
}

#[tokio::test]
async fn a_client_that_lives_outlives_its_first_credential() {
    let road = Road::one_process();
    let life = Duration::from_secs(4);
    let (_, creds) = issue(&road, new("tau").instance("pi".parse().unwrap()).ttl(life)).await;
    let file = road.folder().join("tau.creds");
    std::fs::write(&file, &creds).unwrap();
    let credential = Credential::from_file(&file).unwrap();
    let ends = credential.expires_at().unwrap();
    let options = postroad_client::ConnectOptions::new(road.url(), credential);
    let client = Client::connect(options).await.unwrap();
    eventually("it is renewed, and written back", async || {
        let stored = Credential::from_file(&file).unwrap();
        stored.expires_at() > Some(ends) && client.credential_expires_at() > Some(ends)
    })
    .await;
    assert!(TimeMs::now() < ends, "renewed before the first one ended");
    eventually("the first one has ended", async || TimeMs::now() > ends).await;
    // nats-server cut the connection that was made with it; the next is made with the new one.
    assert!(client.whoami().await.is_ok());
    let first = Credential::parse(&creds).unwrap_err();
    assert!(first.to_string().contains("expired"), "{first}");
}

#[tokio::test]
async fn a_key_may_stay_with_its_agent_and_be_exchanged() {
    let road = Road::one_process();
    let at = |name: &str| road.folder().join(name).display().to_string();
    let (seed, jwt, creds) = (at("tau.nk"), at("tau.jwt"), at("tau.creds"));
    let made = road
        .run(&["--json", "agent", "keygen", "--out", &seed])
        .expect(0)
        .json();
    let key = made["publicKey"].as_str().unwrap();
    // Nothing is replaced unless told to.
    road.run(&["agent", "keygen", "--out", &seed]).expect(5);
    let args = [
        "agent",
        "issue",
        "--tenant",
        "default",
        "--role",
        "tau",
        "--instance",
        "pi",
    ];
    let sign = |key: &str| {
        road.run(&[&args[..], &["--public-key", key, "--out", &jwt, "--force"]].concat())
    };
    sign("UNONSENSE").expect(2);
    sign(key).expect(0);
    assert!(!std::fs::read_to_string(&jwt).unwrap().contains("SEED"));
    let assemble = [
        "agent", "creds", "--seed", &seed, "--jwt", &jwt, "--out", &creds,
    ];
    road.run(&assemble).expect(0);
    let with = |creds: &str, args: &[&str]| road.run_as(creds, args);
    assert_eq!(with(&creds, &["whoami"]).expect(0).json()["role"], "tau");
    // The JWT of another key makes no credential.
    let other = at("other.nk");
    road.run(&["agent", "keygen", "--out", &other]).expect(0);
    road.run(&[
        "agent",
        "creds",
        "--seed",
        &other,
        "--jwt",
        &jwt,
        "--out",
        &at("x.creds"),
    ])
    .expect(4);

    let copied = at("copied.creds");
    std::fs::copy(&creds, &copied).unwrap();
    let renewed = with(&creds, &["agent", "renew"]).expect(0).json();
    assert!(renewed["expiresAt"].as_u64() > Some(TimeMs::now().0));
    with(&copied, &["whoami"]).expect(0);
    let rotated = with(&creds, &["agent", "rotate"]).expect(0).json();
    assert_ne!(rotated["publicKey"], key);
    with(&creds, &["whoami"]).expect(0);
    with(&copied, &["whoami"]).expect(4);
    // Who was ended cannot have itself renewed, nor its key issued again.
    with(&copied, &["agent", "renew"]).expect(4);
    sign(key).expect(5);
}

#[tokio::test]
async fn a_credential_reaches_its_scopes_and_no_further() {
    let road = Road::one_process();
    let scopes = vec![Scope::Audit];
    let (_, creds) = issue(
        &road,
        new("auditor")
            .instance("pi".parse().unwrap())
            .scopes(scopes),
    )
    .await;
    let auditor = connect(road.url(), &creds, None).await;
    assert!(
        auditor.whoami().await.is_ok(),
        "everybody has its own scope"
    );
    let refused = auditor.check(&Check::default()).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::PermissionDenied);
    // Not the library alone: NATS refuses the subject, and behind it the handlers the role.
    let inbox = "_INBOX.default.auditor.pi";
    let raw = crate::harness::raw::Watched::connect(road.url(), &creds, inbox).await;
    let own = "postroad.default.qry.auditor.pi";
    raw.expect_publish_denied(
        &format!("{own}.messages.check_messages"),
        &format!("{inbox}.x"),
    )
    .await;
    raw.expect_publish_denied(&format!("{own}.admin.list_agents"), &format!("{inbox}.x"))
        .await;
    let refused = road
        .run(&["--json", "--as", "default/auditor/pi", "check"])
        .expect(4);
    assert!(
        refused.stderr.contains("scope `messages`"),
        "{}",
        refused.stderr
    );
    let refused = road
        .run(&[
            "--json",
            "--as",
            "default/auditor/pi",
            "send",
            "auditor",
            "x",
        ])
        .expect(4);
    assert!(
        refused.stderr.contains("scope `messages`"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn a_client_whose_credential_was_revoked_tries_no_more_and_says_why() {
    let road = Road::one_process();
    let operator = road.operator().await;
    let tenant = TenantId::parse("default").unwrap();
    let roster = operator.roster(Some(&tenant)).unwrap();
    let (key, creds) = issue(&road, new("tau").instance("pi".parse().unwrap())).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let client = Client::connect(options(road.url(), &creds)).await.unwrap();
    roster.revoke(&Revoke::Key(key)).await.unwrap();
    eventually("its connection has ended", async || tasks() <= before).await;
    let refused = client.check(&Check::default()).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unauthorized { .. }),
        "{refused:?}"
    );
}
