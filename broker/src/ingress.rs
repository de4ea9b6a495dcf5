//! NATS request → admitted command → reply. What can be decided at once is decided in the order in
//! which it arrives; what has to wait, or takes long to read, is handed to a lane or a task of its own,
//! and the number and size of those is bounded. Never decides, never appends.

use crate::answer::{Answer, Replier};
use crate::arrival::{Arrival, Bodies};
use crate::dropped::Dropped;
use crate::handle::{Handler, Request};
use crate::in_flight::{InFlight, Place};
use crate::lane::{LaneKey, Lanes, Work, submit};
use async_nats::client::Client;
use async_nats::{HeaderValue, Message, Subscriber};
use futures_util::StreamExt;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::unknown_verb;
use postroad_protocol::envelope::TRACEPARENT;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::service::{Forget, OBSERVE, Observation, is_for_everyone};
use postroad_protocol::subject::{RequestKind, Service};
use postroad_protocol::tenancy::{Admission, Principal, Rejected, Tagger, TenantScope};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Takes requests in.
#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) client: Client,
    pub(crate) admission: Admission,
    pub(crate) handler: Arc<Handler>,
    pub(crate) tagger: Tagger,
    pub(crate) lanes: Lanes,
    pub(crate) bodies: Bodies,
    pub(crate) commands: InFlight,
    /// Counted apart, so that no flood keeps the operator out: it has to be able to end one.
    pub(crate) operators: InFlight,
    /// Counted apart, so that a flood of commands does not keep marks from being stored.
    pub(crate) observations: InFlight,
    pub(crate) dropped: Dropped,
}

/// What is left to do once a command's outcome is known.
#[derive(Debug)]
pub(crate) struct Finish {
    replier: Replier,
    request_id: CommandId,
    scope: Option<TenantScope>,
    tagger: Tagger,
    /// Given back when the answer is on its way.
    _place: Place,
}

impl Finish {
    /// Answers. A fault of ours goes to the log of the process under the request's id; the caller
    /// gets the id alone.
    pub(crate) async fn send(self, outcome: Result<Answer, Refusal>) {
        let outcome = outcome.map_err(|refusal| {
            if refusal.code != ErrorCode::Internal {
                return refusal;
            }
            let request = self.request_id.to_string();
            let tenant = self.scope.as_ref().map(|scope| self.tagger.tag(scope));
            tracing::error!(request, tenant, cause = refusal.message, "a command failed");
            Refusal::internal(&request)
        });
        self.replier.send(outcome).await;
    }
}

impl Ingress {
    /// Takes commands until told to stop, then those that had already arrived.
    pub(crate) async fn serve_commands(self: Arc<Self>, mut commands: Arrivals) {
        while let Some(message) = commands.next().await {
            self.take_command(message).await;
        }
    }

    /// Takes observations until told to stop, then those that had already arrived.
    pub(crate) async fn serve_observations(self: Arc<Self>, mut observations: Arrivals) {
        while let Some(message) = observations.next().await {
            self.take_observation(message).await;
        }
    }

    async fn take_command(&self, message: Message) {
        let time = TimeMs::now();
        let traceparent = traceparent(&message);
        let admitted = self.admission.admit(
            RequestKind::Command,
            &message.subject,
            message.reply.as_deref(),
            traceparent,
        );
        let Some(reply) = message.reply.clone() else {
            self.drop_one();
            return;
        };
        let encoding = Encoding::of(&message.payload);
        let replier = Replier::new(self.client.clone(), reply, encoding);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(Rejected::Drop) => {
                self.drop_one();
                return;
            }
            Err(Rejected::Refuse(refusal)) => {
                replier.refuse(&refusal).await;
                return;
            }
        };
        let (context, bytes) = (&admitted.context, message.payload.len());
        if let Err(refusal) = self.handler.let_in(context) {
            replier.refuse(&refusal).await;
            return;
        }
        let place = match context.principal() {
            Principal::Agent(_) => self.commands.enter(context.scope_or_all(), bytes),
            Principal::Operator(_) => self.operators.enter(None, bytes),
        };
        let place = match place {
            Ok(place) => place,
            Err(refusal) => {
                replier.refuse(&refusal).await;
                return;
            }
        };
        let finish = Finish {
            replier,
            request_id: admitted.context.request_id(),
            scope: admitted.context.scope_or_all().cloned(),
            tagger: self.tagger.clone(),
            _place: place,
        };
        match Arrival::new(admitted, encoding, message.payload, time) {
            Ok(arrival) if arrival.is_small() => match arrival.read() {
                Ok(request) => self.dispatch(request, finish).await,
                Err(refusal) => finish.send(Err(refusal)).await,
            },
            Ok(arrival) => self.set_aside(arrival, finish).await,
            Err(refusal) => finish.send(Err(refusal)).await,
        }
    }

    /// Leaves a large command to its reader's lane, where it keeps its place among the reader's others.
    async fn set_aside(&self, arrival: Arrival, finish: Finish) {
        let context = &arrival.context;
        if let (Ok(scope), Ok(reader)) = (context.scope(), context.reader()) {
            let lane = (scope.clone(), reader.clone());
            self.enter_lane(lane, Work::Unread(arrival), finish).await;
            return;
        }
        let (handler, bodies) = (self.handler.clone(), self.bodies.clone());
        tokio::spawn(async move {
            let outcome = match bodies.read(arrival).await {
                Ok(request) => handler.handle(request).await,
                Err(refusal) => Err(refusal),
            };
            finish.send(outcome).await;
        });
    }

    async fn dispatch(&self, request: Request, finish: Finish) {
        let ordered = match request.ordered() {
            Ok(Ok(ordered)) => ordered,
            Ok(Err(request)) => {
                let handler = self.handler.clone();
                tokio::spawn(async move { finish.send(handler.handle(request).await).await });
                return;
            }
            Err(refusal) => {
                finish.send(Err(refusal)).await;
                return;
            }
        };
        let lane = (ordered.scope.clone(), ordered.reader.clone());
        if !self.lanes.is_open(&lane)
            && let Some(decision) = self.handler.decide_now(&ordered)
        {
            submit(&self.handler, Ok(decision), finish);
            return;
        }
        self.enter_lane(lane, Work::Read(ordered), finish).await;
    }

    async fn enter_lane(&self, lane: LaneKey, work: Work, finish: Finish) {
        let entered = self
            .lanes
            .enter(&self.handler, &self.bodies, lane, work, finish);
        if let Err(finish) = entered {
            let refusal = Refusal::new(
                ErrorCode::RateLimited,
                "too many commands of this agent are waiting",
                "send fewer at once, and this one again with the same id",
            );
            finish.send(Err(refusal.retry_after_ms(200))).await;
        }
    }

    /// Does what brokers are told to forget, until the connection is closed.
    pub(crate) async fn serve_forgettings(self: Arc<Self>, mut told: Subscriber) {
        while let Some(message) = told.next().await {
            let this = self.clone();
            tokio::spawn(async move { this.forget(message).await });
        }
    }

    async fn forget(&self, message: Message) {
        let request = self.admission.admit_service(
            Service::Broker,
            Service::Broker,
            &message.subject,
            message.reply.as_deref(),
        );
        let scope = request.and_then(|request| request.scope);
        let (Some(scope), Some(reply)) = (scope, message.reply) else {
            return self.drop_one();
        };
        let replier = Replier::new(self.client.clone(), reply, Encoding::MessagePack);
        let forgotten = match Encoding::MessagePack.decode::<Forget>(&message.payload) {
            Ok(forget) => self.handler.forget(&scope, &forget).await,
            Err(refusal) => Err(refusal),
        };
        replier.send(forgotten).await;
    }

    async fn take_observation(&self, message: Message) {
        if is_for_everyone(&message.subject) {
            return;
        }
        let time = TimeMs::now();
        let request = self.admission.admit_service(
            Service::Broker,
            Service::Projector,
            &message.subject,
            message.reply.as_deref(),
        );
        let (Some(request), Some(reply)) = (request, message.reply.clone()) else {
            self.drop_one();
            return;
        };
        let replier = Replier::new(self.client.clone(), reply, Encoding::MessagePack);
        let (OBSERVE, Some(scope)) = (request.verb, request.scope) else {
            replier.refuse(&unknown_verb()).await;
            return;
        };
        let body = message.payload;
        match self.observations.enter(Some(&scope), body.len()) {
            Err(refusal) => replier.refuse(&refusal).await,
            Ok(place) => {
                let handler = self.handler.clone();
                tokio::spawn(async move {
                    let observed = match Encoding::MessagePack.decode::<Observation>(&body) {
                        Ok(observation) => handler.observe(&scope, observation, time).await,
                        Err(refusal) => Err(refusal),
                    };
                    replier.send(observed).await;
                    drop(place);
                });
            }
        }
    }

    fn drop_one(&self) {
        if let Some(report) = self.dropped.add(Instant::now()) {
            tracing::warn!(
                new = report.new,
                total = report.total,
                "dropped requests that wanted their answer elsewhere than at their caller's inbox"
            );
        }
    }
}

/// What arrives on a subscription until it is told to stop, and then what had arrived before.
#[derive(Debug)]
pub(crate) struct Arrivals {
    requests: Subscriber,
    stop: watch::Receiver<bool>,
    stopping: bool,
}

impl Arrivals {
    /// Arrivals of `requests` until `stop` changes.
    pub(crate) fn new(requests: Subscriber, stop: watch::Receiver<bool>) -> Self {
        Self {
            requests,
            stop,
            stopping: false,
        }
    }

    async fn next(&mut self) -> Option<Message> {
        if !self.stopping {
            tokio::select! {
                biased;
                // Also when the broker was dropped without draining.
                _ = self.stop.changed() => {}
                message = self.requests.next() => return message,
            }
            self.stopping = true;
            self.requests.drain().await.ok()?;
        }
        self.requests.next().await
    }
}

/// A trace context goes back into a header, so it must be plain text of one line.
fn traceparent(message: &Message) -> Option<&str> {
    let header = message.headers.as_ref()?.get(TRACEPARENT)?;
    let text = HeaderValue::as_str(header);
    text.bytes().all(|b| b.is_ascii_graphic()).then_some(text)
}
