//! The end of a tenant. In an order in which a crash at any instant leaves something that the same
//! command, repeated, goes on with:
//!
//! 1. the keys stream says that the erase began: nobody is served any more, nothing more is sealed;
//! 2. every part confirms that, and has settled what was on its way;
//! 3. the log says that it began, with the credentials that nobody can read of any more afterwards;
//! 4. the keys stream says that the keys are destroyed, and their records are overwritten;
//! 5. every part confirms that it has dropped them;
//! 6. the log says so: every fold deletes what it has of the tenant;
//! 7. every part confirms that nothing is left, in its memory and in its files;
//! 8. the keys stream says that the name is free.

use super::admin::draft;
use super::{ATTEMPTS, Handler, Request};
use crate::answer::Answer;
use crate::error::{AppendError, no_tenant};
use crate::event_log::Draft;
use postroad_log::{Follower, KeyringError, LogError, Opened, Registered, Shard, StoredEvent};
use postroad_protocol::command::Erased;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, Event, TenantErased, VoidCredential};
use postroad_protocol::id::{CommandId, TenantId, TimeMs};
use postroad_protocol::limits::{ERASE_WAIT_MS, ERASED_CREDENTIALS_MAX};
use postroad_protocol::position::Position;
use postroad_protocol::seal::Stage;
use postroad_protocol::service::{Forget, Forgotten};
use postroad_protocol::subject::{AggregateKey, Owner};
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// One attempt to erase a tenant.
struct Attempt<'a> {
    handler: &'a Handler,
    request: &'a Request,
    scope: &'a TenantScope,
    by: Actor,
    shard: Shard,
    generation: u32,
    deadline: Instant,
}

impl Handler {
    pub(super) async fn erase_tenant(
        &self,
        request: &Request,
        confirm: &str,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let by = Actor::Operator(request.context.require_operator()?.clone());
        if TenantId::parse(confirm).ok().as_ref() != Some(scope.tenant()) {
            return Err(Refusal::invalid(
                "confirm",
                "what is confirmed is not the tenant that is to be erased",
                "write the tenant's name a second time: an erase cannot be undone",
            ));
        }
        let Ok(_turn) = self.erasing.try_lock() else {
            let busy = Refusal::unavailable("this broker is erasing a tenant already");
            return Err(busy.retry_after_ms(1_000));
        };
        self.keyring
            .refresh()
            .await
            .map_err(|error| unwritten(&error))?;
        let registered = self.registered(scope)?;
        let number = registered.home.shard;
        self.open_shard(number).await?;
        let attempt = Attempt {
            handler: self,
            request,
            scope,
            by,
            shard: self.log.shard(number).ok_or_else(no_tenant)?,
            generation: registered.home.key_id.generation,
            deadline: Instant::now() + Duration::from_millis(ERASE_WAIT_MS),
        };
        let position = attempt.run().await?;
        Ok(Answer::Erased(Erased {
            tenant: scope.tenant().to_string(),
            generation: attempt.generation,
            position,
        }))
    }

    fn registered(&self, scope: &TenantScope) -> Result<Registered, Refusal> {
        self.keyring.registered(scope.owner()).ok_or_else(no_tenant)
    }

    /// Looks at the keys of the tenant in `scope`, settles what was sealed with others, and waits until
    /// nothing of it is left here where `forget` says so.
    ///
    /// # Errors
    /// `unavailable` when that cannot be done yet.
    pub(crate) async fn forget(
        &self,
        scope: &TenantScope,
        forget: &Forget,
    ) -> Result<Forgotten, Refusal> {
        self.keyring
            .refresh()
            .await
            .map_err(|error| unwritten(&error))?;
        if let Some(registered) = self.keyring.registered(scope.owner()) {
            self.log.settled(registered.home.shard).await;
        }
        if let Some(position) = forget.through
            && self.log.is_open(position.shard)
        {
            self.directory.wait_for(position).await?;
        }
        Ok(Forgotten {
            instance: self.parts.instance(),
        })
    }
}

impl Attempt<'_> {
    /// Goes through the steps that are left; says where the log tells of the end.
    async fn run(&self) -> Result<Position, Refusal> {
        self.reach(Stage::Closing).await?;
        if self.stage()? == Stage::Closing {
            self.confirm(None).await?;
            self.store_beginning().await?;
        }
        self.reach(Stage::Destroyed).await?;
        let keyring = &self.handler.keyring;
        let owner = self.scope.owner();
        keyring
            .sweep(owner)
            .await
            .map_err(|error| unwritten(&error))?;
        if self.stage()? == Stage::Destroyed {
            self.confirm(None).await?;
        }
        let position = self.store_end().await?;
        if self.stage()? == Stage::Destroyed {
            self.confirm(Some(position)).await?;
        }
        // A credential of the erased tenant must not outlive it, whoever has the name next.
        self.handler.ask.enforce(self.scope, position).await?;
        self.reach(Stage::Erased).await?;
        keyring
            .sweep(owner)
            .await
            .map_err(|error| unwritten(&error))?;
        Ok(position)
    }

    fn stage(&self) -> Result<Stage, Refusal> {
        let registered = self.handler.registered(self.scope)?;
        if registered.home.key_id.generation == self.generation {
            Ok(registered.stage)
        } else {
            // Somebody ended this erase, and created the name anew meanwhile.
            Err(Refusal::new(
                ErrorCode::Conflict,
                "the tenant was erased and created again at the same time",
                "look at it with `postroad tenant show` before erasing that one, too",
            ))
        }
    }

    /// Brings the tenant to `stage`, unless it is there or beyond.
    async fn reach(&self, stage: Stage) -> Result<(), Refusal> {
        let (handler, owner) = (self.handler, self.scope.owner());
        while self.stage()? < stage {
            let from = handler.registered(self.scope)?;
            let ended = handler.keyring.end(owner, &from, stage).await;
            ended.map_err(|error| unwritten(&error))?;
        }
        Ok(())
    }

    async fn confirm(&self, through: Option<Position>) -> Result<(), Refusal> {
        let forget = Forget { through };
        let parts = &self.handler.parts;
        parts.confirm(self.scope, &forget, self.deadline).await
    }

    /// Says in the log that the erase began, and which credentials are void.
    async fn store_beginning(&self) -> Result<(), Refusal> {
        let credentials = self.credentials().await?;
        let mut rest = credentials.as_slice();
        loop {
            let (some, later) = rest.split_at(rest.len().min(ERASED_CREDENTIALS_MAX));
            let event = self.event(false, some.to_vec()).await?;
            let appended = self.handler.append(self.draft(event)).await;
            appended.map_err(|error| error.refusal("commandId"))?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    /// Says in the log that the keys are destroyed, unless it says so.
    async fn store_end(&self) -> Result<Position, Refusal> {
        let subject = self.handler.log.subjects().event(
            Owner::System,
            self.shard.number(),
            &AggregateKey::Erasure(self.scope.tenant().clone()),
        );
        for _ in 0..ATTEMPTS {
            let last = self.shard.leader_last_on_subject(&subject).await;
            let last = last.map_err(|_| unreadable())?;
            if let Some(last) = &last
                && self.is_end(last).await?
            {
                return Ok(self.shard.position(last.sequence));
            }
            let mut draft = self.draft(self.event(true, Vec::new()).await?);
            draft.expected_last = Some(last.map_or(0, |last| last.sequence));
            match self.handler.append(draft).await {
                Ok(appended) => return Ok(appended.position),
                // The command was repeated while it was carried out, and another broker was faster.
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }

    /// Whether a stored event says that this erase's keys are destroyed.
    async fn is_end(&self, event: &StoredEvent) -> Result<bool, Refusal> {
        let keyring = &self.handler.keyring;
        let loaded = keyring.load_for(std::slice::from_ref(event)).await;
        loaded.map_err(|error| unwritten(&error))?;
        Ok(match keyring.open_event(self.shard.number(), event) {
            Opened::Event { record, .. } => match record.event {
                Event::TenantErased(erased) => {
                    erased.key_destroyed && erased.generation == self.generation
                }
                _ => false,
            },
            _ => false,
        })
    }

    async fn event(
        &self,
        key_destroyed: bool,
        credentials: Vec<VoidCredential>,
    ) -> Result<TenantErased, Refusal> {
        let extent = self.shard.extent().await.map_err(|_| unreadable())?;
        Ok(TenantErased {
            tenant: self.scope.tenant().clone(),
            generation: self.generation,
            through_sequence: extent.last,
            key_destroyed,
            credentials,
        })
    }

    fn draft(&self, event: TenantErased) -> Draft {
        Draft {
            // Each is a fact of its own; that none is stored needlessly is looked at before.
            id: CommandId::generate(),
            ..draft(
                self.request,
                None,
                self.shard.number(),
                self.by.clone(),
                event,
            )
        }
    }

    /// Every credential that was issued to the tenant and has not expired, whether retired or not.
    async fn credentials(&self) -> Result<Vec<VoidCredential>, Refusal> {
        let number = self.shard.number();
        let subjects = self.handler.log.subjects();
        let filter = subjects.tenant_aggregate(self.scope.owner(), number, "agent");
        let last = self.shard.leader_last_on_subject(&filter).await;
        let end = last
            .map_err(|_| unreadable())?
            .map_or(0, |last| last.sequence);
        let mut follower = Follower::filtered(self.shard.clone(), vec![filter]);
        let mut found = BTreeMap::new();
        while follower.anchor().sequence < end {
            let next = tokio::time::timeout_at(self.deadline, follower.next()).await;
            let events = match next.map_err(|_| unreadable())? {
                Ok(events) => events,
                Err(LogError::Unreachable(_)) => continue,
                Err(LogError::Broken(_)) => return Err(unreadable()),
            };
            let loaded = self.handler.keyring.load_for(&events).await;
            loaded.map_err(|error| unwritten(&error))?;
            for event in &events {
                self.take_credential(event, &mut found);
            }
        }
        let credentials = found.into_iter();
        Ok(credentials
            .map(|(public_key, expires_at)| VoidCredential {
                public_key,
                expires_at,
            })
            .collect())
    }

    fn take_credential(&self, event: &StoredEvent, found: &mut BTreeMap<String, TimeMs>) {
        let keyring = &self.handler.keyring;
        if let Opened::Event { record, .. } = keyring.open_event(self.shard.number(), event)
            && let Event::CredentialIssued(issued) = record.event
            && issued.expires_at > self.request.time
        {
            let expires_at = found.entry(issued.public_key).or_default();
            *expires_at = issued.expires_at.max(*expires_at);
        }
    }
}

fn unreadable() -> Refusal {
    Refusal::unavailable("the tenant's log cannot be read now")
}

fn unwritten(error: &KeyringError) -> Refusal {
    tracing::warn!(%error, "the keys stream cannot be used");
    Refusal::unavailable("the data keys cannot be read or written now")
}
