//! Keeps one reader's commands in the order in which they came, when reading or deciding one of them
//! has to wait: they are read and decided side by side and handed to the log one behind the other. A lane
//! is open only while something of its reader waits.

use crate::arrival::{Arrival, Bodies};
use crate::handle::{Decision, Handler, Ordered, Request};
use crate::ingress::Finish;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::Reader;
use postroad_protocol::limits::TENANT_COMMANDS_WAITING;
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Commands of one reader that are decided side by side.
const DECIDING: usize = 64;

/// Whose lane.
pub(crate) type LaneKey = (TenantScope, Reader);

/// What waits in a lane.
#[derive(Debug)]
pub(crate) enum Work {
    /// A command that was read.
    Read(Ordered),
    /// One whose body is large.
    Unread(Arrival),
}

type Waiting = (Work, Finish);

/// What came of it.
enum Decided {
    Ordered(Result<Decision, Refusal>),
    /// Reading it showed a command that needs no order.
    Other(Request),
}

async fn decide(handler: &Handler, bodies: &Bodies, work: Work) -> Decided {
    let read = match work {
        Work::Read(ordered) => Ok(Ok(ordered)),
        Work::Unread(arrival) => bodies.read(arrival).await.and_then(Request::ordered),
    };
    match read {
        Ok(Ok(ordered)) => Decided::Ordered(handler.decide_in_order(&ordered).await),
        Ok(Err(request)) => Decided::Other(request),
        Err(refusal) => Decided::Ordered(Err(refusal)),
    }
}

/// Lanes that are open. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    open: Arc<Mutex<HashMap<LaneKey, mpsc::Sender<Waiting>>>>,
}

impl Lanes {
    /// Whether a command of this reader waits, so that the next one has to wait behind it.
    pub(crate) fn is_open(&self, key: &LaneKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Puts a command at the end of its reader's lane.
    ///
    /// # Errors
    /// The command, when the lane is full.
    pub(crate) fn enter(
        &self,
        handler: &Arc<Handler>,
        bodies: &Bodies,
        key: LaneKey,
        work: Work,
        finish: Finish,
    ) -> Result<(), Box<Finish>> {
        let mut open = self.lock();
        let lane = open.entry(key.clone()).or_insert_with(|| {
            let (lane, inbox) = mpsc::channel(TENANT_COMMANDS_WAITING);
            let served = self
                .clone()
                .serve(handler.clone(), bodies.clone(), key, inbox);
            tokio::spawn(served);
            lane
        });
        lane.try_send((work, finish))
            .map_err(|full| Box::new(full.into_inner().1))
    }

    async fn serve(
        self,
        handler: Arc<Handler>,
        bodies: Bodies,
        key: LaneKey,
        mut inbox: mpsc::Receiver<Waiting>,
    ) {
        let mut deciding = FuturesOrdered::new();
        loop {
            tokio::select! {
                biased;
                Some((decided, finish)) = deciding.next(), if !deciding.is_empty() => {
                    match decided {
                        Decided::Ordered(decided) => submit(&handler, decided, finish),
                        Decided::Other(request) => {
                            let handler = handler.clone();
                            tokio::spawn(async move {
                                finish.send(handler.handle(request).await).await;
                            });
                        }
                    }
                }
                Some((work, finish)) = inbox.recv(), if deciding.len() < DECIDING => {
                    let (handler, bodies) = (handler.clone(), bodies.clone());
                    deciding.push_back(async move {
                        (decide(&handler, &bodies, work).await, finish)
                    });
                }
            }
            if deciding.is_empty() {
                // Commands enter under the same lock, so none can slip in behind this look.
                let mut open = self.lock();
                if inbox.is_empty() {
                    open.remove(&key);
                    return;
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LaneKey, mpsc::Sender<Waiting>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands a decision to the log, and leaves the answer to a task of its own.
pub(crate) fn submit(handler: &Arc<Handler>, decided: Result<Decision, Refusal>, finish: Finish) {
    let submitted = decided.map(|decision| handler.submit(decision));
    let handler = handler.clone();
    tokio::spawn(async move {
        let outcome = match submitted {
            Ok(submitted) => handler.complete(submitted).await,
            Err(refusal) => Err(refusal),
        };
        finish.send(outcome).await;
    });
}
