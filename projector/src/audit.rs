//! Replays the log to the operator: one tenant's events, or a whole shard's, with their seals
//! opened. Owns no rows; what is shown is what lies in the log.

use crate::pipeline::given_up;
use postroad_log::{Keyring, Opened, Shard, StoredEvent, Unreachable};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;
use postroad_protocol::id::TenantId;
use postroad_protocol::position::Position;
use postroad_protocol::query::{ERASED, Replay, Replayed, ReplayedEvent};
use postroad_protocol::seal::Stage;
use postroad_protocol::subject::{Owner, Subjects};
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeSet;

/// Bytes of payload that one answer carries at most.
const PAGE_BYTES: usize = 384 * 1024;

/// Events that one answer looks at, shown or not; the next page goes on behind them.
const PAGE_LOOKS: usize = 1_000;

/// A page of the log.
#[derive(Debug)]
pub struct Page {
    /// The answer.
    pub replayed: Replayed,
    /// The tenants of whom it shows anything but operators' reads: in each the read must be audited.
    pub touched: BTreeSet<TenantId>,
}

/// Reads a page of the log of the tenant in `scope`, which lives in `shard`; without a scope, of
/// every tenant there.
///
/// # Errors
/// [`Unreachable`].
pub async fn replay(
    shard: &Shard,
    keyring: &Keyring,
    subjects: &Subjects,
    scope: Option<&TenantScope>,
    wanted: &Replay,
) -> Result<Page, Unreachable> {
    let end = shard.extent().await?;
    let end_position = Position {
        shard: shard.number(),
        epoch: end.epoch,
        sequence: end.last,
    };
    let filter = match scope {
        Some(scope) => subjects.tenant_events(scope.owner(), shard.number()),
        None => subjects.shard_events(shard.number()),
    };
    let (mut events, mut bytes, mut from) = (Vec::new(), 0, wanted.from_sequence);
    let mut touched = BTreeSet::new();
    let mut more = false;
    let mut looks = 0;
    while from <= end.last.min(wanted.to_sequence) {
        let Some(stored) = shard.next_on_subject(from, &filter).await? else {
            break;
        };
        if stored.sequence > end.last.min(wanted.to_sequence) {
            break;
        }
        looks += 1;
        if events.len() >= wanted.limit || bytes >= PAGE_BYTES || looks > PAGE_LOOKS {
            more = true;
            break;
        }
        from = stored.sequence + 1;
        // An unreachable keyring shows the event as unreadable rather than nothing at all.
        let _ = keyring.load_for(std::slice::from_ref(&stored)).await;
        let opened = open(shard, keyring, subjects, &stored);
        if scope.is_some() && opened == Opened::Erased {
            // Of whoever bore the tenant's name before.
            continue;
        }
        let time = stored.head.as_ref().map(|head| head.time).ok();
        if time.is_some_and(|time| wanted.from_time.is_some_and(|start| time < start)) {
            continue;
        }
        if time.is_some_and(|time| wanted.to_time.is_some_and(|end| time > end)) {
            continue;
        }
        bytes += stored.payload.len();
        let is_operators = matches!(&opened, Opened::Event { record, .. } if matches!(record.event, Event::OperatorRead(_)));
        let owner = subjects
            .parse_event(&stored.subject)
            .map(|raw| TenantId::parse(raw.tenant));
        // Of an event that does not open, its place and time are shown all the same.
        let is_unaudited = is_operators || opened == Opened::Erased;
        if let (false, Some(Ok(tenant))) = (is_unaudited, owner) {
            touched.insert(tenant);
        }
        events.push(show(shard, end.epoch, subjects, &stored, opened));
    }
    let next_sequence = more.then_some(from);
    let last = if more {
        from - 1
    } else {
        end.last.min(wanted.to_sequence)
    };
    let window = (wanted.from_sequence, last);
    let missing = missing(shard, keyring, subjects, window).await?;
    Ok(Page {
        replayed: Replayed {
            events,
            next_sequence,
            end: end_position,
            missing,
        },
        touched,
    })
}

/// What was given up between two sequences and is not there any more, not even as something damaged.
async fn missing(
    shard: &Shard,
    keyring: &Keyring,
    subjects: &Subjects,
    (first, last): (u64, u64),
) -> Result<Vec<(u64, u64)>, Unreachable> {
    let filter = subjects.shard_events(shard.number());
    let mut missing = Vec::new();
    for (from, to) in given_up(shard, keyring, subjects).await? {
        let (mut from, to) = (from.max(first), to.min(last));
        while from <= to {
            let next = shard.next_on_subject(from, &filter).await?;
            let there = next.map_or(u64::MAX, |event| event.sequence);
            if there > from {
                missing.push((from, to.min(there - 1)));
            }
            from = there.saturating_add(1);
        }
    }
    Ok(missing)
}

/// Opens an event, unless its tenant's erase began: nobody is left in whose log the read could be
/// audited.
fn open(shard: &Shard, keyring: &Keyring, subjects: &Subjects, stored: &StoredEvent) -> Opened {
    let raw = subjects.parse_event(&stored.subject);
    let tenant = raw.and_then(|raw| TenantId::parse(raw.tenant).ok());
    let registered = tenant.and_then(|tenant| keyring.registered(Owner::Tenant(&tenant)));
    match registered {
        Some(registered) if registered.stage != Stage::Live => Opened::Erased,
        _ => keyring.open_event(shard.number(), stored),
    }
}

fn show(
    shard: &Shard,
    epoch: u64,
    subjects: &Subjects,
    stored: &StoredEvent,
    opened: Opened,
) -> ReplayedEvent {
    let position = Position {
        shard: shard.number(),
        epoch,
        sequence: stored.sequence,
    };
    let (id, type_name, schema, time) = match &stored.head {
        Ok(head) => (
            head.id.to_string(),
            head.type_name.to_string(),
            head.schema,
            head.time,
        ),
        Err(_) => Default::default(),
    };
    let tenant = subjects
        .parse_event(&stored.subject)
        .map_or_else(String::new, |raw| raw.tenant.to_owned());
    let mut shown = ReplayedEvent {
        position,
        tenant,
        id,
        type_name,
        schema,
        time,
        by: String::new(),
        data: serde_json::Value::Null,
        problem: None,
    };
    match opened {
        Opened::Event {
            record: Record { by, event, .. },
            ..
        } => {
            shown.by = by.to_string();
            shown.data = serde_json::to_value(&event).unwrap_or_default();
        }
        Opened::Erased => {
            shown.problem = Some(ERASED.to_owned());
        }
        Opened::Damaged => shown.problem = Some("damaged: not what was written there".to_owned()),
        Opened::Undecodable { .. } => {
            shown.problem = Some("undecodable: unknown to this build".to_owned());
        }
    }
    shown
}
