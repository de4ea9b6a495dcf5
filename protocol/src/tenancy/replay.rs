//! The log's door: the subject under which an event is stored says whose it is, and the event's
//! seal proves that it was written there. Used by the folds only; a lint bans it elsewhere.

use super::context::TenantScope;
use crate::id::TenantId;
use crate::subject::{SYSTEM, Subjects};

/// Whose stored event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredFor {
    /// A tenant's.
    Tenant(TenantScope),
    /// The deployment's own.
    System,
}

/// Reads whose event is stored under `subject` in shard `shard`; nothing when it is no event of that shard.
pub fn stored_for(subjects: &Subjects, shard: u16, subject: &str) -> Option<StoredFor> {
    let raw = subjects
        .parse_event(subject)
        .filter(|raw| raw.shard == shard)?;
    if raw.tenant == SYSTEM {
        return Some(StoredFor::System);
    }
    let tenant = TenantId::parse(raw.tenant)
        .ok()
        .filter(|tenant| tenant.as_str() == raw.tenant)?;
    Some(StoredFor::Tenant(TenantScope::prove(tenant)))
}
