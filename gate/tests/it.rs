//! A gate on a real nats-server: what it does when it drains, when the server goes away and comes back, and
//! when more comes than is taken.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

use postroad_gate::{Gate, GateError, GateOptions, Subscription};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

/// A running nats-server, killed by its id.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    async fn start(args: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Self {
            port,
            child: spawn(port, args),
        };
        server.wait_until_it_listens().await;
        server
    }

    async fn wait_until_it_listens(&self) {
        eventually(async || {
            let address = ("127.0.0.1", self.port);
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn gate(&self) -> Gate {
        Gate::connect(GateOptions::new(self.url())).await.unwrap()
    }

    async fn publisher(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

fn spawn(port: u16, args: &[&str]) -> Child {
    let binary = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    Command::new(&binary)
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            let binary = binary.display();
            panic!("{binary} does not start ({error}): set NATS_SERVER, or use `make test`")
        })
}

async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "did not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn publish(client: &async_nats::Client, subject: &'static str, bodies: &[&'static str]) {
    for body in bodies {
        let sent = client.publish_with_reply(subject, "in.box", (*body).into());
        sent.await.unwrap();
    }
    client.flush().await.unwrap();
}

/// The bodies of everything up to the end.
async fn rest(subscription: &mut Subscription) -> Vec<String> {
    let mut bodies = Vec::new();
    let taken = async {
        while let Some(message) = subscription.next().await {
            bodies.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
    };
    tokio::time::timeout(DEADLINE, taken)
        .await
        .expect("it ends");
    bodies
}

#[tokio::test]
async fn drained_it_yields_what_came_before_and_ends_and_others_go_on() {
    let server = Server::start(&[]).await;
    let (gate, client) = (server.gate().await, server.publisher().await);
    let mut one = gate.subscribe("a.*".to_owned(), Some("group".to_owned()));
    let mut other = gate.subscribe("b".to_owned(), None);
    gate.flush().await.unwrap();
    publish(&client, "a.x", &["1", "2", "3"]).await;
    let first = one.next().await.unwrap();
    assert_eq!(
        (first.subject.as_str(), &first.payload[..]),
        ("a.x", &b"1"[..])
    );
    assert_eq!(first.reply.as_deref(), Some("in.box"));
    one.drain();
    one.drain();
    assert_eq!(rest(&mut one).await, ["2", "3"]);
    publish(&client, "a.x", &["4"]).await;
    publish(&client, "b", &["5"]).await;
    assert_eq!(&other.next().await.unwrap().payload[..], b"5");
    assert!(one.next().await.is_none());
    // It comes back as another member.
    let mut back = gate.subscribe("a.*".to_owned(), Some("group".to_owned()));
    gate.flush().await.unwrap();
    publish(&client, "a.x", &["6"]).await;
    assert_eq!(&back.next().await.unwrap().payload[..], b"6");
}

#[tokio::test]
async fn a_trace_context_comes_along() {
    let server = Server::start(&[]).await;
    let (gate, client) = (server.gate().await, server.publisher().await);
    let mut subscription = gate.subscribe("a".to_owned(), None);
    gate.flush().await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("other", "x");
    headers.insert("traceparent", "00-abc-01");
    let sent = client.publish_with_headers("a", headers, "body".into());
    sent.await.unwrap();
    client.flush().await.unwrap();
    let message = subscription.next().await.unwrap();
    assert_eq!(message.traceparent.as_deref(), Some("00-abc-01"));
    assert_eq!((&message.payload[..], message.reply), (&b"body"[..], None));
}

#[tokio::test]
async fn a_server_that_comes_back_has_its_subscriptions_again() {
    let mut server = Server::start(&[]).await;
    let gate = server.gate().await;
    let mut kept = gate.subscribe("kept".to_owned(), None);
    let mut draining = gate.subscribe("draining".to_owned(), None);
    gate.flush().await.unwrap();
    server.kill();
    eventually(async || !gate.is_connected()).await;
    // What is asked of it meanwhile is done as soon as it can be, or at once.
    draining.drain();
    assert!(rest(&mut draining).await.is_empty());
    let mut new = gate.subscribe("new".to_owned(), None);
    let flushed = tokio::spawn({
        let gate = gate.clone();
        async move { gate.flush().await }
    });
    server.child = spawn(server.port, &[]);
    flushed.await.unwrap().unwrap();
    assert!(gate.is_connected());
    server.wait_until_it_listens().await;
    let client = server.publisher().await;
    publish(&client, "kept", &["1"]).await;
    publish(&client, "new", &["2"]).await;
    assert_eq!(&kept.next().await.unwrap().payload[..], b"1");
    assert_eq!(&new.next().await.unwrap().payload[..], b"2");
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_and_holds_up_nobody() {
    let server = Server::start(&[]).await;
    let (gate, client) = (server.gate().await, server.publisher().await);
    let mut idle = gate.subscribe("flood".to_owned(), None);
    let mut busy = gate.subscribe("busy".to_owned(), None);
    gate.flush().await.unwrap();
    let many = 40_000;
    for _ in 0..many {
        client.publish("flood", "x".into()).await.unwrap();
    }
    publish(&client, "busy", &["1"]).await;
    let answer = tokio::time::timeout(DEADLINE, busy.next()).await.unwrap();
    assert_eq!(&answer.unwrap().payload[..], b"1");
    idle.drain();
    let kept = rest(&mut idle).await.len();
    assert!(kept > 0 && kept < many, "{kept} of {many}");
}

#[tokio::test]
async fn a_server_that_does_not_take_it_or_is_none_is_told() {
    let server = Server::start(&["--user", "somebody", "--pass", "secret"]).await;
    let refused = Gate::connect(GateOptions::new(server.url())).await;
    assert!(matches!(refused, Err(GateError::Refused(_))), "{refused:?}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let failed = Gate::connect(GateOptions::new(nobody.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(failed, GateError::Io(_)) && failed.may_pass(),
        "{failed:?}"
    );
    let empty = Gate::connect(GateOptions::new(" , ")).await;
    assert!(matches!(empty, Err(GateError::Servers(_))), "{empty:?}");
    assert!(GateOptions::new("a").creds("no credential").is_err());
    // The second of two is enough.
    let open = Server::start(&[]).await;
    let both = format!("{nobody}, {}", open.url());
    assert!(
        Gate::connect(GateOptions::new(both))
            .await
            .unwrap()
            .is_connected()
    );
}
