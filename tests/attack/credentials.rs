//! Credentials that are somebody else's, of another deployment, or changed after they were signed: nats-server
//! itself lets none of them in.

use crate::harness::{DEADLINE, Deployment, eventually};
use crate::known::Known;
use crate::socket::{Socket, parts};
use crate::stage::Stage;
use crate::verbs::entries;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use postroad_client::{NewAgent, Revoke, UserKey};
use postroad_protocol::{Role, TimeMs};
use serde_json::{Value, json};
use std::time::Duration;

fn claims(jwt: &str) -> Value {
    let body = jwt.split('.').nth(1).expect("three parts");
    let body = BASE64_URL_SAFE_NO_PAD.decode(body).expect("base64");
    serde_json::from_slice(&body).expect("JSON")
}

/// A JWT with these claims, signed by `signer` as NATS signs.
fn signed(header: &Value, claims: &Value, signer: &KeyPair) -> String {
    let [header, claims] =
        [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let signature = signer
        .sign(format!("{header}.{claims}").as_bytes())
        .expect("it signs");
    format!(
        "{header}.{claims}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature)
    )
}

async fn expect_refused(url: &str, jwt: &str, seed: &str, what: &str) {
    match Socket::connect_as(url, jwt, seed).await {
        Ok(_) => panic!("{what} was let in"),
        Err(said) => assert!(said.contains("Authorization Violation"), "{what}: {said}"),
    }
}

#[tokio::test]
async fn a_credential_of_another_deployment_is_refused_by_this_one() {
    let (here, there) = (Deployment::start(), Deployment::start());
    for deployment in [&here, &there] {
        deployment.tenant("acme").await;
    }
    let ours = here.creds("acme", "tau", Some("i1")).await;
    let theirs = there.creds("acme", "tau", Some("i1")).await;
    let operator = std::fs::read_to_string(there.path().join("operator.creds")).unwrap();
    for (url, creds, what) in [
        (&here.url, &theirs, "their agent here"),
        (&there.url, &ours, "our agent there"),
        (&here.url, &operator, "their operator here"),
    ] {
        let (jwt, seed) = parts(creds);
        expect_refused(url, jwt, seed, what).await;
    }
    for (url, creds) in [
        (&here.url, &ours),
        (&there.url, &theirs),
        (&there.url, &operator),
    ] {
        assert!(
            Socket::connect(url, creds).await.is_ok(),
            "at home each is let in"
        );
    }
}

#[tokio::test]
async fn a_credential_that_ended_is_refused_and_cut_off_whichever_way_it_ended() {
    let deployment = Deployment::start();
    let url = &deployment.url;
    let operator = deployment.operator().await;
    let acme = deployment.tenant("acme").await;
    let gone = deployment.tenant("gone").await;
    let role = |name: &str| Role::parse(name).unwrap();
    let revoked = deployment.creds("acme", "tau", Some("i1")).await;
    let retired = deployment.creds("acme", "pi", Some("i1")).await;
    let erased = deployment.creds("gone", "tau", Some("i1")).await;
    let stays = deployment.creds("acme", "phi", Some("i1")).await;
    let user = UserKey::generate();
    let short = NewAgent::new(role("tau")).ttl(Duration::from_secs(1));
    let roster = operator.roster(Some(&acme)).unwrap();
    let issued = roster.issue(&short, &user.public_key()).await.unwrap();
    let expired = user.creds(&issued.jwt).to_string();
    let mut open = Vec::new();
    for creds in [&revoked, &retired, &erased] {
        open.push(Socket::connect(url, creds).await.expect("it stands"));
    }
    roster.revoke(&Revoke::Role(role("tau"))).await.unwrap();
    roster.retire(&role("pi"), None).await.unwrap();
    deployment
        .run(&["tenant", "erase", "--tenant", "gone", "--confirm", "gone"])
        .expect(0);
    let again = deployment.tenant("gone").await;
    assert_eq!(again, gone);
    deployment.creds("gone", "tau", Some("i1")).await;
    eventually("the short one has expired", async || {
        TimeMs::now() > issued.expires_at
    })
    .await;
    for (creds, what) in [
        (&revoked, "who was revoked"),
        (&retired, "who was retired"),
        (
            &erased,
            "an agent of the erased tenant, whose name and role are back",
        ),
        (&expired, "who has expired"),
    ] {
        let (jwt, seed) = parts(creds);
        match Socket::connect_as(url, jwt, seed).await {
            Ok(_) => panic!("{what} was let in"),
            Err(said) => assert!(
                said.contains("Authorization Violation") || said.contains("Expired"),
                "{what}: {said}"
            ),
        }
    }
    for mut socket in open {
        socket.expect_cut().await;
    }
    assert!(
        Socket::connect(url, &stays).await.is_ok(),
        "its neighbour stays"
    );
}

#[tokio::test]
async fn a_suspended_tenants_agents_are_refused_everything_and_hear_nothing() {
    let stage = Stage::set().await;
    let known = Known::fill(&stage).await;
    let tenant = stage.stranger.tenant;
    let push = format!("postroad.{tenant}.push.{}", stage.stranger.role);
    let mut rung = stage.stranger.watched.client.subscribe(push).await.unwrap();
    stage
        .deployment
        .run(&["tenant", "suspend", tenant])
        .expect(0);
    for entry in entries() {
        let body = (entry.body)(&known);
        let refused = stage.stranger.call(entry.verb, body).await;
        let verb = entry.verb;
        assert_eq!(refused["code"], "permission_denied", "{verb}: {refused}");
    }
    // Its neighbour, of the same names, is served and rung as ever.
    let body = json!({"channel": stage.owner.role, "content": "x"});
    let sent = stage.peer.call("send_message", body).await;
    assert!(sent["messageId"].is_string(), "{sent}");
    stage
        .deployment
        .run(&["tenant", "resume", tenant])
        .expect(0);
    let body = json!({"channel": stage.stranger.role, "content": "the first that is heard"});
    let sent = stage.double.call("send_message", body).await;
    assert!(sent["messageId"].is_string(), "{sent}");
    let heard = tokio::time::timeout(DEADLINE, rung.next())
        .await
        .unwrap()
        .unwrap();
    let heard: Value = serde_json::from_slice(&heard.payload).unwrap();
    assert_eq!(
        heard["messageId"], sent["messageId"],
        "nothing was heard before"
    );
}

#[tokio::test]
async fn a_credential_with_forged_tags_is_refused_whoever_signs_it() {
    let deployment = Deployment::start();
    for tenant in ["acme", "acme-two"] {
        deployment.tenant(tenant).await;
    }
    let creds = deployment.creds("acme-two", "tau", Some("i1")).await;
    let victim = deployment.creds("acme", "tau", Some("i1")).await;
    let url = &deployment.url;
    let (jwt, seed) = parts(&creds);
    let user = KeyPair::from_seed(seed).unwrap();
    let account = KeyPair::new_account();
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let honest = claims(jwt);
    let change = |change: &dyn Fn(&mut Value)| {
        let mut claims = honest.clone();
        change(&mut claims);
        claims
    };
    let tags = |tags: Value| change(&|claims| claims["nats"]["tags"] = tags.clone());
    let forged = [
        tags(json!([
            "tenant:acme",
            "role:tau",
            "instance:i1",
            "scope:self",
            "scope:messages"
        ])),
        tags(json!(["tenant:*", "role:*", "instance:*", "scope:*"])),
        tags(json!(["role:_operator", "instance:local"])),
        change(&|claims| claims["nats"]["pub"] = json!({"allow": [">"]})),
        change(&|claims| claims["nats"]["sub"] = json!({"allow": [">"]})),
        change(&|claims| claims["nats"]["bearer_token"] = json!(true)),
        change(&|claims| claims["exp"] = json!(4_102_444_800_u64)),
        honest.clone(),
    ];
    let original: Vec<&str> = jwt.split('.').collect();
    for claims in &forged {
        let body = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let what = claims["nats"].to_string();
        // Under the signature of the one that was issued; of the user's own key; of an account of one's own.
        if *claims != honest {
            let kept = format!("{}.{body}.{}", original[0], original[2]);
            expect_refused(url, &kept, seed, &what).await;
        }
        let mut own = claims.clone();
        for (signer, issuer) in [(&user, user.public_key()), (&account, account.public_key())] {
            expect_refused(url, &signed(&header, claims, signer), seed, &what).await;
            own["iss"] = json!(issuer);
            expect_refused(url, &signed(&header, &own, signer), seed, &what).await;
        }
        // And of nobody.
        let none = BASE64_URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "none"}).to_string());
        for signature in ["", original[2]] {
            expect_refused(url, &format!("{none}.{body}.{signature}"), seed, &what).await;
        }
    }
    // A JWT is no secret: somebody else's is worth nothing without its seed.
    let (foreign, _) = parts(&victim);
    expect_refused(url, foreign, seed, "somebody else's JWT").await;
    for cut in [
        0,
        1,
        jwt.len() / 3,
        original[0].len() + 1,
        jwt.len() - 87,
        jwt.len() - 1,
    ] {
        expect_refused(url, &jwt[..cut], seed, &format!("the first {cut} bytes")).await;
    }
    assert!(
        Socket::connect(url, &creds).await.is_ok(),
        "as it was issued it is let in"
    );
}
