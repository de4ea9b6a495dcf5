//! Who waits for a turn of its own at the log. What one payer sends is stored in the order in which it
//! was taken in; a payer's waiting is bounded, and only the payer of a repeat that sank a batch goes
//! apart for it. So what must not wait behind another, or suffer for it, has another payer.

use super::Draft;
use postroad_protocol::event::{Actor, Event};
use postroad_protocol::tenancy::TenantScope;

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// The operator and the deployment itself: no tenant's flood keeps them waiting. Where their order
    /// matters, their events expect what they were decided on.
    Operator,
    /// What a tenant's agents ask for.
    Agents(TenantScope),
    /// What a tenant's agents ask for, where it was decided on what its subject holds. It goes alone,
    /// and nobody sends anything that follows from it before it is stored: so the agents' own events
    /// need not go alone with it.
    Expecting(TenantScope),
    /// Delivered marks of a tenant. Several projectors report one thing by design, and what such a
    /// repeat costs falls on marks alone.
    Marks(TenantScope),
}

impl Payer {
    /// Who pays for `draft`.
    pub(crate) fn of(draft: &Draft) -> Self {
        match (&draft.owner, &draft.by) {
            (None, _) | (_, Actor::Operator(_)) => Self::Operator,
            (Some(scope), _) if draft.expected_last.is_some() => Self::Expecting(scope.clone()),
            (Some(scope), _) => match &*draft.event {
                Event::MessagesDelivered(_) => Self::Marks(scope.clone()),
                _ => Self::Agents(scope.clone()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::{instance, reader, scope};
    use postroad_protocol::event::{MessagesDelivered, SummarySet};
    use postroad_protocol::id::{CommandId, TimeMs};
    use std::sync::Arc;

    fn draft(by: Actor, event: Event) -> Draft {
        Draft {
            owner: Some(scope("acme")),
            shard: 0,
            id: CommandId::generate(),
            by,
            event: Arc::new(event),
            time: TimeMs(1),
            traceparent: None,
            expected_last: None,
        }
    }

    fn summary() -> Event {
        Event::from(SummarySet {
            reader: reader("tau", "pi"),
            summary: "busy".into(),
        })
    }

    #[test]
    fn operators_marks_and_registrations_do_not_wait_behind_what_agents_send() {
        let agent = draft(Actor::Agent(reader("tau", "pi")), summary());
        assert_eq!(Payer::of(&agent), Payer::Agents(scope("acme")));
        let expecting = Draft {
            expected_last: Some(7),
            ..draft(Actor::System, summary())
        };
        assert_eq!(Payer::of(&expecting), Payer::Expecting(scope("acme")));
        let operator = Draft {
            expected_last: Some(7),
            ..draft(Actor::Operator(instance("cli")), summary())
        };
        assert_eq!(Payer::of(&operator), Payer::Operator);
        let marks = MessagesDelivered {
            reader: reader("tau", "pi"),
            messages: Vec::new(),
        };
        let marks = draft(Actor::System, Event::from(marks));
        assert_eq!(Payer::of(&marks), Payer::Marks(scope("acme")));
        assert_ne!(Payer::of(&marks), Payer::Marks(scope("globex")));
    }
}
