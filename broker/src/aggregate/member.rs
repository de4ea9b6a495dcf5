//! One role of a roster: its credentials, those that ended, and its readers. Owns their fold; never
//! decides.

use postroad_protocol::event::CredentialIssued;
use postroad_protocol::id::{InstanceId, TimeMs};
use postroad_protocol::tenancy::Scope;
use std::collections::{BTreeMap, BTreeSet};

/// One role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    credentials: Vec<Credential>,
    /// What expired without being retired, by the instance that it was for. It keeps the role's mail
    /// coming, since it may be renewed; all that is forgotten is how many there were.
    lapsed: BTreeMap<Option<InstanceId>, Lapsed>,
    /// For which instances a credential was revoked and not retired since. It serves nobody, and keeps
    /// the role's mail coming: another takes its place.
    vacant: BTreeSet<Option<InstanceId>>,
    /// Keys that were revoked or retired before their credentials expired, and when those expire. Until
    /// then nats-server refuses them, so none may be issued to them.
    spent: Vec<(Box<str>, TimeMs)>,
    readers: BTreeMap<InstanceId, ReaderState>,
}

/// A credential that was issued and neither ended nor found expired.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// The user nkey that it is for.
    pub(crate) public_key: Box<str>,
    /// The instance that it is bound to.
    pub(crate) instance: Option<InstanceId>,
    /// What it may touch.
    pub(crate) scopes: Vec<Scope>,
    /// When it ends.
    pub(crate) expires_at: TimeMs,
    /// How long it was issued for, in milliseconds.
    pub(crate) life_ms: u64,
    /// Whether it is a bearer token.
    pub(crate) token: bool,
    /// Sequence of its event.
    issued: u64,
}

/// What is kept of expired credentials.
#[derive(Clone, Debug, Default)]
struct Lapsed {
    /// When one was last issued.
    issued: u64,
    scopes: Vec<Scope>,
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

impl Member {
    /// Whether a credential of it was issued and not retired. One that expired or was revoked keeps
    /// the role's mail coming: it may be renewed, or replaced.
    pub(crate) fn is_live(&self) -> bool {
        !self.credentials.is_empty() || !self.lapsed.is_empty() || !self.vacant.is_empty()
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
        let held = self.credentials.iter().map(|held| &held.instance);
        let mut bound = held.chain(self.lapsed.keys()).chain(&self.vacant);
        self.readers.contains_key(instance) || bound.any(|bound| bound.as_ref() == Some(instance))
    }

    /// Whether a credential that serves `instance` was issued after `sequence` and was not ended.
    pub(crate) fn serves_since(&self, instance: &InstanceId, sequence: u64) -> bool {
        self.serving(instance, sequence).next().is_some()
    }

    /// Whether one that serves `instance` so has `scope`.
    pub(crate) fn grants(&self, instance: &InstanceId, sequence: u64, scope: Scope) -> bool {
        let mut serving = self.serving(instance, sequence);
        scope == Scope::Own || serving.any(|scopes| scopes.contains(&scope))
    }

    fn serving(&self, instance: &InstanceId, sequence: u64) -> impl Iterator<Item = &[Scope]> {
        let held = self.credentials.iter();
        held.map(|held| (&held.instance, held.issued, held.scopes.as_slice()))
            .chain(
                self.lapsed
                    .iter()
                    .map(|(bound, lapsed)| (bound, lapsed.issued, lapsed.scopes.as_slice())),
            )
            .filter(move |(bound, issued, _)| {
                *issued > sequence && bound.as_ref().is_none_or(|bound| bound == instance)
            })
            .map(|(_, _, scopes)| scopes)
    }

    /// The credential for `public_key`, while it stands.
    pub(crate) fn credential(&self, public_key: &str, now: TimeMs) -> Option<&Credential> {
        let mut held = self.credentials.iter();
        held.find(|held| *held.public_key == *public_key && held.expires_at > now)
    }

    /// Keys whose credentials were revoked or retired and have not expired at `now`.
    pub(crate) fn revoked_keys(&self, now: TimeMs) -> impl Iterator<Item = &str> {
        let spent = self.spent.iter().filter(move |(_, until)| *until > now);
        spent.map(|(key, _)| &**key)
    }

    /// Keys of the credentials that are valid at `now`, or of those bound to one instance.
    pub(crate) fn valid_keys(
        &self,
        instance: Option<&InstanceId>,
        now: TimeMs,
    ) -> impl Iterator<Item = &str> {
        let valid = self.credentials.iter().filter(move |held| {
            held.expires_at > now && (instance.is_none() || held.instance.as_ref() == instance)
        });
        valid.map(|held| &*held.public_key)
    }

    /// Whether `public_key` is of a credential that stands, or that was ended and has not expired.
    pub(crate) fn knows_key(&self, public_key: &str) -> bool {
        let mut held = self.credentials.iter();
        held.any(|held| *held.public_key == *public_key)
            || self.spent.iter().any(|(key, _)| **key == *public_key)
    }

    /// Credentials that are valid at `now`, not counting the one for `public_key`.
    pub(crate) fn credentials_beside(&self, public_key: &str, now: TimeMs) -> usize {
        let held = self.credentials.iter();
        held.filter(|held| held.expires_at > now && *held.public_key != *public_key)
            .count()
    }

    /// Readers that a message to the role is meant for; one without a reader yet counts as one.
    pub(super) fn slots(&self) -> u64 {
        if self.is_live() {
            (self.live_readers().count() as u64).max(1)
        } else {
            0
        }
    }

    pub(super) fn issue(&mut self, sequence: u64, time: TimeMs, data: &CredentialIssued) {
        self.forget_expired(time, &data.public_key);
        self.credentials.push(Credential {
            public_key: data.public_key.as_str().into(),
            instance: data.instance.clone(),
            scopes: data.scopes.clone(),
            expires_at: data.expires_at,
            life_ms: data.expires_at.0.saturating_sub(time.0),
            token: data.token,
            issued: sequence,
        });
        if let Some(instance) = &data.instance {
            self.register(instance.clone());
        }
    }

    /// Renewing replaces; what has expired is folded together here, so that the lists stay bounded.
    fn forget_expired(&mut self, time: TimeMs, renewed: &str) {
        let lapsed = &mut self.lapsed;
        self.credentials.retain(|held| {
            if *held.public_key == *renewed {
                return false;
            }
            if held.expires_at <= time {
                let last = lapsed.entry(held.instance.clone()).or_default();
                last.issued = held.issued.max(last.issued);
                for scope in &held.scopes {
                    if !last.scopes.contains(scope) {
                        last.scopes.push(*scope);
                    }
                }
            }
            held.expires_at > time
        });
        self.spent.retain(|(_, until)| *until > time);
    }

    pub(super) fn register(&mut self, instance: InstanceId) {
        self.readers.insert(instance, ReaderState::Live);
    }

    pub(super) fn revoke(&mut self, time: TimeMs, public_keys: &[String]) {
        let (vacant, spent) = (&mut self.vacant, &mut self.spent);
        self.credentials.retain(|held| {
            let ends = public_keys.iter().any(|key| **key == *held.public_key);
            if ends {
                vacant.insert(held.instance.clone());
                spend(spent, held, time);
            }
            !ends
        });
    }

    pub(super) fn retire(&mut self, sequence: u64, time: TimeMs, instance: Option<&InstanceId>) {
        let is_meant =
            |bound: &Option<InstanceId>| instance.is_none() || bound.as_ref() == instance;
        let spent = &mut self.spent;
        self.credentials.retain(|held| {
            if is_meant(&held.instance) {
                spend(spent, held, time);
            }
            !is_meant(&held.instance)
        });
        self.lapsed.retain(|bound, _| !is_meant(bound));
        self.vacant.retain(|bound| !is_meant(bound));
        let retired = ReaderState::Retired { at: sequence };
        for (name, state) in &mut self.readers {
            if instance.is_none_or(|instance| instance == name) {
                *state = retired;
            }
        }
    }
}

fn spend(spent: &mut Vec<(Box<str>, TimeMs)>, ended: &Credential, time: TimeMs) {
    spent.retain(|(_, until)| *until > time);
    if ended.expires_at > time {
        spent.push((ended.public_key.clone(), ended.expires_at));
    }
}
