//! Memories: what agents remember, look up and recall; and the operator's view of them.
//!
//! Owns how these are asked. Ranks nothing.
//!
//! | module | owns |
//! |---|---|
//! | `written` | what is to be stored |
//! | `asked` | what is looked for |

mod asked;
mod written;

pub use asked::{MemoryFilter, Recall};
pub use written::{MemoryUpdate, NewMemory};

use crate::client::{Client, Verb};
use crate::error::ClientError;
use crate::operator::{Operator, over};
use crate::times::wire_ms;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{
    Command, Forgotten, MemoryImported, MemorySaved, wire as command,
};
use postroad_protocol::memory::MemoryId;
use postroad_protocol::query::{AsOf, Memories, OneMemory, Recalled, wire as query};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, TenantId};
use std::time::Duration;

impl Client {
    /// Stores a memory. When this returns, it is stored as durably as the deployment promises, and the
    /// next question of this client finds it by its words.
    ///
    /// ```no_run
    /// # async fn remember(client: postroad_client::Client) -> Result<(), postroad_client::ClientError> {
    /// use postroad_client::{NewMemory, Recall};
    ///
    /// let fact = NewMemory::new("global", "Releases are cut on Thursdays.");
    /// let saved = client.store_memory(&fact).await?;
    /// let found = client.recall(&Recall::new("when is a release?")).await?;
    /// assert_eq!(found.results[0].memory_id, saved.memory_id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::OutcomeUnknown`] store the same one again.
    pub async fn store_memory(&self, memory: &NewMemory) -> Result<MemorySaved, ClientError> {
        let verb = self.own(Scope::Memory, "store_memory")?;
        self.command(verb, memory.id(), &memory.wire()).await
    }

    /// Has a memory say something else from now on.
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` where there is none, or none that this agent may change.
    pub async fn update_memory(&self, update: &MemoryUpdate) -> Result<MemorySaved, ClientError> {
        let verb = self.own(Scope::Memory, "update_memory")?;
        self.send_update(verb, update).await
    }

    /// Forgets a memory, with all that it ever said.
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` where there is none, or none that this agent may change.
    pub async fn forget_memory(&self, memory: MemoryId) -> Result<Forgotten, ClientError> {
        let verb = self.own(Scope::Memory, "forget_memory")?;
        self.send_forget(verb, memory).await
    }

    /// Stores a memory that somebody had elsewhere. The same one again by the same importer, with the same id
    /// and namespace, or with no id and all else the same, is stored once. Needs the scope `admin`.
    ///
    /// # Errors
    /// [`ClientError`]; what cannot be a memory is refused before anything is sent.
    pub async fn import_memory(
        &self,
        memory: &command::ImportMemory,
    ) -> Result<MemoryImported, ClientError> {
        let verb = self.own(Scope::Admin, "import_memory")?;
        self.send_import(verb, memory).await
    }

    /// One memory, as it is or as it was.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_memory(
        &self,
        memory: MemoryId,
        as_of: Option<AsOf>,
    ) -> Result<OneMemory, ClientError> {
        let verb = self.own(Scope::Memory, "get_memory")?;
        self.ask_memory(verb, memory, as_of).await
    }

    /// Memories that this agent may read, the newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_memories(&self, wanted: &MemoryFilter) -> Result<Memories, ClientError> {
        let verb = self.own(Scope::Memory, "list_memories")?;
        self.query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    /// Memories that answer a question, the best first. Results are scored; scores compare within one
    /// answer only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recall(&self, wanted: &Recall) -> Result<Recalled, ClientError> {
        let verb = self.own(Scope::Memory, "recall")?;
        self.query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    async fn send_update(
        &self,
        verb: Verb<'_>,
        update: &MemoryUpdate,
    ) -> Result<MemorySaved, ClientError> {
        let saved: MemorySaved = self.command(verb, update.id(), &update.wire()).await?;
        expect(update.memory, saved.memory_id)?;
        Ok(saved)
    }

    async fn send_forget(
        &self,
        verb: Verb<'_>,
        memory: MemoryId,
    ) -> Result<Forgotten, ClientError> {
        let id = CommandId::generate();
        let body = command::ForgetMemory {
            memory_id: memory.to_string(),
            command_id: Some(id.to_string()),
        };
        let forgotten: Forgotten = self.command(verb, id, &body).await?;
        expect(memory, forgotten.memory_id)?;
        Ok(forgotten)
    }

    async fn send_import(
        &self,
        verb: Verb<'_>,
        memory: &command::ImportMemory,
    ) -> Result<MemoryImported, ClientError> {
        // The id that the service derives, by the same code: it is what a retry is recognised by.
        let encoding = Encoding::MessagePack;
        let read = Command::read(verb.scope, verb.name, encoding, &encoding.encode(memory))?;
        self.command(verb, read.id, memory).await
    }

    async fn ask_memory(
        &self,
        verb: Verb<'_>,
        memory: MemoryId,
        as_of: Option<AsOf>,
    ) -> Result<OneMemory, ClientError> {
        let (as_of, as_of_sequence) = wire_as_of(as_of);
        let asked = self.query(verb, Duration::ZERO, |reading| query::GetMemory {
            memory_id: memory.to_string(),
            as_of,
            as_of_sequence,
            position: reading.position,
            fresh: reading.fresh,
        });
        let one: OneMemory = asked.await?;
        expect(memory, one.memory.memory_id)?;
        Ok(one)
    }
}

fn expect(asked: MemoryId, answered: MemoryId) -> Result<(), ClientError> {
    if asked == answered {
        return Ok(());
    }
    Err(ClientError::BadAnswer {
        reason: format!("{asked} was asked for, {answered} was answered"),
    })
}

impl Operator<'_> {
    /// Publishes a memory in the shared library, which every tenant may read and none may write.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn store_memory(&self, memory: &NewMemory) -> Result<MemorySaved, ClientError> {
        let verb = over(None, Scope::Memory, "store_memory");
        self.client.command(verb, memory.id(), &memory.wire()).await
    }

    /// Has a memory of the shared library say something else from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_memory(&self, update: &MemoryUpdate) -> Result<MemorySaved, ClientError> {
        let verb = over(None, Scope::Memory, "update_memory");
        self.client.send_update(verb, update).await
    }

    /// Takes a memory out of the shared library.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn forget_memory(&self, memory: MemoryId) -> Result<Forgotten, ClientError> {
        let verb = over(None, Scope::Memory, "forget_memory");
        self.client.send_forget(verb, memory).await
    }

    /// Stores in `tenant` a memory that somebody had elsewhere: [`Client::import_memory`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import_memory(
        &self,
        tenant: &TenantId,
        memory: &command::ImportMemory,
    ) -> Result<MemoryImported, ClientError> {
        let verb = over(Some(tenant), Scope::Admin, "import_memory");
        self.client.send_import(verb, memory).await
    }

    /// One memory of a tenant, which is told so in its own log; without a tenant, of the shared library.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_memory(
        &self,
        tenant: Option<&TenantId>,
        memory: MemoryId,
        as_of: Option<AsOf>,
    ) -> Result<OneMemory, ClientError> {
        let verb = over(tenant, Scope::Memory, "get_memory");
        self.client.ask_memory(verb, memory, as_of).await
    }

    /// Memories of one tenant; or those of the shared library and then of all tenants in order of name. Told
    /// and paged as [`list_messages`](Self::list_messages) is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_memories(
        &self,
        tenant: Option<&TenantId>,
        wanted: &MemoryFilter,
    ) -> Result<Memories, ClientError> {
        let verb = over(tenant, Scope::Memory, "list_memories");
        self.client
            .query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    /// Memories of one tenant, or of all and the shared library, that answer a question, the best first;
    /// every tenant that was searched is told so in its own log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recall(
        &self,
        tenant: Option<&TenantId>,
        wanted: &Recall,
    ) -> Result<Recalled, ClientError> {
        let verb = over(tenant, Scope::Memory, "recall");
        self.client
            .query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }
}

fn wire_as_of(as_of: Option<AsOf>) -> (Option<i64>, Option<u64>) {
    match as_of {
        None => (None, None),
        Some(AsOf::Time(time)) => (Some(wire_ms(time)), None),
        Some(AsOf::Sequence(sequence)) => (None, Some(sequence)),
    }
}
