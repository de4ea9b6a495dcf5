//! A nats-server without Postroad: the ceilings of everything that goes over NATS. Owns its
//! process and its one stream; it knows no accounts, so it listens on the loopback only.

use super::plan::CONTENT_BYTES;
use super::samples::{Latencies, Load, Until, keep_in_flight};
use super::stage::Child;
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use async_nats::jetstream::{self, consumer, message::PublishMessage, stream};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;
use uuid::Uuid;

/// How long a server may take to serve.
const START_WAIT: Duration = Duration::from_secs(20);
/// Pause before it is looked at again; short, since its start is a ceiling, too.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long one message may be on its way.
const MESSAGE_WAIT: Duration = Duration::from_secs(10);
/// Messages that a drain asks for at once: what the projector asks for.
const PULL_BATCH: usize = 8_192;
const STREAM: &str = "PLAIN";
const SUBJECT: &str = "plain.log";
/// What each of these begins is the subject of one publish alone.
const APART: &str = "plain.apart";
const BELL: &str = "plain.bell";
const ECHO: &str = "plain.echo";

/// What a publish says of the last message on its subject.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expecting {
    /// Nothing.
    Nothing,
    /// Which sequence it has.
    Last,
}

/// A running server, and two connections to it.
#[derive(Debug)]
pub(crate) struct PlainServer {
    child: Child,
    client: Client,
    other: Client,
    context: jetstream::Context,
}

impl PlainServer {
    /// Starts `binary` on the folder `dir`, with a stream of its own; and how long that took.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub(crate) async fn start(
        binary: &Path,
        dir: &Path,
        durability: Durability,
    ) -> anyhow::Result<(Self, Duration)> {
        let begun = Instant::now();
        std::fs::create_dir(dir)?;
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let sync = match durability {
            Durability::PowerSafe => "sync_interval: always",
            Durability::Fast => "",
        };
        // Quoted as JSON quotes, which nats-server reads.
        let store = serde_json::Value::from(dir.join("store").to_string_lossy());
        let config = format!("listen: \"{listen}\"\njetstream {{ store_dir: {store}, {sync} }}\n");
        let file = dir.join("nats-server.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&file);
        let mut child = Child::start("nats-server", command, dir)?;
        let url = format!("nats://{listen}");
        let client = loop {
            match async_nats::connect(&url).await {
                Ok(client) => break client,
                Err(error) => {
                    let waited = begun.elapsed();
                    if child.has_ended() || waited > START_WAIT {
                        let words = child.last_words();
                        return Err(error).context(format!("nats-server does not serve: {words}"));
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        };
        let context = jetstream::new(client.clone());
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned(), format!("{APART}.>")],
            ..stream::Config::default()
        };
        context.create_stream(config).await?;
        let took = begun.elapsed();
        let other = async_nats::connect(&url).await?;
        let server = Self {
            child,
            client,
            other,
            context,
        };
        Ok((server, took))
    }

    /// Plain publishes with a `Nats-Msg-Id`, so many in flight over one connection.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub(crate) async fn publishes(&self, in_flight: usize, until: Until) -> anyhow::Result<Load> {
        let payload = Bytes::from(vec![b'x'; CONTENT_BYTES]);
        keep_in_flight(in_flight, until, || async {
            let id = Uuid::now_v7().simple().to_string();
            let message = PublishMessage::build()
                .payload(payload.clone())
                .message_id(id);
            self.context.send_publish(SUBJECT, message).await?.await?;
            Ok(())
        })
        .await
    }

    /// The same, each to a subject of its own.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub(crate) async fn publishes_apart(
        &self,
        in_flight: usize,
        until: Until,
        expecting: Expecting,
    ) -> anyhow::Result<Load> {
        let payload = Bytes::from(vec![b'x'; CONTENT_BYTES]);
        keep_in_flight(in_flight, until, || async {
            let id = Uuid::now_v7().simple().to_string();
            let subject = format!("{APART}.{id}");
            let message = PublishMessage::build()
                .payload(payload.clone())
                .message_id(id);
            let message = match expecting {
                Expecting::Nothing => message,
                Expecting::Last => message.expected_last_subject_sequence(0),
            };
            self.context.send_publish(subject, message).await?.await?;
            Ok(())
        })
        .await
    }

    /// Each a publish that was acknowledged, and then a core message that another connection heard.
    ///
    /// # Errors
    /// When one of them is not heard.
    pub(crate) async fn publishes_and_bells(&self, count: usize) -> anyhow::Result<Latencies> {
        let payload = Bytes::from(vec![b'x'; CONTENT_BYTES]);
        let mut bells = self.listen(BELL).await?;
        let mut latencies = Latencies::default();
        for _ in 0..count {
            let started = Instant::now();
            let id = Uuid::now_v7().simple().to_string();
            let message = PublishMessage::build()
                .payload(payload.clone())
                .message_id(id);
            self.context.send_publish(SUBJECT, message).await?.await?;
            self.client.publish(BELL, payload.clone()).await?;
            hear(&mut bells).await?;
            latencies.push(started.elapsed());
        }
        Ok(latencies)
    }

    /// Requests on core NATS, one at a time, that another connection answers with so many bytes.
    ///
    /// # Errors
    /// When one is not answered.
    pub(crate) async fn requests(&self, bytes: usize, count: usize) -> anyhow::Result<Latencies> {
        let mut requests = self.listen(ECHO).await?;
        let answerer = self.other.clone();
        let answer = Bytes::from(vec![b'x'; bytes]);
        let answering = async {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply {
                    answerer.publish(reply, answer.clone()).await?;
                }
            }
            anyhow::bail!("the subscription ended")
        };
        let asking = async {
            let mut latencies = Latencies::default();
            for _ in 0..count {
                let started = Instant::now();
                self.client.request(ECHO, Bytes::new()).await?;
                latencies.push(started.elapsed());
            }
            Ok(latencies)
        };
        tokio::select! {
            latencies = asking => latencies,
            failed = answering => failed,
        }
    }

    /// Subscribes on the other connection, and returns once the server knows of it: what that
    /// connection publishes to itself can only be heard afterwards.
    async fn listen(&self, subject: &'static str) -> anyhow::Result<Subscriber> {
        let mut messages = self.other.subscribe(subject).await?;
        self.other.publish(subject, Bytes::new()).await?;
        hear(&mut messages).await?;
        Ok(messages)
    }

    /// Reads `count` messages of the stream from its beginning, as fast as they come.
    ///
    /// # Errors
    /// When it holds fewer, or cannot be read.
    pub(crate) async fn drain(&self, count: usize) -> anyhow::Result<Load> {
        let begun = Instant::now();
        let stream = self.context.get_stream(STREAM).await?;
        let config = consumer::pull::Config {
            ack_policy: consumer::AckPolicy::None,
            ..consumer::pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let messages = consumer.stream().max_messages_per_batch(PULL_BATCH);
        let mut messages = messages.messages().await?;
        for _ in 0..count {
            let message = tokio::time::timeout(MESSAGE_WAIT, messages.next()).await;
            message
                .context("the stream holds less than was published")?
                .context("the consumer ended")??;
        }
        Ok(Load {
            calls: count,
            took: begun.elapsed(),
            latencies: Latencies::default(),
        })
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not stop.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.stop().await
    }
}

/// The next message, within a bound.
///
/// # Errors
/// When none comes.
pub(crate) async fn hear(messages: &mut Subscriber) -> anyhow::Result<async_nats::Message> {
    tokio::time::timeout(MESSAGE_WAIT, messages.next())
        .await
        .context("a message that was published was not heard")?
        .context("the subscription ended")
}
