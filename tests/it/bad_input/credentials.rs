//! Credentials that are no longer good, or never were.

use crate::harness::{Deployment, eventually};

/// Connects as any NATS client does, without Postroad's library to look at the credential first.
async fn raw(url: &str, creds: &str) -> Result<async_nats::Client, async_nats::ConnectError> {
    let options = async_nats::ConnectOptions::with_credentials(creds);
    options.expect("the credential reads").connect(url).await
}

#[tokio::test]
async fn nats_server_itself_refuses_an_expired_credential_and_cuts_its_connections() {
    let deployment = Deployment::start();
    let out = deployment.dir.path().join("short.creds");
    let out = out.display().to_string();
    let who = ["--tenant", "default", "--role", "short", "--instance", "s"];
    let issue = [
        &["agent", "issue"][..],
        &who,
        &["--ttl", "2s", "--out", &out],
    ]
    .concat();
    deployment.run(&issue).expect(0);
    let short = std::fs::read_to_string(&out).unwrap();
    let lasting = deployment.creds("default", "short", Some("s")).await;
    let (early, other) = tokio::join!(raw(&deployment.url, &short), raw(&deployment.url, &lasting));
    let (early, other) = (early.expect("it is good for a while"), other.unwrap());
    eventually("a new connection is refused", async || {
        match raw(&deployment.url, &short).await {
            Ok(_) => false,
            Err(error) => {
                let said = error.to_string().to_lowercase();
                let refused = ["authorization violation", "authentication expired"];
                assert!(refused.iter().any(|words| said.contains(words)), "{said}");
                true
            }
        }
    })
    .await;
    eventually("the old one is cut", async || {
        early.connection_state() == async_nats::connection::State::Disconnected
    })
    .await;
    other.flush().await.unwrap();
    assert_eq!(
        other.connection_state(),
        async_nats::connection::State::Connected,
        "who has time left stays"
    );
    raw(&deployment.url, &lasting)
        .await
        .expect("and comes again");
}

#[tokio::test]
async fn expired_and_malformed_credentials_say_so() {
    let deployment = Deployment::start();
    let folder = deployment.dir.path();
    let out = folder.join("short.creds").display().to_string();
    deployment
        .run(&[
            "agent",
            "issue",
            "--tenant",
            "default",
            "--role",
            "short",
            "--instance",
            "s",
            "--ttl",
            "1s",
            "--out",
            &out,
        ])
        .expect(0);
    eventually("the credential expires", async || {
        deployment.run(&["--creds", &out, "whoami"]).code == 4
    })
    .await;
    let expired = deployment.run(&["--creds", &out, "whoami"]).expect(4);
    assert!(expired.stderr.contains("expired"), "{expired:?}");
    let bad = folder.join("bad.creds");
    std::fs::write(&bad, "-----BEGIN NATS USER JWT-----\nnonsense\n").unwrap();
    let malformed = deployment.run(&["--creds", &bad.display().to_string(), "whoami"]);
    assert_ne!(malformed.code, 0);
    assert!(malformed.stderr.contains("remedy"), "{malformed:?}");
}
