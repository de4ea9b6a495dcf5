//! MCP over HTTP: two tenants with the same names, and whom the door turns away.

use crate::client::{NEW, OLD};
use crate::harness::process::Process;
use crate::harness::{Deployment, binary};
use crate::web::{Gateway, Web, get, send, send_tls, token};
use hyper::StatusCode;
use postroad_protocol::token::Token;
use serde_json::{Value, json};

fn fast() -> Deployment {
    Deployment::start_with(&["--durability", "fast"])
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_names_in_two_tenants_are_two_worlds_over_http() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    let operator = deployment.operator().await;
    let mut worlds = Vec::new();
    for (tenant, revision) in [("acme", OLD), ("globex", NEW)] {
        deployment.tenant(tenant).await;
        let mut pair = Vec::new();
        for role in ["tau", "pi"] {
            let token = token(&operator, tenant, role, "mcp", None).await;
            let caller = gateway.caller(&token);
            pair.push(match revision {
                OLD => caller.with_session(OLD).await,
                _ => caller,
            });
        }
        let pi = pair.pop().unwrap();
        worlds.push((tenant, pair.pop().unwrap(), pi));
    }
    let mut sent = Vec::new();
    for (tenant, tau, pi) in &worlds {
        // One waits while the other sends.
        let waits = pi.call("wait_for_messages", json!({"waitMs": 30_000}));
        let sends = tau.call(
            "send_message",
            json!({"channel": "pi", "content": format!("of {tenant}")}),
        );
        let (waited, told) = tokio::join!(waits, sends);
        assert_eq!(
            waited["messages"][0]["content"],
            json!(format!("of {tenant}"))
        );
        sent.push(told["messageId"].clone());
    }
    for (at, (tenant, tau, pi)) in worlds.iter().enumerate() {
        let whoami = pi.call("whoami", json!({})).await;
        assert_eq!(whoami["tenantId"], json!(tenant));
        assert_eq!(whoami["role"], json!("pi"));
        assert_eq!(pi.unread().await, [format!("of {tenant}")]);
        let foreign = json!({"messageId": sent[1 - at]});
        let refused = tau.try_call("get_message", &foreign).await.json();
        assert_eq!(refused["result"]["isError"], json!(true));
        let text = refused["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("not_found"), "{text}");
        // What a request says of its caller changes nothing.
        let other = worlds[1 - at].0;
        let claim = json!({"channel": "pi", "content": "forged", "tenantId": other});
        let refused = tau.try_call("send_message", &claim).await.json();
        assert_eq!(refused["result"]["isError"], json!(true), "{refused}");
        let read = pi
            .call("mark_as_read", json!({"messageIds": [sent[at]]}))
            .await;
        assert_eq!(read["marked"], json!([sent[at]]), "{read}");
        assert!(pi.unread().await.is_empty());
    }
    assert_eq!(gateway.counts().await.callers, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_turns_away_whoever_does_not_say_who_it_is() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &["--allow-origin", "https://app.example.com"]);
    deployment.tenant("acme").await;
    let good = token(&deployment.operator().await, "acme", "tau", "mcp", None).await;
    let caller = gateway.caller(&good);
    let whoami = || caller.asking("tools/call", json!({"name": "whoami", "arguments": {}}));
    let changed = async |header: &'static str, value: Option<&str>| {
        let mut request = whoami();
        request.headers_mut().remove(header);
        if let Some(value) = value {
            request.headers_mut().insert(header, value.parse().unwrap());
        }
        send(&gateway.address, request).await
    };
    assert_eq!(
        send(&gateway.address, whoami()).await.status,
        StatusCode::OK
    );

    let nobody = Token::generate();
    let unknown = format!("Bearer {}", nobody.text().as_str());
    let slip = format!("Bearer {}", &good.text()[..good.text().len() - 1]);
    for given in [
        None,
        Some("Basic dGF1OnB3"),
        Some(&*unknown),
        Some(&*slip),
        Some("Bearer x"),
    ] {
        let answer = changed("authorization", given).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{given:?}");
        let challenge = answer.header("www-authenticate");
        let metadata = format!(
            "resource_metadata=\"http://{}/.well-known/oauth-protected-resource/mcp\"",
            gateway.address
        );
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(
            challenge.contains(&metadata) && challenge.contains("scope=\""),
            "{challenge}"
        );
        assert_eq!(answer.json()["code"], json!("unauthenticated"));
        assert_eq!(
            challenge.contains("invalid_token"),
            given.is_some(),
            "{challenge}"
        );
    }
    for path in ["", "/mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let metadata = send(&gateway.address, get(&path, &gateway.address))
            .await
            .json();
        assert_eq!(
            metadata["resource"],
            json!(format!("http://{}/mcp", gateway.address))
        );
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }

    for (header, value) in [
        ("host", "evil.example"),
        ("host", "localhost.evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://app.example.com"),
    ] {
        let answer = changed(header, Some(value)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{header}: {value}");
        assert_eq!(answer.json()["field"], json!(header));
    }
    let page = changed("origin", Some("https://app.example.com")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert_eq!(
        page.header("access-control-allow-origin"),
        "https://app.example.com"
    );

    let text = good.text();
    for path in [
        format!("/mcp?access_token={}", text.as_str()),
        format!("/mcp?x={}", text.as_str()),
    ] {
        let mut request = whoami();
        *request.uri_mut() = path.parse().unwrap();
        let answer = send(&gateway.address, request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.body.contains(text.as_str()) && answer.body.contains("URL"));
    }
    let missing = send(&gateway.address, get("/", &gateway.address)).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let healthy = send(&gateway.address, get("/healthz", "10.0.0.1")).await;
    assert_eq!(
        (healthy.status, healthy.json()),
        (StatusCode::OK, json!({"ok": true}))
    );

    // Nothing that was said holds a token.
    let said = gateway.process.said().text();
    assert!(!said.contains(text.as_str()) && !said.contains(nobody.text().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_mcp_is_told_so_and_hurts_nobody() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    deployment.tenant("acme").await;
    let token = token(&deployment.operator().await, "acme", "tau", "mcp", None).await;
    let caller = gateway.caller(&token);
    let with = async |body: &str, method: &str| {
        let mut request = caller.post(&Value::Null);
        *request.body_mut() = body.to_owned().into();
        *request.method_mut() = method.parse().unwrap();
        send(&gateway.address, request).await
    };
    let large = "x".repeat(1024 * 1024 + 1);
    let refused = with(&large, "POST").await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.json()["code"], json!("too_large"));
    assert_eq!(
        with("{}", "PUT").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    for body in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#,
    ] {
        let answer = with(body, "POST").await;
        assert!(answer.status.is_client_error(), "{body}: {answer:?}");
    }
    // As large as a message may be.
    let content = "y".repeat(256 * 1024);
    let told = caller
        .call(
            "send_message",
            json!({"channel": "tau", "content": content}),
        )
        .await;
    assert!(told["messageId"].is_string());
    // Many at once of one token have a bound, and each gets a clear answer.
    let wait = json!({"name": "wait_for_messages", "arguments": {"waitMs": 3_000}});
    let asked = (0..80).map(|_| {
        let request = caller.asking("tools/call", wait.clone());
        send(&gateway.address, request)
    });
    let answers = futures_util::future::join_all(asked).await;
    let busy = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(busy.count(), 16);
    assert!(answers.iter().all(|answer| {
        answer.status == StatusCode::OK || answer.json()["code"] == json!("rate_limited")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_served_with_a_certificate_and_up_serves_mcp_beside_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["road.example.com".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let home = dir.path().join(".postroad");
    let mut command = std::process::Command::new(binary());
    command
        .args(["--dir".as_ref(), home.as_os_str()])
        .args([
            "--json",
            "up",
            "--listen",
            "127.0.0.1:0",
            "--durability",
            "fast",
        ])
        .args(["--http", "127.0.0.1:0", "--allow-host", "road.example.com"])
        .args([
            "--http-cert".as_ref(),
            cert.as_os_str(),
            "--http-key".as_ref(),
            key.as_os_str(),
        ]);
    let (up, ready) = Process::start_until_line(command);
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let url = ready["mcp"].as_str().unwrap();
    let address = url
        .strip_prefix("https://")
        .unwrap()
        .strip_suffix("/mcp")
        .unwrap();
    let issued = crate::harness::cli::run_in(
        &home,
        &[
            "--json", "token", "issue", "--tenant", "default", "--role", "tau",
        ],
        "",
    );
    let issued = issued.expect(0).json();
    let text = issued["token"].as_str().unwrap();
    assert_eq!(issued["instanceId"], json!("mcp"));
    let caller = Web::new(address, text);
    let mut request = caller.asking("tools/call", json!({"name": "whoami", "arguments": {}}));
    request
        .headers_mut()
        .insert("host", "road.example.com".parse().unwrap());
    let answer = send_tls(address, "road.example.com", &made.cert.pem(), request).await;
    assert_eq!(
        answer.json()["result"]["structuredContent"]["role"],
        json!("tau")
    );
    let listed = crate::harness::cli::run_in(&home, &["token", "list", "--tenant", "default"], "");
    assert!(!listed.expect(0).stdout.contains(text));
    assert_eq!(up.terminate(), 0);

    // In the clear only this machine is served.
    let open = ["mcp", "--http", "0.0.0.0:0"];
    let refused = crate::harness::cli::run_in(&home, &open, "").expect(2);
    assert!(refused.stderr.contains("--http-cert"), "{}", refused.stderr);
}
