//! A stand-in for broker and projector: one tenant's messages in memory, one reader, and a will of
//! its own that tests can bend. It reads requests with the real vocabulary.

use crate::world::World;
use async_nats::{HeaderMap, Message as Request};
use futures_util::StreamExt as _;
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding};
use postroad_protocol::command::{Command, Marked, Sent};
use postroad_protocol::event::Priority;
use postroad_protocol::query::{Message, Messages, Query, wire};
use postroad_protocol::subject::{RequestKind, is_below};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{MessageId, Position, Refusal, Subjects, TimeMs};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of one request.
pub(crate) enum Whim {
    /// It is handled and its answer lost.
    LoseAnswer,
    /// It is lost itself.
    Lose,
    /// It is refused.
    Refuse(Refusal),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) messages: Vec<Message>,
    pub(crate) read: HashSet<String>,
    /// One for each request to come, by verb; without one a request is served.
    pub(crate) whims: BTreeMap<&'static str, VecDeque<Option<Whim>>>,
    /// Every request that came: its verb, its id where it has one, and the position it named.
    pub(crate) heard: Vec<(String, Option<MessageId>, Option<Position>)>,
}

impl State {
    pub(crate) fn heard_of(&self, verb: &str) -> usize {
        self.heard.iter().filter(|heard| heard.0 == verb).count()
    }
}

pub(crate) struct Service {
    nats: async_nats::Client,
    state: Arc<Mutex<State>>,
    stored: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn position(sequence: usize) -> Position {
    Position {
        shard: 0,
        epoch: 1,
        sequence: sequence as u64,
    }
}

impl Service {
    pub(crate) async fn start(world: &World) -> Self {
        let options = async_nats::ConnectOptions::with_credentials(&world.service_creds()).unwrap();
        let nats = options.connect(world.url()).await.unwrap();
        let subjects = Subjects::default();
        let commands = nats.subscribe(subjects.requests(RequestKind::Command));
        let queries = nats.subscribe(subjects.requests(RequestKind::Query));
        let (commands, queries) = (commands.await.unwrap(), queries.await.unwrap());
        nats.flush().await.unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let stored = watch::Sender::new(());
        let (nats_, state_, stored_) = (nats.clone(), state.clone(), stored.clone());
        let task = tokio::spawn(async move {
            let mut requests = futures_util::stream::select(commands, queries);
            while let Some(request) = requests.next().await {
                let (nats, state, stored) = (nats_.clone(), state_.clone(), stored_.clone());
                tokio::spawn(async move { handle(&nats, &state, &stored, request).await });
            }
        });
        Self {
            nats,
            state,
            stored,
            task,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What becomes of the next requests with this verb.
    pub(crate) fn bend(&self, verb: &'static str, whims: impl IntoIterator<Item = Option<Whim>>) {
        self.state().whims.entry(verb).or_default().extend(whims);
    }

    /// Stores messages without pushing them, and says their contents.
    pub(crate) fn store(&self, count: usize) -> Vec<String> {
        let contents = (0..count).map(|_| store(&mut self.state(), MessageId::generate(), None));
        let contents = contents.collect();
        self.stored.send_replace(());
        contents
    }

    /// Pushes a hint that everything stored so far is stored.
    pub(crate) async fn push(&self, role: &str) {
        let hint = serde_json::json!({
            "messageId": MessageId::generate(), "from": "bob", "fromInstanceId": "desk",
            "channel": role, "truncated": true, "sentAt": 1, "priority": "normal",
            "position": position(self.state().messages.len()),
        });
        let subject = format!("postroad.{}.push.{role}", crate::world::TENANT);
        self.nats
            .publish(subject, hint.to_string().into())
            .await
            .unwrap();
        self.nats.flush().await.unwrap();
    }

    pub(crate) fn nats(&self) -> &async_nats::Client {
        &self.nats
    }
}

fn store(state: &mut State, id: MessageId, content: Option<String>) -> String {
    let number = state.messages.len() + 1;
    let content = content.unwrap_or_else(|| format!("message {number}"));
    state.messages.push(Message {
        tenant_id: None,
        message_id: id,
        receipt_id: Some(format!("receipt-{number}")),
        from: "bob".parse().unwrap(),
        from_instance_id: "desk".parse().unwrap(),
        channel: "tau".to_owned(),
        instance_id: None,
        content: content.clone(),
        sent_at: TimeMs(number as u64),
        delivered_at: None,
        read_at: None,
        reply_to: None,
        priority: Priority::Normal,
        metadata: BTreeMap::new(),
    });
    content
}

async fn handle(
    nats: &async_nats::Client,
    state: &Mutex<State>,
    stored: &watch::Sender<()>,
    request: Request,
) {
    let subjects = Subjects::default();
    let raw = subjects.parse_request(&request.subject).unwrap();
    let inbox = postroad_protocol::subject::inbox_prefix(raw.tenant, raw.role, raw.instance);
    let reply = request.reply.as_ref().unwrap().to_string();
    assert!(is_below(&reply, &inbox), "{reply} is not {inbox}");
    let encoding = Encoding::of(&request.payload);
    assert_eq!(encoding, Encoding::MessagePack);
    let scope = Scope::parse(raw.scope).unwrap();
    let reading: wire::Reading = encoding.decode(&request.payload).unwrap();
    let whim = {
        let mut state = state.lock().unwrap();
        let id = (raw.kind == RequestKind::Command).then(|| {
            Command::read(scope, raw.verb, encoding, &request.payload)
                .unwrap()
                .id
        });
        state
            .heard
            .push((raw.verb.to_owned(), id, reading.position));
        let whims = state.whims.get_mut(raw.verb);
        whims.and_then(VecDeque::pop_front).flatten()
    };
    let answer = match &whim {
        Some(Whim::Lose) => return,
        Some(Whim::Refuse(refusal)) => Err(refusal.clone()),
        _ if raw.kind == RequestKind::Command => Ok(command(state, stored, scope, &request)),
        _ => check(state, stored, raw.verb, &request).await,
    };
    if matches!(whim, Some(Whim::LoseAnswer)) {
        return;
    }
    let mut headers = HeaderMap::new();
    let body = match &answer {
        Ok(body) => body.clone(),
        Err(refusal) => {
            headers.insert(ERROR_CODE_HEADER, refusal.code.as_str());
            encoding.encode(refusal)
        }
    };
    // The connection may be down, which loses the answer, too.
    let _ = nats.publish_with_headers(reply, headers, body.into()).await;
}

fn command(
    state: &Mutex<State>,
    stored: &watch::Sender<()>,
    scope: Scope,
    request: &Request,
) -> Vec<u8> {
    let verb = request.subject.rsplit('.').next().unwrap();
    let read = Command::read(scope, verb, Encoding::MessagePack, &request.payload).unwrap();
    let mut state = state.lock().unwrap();
    match read.command {
        Command::SendMessage(send) => {
            let known = state.messages.iter().position(|m| m.message_id == read.id);
            let sequence = known.map_or_else(
                || {
                    store(&mut state, read.id, Some(send.content));
                    stored.send_replace(());
                    state.messages.len()
                },
                |index| index + 1,
            );
            encoded(&Sent {
                message_id: read.id,
                position: position(sequence),
                recipient_count: 1,
                recipients: None,
            })
        }
        Command::MarkAsRead(mark) => {
            let mut marked = Marked::default();
            for target in mark.targets {
                let id = target.text().to_owned();
                let is_known = |m: &Message| m.receipt_id.as_deref() == Some(target.text());
                if !state.messages.iter().any(is_known) {
                    marked.not_found.push(id);
                } else if state.read.insert(id.clone()) {
                    marked.marked.push(id);
                } else {
                    marked.already_read.push(id);
                }
            }
            encoded(&marked)
        }
        other => panic!("{other:?} is not served here"),
    }
}

fn encoded(answer: &impl Serialize) -> Vec<u8> {
    Encoding::MessagePack.encode(answer)
}

async fn check(
    state: &Mutex<State>,
    stored: &watch::Sender<()>,
    verb: &str,
    request: &Request,
) -> Result<Vec<u8>, Refusal> {
    let query = Query::read(
        Scope::Messages,
        verb,
        Encoding::MessagePack,
        &request.payload,
    )?;
    let Query::CheckMessages {
        limit,
        cursor,
        wait_ms,
    } = query
    else {
        panic!("{query:?} is not served here");
    };
    let after = match cursor {
        None => 0,
        Some(cursor) => cursor
            .parse()
            .map_err(|_| postroad_protocol::query::bad_cursor())?,
    };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(wait_ms);
    let mut changes = stored.subscribe();
    loop {
        let answer = page(&state.lock().unwrap(), after, limit);
        if !answer.messages.is_empty() {
            return Ok(encoded(&answer));
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(encoded(&answer)),
        }
    }
}

fn page(state: &State, after: usize, limit: usize) -> Messages {
    let unread = |message: &&Message| {
        let receipt = message.receipt_id.as_ref().unwrap();
        !state.read.contains(receipt)
    };
    let mut behind = state.messages.iter().skip(after).filter(unread);
    let messages: Vec<Message> = behind.by_ref().take(limit).cloned().collect();
    Messages {
        next_cursor: messages.last().map(|message| message.sent_at.0.to_string()),
        messages,
        unread_total: state.messages.iter().filter(unread).count() as u64,
        highest_priority: state
            .messages
            .iter()
            .filter(unread)
            .map(|m| m.priority)
            .min(),
        truncated: behind.next().is_some(),
        tasks: None,
        position: position(state.messages.len()),
        stale: false,
    }
}
