//! Rings the bell: after a message is stored, a hint to those it is meant for. At most once and
//! unordered; never before the log has acknowledged, and nothing waits for it.

use crate::event_log::Appended;
use async_nats::client::Client;
use bytes::Bytes;
use postroad_protocol::Channel;
use postroad_protocol::event::{Event, MessageSent};
use postroad_protocol::id::{MessageId, Reader, TenantId};
use postroad_protocol::push::Hint;
use postroad_protocol::subject::Subjects;

/// Publishes hints.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    client: Client,
    subjects: Subjects,
}

impl Push {
    /// Pushes over `client`.
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Hints that the message `id` of `tenant` was stored; says how many hints went out. Only its first
    /// storing rings.
    pub(crate) async fn stored(
        &self,
        tenant: &TenantId,
        id: MessageId,
        appended: &Appended,
    ) -> u64 {
        let Event::MessageSent(sent) = &*appended.event else {
            return 0;
        };
        if !appended.first {
            return 0;
        }
        let hint = Hint::of(id, sent, appended.time, appended.position);
        let Ok(body) = serde_json::to_vec(&hint) else {
            return 0;
        };
        let body = Bytes::from(body);
        let mut hints = 0;
        for subject in subjects_of(&self.subjects, tenant, sent) {
            // A hint may be lost; the message is not.
            let published = self.client.publish(subject, body.clone()).await;
            hints += u64::from(published.is_ok());
        }
        hints
    }
}

fn subjects_of(subjects: &Subjects, tenant: &TenantId, sent: &MessageSent) -> Vec<String> {
    match (&sent.channel, &sent.instance) {
        (Channel::Broadcast, _) => vec![subjects.push_broadcast(tenant)],
        (Channel::Roles(roles), None) => roles
            .iter()
            .map(|role| subjects.push_role(tenant, role))
            .collect(),
        (Channel::Roles(roles), Some(instance)) => roles
            .iter()
            .map(|role| {
                let reader = Reader {
                    role: role.clone(),
                    instance: instance.clone(),
                };
                subjects.push_instance(tenant, &reader)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::message::sent;
    use crate::aggregate::roster::given::{instance, reader};
    use postroad_protocol::command::SendMessage;
    use postroad_protocol::event::Priority;

    #[test]
    fn a_hint_goes_to_each_role_one_instance_or_everybody() {
        let tenant = TenantId::parse("acme").unwrap();
        let to = |channel: &str, only: Option<&str>| {
            let command = SendMessage {
                channel: Channel::parse(channel).unwrap(),
                instance: only.map(instance),
                content: "x".into(),
                reply_to: None,
                priority: Priority::Normal,
                metadata: std::collections::BTreeMap::default(),
            };
            subjects_of(
                &Subjects::default(),
                &tenant,
                &sent(reader("bob", "mac"), command),
            )
        };
        assert_eq!(
            to("tau,phi", None),
            ["postroad.acme.push.tau", "postroad.acme.push.phi"]
        );
        assert_eq!(to("tau", Some("pi")), ["postroad.acme.push.tau.pi"]);
        assert_eq!(to("broadcast", None), ["postroad.acme.push.broadcast"]);
    }
}
