//! The log as the operator's replay shows it: what was really stored, however often, whoever reads.

use postroad_client::{Client, ReplayOf, ReplayRange};
use postroad_protocol::query::ReplayedEvent;
use std::collections::BTreeMap;

/// Every event of a log, from `from` on.
pub async fn events(operator: &Client, of: ReplayOf, from: u64) -> Vec<ReplayedEvent> {
    let range = ReplayRange {
        from_sequence: Some(from),
        ..ReplayRange::default()
    };
    let mut replay = operator.operator().expect("an operator").replay(of, range);
    let mut events = Vec::new();
    while let Some(page) = replay.next_page().await.expect("the log is shown") {
        events.extend(page);
    }
    events
}

/// How often each message id of a tenant was stored, whoever sent it under that id.
pub async fn stored(operator: &Client, tenant: &str) -> BTreeMap<String, usize> {
    let of = ReplayOf::Tenant(tenant.parse().expect("a tenant's name"));
    let mut stored = BTreeMap::new();
    for event in events(operator, of, 1).await {
        if event.type_name == "message_sent" {
            *stored.entry(event.id).or_default() += 1;
        }
    }
    stored
}
