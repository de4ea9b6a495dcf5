//! A NATS client without Postroad's library: what any client in any language, or an attacker with a
//! valid credential, can do.

use async_nats::{Client, ConnectOptions, Message};
use serde_json::Value;
use std::time::Duration;

/// Connects with the text of a `.creds` file and the given inbox prefix.
pub async fn connect(url: &str, creds: &str, inbox: &str) -> Client {
    ConnectOptions::with_credentials(creds)
        .expect("the credential reads")
        .custom_inbox_prefix(inbox)
        .request_timeout(Some(Duration::from_secs(10)))
        .connect(url)
        .await
        .expect("the raw client connects")
}

/// Sends a body and reads the answer as JSON; the body may be anything.
pub async fn request(client: &Client, subject: &str, body: impl Into<Vec<u8>>) -> Value {
    let answer = client
        .request(subject.to_owned(), body.into().into())
        .await
        .expect("an answer");
    read(&answer)
}

/// An answer as JSON, whichever way it is written.
pub fn read(answer: &Message) -> Value {
    serde_json::from_slice(&answer.payload)
        .or_else(|_| rmp_serde::from_slice(&answer.payload))
        .unwrap_or_else(|error| panic!("{error}: {:?}", answer.payload))
}

/// A raw client that also hears what nats-server forbids it.
pub struct Watched {
    pub client: Client,
    violations: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<String>>,
}

impl Watched {
    /// Connects with the text of a `.creds` file and the given inbox prefix.
    pub async fn connect(url: &str, creds: &str, inbox: &str) -> Self {
        let (heard, violations) = tokio::sync::mpsc::unbounded_channel();
        let client = ConnectOptions::with_credentials(creds)
            .expect("the credential reads")
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(Duration::from_secs(10)))
            .event_callback(move |event| {
                let heard = heard.clone();
                // The receiver lives as long as the client that calls this.
                async move { drop(heard.send(event.to_string())) }
            })
            .connect(url)
            .await
            .expect("the raw client connects");
        Self {
            client,
            violations: tokio::sync::Mutex::new(violations),
        }
    }

    /// Publishes and expects nats-server to refuse it.
    pub async fn expect_publish_denied(&self, subject: &str, reply: &str) {
        self.client
            .publish_with_reply(subject.to_owned(), reply.to_owned(), "{}".into())
            .await
            .expect("it is sent");
        self.expect_violation(subject).await;
    }

    /// Subscribes and expects nats-server to refuse it.
    pub async fn expect_subscribe_denied(&self, subject: &str) {
        let _subscription = self
            .client
            .subscribe(subject.to_owned())
            .await
            .expect("it is sent");
        self.expect_violation(subject).await;
    }

    async fn expect_violation(&self, subject: &str) {
        let quoted = format!("\"{}\"", subject.to_lowercase());
        let mut violations = self.violations.lock().await;
        let heard = async {
            while let Some(event) = violations.recv().await {
                let event = event.to_lowercase();
                if event.contains("permissions violation") && event.contains(&quoted) {
                    return;
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(super::DEADLINE, heard)
            .await
            .unwrap_or_else(|_| panic!("{subject} was not denied"));
    }
}
