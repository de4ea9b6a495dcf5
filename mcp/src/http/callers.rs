//! The callers that are active: for each token a NATS connection of its own, and the MCP sessions that were
//! opened with it. Owns who is let in, how many, and when one goes; never reads a request.
//!
//! A session belongs to the caller that opened it because it lies with it: to every other token its id is one
//! that there never was.

use super::exchange::{ExchangeError, Exchanger};
use super::keeper;
use super::seat::{Ending, Place, Seat};
use crate::{Caller as Agent, Server};
use postroad_client::{Client, ClientError, ConnectOptions, Credential, Trust, UserKey};
use postroad_protocol::error::Refusal;
use postroad_protocol::token::Token;
use postroad_protocol::{Subjects, TimeMs};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

/// Tokens that are exchanged at once; more wait their turn.
const EXCHANGES_AT_ONCE: usize = 32;
/// How long one waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(15);
/// How long a token that was refused is refused unasked, so that who tries again and again costs nothing.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Refused tokens that are remembered.
const REFUSED_KEPT: usize = 4_096;

/// What a caller's requests are handed to.
pub(super) type Service = StreamableHttpService<Server, LocalSessionManager>;

/// Why nobody is let in.
#[derive(Debug)]
pub(super) enum Denied {
    /// The token is not good.
    Unknown,
    /// This caller has as many requests under way as it may.
    Busy,
    /// There are as many callers as there may be, and all are active; or whoever decides cannot be reached.
    Unavailable(Refusal),
}

/// Where callers' connections lead, and their bounds.
#[derive(Clone, Debug)]
pub struct Road {
    /// The nats-servers.
    pub servers: String,
    /// Which of them to believe.
    pub trust: Trust,
    /// The deployment's subjects.
    pub subjects: Subjects,
    /// Callers at once.
    pub callers_max: usize,
    /// Requests and streams of one caller at once.
    pub requests_per_caller: usize,
    /// How long a caller without any keeps its connection and its sessions.
    pub idle: Duration,
}

/// Everybody who is let in.
pub(super) struct Callers {
    road: Road,
    exchanger: Exchanger,
    /// What rmcp is told; each caller's copy ends with it.
    config: StreamableHttpServerConfig,
    /// Tokens are found by their hash under this, which was made for this process and is kept nowhere.
    key: [u8; 32],
    slots: Mutex<HashMap<blake3::Hash, Arc<Slot>>>,
    refused: Mutex<HashMap<blake3::Hash, Instant>>,
    exchanges: Semaphore,
    /// Ends everybody.
    ending: Ending,
}

/// The place of one token, whether or not it is let in yet.
struct Slot {
    seat: Arc<Seat>,
    /// Whether its token was found good. Until then it takes nobody's room: anybody can make tokens up.
    is_good: AtomicBool,
    caller: OnceCell<Caller>,
}

/// Somebody who was let in.
struct Caller {
    client: Client,
    service: Service,
    sessions: Arc<LocalSessionManager>,
}

/// One request that was let in. It counts until this is dropped.
pub(super) struct Admitted {
    slot: Arc<Slot>,
    place: Place,
}

/// A try to let somebody in. Whoever goes away meanwhile, and is the last to try it, leaves no slot behind.
struct Trying<'a> {
    callers: &'a Callers,
    mark: blake3::Hash,
    slot: &'a Arc<Slot>,
    place: Option<Place>,
}

impl Trying<'_> {
    /// The place, once it is known how the try ended.
    fn ended(mut self) -> Place {
        let place = self.place.take();
        place.expect("the place is taken once")
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut slots = self.callers.slots();
        drop(place);
        let is_same = |slot: &Arc<Slot>| Arc::ptr_eq(slot, self.slot);
        let is_left = self.slot.caller.get().is_none() && self.slot.seat.is_free();
        if is_left && slots.get(&self.mark).is_some_and(is_same) {
            slots.remove(&self.mark);
            self.slot.seat.end();
        }
    }
}

impl Admitted {
    /// What the request is handed to.
    pub(super) fn service(&self) -> &Service {
        &self.caller().service
    }

    /// Sessions that this caller has open.
    pub(super) async fn sessions(&self) -> usize {
        self.caller().sessions.sessions.read().await.len()
    }

    /// Whether the credential has come to its end, so that the token has, too, or the issuer cannot be reached.
    pub(super) fn has_expired(&self) -> bool {
        let end = self.caller().client.credential_expires_at();
        end.is_some_and(|end| end <= TimeMs::now())
    }

    fn caller(&self) -> &Caller {
        let caller = self.slot.caller.get();
        caller.expect("nobody is admitted before the caller is connected")
    }

    /// Its share of the caller, for as long as the answer goes on.
    pub(super) fn into_place(self) -> Place {
        self.place
    }

    /// Fires when the caller's token has ended, or this server stops.
    pub(super) fn ended(&self) -> &CancellationToken {
        self.slot.seat.ended()
    }
}

impl Callers {
    /// Nobody yet.
    pub(super) fn new(
        road: Road,
        exchanger: Exchanger,
        config: StreamableHttpServerConfig,
        ending: Ending,
    ) -> Arc<Self> {
        let mut key = [0; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut key)
            .expect("the operating system gives random bytes");
        let callers = Arc::new(Self {
            road,
            exchanger,
            config,
            key,
            slots: Mutex::default(),
            refused: Mutex::default(),
            exchanges: Semaphore::new(EXCHANGES_AT_ONCE),
            ending,
        });
        tokio::spawn(sweep(Arc::downgrade(&callers)));
        callers
    }

    /// Lets the holder of `token` in for one request.
    pub(super) async fn admit(self: &Arc<Self>, token: Token) -> Result<Admitted, Denied> {
        let mark = blake3::keyed_hash(&self.key, token.text().as_bytes());
        if self.is_refused(mark) {
            return Err(Denied::Unknown);
        }
        let (slot, place) = self.slot(mark)?;
        let trying = Trying {
            callers: self,
            mark,
            slot: &slot,
            place: Some(place),
        };
        let connected = slot
            .caller
            .get_or_try_init(|| self.connect(mark, token, &slot))
            .await;
        let place = trying.ended();
        if let Err(denied) = connected {
            drop(place);
            self.forget(mark, &slot.seat);
            if matches!(denied, Denied::Unknown) {
                self.note_refused(mark);
            }
            return Err(denied);
        }
        Ok(Admitted { slot, place })
    }

    /// Callers that are let in, or are about to be.
    pub(super) fn count(&self) -> usize {
        self.slots().len()
    }

    /// Sessions that are open, of all callers.
    pub(super) async fn sessions(&self) -> usize {
        let slots: Vec<Arc<Slot>> = self.slots().values().cloned().collect();
        let mut count = 0;
        for slot in slots {
            if let Some(caller) = slot.caller.get() {
                count += caller.sessions.sessions.read().await.len();
            }
        }
        count
    }

    /// The slot of a token, and a place in it. The list stays locked meanwhile, so that nobody lets go of it in
    /// between. What is not let in yet is bounded as requests are.
    fn slot(&self, mark: blake3::Hash) -> Result<(Arc<Slot>, Place), Denied> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&mark)
            && !slot.seat.ended().is_cancelled()
        {
            let place = slot.seat.take_place().ok_or(Denied::Busy)?;
            return Ok((Arc::clone(slot), place));
        }
        let slot = Arc::new(Slot {
            seat: Seat::new(self.road.requests_per_caller, &self.ending),
            is_good: AtomicBool::new(false),
            caller: OnceCell::new(),
        });
        let place = slot.seat.take_place().ok_or(Denied::Busy)?;
        slots.insert(mark, Arc::clone(&slot));
        Ok((slot, place))
    }

    /// Room for the caller of a good token, where there is some, or where somebody idle makes some.
    fn take_room(&self, slot: &Slot) -> Result<(), Denied> {
        let mut slots = self.slots();
        let is_good = |slot: &Slot| slot.is_good.load(Ordering::Relaxed);
        if slots.values().filter(|slot| is_good(slot)).count() >= self.road.callers_max {
            let idle = slots
                .iter()
                .filter(|(_, slot)| is_good(slot) && slot.seat.is_free());
            let longest = idle.min_by_key(|(_, slot)| slot.seat.last_used());
            let Some(mark) = longest.map(|(mark, _)| *mark) else {
                let message = "as many callers are active as this server takes";
                return Err(Denied::Unavailable(Refusal::unavailable(message)));
            };
            if let Some(gone) = slots.remove(&mark) {
                gone.seat.end();
            }
        }
        slot.is_good.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a token that has no place any more out of the list, unless it has a new one.
    pub(super) fn forget(&self, mark: blake3::Hash, seat: &Arc<Seat>) {
        seat.end();
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&mark)
            && Arc::ptr_eq(&slot.seat, seat)
        {
            slots.remove(&mark);
        }
    }

    /// Exchanges the token, connects with what that gives, and has it kept.
    async fn connect(
        self: &Arc<Self>,
        mark: blake3::Hash,
        token: Token,
        slot: &Slot,
    ) -> Result<Caller, Denied> {
        let seat = &slot.seat;
        let jwt = {
            let turn = tokio::time::timeout(TURN_PATIENCE, self.exchanges.acquire()).await;
            let busy = || Refusal::unavailable("too many tokens are presented at once");
            let _turn = turn.map_err(|_| Denied::Unavailable(busy()))?;
            self.exchanger.exchange(&token).await?
        };
        self.take_room(slot)?;
        let text = UserKey::from(token.key()).creds(&jwt);
        let credential = Credential::parse(&text).map_err(|_| Denied::Unknown)?;
        let options = ConnectOptions::new(&self.road.servers, credential)
            .name("postroad-http")
            .trust(self.road.trust.clone())
            .subjects(self.road.subjects.clone())
            // Others may serve the same caller beside this process.
            .always_fresh()
            .credential_kept_by_caller();
        let client = Client::connect(options).await?;
        let agent = Arc::new(Agent::new(client.clone())?);
        let presence = client.keep_present()?;
        let server = Server::new(agent).ending_with(seat.waits_end().clone());
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(self.road.idle);
        let sessions = Arc::new(sessions);
        let config = self
            .config
            .clone()
            .with_cancellation_token(seat.ended().clone());
        let service = Service::new(move || Ok(server.clone()), Arc::clone(&sessions), config);
        let (callers, seat) = (Arc::downgrade(self), Arc::clone(seat));
        let exchanger = self.exchanger.clone();
        let kept = client.clone();
        tokio::spawn(async move {
            keeper::keep(kept, presence, token, exchanger, seat.ended()).await;
            if let Some(callers) = callers.upgrade() {
                callers.forget(mark, &seat);
            }
        });
        Ok(Caller {
            client,
            service,
            sessions,
        })
    }

    fn is_refused(&self, mark: blake3::Hash) -> bool {
        let refused = self.refused();
        refused
            .get(&mark)
            .is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    fn note_refused(&self, mark: blake3::Hash) {
        let mut refused = self.refused();
        if refused.len() >= REFUSED_KEPT {
            refused.retain(|_, at| at.elapsed() < REFUSED_FOR);
        }
        // Where even those are too many, the next of its tries is asked about.
        if refused.len() < REFUSED_KEPT {
            refused.insert(mark, Instant::now());
        }
    }

    fn sweep(&self) {
        self.slots().retain(|_, slot| {
            let stays = !slot.seat.is_idle_for(self.road.idle);
            if !stays {
                slot.seat.end();
            }
            stays
        });
        self.refused().retain(|_, at| at.elapsed() < REFUSED_FOR);
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of whoever has been idle for too long, until nobody holds the list.
async fn sweep(callers: std::sync::Weak<Callers>) {
    while let Some(now) = callers.upgrade() {
        now.sweep();
        let pause = (now.road.idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(15));
        drop(now);
        tokio::time::sleep(pause).await;
    }
}

impl From<ExchangeError> for Denied {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unknown => Self::Unknown,
            ExchangeError::Unavailable(refusal) => Self::Unavailable(refusal),
        }
    }
}

impl From<ClientError> for Denied {
    fn from(error: ClientError) -> Self {
        match error {
            // It was revoked between the exchange and here.
            ClientError::Unauthorized { .. } | ClientError::Credential(_) => Self::Unknown,
            error => Self::Unavailable(Refusal::unavailable(error.to_string())),
        }
    }
}
