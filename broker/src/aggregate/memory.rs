//! Deciding over memories: where one belongs, whose word it is, when it may end, what it may relate to. Pure.

use postroad_protocol::command::StoreMemory;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, MemoryStored};
use postroad_protocol::id::{Reader, Role, TenantId, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace, NamespaceName, Relation, RelationKind};
use postroad_protocol::service::MemoryStanding;
use postroad_protocol::subject::OPERATOR_ROLE;

/// The event of an agent's store. It follows from the command and its caller alone, so a retry gives the same bytes.
///
/// # Errors
/// `permission_denied` at `namespace` or `createdBy` for what is another's.
pub(crate) fn stored(
    tenant: &TenantId,
    reader: &Reader,
    command: StoreMemory,
) -> Result<MemoryStored, Refusal> {
    check_author(&command, &Actor::Agent(reader.clone()))?;
    let namespace = command.namespace.clone();
    let namespace = namespace.resolve(tenant, Some(&reader.role))?;
    Ok(event(namespace, command))
}

/// The event of a memory that is brought in for `tenant`, into the namespace of any role.
///
/// # Errors
/// `permission_denied` at `namespace` for another tenant's workspace.
pub(crate) fn imported(tenant: &TenantId, command: StoreMemory) -> Result<MemoryStored, Refusal> {
    let namespace = command.namespace.clone().resolve(tenant, None)?;
    Ok(event(namespace, command))
}

/// The event of a memory that the operator publishes to the shared library.
///
/// # Errors
/// `invalid_argument` at `namespace`: the library has one namespace. `permission_denied` at `createdBy`.
pub(crate) fn published(operator: &Actor, command: StoreMemory) -> Result<MemoryStored, Refusal> {
    check_author(&command, operator)?;
    if command.namespace != NamespaceName::Global {
        return Err(Refusal::invalid(
            "namespace",
            "the shared library has the namespace global only",
            "publish to global; `postroad import memories` brings memories into a tenant",
        ));
    }
    Ok(event(Namespace::Global, command))
}

fn event(namespace: Namespace, command: StoreMemory) -> MemoryStored {
    MemoryStored {
        namespace,
        kind: command.kind,
        content: command.content,
        tags: command.tags,
        relates_to: command.relates_to,
        episode: command.episode,
        occurred_at: command.occurred_at,
        expires_at: command.expires_at,
        imported: command.imported.map(Box::new),
    }
}

/// Refuses an author who is not the caller, alike for a foreign, a malformed and an unknown name.
fn check_author(command: &StoreMemory, by: &Actor) -> Result<(), Refusal> {
    let Some(claimed) = command.claimed_author.as_deref() else {
        return Ok(());
    };
    let is_own = match by {
        _ if claimed.contains('/') => Actor::parse(claimed).as_ref() == Some(by),
        Actor::Agent(reader) => Role::parse(claimed).as_ref() == Ok(&reader.role),
        Actor::Operator(_) => claimed == OPERATOR_ROLE,
        Actor::System => false,
    };
    if is_own {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::PermissionDenied,
        "createdBy is not the credential's",
        "leave createdBy out: the credential says who stores",
    )
    .at("createdBy"))
}

/// Refuses an end that is not ahead of `now`.
///
/// # Errors
/// `invalid_argument` at `expiresAt`.
pub(crate) fn check_end(expires_at: Option<TimeMs>, now: TimeMs) -> Result<(), Refusal> {
    match expires_at {
        Some(end) if end <= now => Err(Refusal::invalid(
            "expiresAt",
            "the memory would end before it is stored",
            "name a time ahead, or none",
        )),
        _ => Ok(()),
    }
}

/// Which memories a projector has to be asked about, one for each of `relations` and in their order.
pub(crate) fn named(relations: &[Relation]) -> Vec<MemoryId> {
    let ids = relations.iter().map(|relation| relation.memory_id);
    ids.collect()
}

/// The memory that is stored or changed, and who does it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Its id.
    pub(crate) id: MemoryId,
    /// Where it belongs.
    pub(crate) namespace: &'a Namespace,
    /// Who stores or changes it; none for the operator.
    pub(crate) role: Option<&'a Role>,
}

/// Decides whether `subject` may have `relations`, each of which stands as `standings` says at its place.
///
/// # Errors
/// At `relatesTo`: `not_found` for a memory that the caller may not know of, `invalid_argument` for itself and for one of another
/// namespace whose place it would take, `conflict` where they would take each other's.
pub(crate) fn relate(
    subject: Subject<'_>,
    relations: &[Relation],
    standings: &[Option<MemoryStanding>],
) -> Result<(), Refusal> {
    for (index, relation) in relations.iter().enumerate() {
        if relation.memory_id == subject.id {
            return Err(Refusal::invalid(
                "relatesTo",
                "a memory cannot relate to itself",
                "name another memory, or none",
            ));
        }
        let standing = standings.get(index).and_then(Option::as_ref);
        let standing = standing.filter(|standing| standing.namespace.is_open_to(subject.role));
        let standing = standing.ok_or_else(|| Refusal::not_found("relatesTo", "memory"))?;
        if relation.kind != RelationKind::Updates {
            continue;
        }
        if standing.namespace != *subject.namespace {
            return Err(Refusal::invalid(
                "relatesTo",
                "a memory takes the place of one in its own namespace only",
                "use extends or derives, or store it in the namespace of the other",
            ));
        }
        if standing.is_behind {
            return Err(Refusal::new(
                ErrorCode::Conflict,
                "the memories would take each other's place in a circle",
                "update the newest of them, or use extends or derives",
            )
            .at("relatesTo"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
