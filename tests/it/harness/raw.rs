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
    let answer = client.request(subject.to_owned(), body.into().into()).await.expect("an answer");
    read(&answer)
}

/// An answer as JSON, whichever way it is written.
pub fn read(answer: &Message) -> Value {
    serde_json::from_slice(&answer.payload)
        .or_else(|_| rmp_serde::from_slice(&answer.payload))
        .unwrap_or_else(|error| panic!("{error}: {:?}", answer.payload))
}
