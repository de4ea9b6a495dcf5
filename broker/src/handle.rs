//! COMMAND BECOMES EVENT: load, decide, append, position. Deciding itself is pure and lives in
//! [`crate::aggregate`]; this brings it what it needs and takes its word to the log.
//!
//! | module | owns |
//! |---|---|
//! | this | what every command needs: homes, registration, first attempts |
//! | [`ordered`] | sends, summaries and memories that agents store, kept in order |
//! | [`mark`] | `mark_as_read` |
//! | [`admin`] | tenants and damage |
//! | [`credential`] | credentials and retirements |
//! | [`erase`], [`rotate`] | a tenant's end, and new keys |
//! | [`life`] | a tenant as a whole: suspended, resumed, limited |
//! | [`observe`] | what projectors saw |
//! | [`memory`] | memories, but for those that agents store in order |
//! | [`room`] | room for what is stored |
//! | [`import`] | the events of an exported tenant |
//! | [`task`], [`mission`] | what they are made, and changed to |
//! | [`stated`] | changing what says all of itself in each event |
//! | [`look`] | last events, and who is on the roster |
//! | [`react`] | what follows from how tasks stand |

mod admin;
mod credential;
mod erase;
mod import;
mod life;
mod look;
mod mark;
mod memory;
mod mission;
mod observe;
mod ordered;
mod react;
mod room;
mod rotate;
mod stated;
mod task;
mod turns;

pub(crate) use ordered::{Decision, Ordered};
pub(crate) use turns::Turns;

use crate::aggregate::agent::{Standing, standing};
use crate::aggregate::life::{resume, suspend};
use crate::answer::Answer;
use crate::ask::Ask;
use crate::directory::Directory;
use crate::error::{AppendError, no_tenant};
use crate::event_log::{Appended, Draft, EventLog};
use crate::parts::Parts;
use crate::push::Push;
use crate::quota::Quotas;
use crate::rate::Rates;
use async_nats::jetstream::context::Context;
use postroad_log::Keyring;
use postroad_protocol::command::Command;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::limits::FRESH_ID_MS;
use postroad_protocol::position::Position;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{RequestContext, Scope, TenantScope};
use postroad_protocol::usage::Counts;
use std::sync::Arc;

/// Attempts to win over others that change the same aggregate.
const ATTEMPTS: u32 = 16;

/// Everything that handling a command needs.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) log: EventLog,
    pub(crate) directory: Directory,
    pub(crate) keyring: Keyring,
    pub(crate) ask: Ask,
    pub(crate) push: Push,
    pub(crate) context: Context,
    /// Shards that were added while this broker runs are opened one at a time.
    pub(crate) opening: tokio::sync::Mutex<()>,
    /// The other parts of the deployment.
    pub(crate) parts: Arc<Parts>,
    /// Tenants are erased one at a time.
    pub(crate) erasing: tokio::sync::Mutex<()>,
    /// Tasks and missions that several change at once are changed one behind the other.
    pub(crate) turns: Turns,
    /// How fast commands came, where that is limited.
    pub(crate) rates: Rates,
    /// What was stored, where that is limited.
    pub(crate) quotas: Quotas,
    /// Hints that were counted.
    pub(crate) counts: Counts,
}

/// A command as ingress admitted and read it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Who calls, for whom.
    pub(crate) context: RequestContext,
    /// Under which a retry is recognised.
    pub(crate) id: CommandId,
    /// The scope that NATS checked.
    pub(crate) asked: Scope,
    /// What is asked.
    pub(crate) command: Command,
    /// When it came.
    pub(crate) time: TimeMs,
    /// The highest position that the caller has seen, where it said so.
    pub(crate) position: Option<Position>,
}

/// Whether an id was made so lately that, were it stored before, JetStream would still know it. That
/// holds for ids stamped a little ahead, too, since none is taken in long before its stamp.
fn is_fresh(id: CommandId, now: TimeMs) -> bool {
    id.stamp_ms()
        .is_some_and(|stamp| stamp.abs_diff(now.0) <= FRESH_ID_MS)
}

impl Handler {
    /// Handles a command that needs no order.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        match request.command.clone() {
            Command::MarkAsRead(command) => self.mark_as_read(&request, command).await,
            Command::CreateTenant { shard } => self.create_tenant(&request, shard).await,
            Command::IssueCredential(command) => self.issue_credential(&request, command).await,
            Command::RetireAgent { role, instance } => {
                self.retire_agent(&request, &role, instance.as_ref()).await
            }
            Command::AcceptDamage { shard, range } => {
                self.accept_damage(&request, shard, range).await
            }
            Command::RevokeCredential(command) => self.revoke_credential(&request, &command).await,
            Command::RenewCredential(command) => self.renew_credential(&request, command).await,
            Command::EndCredential(command) => self.end_credential(&request, &command).await,
            Command::ImportEvents(command) => self.import_events(&request, command).await,
            Command::EraseTenant { confirm } => self.erase_tenant(&request, &confirm).await,
            Command::RotateKey => self.rotate_key(&request).await,
            Command::SuspendTenant { reason } => {
                let decide = |known: &_, key| suspend(known, reason.as_deref(), key);
                self.change_life(&request, decide).await
            }
            Command::ResumeTenant => {
                let decide = |known: &_, key| Ok(resume(known, key));
                self.change_life(&request, decide).await
            }
            Command::SetLimits(change) => self.set_limits(&request, &change).await,
            Command::StoreMemory(command) => self.publish_memory(&request, command).await,
            Command::ImportMemory(command) => self.import_memory(&request, command).await,
            Command::UpdateMemory(command) => self.update_memory(&request, command).await,
            Command::ForgetMemory { memory } => self.forget_memory(&request, memory).await,
            Command::Task(command) => Box::pin(self.task(&request, command)).await,
            Command::Mission(command) => Box::pin(self.mission(&request, command)).await,
            // Sends and summaries go through a lane, and there is no other command yet.
            _ => Err(postroad_protocol::command::unknown_verb()),
        }
    }

    /// Appends and waits, unless an earlier attempt is found that stored it.
    async fn store(&self, draft: Draft, id_field: &str) -> Result<Appended, Refusal> {
        if let Some(appended) = self.first_attempt(&draft, id_field).await? {
            return Ok(appended);
        }
        let appended = self.append(draft).await;
        appended.map_err(|error| error.refusal(id_field))
    }

    /// Appends and waits.
    async fn append(&self, draft: Draft) -> Result<Appended, AppendError> {
        self.log.append(draft).wait().await
    }

    /// The shard in which a tenant lives, ready to be written to.
    ///
    /// # Errors
    /// `not_found` for a tenant that does not exist.
    async fn home(&self, scope: &TenantScope) -> Result<u16, Refusal> {
        if let Some(key) = self.keyring.current(scope.owner())
            && self.log.is_open(key.home.shard)
        {
            return Ok(key.home.shard);
        }
        let unreachable = |_| Refusal::unavailable("the data keys cannot be read now");
        self.keyring.refresh().await.map_err(unreachable)?;
        let key = self.keyring.current(scope.owner()).ok_or_else(no_tenant)?;
        self.open_shard(key.home.shard).await?;
        Ok(key.home.shard)
    }

    /// Opens a shard that was added since this broker started.
    async fn open_shard(&self, number: u16) -> Result<(), Refusal> {
        let _turn = self.opening.lock().await;
        if self.log.is_open(number) {
            return Ok(());
        }
        let unreachable = || Refusal::unavailable(format!("shard {number} cannot be opened now"));
        let shards = postroad_log::streams::list_shards(&self.context)
            .await
            .map_err(|_| unreachable())?;
        let shard = shards
            .into_iter()
            .find(|shard| shard.number() == number)
            .ok_or_else(unreachable)?;
        let followed = self.directory.follow(shard.clone()).await;
        followed.map_err(|_| unreachable())?;
        self.log.open(shard).await.map_err(|_| unreachable())
    }

    /// Lets `reader` act in the scope `asked`: registers it where it has to be, and waits until that is
    /// folded.
    ///
    /// # Errors
    /// `permission_denied` for one that was retired or revoked, or lacks the scope.
    /// So has every one of a tenant that is suspended.
    async fn ensure_reader(
        &self,
        scope: &TenantScope,
        shard: u16,
        reader: &Reader,
        asked: Scope,
        time: TimeMs,
    ) -> Result<(), Refusal> {
        self.expect_active(scope)?;
        let look = || {
            self.directory
                .with(scope, |roster| standing(roster, reader, asked))
        };
        if let Ok(Standing::Registered) = look() {
            return Ok(());
        }
        let aggregate = AggregateKey::Agent(reader.role.clone());
        for _ in 0..ATTEMPTS {
            let last = self.directory.catch_up(scope, shard, &aggregate).await?;
            let Standing::Registers(registration) = look()? else {
                return Ok(());
            };
            let draft = Draft {
                owner: Some(scope.clone()),
                shard,
                id: registration.id,
                by: Actor::System,
                event: Arc::new(Event::from(registration.event)),
                time,
                traceparent: None,
                // Of many first calls at once, as many register as the role has room for.
                expected_last: Some(last),
            };
            match self.append(draft).await {
                Ok(appended) => return self.directory.wait_for(appended.position).await,
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }

    /// What an earlier attempt stored under an id that JetStream may have forgotten.
    async fn first_attempt(
        &self,
        draft: &Draft,
        id_field: &str,
    ) -> Result<Option<Appended>, Refusal> {
        if is_fresh(draft.id, draft.time) {
            return Ok(None);
        }
        self.find(draft, id_field).await
    }

    /// What is stored under the draft's id, if anything is and if it is the same.
    async fn find(&self, draft: &Draft, id_field: &str) -> Result<Option<Appended>, Refusal> {
        let key = EventKey::of(&draft.by, draft.id);
        let Some(sequence) = self.ask.event(draft.owner.as_ref(), key).await? else {
            return Ok(None);
        };
        let compared = self.log.compare(draft, sequence).await;
        compared.map(Some).map_err(|error| error.refusal(id_field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::check_stamp;
    use postroad_protocol::limits::DEDUP_WINDOW_S;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fresh_id_that_was_ever_taken_in_is_still_in_the_deduplication_window(
            stamp in 1_000_000_u64..2_000_000,
            before in 0_u64..600_000,
            after in 0_u64..100_000,
        ) {
            let (taken_in, again) = (stamp - before, stamp - 50_000 + after);
            let text = format!("{:08x}-{:04x}-7000-8000-000000000000", stamp >> 16, stamp & 0xffff);
            let id = CommandId::parse(&text).unwrap();
            prop_assert_eq!(id.stamp_ms(), Some(stamp));
            let was_taken_in = check_stamp(id, TimeMs(taken_in), "messageId").is_ok();
            if was_taken_in && taken_in <= again && is_fresh(id, TimeMs(again)) {
                prop_assert!(again - taken_in <= DEDUP_WINDOW_S * 1_000 / 2);
            }
        }
    }
}
