//! Bearer tokens: what a gateway gets for them, and what it never does.

use super::{DAY, Stage, connect, eventually};
use crate::link::{connect_part, part_creds};
use crate::parts::start_projector;
use postroad_client::{Identity, NewAgent, Trust, UserKey};
use postroad_mcp::http::{ExchangeError, Exchanger, HttpServer, Road, Settings};
use postroad_protocol::TimeMs;
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding};
use postroad_protocol::possession::{EXCHANGE_SKEW_MS, prove_exchange};
use postroad_protocol::service::{EXCHANGE_TOKEN, Exchange};
use postroad_protocol::subject::{Owner, Service, Subjects};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::token::Token;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

impl Stage {
    /// A gateway, over a connection that has the gateway's own credential and no other.
    async fn gateway(&self) -> async_nats::Client {
        let (keys, templates) = (self.deployment.keys(), self.deployment.templates());
        let creds = part_creds(keys, templates, Service::Gateway).unwrap();
        connect_part(&self.nats.url(), &Trust::System, Service::Gateway, &creds)
            .await
            .unwrap()
    }

    async fn issue_token(&self, role: &str, ttl: Duration) -> Token {
        let token = Token::generate();
        let wish = NewAgent::token(role.parse().unwrap(), "mcp".parse().unwrap()).ttl(ttl);
        let roster = self.operator.roster(Some(&self.tenant)).unwrap();
        let key = token.key().public_key();
        roster.issue(&wish, &key).await.unwrap();
        token
    }
}

/// The end that a JWT says, in seconds since 1970.
fn end_of(jwt: &str) -> u64 {
    use base64::Engine as _;
    let claims = jwt.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims);
    let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    claims["exp"].as_u64().unwrap()
}

fn is_unknown(answer: &Result<String, ExchangeError>) -> bool {
    matches!(answer, Err(ExchangeError::Unknown))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_exchanged_for_a_jwt_that_soon_ends_until_it_ends_itself() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let gateway = Exchanger::new(stage.gateway().await, &Subjects::default());
    let token = stage.issue_token("tau", DAY).await;
    let jwt = gateway.exchange(&token).await.unwrap();
    let (ends, now) = (end_of(&jwt), TimeMs::now().0 / 1_000);
    assert!(ends > now + 800 && ends <= now + 901, "{ends} {now}");
    let creds = UserKey::from(token.key()).creds(&jwt);
    let caller = connect(&stage.nats.url(), &creds).await.unwrap();
    let Identity::Agent {
        tenant,
        reader,
        scopes,
    } = caller.identity()
    else {
        panic!("a token is an agent's");
    };
    assert_eq!(
        (tenant, reader.to_string()),
        (&stage.tenant, "tau/mcp".to_owned())
    );
    assert!(scopes.contains(&Scope::Messages) && !scopes.contains(&Scope::Admin));

    // Never longer than the token itself.
    let brief = stage.issue_token("tau", Duration::from_secs(30)).await;
    let jwt = gateway.exchange(&brief).await.unwrap();
    assert!(end_of(&jwt) <= TimeMs::now().0 / 1_000 + 30);

    // What nobody issued, what is no token, and what has ended read alike.
    assert!(is_unknown(&gateway.exchange(&Token::generate()).await));
    let ordinary = Token::generate();
    let wish = NewAgent::new("phi".parse().unwrap());
    let roster = stage.operator.roster(Some(&stage.tenant)).unwrap();
    let key = ordinary.key().public_key();
    roster.issue(&wish, &key).await.unwrap();
    assert!(is_unknown(&gateway.exchange(&ordinary).await));
    stage.revoke(&token.key().public_key()).await;
    assert!(is_unknown(&gateway.exchange(&token).await));
    let retired = stage.issue_token("rho", DAY).await;
    assert!(gateway.exchange(&retired).await.is_ok());
    roster.retire(&"rho".parse().unwrap(), None).await.unwrap();
    assert!(is_unknown(&gateway.exchange(&retired).await));
    let late = stage.issue_token("tau", Duration::from_secs(1)).await;
    eventually("an expired token is refused", async || {
        is_unknown(&gateway.exchange(&late).await)
    })
    .await;
    // The one that was not touched still serves.
    assert!(gateway.exchange(&brief).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_can_neither_speak_as_an_agent_nor_use_anothers_proof() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let nats = stage.gateway().await;
    let subjects = Subjects::default();
    let subject = subjects.service(Service::Issuer, Owner::System, EXCHANGE_TOKEN);
    let (token, other) = (
        stage.issue_token("tau", DAY).await,
        stage.issue_token("phi", DAY).await,
    );
    let ask = async |key: &str, proved_for: &str, at: TimeMs, reply: &str| {
        let proof = prove_exchange(&token.key(), proved_for, at).unwrap();
        let public_key = key.to_owned();
        let body = Encoding::MessagePack.encode(&Exchange {
            public_key,
            at,
            life_ms: None,
            proof,
        });
        let request = async_nats::Request::new().payload(body.into());
        let request = request.inbox(reply.to_owned());
        let answer = nats.send_request(subject.clone(), request).await.unwrap();
        answer
            .headers
            .is_none_or(|headers| headers.get(ERROR_CODE_HEADER).is_none())
    };
    let (own, foreign) = (token.key().public_key(), other.key().public_key());
    let (now, reply) = (TimeMs::now(), nats.new_inbox());
    assert!(ask(&own, &reply, now, &reply).await);
    assert!(!ask(&foreign, &reply, now, &reply).await, "another's key");
    let elsewhere = nats.new_inbox();
    assert!(!ask(&own, &reply, now, &elsewhere).await, "overheard");
    let old = TimeMs(now.0 - EXCHANGE_SKEW_MS - 1);
    assert!(!ask(&own, &reply, old, &reply).await, "kept");

    // An answer is sent to no other part, and a gateway asks the issuer nothing else.
    let violations = stage.deployment.layout().nats_log();
    let forbidden = [
        "postroad.acme.cmd.tau.mcp.messages.send_message",
        "postroad.acme.qry.tau.mcp.messages.check_messages",
        "postroad.acme.presence.tau.mcp",
        "postroad._sys.issuer.acme.sign",
        "postroad._sys.issuer._sys.enforce",
        "postroad._sys.broker.acme.observe",
        "$JS.API.INFO",
    ];
    for subject in forbidden {
        nats.publish(subject, bytes::Bytes::new()).await.unwrap();
        nats.flush().await.unwrap();
        eventually(subject, async || {
            let log = std::fs::read_to_string(&violations).unwrap();
            log.contains("Publish Violation") && log.contains(&format!("\"{subject}\""))
        })
        .await;
    }
}

/// Sends one POST to /mcp of the server at `address`, and gives everything that came back.
async fn post(address: &str, token: &Token, session: Option<&str>, body: &str) -> String {
    let session = session.map_or(String::new(), |id| format!("mcp-session-id: {id}\r\n"));
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {}\r\n{session}\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        token.text().as_str(),
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_outlives_the_jwts_that_it_is_served_with() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let (keys, templates) = (stage.deployment.keys(), stage.deployment.templates());
    let creds = part_creds(keys, templates, Service::Projector).unwrap();
    let rows = stage.deployment.layout().rows_dir();
    let projector = start_projector(&stage.shared, &creds, rows, None);
    let _projector = projector.await.unwrap();
    let brief = Duration::from_secs(2);
    let exchanger = Exchanger::new(stage.gateway().await, &Subjects::default()).brief(brief);
    let settings = Settings {
        road: Road {
            servers: stage.nats.url(),
            trust: Trust::System,
            subjects: Subjects::default(),
            callers_max: 8,
            requests_per_caller: 8,
            idle: Duration::from_mins(1),
        },
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        hosts: Vec::new(),
        origins: Vec::new(),
        public_url: None,
        counts: None,
    };
    let server = HttpServer::start(settings, exchanger.clone())
        .await
        .unwrap();
    let address = server.url().trim_start_matches("http://");
    let address = address.trim_end_matches("/mcp").to_owned();
    let token = stage.issue_token("tau", DAY).await;
    let jwt = exchanger.exchange(&token).await.unwrap();
    assert!(end_of(&jwt) <= TimeMs::now().0 / 1_000 + 2);
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",
        "capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    let opened = post(&address, &token, None, hello).await;
    let id = opened
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: "));
    let id = id.unwrap_or_else(|| panic!("{opened}"));
    let told = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    post(&address, &token, Some(id), told).await;
    // Three JWTs one after the other: the session, which ends with its caller, is the same in all of them.
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"check_messages","arguments":{}}}"#;
    let begun = Instant::now();
    let mut calls = 0;
    while begun.elapsed() < 3 * brief {
        let answer = post(&address, &token, Some(id), call).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(r#""isError":false"#),
            "{:?}: {answer}",
            begun.elapsed()
        );
        calls += 1;
    }
    assert!(calls > 3, "{calls}");
    server.drain().await;
}
