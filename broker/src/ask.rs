//! What a broker asks of other parts: projectors look ids up in their rows, the issuer signs.
//! Owns requests and the meaning of silence; never decides.

use async_nats::client::{Client, RequestErrorKind};
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding, decode_answer};
use postroad_protocol::command::MarkTarget;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{MessageId, Reader, Role};
use postroad_protocol::limits::POSITION_WAIT_MS;
use postroad_protocol::memory::{MemoryId, Namespace};
use postroad_protocol::position::Position;
use postroad_protocol::service::{
    ENFORCE, Enforce, Enforced, Finding, LOOK_UP, Lookup, MarkState, MemoryStanding, Question,
    SIGN, Sign, Signed, TaskStanding, TenantStanding,
};
use postroad_protocol::subject::{Owner, Service, Subjects};
use postroad_protocol::task::TaskId;
use postroad_protocol::tenancy::TenantScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A projector itself waits for a position; this is a little longer, so that its answer is heard.
const ANSWER_WAIT: Duration = Duration::from_millis(POSITION_WAIT_MS + 1_000);

/// How current the rows have to be that answer a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Currency {
    /// As they are.
    Any,
    /// At least this far.
    At(Position),
    /// Everything that the log holds now.
    Fresh,
}

/// Asks projectors and the issuer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    client: Client,
    subjects: Subjects,
}

impl Ask {
    /// Asks over `client`, whose inboxes lie where brokers are answered.
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Where the event with `key` is stored, if it is; without a tenant, one of the shared library.
    pub(crate) async fn event(
        &self,
        scope: Option<&TenantScope>,
        key: EventKey,
    ) -> Result<Option<u64>, Refusal> {
        let question = Question::Event(key);
        match self
            .look_up(owner_of(scope), Currency::Fresh, question)
            .await?
        {
            Finding::Event(sequence) => Ok(sequence),
            _ => Err(other_answer()),
        }
    }

    /// Where the events with `keys` are stored, as far as they are.
    pub(crate) async fn events(
        &self,
        scope: &TenantScope,
        keys: Vec<EventKey>,
    ) -> Result<Vec<Option<u64>>, Refusal> {
        let count = keys.len();
        let question = Question::Events(keys);
        match self
            .look_up(scope.owner(), Currency::Fresh, question)
            .await?
        {
            Finding::Events(sequences) if sequences.len() == count => Ok(sequences),
            _ => Err(other_answer()),
        }
    }

    /// Whether `reader` may refer to `message`.
    pub(crate) async fn visible(
        &self,
        scope: &TenantScope,
        currency: Currency,
        reader: Reader,
        message: MessageId,
    ) -> Result<bool, Refusal> {
        let question = Question::Visible { reader, message };
        match self.look_up(scope.owner(), currency, question).await? {
            Finding::Visible(visible) => Ok(visible),
            _ => Err(other_answer()),
        }
    }

    /// The state of `targets` for `reader`, one each.
    pub(crate) async fn marks(
        &self,
        scope: &TenantScope,
        currency: Currency,
        reader: Reader,
        targets: Vec<MarkTarget>,
    ) -> Result<Vec<MarkState>, Refusal> {
        let count = targets.len();
        let question = Question::Marks { reader, targets };
        match self.look_up(scope.owner(), currency, question).await? {
            Finding::Marks(states) if states.len() == count => Ok(states),
            _ => Err(other_answer()),
        }
    }

    /// Where the memory `changed` belongs, if `role` may know of it, and how each of `named` stands, one each. Without a
    /// role the operator asks, without a tenant for the shared library.
    pub(crate) async fn memories(
        &self,
        scope: Option<&TenantScope>,
        currency: Currency,
        role: Option<&Role>,
        changed: Option<MemoryId>,
        named: Vec<MemoryId>,
    ) -> Result<(Option<Namespace>, Vec<Option<MemoryStanding>>), Refusal> {
        let count = named.len();
        let question = Question::Memories {
            role: role.cloned(),
            changed,
            named,
        };
        match self.look_up(owner_of(scope), currency, question).await? {
            Finding::Memories { changed, named } if named.len() == count => Ok((changed, named)),
            _ => Err(other_answer()),
        }
    }

    /// Which dependencies of the task `changed` count, where one is named, and how each of `named` stands, one each.
    pub(crate) async fn tasks(
        &self,
        scope: &TenantScope,
        currency: Currency,
        changed: Option<TaskId>,
        named: Vec<TaskId>,
    ) -> Result<(Vec<TaskId>, Vec<Option<TaskStanding>>), Refusal> {
        let count = named.len();
        let question = Question::Tasks { changed, named };
        match self.look_up(scope.owner(), currency, question).await? {
            Finding::Tasks { counted, named } if named.len() == count => Ok((counted, named)),
            _ => Err(other_answer()),
        }
    }

    /// How the tenant stands in the rows.
    pub(crate) async fn standing(
        &self,
        scope: &TenantScope,
        currency: Currency,
    ) -> Result<TenantStanding, Refusal> {
        match self
            .look_up(scope.owner(), currency, Question::Tenant)
            .await?
        {
            Finding::Tenant(standing) => Ok(standing),
            _ => Err(other_answer()),
        }
    }

    /// The user JWT of the credential that the event at `position` says was issued.
    pub(crate) async fn sign(
        &self,
        scope: &TenantScope,
        position: Position,
    ) -> Result<String, Refusal> {
        let subject = self.subjects.service(Service::Issuer, scope.owner(), SIGN);
        let signed: Signed = self
            .request(subject, &Sign { position }, "the issuer")
            .await?;
        Ok(signed.jwt)
    }

    /// Has nats-server refuse whom the log revokes up to `position`.
    pub(crate) async fn enforce(
        &self,
        scope: &TenantScope,
        position: Position,
    ) -> Result<(), Refusal> {
        let subject = self
            .subjects
            .service(Service::Issuer, scope.owner(), ENFORCE);
        let _: Enforced = self
            .request(subject, &Enforce { position }, "the issuer")
            .await?;
        Ok(())
    }

    async fn look_up(
        &self,
        owner: Owner<'_>,
        currency: Currency,
        question: Question,
    ) -> Result<Finding, Refusal> {
        let subject = self.subjects.service(Service::Projector, owner, LOOK_UP);
        let lookup = Lookup {
            position: match currency {
                Currency::At(position) => Some(position),
                Currency::Any | Currency::Fresh => None,
            },
            fresh: currency == Currency::Fresh,
            question,
        };
        self.request(subject, &lookup, "a projector").await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        subject: String,
        body: &impl Serialize,
        whom: &str,
    ) -> Result<T, Refusal> {
        let request = async_nats::Request::new()
            .payload(Encoding::MessagePack.encode(body).into())
            .timeout(Some(ANSWER_WAIT));
        let answer = self.client.send_request(subject, request).await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Refusal::unavailable(format!("{whom} is not there")),
            RequestErrorKind::TimedOut => {
                Refusal::unavailable(format!("{whom} did not answer in time"))
            }
            _ => Refusal::unavailable(format!("{whom} cannot be asked now")),
        })?;
        let refused = answer
            .headers
            .as_ref()
            .is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
        let decoded = decode_answer(Encoding::MessagePack, &answer.payload, refused);
        // What a decoder says may quote what it read, which is not for the log.
        decoded.map_err(|refusal| if refused { refusal } else { unreadable(whom) })
    }
}

fn owner_of(scope: Option<&TenantScope>) -> Owner<'_> {
    scope.map_or(Owner::System, TenantScope::owner)
}

/// A part answered what this build cannot read.
fn unreadable(whom: &str) -> Refusal {
    Refusal::new(
        ErrorCode::Internal,
        format!("{whom} answered what this broker cannot read"),
        "run brokers, projectors and the issuer of one version",
    )
}

fn other_answer() -> Refusal {
    unreadable("a projector")
}
