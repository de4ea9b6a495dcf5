//! The task behind a gate: keeps one connection, for ever, and its subscriptions on it. Reads on whatever comes, and
//! however slowly others take it: who waits for one must not hold up the rest.

use crate::link::{GateError, GateOptions, Wire, without_quotes};
use crate::parser::{NotNats, Op};
use crate::{CAPACITY_BYTES, Incoming};
use async_nats::ServerAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// Pause before an attempt to reconnect: a restarted server is back within a moment.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// How often the server is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Pings in a row after which a silent server is given up.
const MISSED_MAX: u32 = 2;
/// Servers of a cluster that are remembered beside those that were named.
const TOLD_MAX: usize = 32;

/// What is known outside the task.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) connected: AtomicBool,
    pub(crate) unreadable: AtomicU64,
    /// Number of the next subscription.
    pub(crate) subscriptions: AtomicU64,
}

/// What the task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe(u64, Subscribed),
    Drain(u64),
    Flush(oneshot::Sender<()>),
}

/// A subscription as the task sees it.
#[derive(Debug)]
pub(crate) struct Subscribed {
    subject: String,
    group: Option<String>,
    inbox: mpsc::Sender<Incoming>,
    pub(crate) waiting_bytes: Arc<AtomicUsize>,
    draining: bool,
}

impl Subscribed {
    pub(crate) fn new(
        subject: String,
        group: Option<String>,
        inbox: mpsc::Sender<Incoming>,
    ) -> Self {
        Self {
            subject,
            group,
            inbox,
            waiting_bytes: Arc::default(),
            draining: false,
        }
    }

    fn line(&self, number: u64) -> String {
        let group = self.group.as_deref().unwrap_or_default();
        format!("SUB {} {group} {number}\r\n", self.subject)
    }

    /// Hands a message on; false when there is no room for it.
    fn deliver(&self, message: Incoming) -> bool {
        let bytes = message.payload.len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_kept = before + bytes <= CAPACITY_BYTES && self.inbox.try_send(message).is_ok();
        if !is_kept {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        // Nobody misses what comes for a subscription that was dropped.
        is_kept || self.inbox.is_closed()
    }
}

/// What the answer to a ping is the sign of, in the order of the pings.
#[derive(Debug)]
enum Sign {
    Alive,
    Drained(u64),
    Flushed(oneshot::Sender<()>),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    NotNats(#[from] NotNats),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server is silent")]
    Silent,
}

/// The state of the task.
pub(crate) struct Keeper {
    options: Arc<GateOptions>,
    named: Vec<ServerAddr>,
    told: Vec<ServerAddr>,
    /// Attempts so far; they go round the servers.
    attempts: usize,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    subscriptions: BTreeMap<u64, Subscribed>,
    signs: VecDeque<Sign>,
    /// What is to be written next.
    out: Vec<u8>,
    overflowed: u64,
    /// Counts of [`Shared::unreadable`] and `overflowed` that the log was told.
    said: (u64, u64),
}

impl Keeper {
    /// Connects for the first time; gives the task that keeps the connection.
    pub(crate) async fn connect(
        options: GateOptions,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Result<impl Future<Output = ()>, GateError> {
        let mut keeper = Self {
            named: options.addresses()?,
            options: Arc::new(options),
            told: Vec::new(),
            attempts: 0,
            shared,
            commands,
            subscriptions: BTreeMap::new(),
            signs: VecDeque::new(),
            out: Vec::new(),
            overflowed: 0,
            said: (0, 0),
        };
        loop {
            let server = keeper.next_server();
            match Wire::connect(&keeper.options, &server).await {
                Ok(wire) => {
                    keeper.shared.connected.store(true, Ordering::Relaxed);
                    return Ok(keeper.run(wire));
                }
                Err(error) if keeper.attempts >= keeper.named.len() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Keeps it until nobody needs it any more.
    async fn run(mut self, first: Wire) {
        let mut wire = first;
        loop {
            self.learn(&wire.told);
            self.shared.connected.store(true, Ordering::Relaxed);
            let served = self.serve(wire).await;
            self.shared.connected.store(false, Ordering::Relaxed);
            match served {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the gate's connection ended"),
            }
            self.settle_lost();
            match self.reconnect().await {
                Some(back) => wire = back,
                None => return,
            }
        }
    }

    /// Serves one connection; fine when nobody needs it any more.
    async fn serve(&mut self, mut wire: Wire) -> Result<(), Ended> {
        self.out.clear();
        for (number, subscribed) in &self.subscriptions {
            self.out.extend(subscribed.line(*number).into_bytes());
        }
        for _ in &self.signs {
            self.out.extend(b"PING\r\n");
        }
        let mut ticks = tokio::time::interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let (mut heard, mut missed) = (true, 0);
        loop {
            while let Some(op) = wire.parsed()? {
                self.take(op);
            }
            if !self.out.is_empty() {
                wire.write(&self.out).await?;
                self.out.clear();
            }
            tokio::select! {
                read = wire.read() => {
                    read?;
                    heard = true;
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command, true),
                    None => return Ok(()),
                },
                _ = ticks.tick() => {
                    missed = if heard { 0 } else { missed + 1 };
                    if missed >= MISSED_MAX {
                        return Err(Ended::Silent);
                    }
                    heard = false;
                    self.ping(Sign::Alive);
                    self.say_dropped();
                }
            }
        }
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Message(number, message) => {
                if let Some(subscribed) = self.subscriptions.get(&number)
                    && !subscribed.deliver(message)
                {
                    self.overflowed += 1;
                }
            }
            Op::Unreadable => {
                self.shared.unreadable.fetch_add(1, Ordering::Relaxed);
            }
            Op::Ping => self.out.extend(b"PONG\r\n"),
            Op::Pong => match self.signs.pop_front() {
                Some(Sign::Drained(number)) => {
                    self.subscriptions.remove(&number);
                }
                // Whoever does not wait any more need not know.
                Some(Sign::Flushed(done)) => drop(done.send(())),
                Some(Sign::Alive) | None => {}
            },
            Op::Info(info) => self.learn(&info.connect_urls),
            Op::Error(text) => {
                let error = without_quotes(&text);
                tracing::warn!(error, "nats-server complains to the gate");
            }
            Op::Ok => {}
        }
    }

    /// Does what is asked; while nothing is connected, only what needs no server.
    fn obey(&mut self, command: Command, connected: bool) {
        match command {
            Command::Subscribe(number, subscribed) => {
                if connected {
                    self.out.extend(subscribed.line(number).into_bytes());
                }
                self.subscriptions.insert(number, subscribed);
            }
            Command::Drain(number) if connected => {
                if let Some(subscribed) = self.subscriptions.get_mut(&number) {
                    subscribed.draining = true;
                    self.out.extend(format!("UNSUB {number}\r\n").into_bytes());
                    self.ping(Sign::Drained(number));
                }
            }
            // A connection that is gone has nothing left to drain.
            Command::Drain(number) => drop(self.subscriptions.remove(&number)),
            Command::Flush(done) if connected => self.ping(Sign::Flushed(done)),
            Command::Flush(done) => self.signs.push_back(Sign::Flushed(done)),
        }
    }

    fn ping(&mut self, sign: Sign) {
        self.out.extend(b"PING\r\n");
        self.signs.push_back(sign);
    }

    /// After a connection: what was draining has ended; who waits for the server to know goes on waiting.
    fn settle_lost(&mut self) {
        self.subscriptions.retain(|_, one| !one.draining);
        self.signs.retain(|sign| matches!(sign, Sign::Flushed(_)));
    }

    /// Connects again, however long it takes; none when nobody needs it any more.
    async fn reconnect(&mut self) -> Option<Wire> {
        loop {
            let (server, options) = (self.next_server(), Arc::clone(&self.options));
            let attempt = async {
                tokio::time::sleep(RECONNECT_AFTER).await;
                Wire::connect(&options, &server).await
            };
            tokio::pin!(attempt);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut attempt => break outcome,
                    command = self.commands.recv() => self.obey(command?, false),
                }
            };
            match outcome {
                Ok(wire) => return Some(wire),
                Err(error) => tracing::debug!(%error, "the gate does not connect"),
            }
        }
    }

    fn next_server(&mut self) -> ServerAddr {
        let count = self.named.len() + self.told.len();
        let place = self.attempts % count;
        self.attempts = self.attempts.wrapping_add(1);
        let mut all = self.named.iter().chain(&self.told);
        all.nth(place).expect("one at least was named").clone()
    }

    /// Remembers the other servers of a cluster, for the day when those that were named are gone.
    fn learn(&mut self, told: &[String]) {
        if !told.is_empty() {
            let read = told.iter().filter_map(|address| address.parse().ok());
            let named = &self.named;
            let new = read.filter(|address| !named.contains(address));
            self.told = new.take(TOLD_MAX).collect();
        }
    }

    /// Says how many messages came to nothing, if there are new ones.
    fn say_dropped(&mut self) {
        let unreadable = self.shared.unreadable.load(Ordering::Relaxed);
        let overflowed = self.overflowed;
        if self.said != (unreadable, overflowed) {
            self.said = (unreadable, overflowed);
            tracing::warn!(
                unreadable,
                overflowed,
                "dropped messages that cannot be read, or that came faster than they are taken"
            );
        }
    }
}
