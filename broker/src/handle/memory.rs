//! Memories, but for those that agents store in order: changed, forgotten, brought in, and the operator's shared library.
//! The library is the deployment's own: its events have no tenant, and lie in one shard.

use super::{Handler, Request};
use crate::aggregate::memory::{Subject, check_end, imported, named, published, relate};
use crate::answer::Answer;
use crate::ask::Currency;
use crate::event_log::{Appended, Draft};
use postroad_protocol::command::{
    Forgotten, MemoryImported, MemorySaved, StoreMemory, UpdateMemory,
};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey, MemoryForgotten, MemoryUpdated};
use postroad_protocol::id::Role;
use postroad_protocol::limits::LIBRARY_SHARD;
use postroad_protocol::memory::{MemoryId, Relation};
use postroad_protocol::tenancy::{Principal, TenantScope};
use std::sync::Arc;

/// Who writes memories, and whose.
struct Writer<'a> {
    /// None: the shared library's.
    scope: Option<&'a TenantScope>,
    /// None for the operator.
    role: Option<&'a Role>,
    shard: u16,
    by: Actor,
}

impl Writer<'_> {
    fn draft(&self, request: &Request, event: impl Into<Event>) -> Draft {
        Draft {
            owner: self.scope.cloned(),
            shard: self.shard,
            id: request.id,
            by: self.by.clone(),
            event: Arc::new(event.into()),
            time: request.time,
            traceparent: request.context.traceparent().map(Into::into),
            expected_last: None,
        }
    }

    /// The memory that a store of this writer makes.
    fn memory_id(&self, request: &Request) -> MemoryId {
        MemoryId::of(EventKey::of(&self.by, request.id))
    }
}

impl Handler {
    /// Stores a memory in the shared library.
    pub(super) async fn publish_memory(
        &self,
        request: &Request,
        command: StoreMemory,
    ) -> Result<Answer, Refusal> {
        request.context.require_operator()?;
        let writer = self.memory_writer(request).await?;
        let memory = published(&writer.by, command)?;
        let memory_id = writer.memory_id(request);
        let draft = writer.draft(request, memory.clone());
        let decided = async {
            check_end(memory.expires_at, request.time)?;
            let subject = Subject {
                id: memory_id,
                namespace: &memory.namespace,
                role: None,
            };
            self.expect_related(None, subject, &memory.relates_to).await
        };
        let appended = self.store_decided(draft, "commandId", decided).await?;
        Ok(saved(memory_id, &appended))
    }

    /// Has a memory say something else.
    pub(super) async fn update_memory(
        &self,
        request: &Request,
        command: UpdateMemory,
    ) -> Result<Answer, Refusal> {
        let writer = self.memory_writer(request).await?;
        let UpdateMemory { memory, change } = command;
        let event = MemoryUpdated {
            memory_id: memory,
            change: change.clone(),
        };
        let draft = writer.draft(request, event);
        let event = draft.event.clone();
        let decided = async {
            check_end(change.expires_at.filter(|end| end.0 > 0), request.time)?;
            let relations = change.relates_to.as_deref().unwrap_or_default();
            self.expect_known(&writer, memory, relations).await?;
            match writer.scope {
                Some(scope) => self.expect_room(scope, &writer.by, &event).await,
                None => Ok(()),
            }
        };
        let appended = self.store_decided(draft, "commandId", decided).await?;
        Ok(saved(memory, &appended))
    }

    /// Forgets a memory. It needs no room: whoever is at a limit comes below it so.
    pub(super) async fn forget_memory(
        &self,
        request: &Request,
        memory: MemoryId,
    ) -> Result<Answer, Refusal> {
        let writer = self.memory_writer(request).await?;
        let draft = writer.draft(request, MemoryForgotten { memory_id: memory });
        let decided = self.expect_known(&writer, memory, &[]);
        let appended = self.store_decided(draft, "commandId", decided).await?;
        Ok(Answer::Forgotten(Forgotten {
            memory_id: memory,
            position: appended.position,
        }))
    }

    /// Stores a memory that somebody had elsewhere.
    pub(super) async fn import_memory(
        &self,
        request: &Request,
        command: StoreMemory,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let shard = self.home(scope).await?;
        let by = match request.context.principal() {
            Principal::Agent(reader) => {
                self.ensure_reader(scope, shard, reader, request.asked, request.time)
                    .await?;
                Actor::Agent(reader.clone())
            }
            Principal::Operator(instance) => Actor::Operator(instance.clone()),
        };
        let writer = Writer {
            scope: Some(scope),
            role: None,
            shard,
            by,
        };
        let has_id = command.imported.as_ref().is_some_and(|of| of.id.is_some());
        let is_derived = request.id == command.import_id();
        let id_field = if has_id && is_derived {
            "id"
        } else {
            "commandId"
        };
        let memory = imported(scope.tenant(), command)?;
        let expires_at = memory.expires_at;
        let draft = writer.draft(request, memory);
        let event = draft.event.clone();
        let decided = async {
            check_end(expires_at, request.time)?;
            self.expect_room(scope, &writer.by, &event).await
        };
        let appended = self.store_decided(draft, id_field, decided).await?;
        Ok(Answer::MemoryImported(MemoryImported {
            memory_id: writer.memory_id(request),
            position: appended.position,
            already: !appended.first,
        }))
    }

    /// Whose memories the caller writes: an agent its tenant's, the operator the library's.
    ///
    /// # Errors
    /// `invalid_argument` at `tenantId` for an operator who names a tenant; those of [`Self::ensure_reader`].
    async fn memory_writer<'a>(&self, request: &'a Request) -> Result<Writer<'a>, Refusal> {
        match request.context.principal() {
            Principal::Agent(reader) => {
                let scope = request.context.scope()?;
                let shard = self.home(scope).await?;
                self.ensure_reader(scope, shard, reader, request.asked, request.time)
                    .await?;
                Ok(Writer {
                    scope: Some(scope),
                    role: Some(&reader.role),
                    shard,
                    by: Actor::Agent(reader.clone()),
                })
            }
            Principal::Operator(_) if request.context.scope_or_all().is_some() => {
                Err(Refusal::invalid(
                    "tenantId",
                    "the operator writes no tenant's memories",
                    "name no tenant to publish to the shared library; `postroad import memories` brings memories into a tenant",
                ))
            }
            Principal::Operator(instance) => {
                self.open_shard(LIBRARY_SHARD).await?;
                Ok(Writer {
                    scope: None,
                    role: None,
                    shard: LIBRARY_SHARD,
                    by: Actor::Operator(instance.clone()),
                })
            }
        }
    }

    /// Appends what `decided` lets pass. An earlier attempt that was stored is the answer whatever would be decided now.
    pub(super) async fn store_decided(
        &self,
        draft: Draft,
        id_field: &str,
        decided: impl Future<Output = Result<(), Refusal>>,
    ) -> Result<Appended, Refusal> {
        if let Some(first) = self.first_attempt(&draft, id_field).await? {
            return Ok(first);
        }
        if let Err(refusal) = decided.await {
            // What refuses now may have come after an attempt that was stored, and may be its own doing.
            return self.find(&draft, id_field).await?.ok_or(refusal);
        }
        let appended = self.append(draft).await;
        appended.map_err(|error| error.refusal(id_field))
    }

    /// Refuses a change of a memory that the writer may not know of, or to relations that it may not have. The rows
    /// have to be as far as the log: what was forgotten is not changed, and no circle is overlooked.
    async fn expect_known(
        &self,
        writer: &Writer<'_>,
        memory: MemoryId,
        relations: &[Relation],
    ) -> Result<(), Refusal> {
        let (changed, standings) = self
            .ask
            .memories(
                writer.scope,
                Currency::Fresh,
                writer.role,
                Some(memory),
                named(relations),
            )
            .await?;
        let namespace = changed
            .filter(|namespace| namespace.is_open_to(writer.role))
            .ok_or_else(|| Refusal::not_found("memoryId", "memory"))?;
        let subject = Subject {
            id: memory,
            namespace: &namespace,
            role: writer.role,
        };
        relate(subject, relations, &standings)
    }

    /// Refuses relations that a new memory may not have.
    pub(super) async fn expect_related(
        &self,
        scope: Option<&TenantScope>,
        subject: Subject<'_>,
        relations: &[Relation],
    ) -> Result<(), Refusal> {
        if relations.is_empty() {
            return Ok(());
        }
        let decide = async |currency| {
            let asked = self
                .ask
                .memories(scope, currency, subject.role, None, named(relations));
            let (_, standings) = asked.await?;
            relate(subject, relations, &standings)
        };
        // The rows may not have it yet, though its author was already told of it.
        match decide(Currency::Any).await {
            Err(refusal) if !refusal.code.is_retryable() => decide(Currency::Fresh).await,
            decided => decided,
        }
    }
}

fn saved(memory_id: MemoryId, appended: &Appended) -> Answer {
    Answer::MemorySaved(MemorySaved {
        memory_id,
        position: appended.position,
    })
}
