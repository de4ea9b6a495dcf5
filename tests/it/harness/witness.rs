//! Somebody who hears everything in the deployment's account and sees its streams from outside: signed by
//! the account's own key, without any of the templates that bound Postroad's credentials. It proves
//! that something was not said or not stored, without asking the parts under test.

use super::eventually;
use async_nats::jetstream::consumer::Info;
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use nats_jwt_rs::user::{User, UserPermissionLimits};
use nkeys::KeyPair;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The witness's connection.
pub struct Witness {
    pub client: Client,
}

impl Witness {
    /// Connects to the deployment in `dir`.
    pub async fn connect(dir: &Path, url: &str) -> Self {
        let account = account_key(dir);
        let user = KeyPair::new_user();
        let mut claims = User::new_claims("witness".to_owned(), user.public_key());
        claims.nats.permissions = UserPermissionLimits::default();
        let jwt = claims.encode(&account).expect("the JWT is signed");
        let creds = creds(&jwt, &user);
        let client = ConnectOptions::with_credentials(&creds)
            .expect("the credential reads")
            .custom_inbox_prefix("_INBOX._witness")
            .connect(url)
            .await
            .expect("the witness connects");
        Self { client }
    }

    /// Hears what is said on `subject` from now on.
    pub async fn listen(&self, subject: &str) -> Heard {
        let subscriber = self.client.subscribe(subject.to_owned()).await;
        let subscriber = subscriber.expect("it is sent");
        // Behind the subscription on the same connection: once answered, nothing is missed.
        self.client.flush().await.expect("the server answers");
        Heard { subscriber }
    }

    /// Waits until everything that the server had for this connection has arrived.
    pub async fn settle(&self) {
        let mut own = self.listen("_INBOX._witness.settled").await;
        self.client
            .publish("_INBOX._witness.settled", "".into())
            .await
            .expect("it is sent");
        assert!(
            own.subscriber.next().await.is_some(),
            "the witness is connected"
        );
    }

    /// Last sequence of a shard's stream.
    pub async fn log_end(&self, shard: u16) -> u64 {
        let jetstream = async_nats::jetstream::new(self.client.clone());
        let mut stream = jetstream
            .get_stream(format!("POSTROAD_{shard}"))
            .await
            .expect("the shard's stream");
        stream.info().await.expect("it tells").state.last_sequence
    }

    /// Consumers of a shard that see every event, as the server counts what it delivered to them.
    pub async fn whole_consumers(&self, shard: u16) -> Vec<Info> {
        let jetstream = async_nats::jetstream::new(self.client.clone());
        let stream = jetstream
            .get_stream(format!("POSTROAD_{shard}"))
            .await
            .expect("the shard's stream");
        let consumers: Vec<Info> = stream
            .consumers()
            .try_collect()
            .await
            .expect("they are told");
        let whole = |info: &Info| {
            info.config.filter_subject.is_empty() && info.config.filter_subjects.is_empty()
        };
        consumers.into_iter().filter(whole).collect()
    }

    /// Waits until a stream's end has come to `sequence`.
    pub async fn wait_for_end(&self, shard: u16, sequence: u64) {
        let what = format!("shard {shard} reaches {sequence}");
        eventually(&what, async || self.log_end(shard).await >= sequence).await;
    }
}

/// What a witness hears on one subject.
pub struct Heard {
    subscriber: Subscriber,
}

impl Heard {
    /// What has arrived until now.
    pub fn so_far(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.subscriber.next().now_or_never().flatten()).collect()
    }
}

/// The key of the account that every part and agent of the deployment in `dir` belongs to.
fn account_key(dir: &Path) -> KeyPair {
    let seed = std::fs::read_to_string(dir.join("keys/account.nk")).expect("the account's key");
    KeyPair::from_seed(seed.trim()).expect("a seed")
}

/// The text of a `.creds` file.
fn creds(jwt: &str, user: &KeyPair) -> String {
    let seed = user.seed().expect("it was made here");
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// Milliseconds since 1970, as events are stamped.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("it fits")
}
