//! Every credential that was issued, and which of them ended before its time: the fold from which the
//! account's revocations are computed. Pure; never signs, never talks to anybody.

use crate::deployment::jwt::Revocations;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{CredentialIssued, Event, TenantErased};
use postroad_protocol::id::{InstanceId, Role, TimeMs};
use postroad_protocol::tenancy::{Scope, TenantScope};
use std::collections::{BTreeMap, HashMap};

/// The credentials of every tenant, until they expire.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    held: HashMap<Box<str>, Held>,
    /// Keys that nats-server has to refuse, and when the last JWT for each expires.
    revoked: BTreeMap<Box<str>, TimeMs>,
}

#[derive(Debug)]
struct Held {
    owner: TenantScope,
    role: Role,
    instance: Option<InstanceId>,
    scopes: Vec<Scope>,
    /// When the last JWT for it expires: a renewal does not end the one before.
    until: TimeMs,
    /// Whether it is a bearer token.
    token: bool,
}

impl Ledger {
    /// Takes in an event of `owner`; says whether somebody has to be refused who was not before.
    pub(crate) fn apply(&mut self, owner: &TenantScope, record: &Record) -> bool {
        let before = self.revoked.len();
        match &record.event {
            Event::CredentialIssued(data) => {
                let held = self
                    .held
                    .entry(data.public_key.as_str().into())
                    .or_insert_with(|| Held {
                        owner: owner.clone(),
                        role: data.role.clone(),
                        instance: data.instance.clone(),
                        scopes: data.scopes.clone(),
                        until: data.expires_at,
                        token: data.token,
                    });
                // A key is its first owner's: nobody else may end it.
                if held.owner == *owner {
                    held.role.clone_from(&data.role);
                    held.instance.clone_from(&data.instance);
                    held.scopes.clone_from(&data.scopes);
                    held.token = data.token;
                    held.until = held.until.max(data.expires_at);
                }
            }
            Event::CredentialRevoked(data) => {
                self.revoke(owner, |key, held| {
                    held.role == data.role && data.public_keys.iter().any(|named| **named == *key)
                });
            }
            Event::AgentRetired(data) => {
                self.revoke(owner, |_, held| {
                    held.role == data.role
                        && (data.instance.is_none() || held.instance == data.instance)
                });
            }
            _ => {}
        }
        self.revoked.len() > before
    }

    /// Takes in that a tenant was erased, which the deployment's own event says: what was issued to it
    /// cannot be read any more. Says whether somebody has to be refused who was not before.
    pub(crate) fn erase(&mut self, erased: &TenantErased) -> bool {
        let before = self.revoked.len();
        for credential in &erased.credentials {
            let key = credential.public_key.as_str();
            let held = self.held.get(key);
            if held.is_none_or(|held| *held.owner.tenant() == erased.tenant) {
                let until = self.revoked.entry(key.into()).or_default();
                *until = credential.expires_at.max(*until);
            }
        }
        self.revoked.len() > before
    }

    fn revoke(&mut self, owner: &TenantScope, ends: impl Fn(&str, &Held) -> bool) {
        let held = self.held.iter();
        let ended = held.filter(|(key, held)| held.owner == *owner && ends(key, held));
        for (key, held) in ended {
            self.revoked.insert(key.clone(), held.until);
        }
    }

    /// Whether a JWT of `owner` for `public_key` may be signed.
    pub(crate) fn may_sign(&self, owner: &TenantScope, public_key: &str) -> bool {
        let held = self.held.get(public_key);
        held.is_some_and(|held| held.owner == *owner) && !self.revoked.contains_key(public_key)
    }

    /// Whose bearer token the key is that of, and what was issued with it, while it stands at `now`.
    pub(crate) fn token(
        &self,
        public_key: &str,
        now: TimeMs,
    ) -> Option<(TenantScope, CredentialIssued)> {
        let held = self.held.get(public_key)?;
        let stands = held.token && held.until > now && !self.revoked.contains_key(public_key);
        stands.then(|| {
            let issued = CredentialIssued {
                role: held.role.clone(),
                instance: held.instance.clone(),
                scopes: held.scopes.clone(),
                public_key: public_key.to_owned(),
                expires_at: held.until,
                token: true,
            };
            (held.owner.clone(), issued)
        })
    }

    /// Whom nats-server has to refuse at `now`. What has expired it refuses by itself, so that is
    /// forgotten here.
    pub(crate) fn revocations(&mut self, now: TimeMs) -> Revocations {
        self.held.retain(|_, held| held.until > now);
        self.revoked.retain(|_, until| *until > now);
        // A JWT is refused that was signed up to the time beside its key. Up to its last end: a JWT
        // that is signed after the revocation, by whatever accident, is refused as well.
        let until = |until: &TimeMs| until.0 / 1_000 + 1;
        let revoked = self.revoked.iter();
        revoked
            .map(|(key, end)| (key.to_string(), until(end)))
            .collect()
    }
}

/// Whom an account JWT at the server still has to refuse at `now_s`, in seconds since 1970: an entry
/// lasts until the credential would have ended. Everybody's has no such end.
pub(crate) fn unexpired(mut revocations: Revocations, everybody: &str, now_s: u64) -> Revocations {
    revocations.retain(|key, until| key == everybody || *until > now_s);
    revocations
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::event::{
        Actor, AgentRetired, CredentialRevoked, EventKey, VoidCredential,
    };
    use postroad_protocol::id::CommandId;
    use postroad_protocol::subject::{RequestKind, Subjects};
    use postroad_protocol::tenancy::Admission;

    fn scope(tenant: &str) -> TenantScope {
        let subject = format!("postroad.{tenant}.cmd.tau.pi.self.x");
        let reply = format!("_INBOX.{tenant}.tau.pi.1");
        #[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
        let admission = Admission::new(Subjects::default());
        let admitted = admission.admit(RequestKind::Command, &subject, Some(&reply), None);
        admitted.unwrap().context.scope().unwrap().clone()
    }

    fn record(event: impl Into<Event>) -> Record {
        let id = CommandId::generate();
        Record {
            id,
            key: EventKey::of(&Actor::System, id),
            time: TimeMs(5),
            by: Actor::System,
            event: event.into(),
        }
    }

    fn role(name: &str) -> Role {
        Role::parse(name).unwrap()
    }

    fn issued(name: &str, bound: Option<&str>, key: &str, until: u64) -> Record {
        record(CredentialIssued {
            role: role(name),
            instance: bound.map(|bound| InstanceId::parse(bound).unwrap()),
            scopes: vec![Scope::Own],
            public_key: key.into(),
            expires_at: TimeMs(until),
            token: false,
        })
    }

    fn revoked(name: &str, key: &str) -> Record {
        record(CredentialRevoked {
            role: role(name),
            public_keys: vec![key.into()],
        })
    }

    fn retired(name: &str, bound: Option<&str>) -> Record {
        record(AgentRetired {
            role: role(name),
            instance: bound.map(|bound| InstanceId::parse(bound).unwrap()),
        })
    }

    #[test]
    fn a_revoked_key_is_refused_until_its_longest_jwt_has_expired() {
        let acme = scope("acme");
        let mut ledger = Ledger::default();
        assert!(!ledger.apply(&acme, &issued("tau", None, "A", 90_000)));
        assert!(!ledger.apply(&acme, &issued("tau", None, "A", 50_000)));
        assert!(ledger.may_sign(&acme, "A"));
        assert!(ledger.apply(&acme, &revoked("tau", "A")));
        assert!(
            !ledger.apply(&acme, &revoked("tau", "A")),
            "it was refused before"
        );
        assert!(!ledger.may_sign(&acme, "A"));
        assert_eq!(
            ledger.revocations(TimeMs(50_001)),
            Revocations::from([("A".into(), 91)])
        );
        assert_eq!(ledger.revocations(TimeMs(90_000)), Revocations::new());
    }

    #[test]
    fn nobody_ends_the_key_of_another_tenant() {
        let (acme, two) = (scope("acme"), scope("acme-two"));
        let mut ledger = Ledger::default();
        ledger.apply(&acme, &issued("tau", None, "A", 90_000));
        ledger.apply(&two, &issued("tau", None, "A", 99_000));
        assert!(ledger.may_sign(&acme, "A") && !ledger.may_sign(&two, "A"));
        assert!(!ledger.apply(&two, &revoked("tau", "A")));
        assert!(!ledger.apply(&two, &retired("tau", None)));
        assert_eq!(ledger.revocations(TimeMs(9)), Revocations::new());
        assert!(ledger.apply(&acme, &retired("tau", None)));
        assert_eq!(
            ledger.revocations(TimeMs(9)),
            Revocations::from([("A".into(), 91)])
        );
    }

    #[test]
    fn retiring_an_instance_ends_what_is_bound_to_it() {
        let acme = scope("acme");
        let mut ledger = Ledger::default();
        ledger.apply(&acme, &issued("tau", None, "A", 90_000));
        ledger.apply(&acme, &issued("tau", Some("pi"), "B", 90_000));
        ledger.apply(&acme, &issued("phi", Some("pi"), "C", 90_000));
        assert!(ledger.apply(&acme, &retired("tau", Some("pi"))));
        let keys: Vec<String> = ledger.revocations(TimeMs(9)).into_keys().collect();
        assert_eq!(keys, ["B"]);
        ledger.apply(&acme, &retired("tau", None));
        let keys: Vec<String> = ledger.revocations(TimeMs(9)).into_keys().collect();
        assert_eq!(keys, ["A", "B"]);
    }

    #[test]
    fn an_erased_tenants_credentials_are_refused_and_nobody_elses() {
        let (acme, two) = (scope("acme"), scope("acme-two"));
        let void = |key: &str| VoidCredential {
            public_key: key.into(),
            expires_at: TimeMs(90_000),
        };
        let erased = TenantErased {
            tenant: acme.tenant().clone(),
            generation: 1,
            through_sequence: 7,
            key_destroyed: false,
            credentials: vec![void("A"), void("C"), void("B")],
        };
        let mut ledger = Ledger::default();
        ledger.apply(&acme, &issued("tau", None, "A", 90_000));
        ledger.apply(&two, &issued("tau", None, "B", 90_000));
        assert!(ledger.erase(&erased));
        // What was issued to it before the keys were destroyed may never have been read.
        let keys: Vec<String> = ledger.revocations(TimeMs(9)).into_keys().collect();
        assert_eq!(keys, ["A", "C"]);
        assert!(ledger.may_sign(&two, "B") && !ledger.may_sign(&acme, "A"));
    }

    #[test]
    fn only_a_token_that_stands_is_one() {
        let (acme, two) = (scope("acme"), scope("acme-two"));
        let token = |name: &str, key: &str, until| {
            let mut token = issued(name, Some("mcp"), key, until);
            if let Event::CredentialIssued(data) = &mut token.event {
                data.token = true;
            }
            token
        };
        let mut ledger = Ledger::default();
        ledger.apply(&acme, &issued("tau", Some("mcp"), "A", 90_000));
        for (owner, name, key) in [(&acme, "tau", "T"), (&acme, "phi", "P"), (&two, "tau", "W")] {
            ledger.apply(owner, &token(name, key, 90_000));
        }
        let of = |ledger: &Ledger, key: &str, now| {
            let found = ledger.token(key, TimeMs(now));
            found.map(|(owner, issued)| (owner.tenant().to_string(), issued.role.to_string()))
        };
        let found = |tenant: &str, role: &str| Some((tenant.to_owned(), role.to_owned()));
        assert_eq!(of(&ledger, "T", 5), found("acme", "tau"));
        assert_eq!(of(&ledger, "W", 5), found("acme-two", "tau"));
        assert_eq!(
            of(&ledger, "A", 5),
            None,
            "it is a credential of another form"
        );
        assert_eq!(of(&ledger, "Z", 5), None);
        assert_eq!(of(&ledger, "T", 90_000), None, "it has expired");
        // Another tenant that puts the same key on its own roster has no part in it.
        ledger.apply(&two, &token("phi", "T", 99_000));
        assert_eq!(of(&ledger, "T", 5), found("acme", "tau"));
        ledger.apply(&acme, &revoked("tau", "T"));
        ledger.apply(&acme, &retired("phi", None));
        assert_eq!(of(&ledger, "T", 5), None);
        assert_eq!(of(&ledger, "P", 5), None);
        assert_eq!(of(&ledger, "W", 5), found("acme-two", "tau"));
        let (_, issued) = ledger.token("W", TimeMs(5)).unwrap();
        assert_eq!(issued.expires_at, TimeMs(90_000));
        assert_eq!(issued.scopes, [Scope::Own]);
    }

    #[test]
    fn what_the_server_refuses_is_kept_until_it_has_expired() {
        let server = Revocations::from([("A".into(), 10), ("B".into(), 20), ("*".into(), 3)]);
        let kept: Vec<String> = unexpired(server, "*", 10).into_keys().collect();
        assert_eq!(kept, ["*", "B"]);
    }
}
