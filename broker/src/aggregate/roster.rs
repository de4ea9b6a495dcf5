//! The roster of one tenant: which roles there are, who holds credentials for them and which
//! instances read. Owns the fold; never decides.

use super::member::Member;
pub(crate) use super::member::ReaderState;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Event, EventKey};
use postroad_protocol::id::{Reader, Role, TimeMs};
use std::collections::BTreeMap;

/// One tenant's roster, as far as its log was folded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    created: Option<Creation>,
    roles: BTreeMap<Role, Member>,
    /// Sum of every live role's [`Member::slots`], so that a broadcast is counted without a walk.
    broadcast_slots: u64,
}

/// How the tenant came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Creation {
    /// Key of the event that created it.
    pub(crate) key: EventKey,
    /// Which creation of the name it was.
    pub(crate) generation: u32,
    /// Where it is stored.
    pub(crate) sequence: u64,
}

impl Roster {
    /// Takes in what was stored at `sequence`. Events that are not about the roster change nothing.
    pub(crate) fn apply(&mut self, sequence: u64, record: &Record) {
        match &record.event {
            Event::TenantCreated(data) => {
                self.created.get_or_insert(Creation {
                    key: record.key,
                    generation: data.generation,
                    sequence,
                });
            }
            Event::CredentialIssued(data) => self.change(&data.role, |member| {
                member.issue(sequence, record.time, data);
            }),
            Event::AgentRetired(data) => self.change(&data.role, |member| {
                member.retire(sequence, record.time, data.instance.as_ref());
            }),
            Event::CredentialRevoked(data) => self.change(&data.role, |member| {
                member.revoke(record.time, &data.public_keys);
            }),
            Event::ReaderRegistered(data) => self.change(&data.reader.role, |member| {
                member.register(data.reader.instance.clone());
            }),
            _ => {}
        }
    }

    /// How the tenant was created, once that is folded.
    pub(crate) fn created(&self) -> Option<&Creation> {
        self.created.as_ref()
    }

    /// A role that was ever on the roster.
    pub(crate) fn member(&self, role: &Role) -> Option<&Member> {
        self.roles.get(role)
    }

    /// A role that takes mail.
    pub(crate) fn live(&self, role: &Role) -> Option<&Member> {
        self.member(role).filter(|member| member.is_live())
    }

    /// Roles that take mail, in order of name.
    pub(crate) fn live_roles(&self) -> impl Iterator<Item = &Role> + Clone {
        self.roles
            .iter()
            .filter(|(_, member)| member.is_live())
            .map(|(role, _)| role)
    }

    /// Roles that were ever on the roster.
    pub(crate) fn role_count(&self) -> usize {
        self.roles.len()
    }

    /// The role whose credential `public_key` is or was, and that credential, until it expires.
    pub(crate) fn holder(&self, public_key: &str) -> Option<(&Role, &Member)> {
        let mut roles = self.roles.iter();
        roles.find(|(_, member)| member.knows_key(public_key))
    }

    /// Revoked keys whose credentials have not expired at `now`.
    pub(crate) fn revoked(&self, now: TimeMs) -> usize {
        let members = self.roles.values();
        members.map(|member| member.revoked_keys(now).count()).sum()
    }

    /// Readers that a broadcast of nobody in particular is meant for.
    pub(crate) fn broadcast_slots(&self) -> u64 {
        self.broadcast_slots
    }

    /// The state of a reader that ever registered.
    pub(crate) fn reader(&self, reader: &Reader) -> Option<ReaderState> {
        self.member(&reader.role)?.reader(&reader.instance)
    }

    fn change(&mut self, role: &Role, change: impl FnOnce(&mut Member)) {
        let member = self.roles.entry(role.clone()).or_default();
        let before = member.slots();
        change(member);
        self.broadcast_slots = self.broadcast_slots + member.slots() - before;
    }
}

#[cfg(test)]
pub(crate) mod given {
    //! Rosters for tests, told as the events that made them.

    use super::*;
    use postroad_protocol::event::{
        Actor, AgentRetired, CredentialIssued, CredentialRevoked, ReaderRegistered, TenantCreated,
    };
    use postroad_protocol::id::{CommandId, InstanceId, TenantId};
    use postroad_protocol::subject::{RequestKind, Subjects};
    use postroad_protocol::tenancy::{Admission, Scope, TenantScope};

    /// Proof for a tenant, had where agents have it.
    pub(crate) fn scope(tenant: &str) -> TenantScope {
        let subject = format!("postroad.{tenant}.cmd.tau.pi.self.x");
        let reply = format!("_INBOX.{tenant}.tau.pi.1");
        #[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
        let admission = Admission::new(Subjects::default());
        let admitted = admission.admit(RequestKind::Command, &subject, Some(&reply), None);
        admitted.unwrap().context.scope().unwrap().clone()
    }

    pub(crate) fn role(name: &str) -> Role {
        Role::parse(name).unwrap()
    }

    pub(crate) fn instance(name: &str) -> InstanceId {
        InstanceId::parse(name).unwrap()
    }

    pub(crate) fn reader(role_name: &str, instance_name: &str) -> Reader {
        Reader {
            role: role(role_name),
            instance: instance(instance_name),
        }
    }

    pub(crate) fn issued(role_name: &str, bound: Option<&str>, public_key: &str) -> Event {
        Event::from(CredentialIssued {
            role: role(role_name),
            instance: bound.map(instance),
            scopes: vec![Scope::Own],
            public_key: public_key.into(),
            expires_at: TimeMs(1_000_000),
            token: false,
        })
    }

    pub(crate) fn registered(role_name: &str, instance_name: &str) -> Event {
        Event::from(ReaderRegistered {
            reader: reader(role_name, instance_name),
        })
    }

    pub(crate) fn retired(role_name: &str, only: Option<&str>) -> Event {
        Event::from(AgentRetired {
            role: role(role_name),
            instance: only.map(instance),
        })
    }

    pub(crate) fn revoked(role_name: &str, keys: &[&str]) -> Event {
        Event::from(CredentialRevoked {
            role: role(role_name),
            public_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    }

    pub(crate) fn created() -> Event {
        Event::from(TenantCreated {
            tenant: TenantId::parse("acme").unwrap(),
            generation: 1,
        })
    }

    /// The roster after these events, stored at sequences from 1.
    pub(crate) fn roster(events: &[Event]) -> Roster {
        let mut roster = Roster::default();
        for (index, event) in events.iter().enumerate() {
            let id = CommandId::derived(&[&index.to_be_bytes()]);
            let record = Record {
                id,
                key: EventKey::of(&Actor::System, id),
                time: TimeMs(index as u64),
                by: Actor::System,
                event: event.clone(),
            };
            roster.apply(index as u64 + 1, &record);
        }
        roster
    }
}

#[cfg(test)]
mod tests {
    use super::given::*;
    use super::*;

    #[test]
    fn a_bound_credential_registers_its_reader_and_a_wide_one_does_not() {
        let roster = roster(&[issued("tau", Some("pi"), "A"), issued("phi", None, "B")]);
        assert_eq!(roster.reader(&reader("tau", "pi")), Some(ReaderState::Live));
        assert_eq!(roster.live(&role("phi")).unwrap().live_readers().count(), 0);
        assert_eq!(roster.broadcast_slots(), 2);
    }

    #[test]
    fn retiring_one_instance_leaves_the_others() {
        let roster = roster(&[
            issued("tau", None, "A"),
            issued("tau", Some("pi"), "B"),
            registered("tau", "laptop"),
            retired("tau", Some("pi")),
        ]);
        assert_eq!(
            roster.reader(&reader("tau", "pi")),
            Some(ReaderState::Retired { at: 4 })
        );
        assert_eq!(
            roster.reader(&reader("tau", "laptop")),
            Some(ReaderState::Live)
        );
        assert!(roster.live(&role("tau")).is_some());
        assert_eq!(roster.broadcast_slots(), 1);
    }

    #[test]
    fn a_role_ends_with_its_last_credential_and_is_still_remembered() {
        let by_instance = roster(&[
            issued("tau", Some("pi"), "A"),
            issued("tau", Some("pi"), "A2"),
            retired("tau", Some("pi")),
        ]);
        let whole = roster(&[
            issued("tau", None, "A"),
            registered("tau", "pi"),
            retired("tau", None),
        ]);
        for roster in [by_instance, whole] {
            assert!(roster.live(&role("tau")).is_none());
            assert!(roster.member(&role("tau")).is_some());
            assert_eq!(roster.live_roles().count(), 0);
            assert_eq!(roster.broadcast_slots(), 0);
        }
    }

    #[test]
    fn an_expired_credential_still_keeps_its_role_until_it_is_retired() {
        let mut roster = roster(&[issued("tau", None, "A")]);
        let Event::CredentialIssued(bound) = issued("tau", Some("pi"), "B") else {
            unreachable!()
        };
        let late = TimeMs(2_000_000);
        roster.change(&role("tau"), |member| member.issue(2, late, &bound));
        roster.change(&role("tau"), |member| {
            member.retire(3, late, Some(&instance("pi")));
        });
        assert!(roster.live(&role("tau")).is_some());
        roster.change(&role("tau"), |member| member.retire(4, late, None));
        assert!(roster.live(&role("tau")).is_none());
    }

    #[test]
    fn a_renewed_key_is_held_once_and_expired_ones_are_folded_together() {
        let mut roster = roster(&[issued("tau", None, "A"), issued("tau", None, "A")]);
        let member = |roster: &Roster| roster.member(&role("tau")).unwrap().clone();
        assert_eq!(member(&roster).credentials_beside("A", TimeMs(5)), 0);
        assert_eq!(member(&roster).credentials_beside("B", TimeMs(5)), 1);
        assert_eq!(
            member(&roster).credentials_beside("B", TimeMs(1_000_000)),
            0
        );
        let Event::CredentialIssued(later) = issued("tau", None, "C") else {
            unreachable!()
        };
        roster.change(&role("tau"), |member| {
            member.issue(9, TimeMs(2_000_000), &later);
        });
        assert_eq!(member(&roster).valid_keys(None, TimeMs(0)).count(), 1);
    }

    #[test]
    fn the_first_creation_stands() {
        let roster = roster(&[created(), created()]);
        assert_eq!(roster.created().unwrap().sequence, 1);
    }
}
