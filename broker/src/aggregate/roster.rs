//! The roster of one tenant: which roles there are, who holds credentials for them and which
//! instances read. Owns the fold; never decides.

use postroad_protocol::command::IssueCredential;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{CredentialIssued, Event, EventKey};
use postroad_protocol::id::{InstanceId, Reader, Role, TimeMs};
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

/// One role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    credentials: Vec<Credential>,
    /// What expired without being retired: for which instance, and when one was last issued. It keeps
    /// the role's mail coming, since it may be renewed; all that is forgotten is how many there were.
    lapsed: BTreeMap<Option<InstanceId>, u64>,
    readers: BTreeMap<InstanceId, ReaderState>,
}

/// A credential that was issued and neither retired nor found expired.
#[derive(Clone, Debug)]
struct Credential {
    public_key: Box<str>,
    instance: Option<InstanceId>,
    expires_at: TimeMs,
    /// Sequence of its event.
    issued: u64,
}

/// Whether a reader takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderState {
    /// Gets receipts.
    Live,
    /// Ended by the retirement at this sequence.
    Retired {
        /// Sequence of the retirement.
        at: u64,
    },
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
                member.retire(sequence, data.instance.as_ref());
            }),
            Event::ReaderRegistered(data) => self.change(&data.reader.role, |member| {
                member
                    .readers
                    .insert(data.reader.instance.clone(), ReaderState::Live);
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

impl Member {
    /// Whether a credential of it was issued and not retired. One that merely expired keeps the
    /// role's mail coming: it may be renewed.
    pub(crate) fn is_live(&self) -> bool {
        !self.credentials.is_empty() || !self.lapsed.is_empty()
    }

    /// The state of a reader that ever registered.
    pub(crate) fn reader(&self, instance: &InstanceId) -> Option<ReaderState> {
        self.readers.get(instance).copied()
    }

    /// Instances that get receipts, in order of name.
    pub(crate) fn live_readers(&self) -> impl Iterator<Item = &InstanceId> {
        self.readers
            .iter()
            .filter(|(_, state)| **state == ReaderState::Live)
            .map(|(instance, _)| instance)
    }

    /// Whether a credential is bound to `instance`, or a reader of that name ever registered.
    pub(crate) fn knows_instance(&self, instance: &InstanceId) -> bool {
        let mut bound = self.served().map(|(bound, _)| bound);
        self.readers.contains_key(instance) || bound.any(|bound| bound == Some(instance))
    }

    /// Whether a credential that serves `instance` was issued after `sequence`.
    pub(crate) fn serves_since(&self, instance: &InstanceId, sequence: u64) -> bool {
        self.served()
            .any(|(bound, issued)| issued > sequence && bound.is_none_or(|bound| bound == instance))
    }

    /// Of every credential that was not retired: the instance it is bound to, and when it was issued.
    fn served(&self) -> impl Iterator<Item = (Option<&InstanceId>, u64)> {
        let held = self.credentials.iter();
        held.map(|held| (held.instance.as_ref(), held.issued))
            .chain(self.lapsed.iter().map(|(bound, at)| (bound.as_ref(), *at)))
    }

    /// Credentials that are valid at `now`, not counting the one that `renewal` would replace.
    pub(crate) fn credentials_beside(&self, renewal: &IssueCredential, now: TimeMs) -> usize {
        self.credentials
            .iter()
            .filter(|held| held.expires_at > now)
            .filter(|held| {
                *held.public_key != *renewal.public_key || held.instance != renewal.instance
            })
            .count()
    }

    /// Readers that a message to the role is meant for; one without a reader yet counts as one.
    fn slots(&self) -> u64 {
        if self.is_live() {
            (self.live_readers().count() as u64).max(1)
        } else {
            0
        }
    }

    fn issue(&mut self, sequence: u64, time: TimeMs, data: &CredentialIssued) {
        // Renewing replaces; what has expired is folded together here, so the list stays bounded.
        let lapsed = &mut self.lapsed;
        self.credentials.retain(|held| {
            // The same key for another instance is another credential: both of their JWTs stand.
            let renewed = *held.public_key == *data.public_key && held.instance == data.instance;
            if !renewed && held.expires_at <= time {
                let last = lapsed.entry(held.instance.clone()).or_default();
                *last = held.issued.max(*last);
            }
            !renewed && held.expires_at > time
        });
        self.credentials.push(Credential {
            public_key: data.public_key.as_str().into(),
            instance: data.instance.clone(),
            expires_at: data.expires_at,
            issued: sequence,
        });
        if let Some(instance) = &data.instance {
            self.readers.insert(instance.clone(), ReaderState::Live);
        }
    }

    fn retire(&mut self, sequence: u64, instance: Option<&InstanceId>) {
        let retired = ReaderState::Retired { at: sequence };
        match instance {
            None => {
                self.credentials.clear();
                self.lapsed.clear();
                self.readers.values_mut().for_each(|state| *state = retired);
            }
            Some(instance) => {
                self.credentials
                    .retain(|held| held.instance.as_ref() != Some(instance));
                self.lapsed.remove(&Some(instance.clone()));
                if let Some(state) = self.readers.get_mut(instance) {
                    *state = retired;
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod given {
    //! Rosters for tests, told as the events that made them.

    use super::*;
    use postroad_protocol::event::{Actor, AgentRetired, ReaderRegistered, TenantCreated};
    use postroad_protocol::id::{CommandId, TenantId};
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
        })
    }

    /// A command that would replace the credential for `public_key` that is bound to no instance.
    pub(crate) fn renewal(public_key: &str) -> IssueCredential {
        IssueCredential {
            role: role("tau"),
            instance: None,
            public_key: public_key.into(),
            scopes: vec![Scope::Own],
            ttl_s: 1,
        }
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
            member.retire(3, Some(&instance("pi")));
        });
        assert!(roster.live(&role("tau")).is_some());
        roster.change(&role("tau"), |member| member.retire(4, None));
        assert!(roster.live(&role("tau")).is_none());
    }

    #[test]
    fn a_renewed_key_is_held_once_and_expired_ones_are_folded_together() {
        let mut roster = roster(&[issued("tau", None, "A"), issued("tau", None, "A")]);
        let member = |roster: &Roster| roster.member(&role("tau")).unwrap().clone();
        assert_eq!(
            member(&roster).credentials_beside(&renewal("A"), TimeMs(5)),
            0
        );
        assert_eq!(
            member(&roster).credentials_beside(&renewal("B"), TimeMs(5)),
            1
        );
        assert_eq!(
            member(&roster).credentials_beside(&renewal("B"), TimeMs(1_000_000)),
            0
        );
        let Event::CredentialIssued(later) = issued("tau", None, "C") else {
            unreachable!()
        };
        roster.change(&role("tau"), |member| {
            member.issue(9, TimeMs(2_000_000), &later);
        });
        assert_eq!(member(&roster).credentials.len(), 1);
    }

    #[test]
    fn the_first_creation_stands() {
        let roster = roster(&[created(), created()]);
        assert_eq!(roster.created().unwrap().sequence, 1);
    }
}
