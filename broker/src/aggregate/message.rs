//! Deciding a send: whom it reaches, or why it reaches nobody. Pure.

use super::address::{Place, check_served, is_served};
use super::member::Member;
use super::roster::{ReaderState, Roster};
use postroad_protocol::Channel;
use postroad_protocol::command::SendMessage;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::MessageSent;
use postroad_protocol::id::{InstanceId, Reader, Role};
use postroad_protocol::limits::RECIPIENTS_NAMED;

/// The event of a send. It follows from the command alone, so a retry gives the same bytes.
pub(crate) fn sent(from: Reader, command: SendMessage) -> MessageSent {
    MessageSent {
        from,
        channel: command.channel,
        instance: command.instance,
        content: command.content,
        reply_to: command.reply_to,
        priority: command.priority,
        metadata: command.metadata,
    }
}

/// Whom a message is meant for, as the roster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    /// Readers; a role without one yet counts as one.
    pub(crate) count: u64,
    /// Who they are, for up to 20 of a channel that names its roles.
    pub(crate) named: Option<Vec<String>>,
}

/// Decides whom `message` reaches.
///
/// # Errors
/// `not_found` at `channel` or `instanceId` when one name is not on the roster: the whole send is
/// refused, so that a slip never makes a phantom inbox.
pub(crate) fn audience(roster: &Roster, message: &MessageSent) -> Result<Audience, Refusal> {
    let roles = match &message.channel {
        Channel::Broadcast => {
            return Ok(Audience {
                count: roster.broadcast_slots() - own_slot(roster, &message.from),
                named: None,
            });
        }
        Channel::Roles(roles) => roles,
    };
    let mut count = 0;
    let mut named = Vec::new();
    let mut meet = |name: &dyn Fn() -> String| {
        count += 1;
        if count <= RECIPIENTS_NAMED as u64 {
            named.push(name());
        }
    };
    for role in roles {
        check_served(roster, Place::Channel, role, message.instance.as_ref())?;
        if let Some(instance) = &message.instance {
            if !is_sender(&message.from, role, instance) {
                meet(&|| format!("{role}/{instance}"));
            }
            continue;
        }
        let mut empty = true;
        let member = roster.live(role).into_iter();
        for instance in member.flat_map(Member::live_readers) {
            empty = false;
            if !is_sender(&message.from, role, instance) {
                meet(&|| format!("{role}/{instance}"));
            }
        }
        if empty {
            meet(&|| role.to_string());
        }
    }
    let named = (count <= RECIPIENTS_NAMED as u64).then_some(named);
    Ok(Audience { count, named })
}

/// Roles that `message` names and that the roster cannot serve, or not at the instance it names:
/// those for which the directory has to catch up before it refuses.
pub(crate) fn doubtful_roles(roster: &Roster, message: &MessageSent) -> Vec<Role> {
    let Channel::Roles(roles) = &message.channel else {
        return Vec::new();
    };
    let doubtful = |role: &&Role| !is_served(roster, role, message.instance.as_ref());
    roles.iter().filter(doubtful).cloned().collect()
}

fn is_sender(from: &Reader, role: &Role, instance: &InstanceId) -> bool {
    from.role == *role && from.instance == *instance
}

/// What the sender's own instance takes up of a broadcast's slots.
fn own_slot(roster: &Roster, from: &Reader) -> u64 {
    let registered = roster.reader(from) == Some(ReaderState::Live);
    u64::from(registered && roster.live(&from.role).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::*;
    use postroad_protocol::error::ErrorCode;
    use postroad_protocol::event::Priority;
    use std::collections::BTreeMap;

    fn to(channel: &str, only: Option<&str>, from: Reader) -> MessageSent {
        let command = SendMessage {
            channel: Channel::parse(channel).unwrap(),
            instance: only.map(instance),
            content: "hello".into(),
            reply_to: None,
            priority: Priority::Normal,
            metadata: BTreeMap::new(),
        };
        sent(from, command)
    }

    fn town() -> Roster {
        roster(&[
            issued("tau", Some("pi"), "A"),
            issued("tau", Some("laptop"), "B"),
            issued("phi", None, "C"),
            issued("bob", Some("mac"), "D"),
            issued("gone", Some("x"), "E"),
            retired("gone", None),
        ])
    }

    #[test]
    fn each_reader_counts_and_a_role_without_one_counts_once() {
        let audience = audience(&town(), &to("tau,phi", None, reader("bob", "mac"))).unwrap();
        assert_eq!(audience.count, 3);
        assert_eq!(
            audience.named.unwrap(),
            ["tau/laptop", "tau/pi", "phi"].map(String::from)
        );
    }

    #[test]
    fn the_sending_instance_is_no_recipient() {
        let from = || reader("tau", "pi");
        let own_role = audience(&town(), &to("tau", None, from())).unwrap();
        assert_eq!(own_role.named.unwrap(), ["tau/laptop".to_owned()]);
        let broadcast = audience(&town(), &to("broadcast", None, from())).unwrap();
        assert_eq!((broadcast.count, broadcast.named), (3, None));
        let oneself = audience(&town(), &to("tau", Some("pi"), from())).unwrap();
        assert_eq!(oneself.count, 0);
    }

    #[test]
    fn an_instance_narrows_the_audience() {
        let one = audience(&town(), &to("tau", Some("laptop"), reader("bob", "mac"))).unwrap();
        assert_eq!(one.named.unwrap(), ["tau/laptop".to_owned()]);
    }

    #[test]
    fn one_unknown_name_refuses_the_whole_send_and_names_the_nearest() {
        let message = to("tau,pih", None, reader("bob", "mac"));
        let refusal = audience(&town(), &message).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::NotFound, Some("channel"))
        );
        assert!(refusal.message.contains("phi"), "{refusal:?}");
        assert_eq!(doubtful_roles(&town(), &message), [role("pih")]);
        let message = to("tau", Some("laptoq"), reader("bob", "mac"));
        let refusal = audience(&town(), &message).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("instanceId"));
        assert!(refusal.message.contains("laptop"), "{refusal:?}");
        assert_eq!(doubtful_roles(&town(), &message), [role("tau")]);
    }

    #[test]
    fn a_role_that_left_refuses_with_its_own_remedy() {
        let message = to("gone", None, reader("bob", "mac"));
        let refusal = audience(&town(), &message).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NotFound);
        assert!(refusal.remedy.contains("issue"), "{refusal:?}");
    }

    #[test]
    fn a_large_audience_is_counted_and_not_named() {
        let mut events = vec![issued("tau", None, "A")];
        events.extend((0..=RECIPIENTS_NAMED).map(|n| registered("tau", &format!("i{n}"))));
        let audience = audience(&roster(&events), &to("tau", None, reader("bob", "mac"))).unwrap();
        assert_eq!((audience.count, audience.named), (21, None));
    }
}
