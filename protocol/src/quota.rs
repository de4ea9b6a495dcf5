//! Limits that the operator may set for one tenant: their names, bounds and defaults. Pure; the
//! parts that take in commands and hold waits open enforce them.

use crate::error::{ErrorCode, Refusal};
use crate::limits::{CONTENT_MAX_BYTES, READER_WAITS_OPEN, TENANT_WAITS_OPEN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Largest number that JSON carries exactly wherever it is read.
const LARGEST: u64 = (1 << 53) - 1;
/// Largest rate and burst: beyond it a broker has other bounds.
const RATE_MAX: u64 = 1_000_000;

/// One limit. A stored name is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Commands a second of the tenant; brokers share them.
    CommandsPerS,
    /// Commands that may come at once before that rate counts.
    Burst,
    /// Bytes of one message's content.
    MessageBytes,
    /// Bytes of everything that the tenant's log holds.
    StoredBytes,
    /// Messages that the tenant's log holds.
    Messages,
    /// Memories that the tenant holds.
    Memories,
    /// Tasks that were ever created in the tenant.
    Tasks,
    /// Checks with `waitMs` that one projector holds open for the tenant.
    Waits,
    /// As `CommandsPerS`, of one agent.
    AgentCommandsPerS,
    /// As `Burst`, of one agent.
    AgentBurst,
    /// As `MessageBytes`, of one agent.
    AgentMessageBytes,
    /// As `Waits`, of one agent.
    AgentWaits,
}

impl Limit {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::CommandsPerS,
        Self::Burst,
        Self::MessageBytes,
        Self::StoredBytes,
        Self::Messages,
        Self::Memories,
        Self::Tasks,
        Self::Waits,
        Self::AgentCommandsPerS,
        Self::AgentBurst,
        Self::AgentMessageBytes,
        Self::AgentWaits,
    ];

    /// The name in requests and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommandsPerS => "commandsPerS",
            Self::Burst => "burst",
            Self::MessageBytes => "messageBytes",
            Self::StoredBytes => "storedBytes",
            Self::Messages => "messages",
            Self::Memories => "memories",
            Self::Tasks => "tasks",
            Self::Waits => "waits",
            Self::AgentCommandsPerS => "agentCommandsPerS",
            Self::AgentBurst => "agentBurst",
            Self::AgentMessageBytes => "agentMessageBytes",
            Self::AgentWaits => "agentWaits",
        }
    }

    /// The name as an option of the command line, and where a refusal names it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::CommandsPerS => "commands-per-s",
            Self::Burst => "burst",
            Self::MessageBytes => "message-bytes",
            Self::StoredBytes => "stored-bytes",
            Self::Messages => "messages",
            Self::Memories => "memories",
            Self::Tasks => "tasks",
            Self::Waits => "waits",
            Self::AgentCommandsPerS => "agent-commands-per-s",
            Self::AgentBurst => "agent-burst",
            Self::AgentMessageBytes => "agent-message-bytes",
            Self::AgentWaits => "agent-waits",
        }
    }

    /// The limit of a name, written either way.
    pub fn parse(name: &str) -> Option<Self> {
        let is_named = |limit: &Self| limit.name() == name || limit.option() == name;
        Self::ALL.into_iter().find(is_named)
    }

    /// The largest value that it takes; the smallest is 1.
    pub const fn max(self) -> u64 {
        match self {
            Self::CommandsPerS | Self::Burst | Self::AgentCommandsPerS | Self::AgentBurst => {
                RATE_MAX
            }
            Self::MessageBytes | Self::AgentMessageBytes => CONTENT_MAX_BYTES as u64,
            Self::StoredBytes | Self::Messages | Self::Memories | Self::Tasks => LARGEST,
            Self::Waits => TENANT_WAITS_OPEN as u64,
            Self::AgentWaits => READER_WAITS_OPEN as u64,
        }
    }

    /// The value in use where none is set and it does not follow from another; none: no limit.
    const fn default_value(self) -> Option<u64> {
        match self {
            Self::MessageBytes | Self::AgentMessageBytes | Self::Waits | Self::AgentWaits => {
                Some(self.max())
            }
            _ => None,
        }
    }

    fn check(self, value: u64) -> Result<u64, Refusal> {
        if (1..=self.max()).contains(&value) {
            return Ok(value);
        }
        let (option, max) = (self.option(), self.max());
        Err(Refusal::invalid(
            self.name(),
            format!("{option} lies between 1 and {max}"),
            format!("give a number within that, or reset {option} to its default"),
        ))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.option())
    }
}

/// The limits that are set for a tenant; every other has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<Limit, u64>);

impl Limits {
    /// What is set for `limit`.
    pub fn set(&self, limit: Limit) -> Option<u64> {
        self.0.get(&limit).copied()
    }

    /// The value in use; none: no limit. A burst that is not set is one second's worth.
    pub fn in_use(&self, limit: Limit) -> Option<u64> {
        let follows = match limit {
            Limit::Burst => self.set(Limit::CommandsPerS),
            Limit::AgentBurst => self.set(Limit::AgentCommandsPerS),
            _ => None,
        };
        self.set(limit).or(follows).or(limit.default_value())
    }

    /// The value in use as a size or a count; without a limit the largest there is.
    pub fn bound(&self, limit: Limit) -> usize {
        let value = self.in_use(limit);
        value.map_or(usize::MAX, |value| {
            usize::try_from(value).unwrap_or(usize::MAX)
        })
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what the tenant has stored is limited.
    pub fn has_quota(&self) -> bool {
        let quotas = [
            Limit::StoredBytes,
            Limit::Messages,
            Limit::Memories,
            Limit::Tasks,
        ];
        quotas.iter().any(|limit| self.set(*limit).is_some())
    }

    /// Whether what is stored is bounded, in size or in sum.
    pub fn bounds_stored(&self) -> bool {
        let sizes = [Limit::MessageBytes, Limit::AgentMessageBytes];
        self.has_quota() || sizes.iter().any(|limit| self.set(*limit).is_some())
    }

    /// These with `change` made.
    #[must_use]
    pub fn with(&self, change: &LimitsChange) -> Self {
        let mut limits = self.0.clone();
        for (limit, value) in &change.0 {
            match value {
                Some(value) => limits.insert(*limit, *value),
                None => limits.remove(limit),
            };
        }
        Self(limits)
    }

    /// Whether `change` leaves them as they are.
    pub fn include(&self, change: &LimitsChange) -> bool {
        change
            .0
            .iter()
            .all(|(limit, value)| self.set(*limit) == *value)
    }
}

/// New values of some limits; none stands for the default. Every value is in bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LimitsChange(BTreeMap<Limit, Option<u64>>);

impl LimitsChange {
    /// Reads what a request sets and resets, by name.
    ///
    /// # Errors
    /// `invalid_argument` for an unknown name, a value out of bounds, a limit that is both, or nothing.
    pub fn read(set: &BTreeMap<String, u64>, reset: &[String]) -> Result<Self, Refusal> {
        let mut change = BTreeMap::new();
        for (name, value) in set {
            let limit = named(name, "set")?;
            change.insert(limit, Some(limit.check(*value)?));
        }
        for name in reset {
            let limit = named(name, "reset")?;
            if change.insert(limit, None).flatten().is_some() {
                return Err(Refusal::invalid(
                    "reset",
                    format!("{limit} is set and reset at once"),
                    "do one of the two",
                ));
            }
        }
        if change.is_empty() {
            return Err(Refusal::invalid(
                "set",
                "no limit is set or reset",
                format!("name at least one of {}", names()),
            ));
        }
        Ok(Self(change))
    }
}

fn named(name: &str, field: &str) -> Result<Limit, Refusal> {
    Limit::parse(name).ok_or_else(|| {
        Refusal::invalid(
            field,
            "there is no such limit",
            format!("name one of {}", names()),
        )
    })
}

fn names() -> String {
    Limit::ALL.map(Limit::option).join(", ")
}

/// The refusal of a command that comes too soon after others.
pub fn too_fast(limit: Limit, value: u64, after_ms: u64) -> Refusal {
    Refusal::new(
        ErrorCode::RateLimited,
        format!("{limit} is limited to {value}"),
        "send more slowly, and this one again with the same id",
    )
    .retry_after_ms(after_ms.max(1))
}

/// The refusal of a message that is larger than `limit` allows.
pub fn too_large(limit: Limit, value: u64, bytes: usize) -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        format!("the content has {bytes} bytes; {limit} is limited to {value}"),
        "put it where the recipient can fetch it, and send the reference",
    )
    .at("content")
}

/// The refusal of a command for which the tenant has no room left.
pub fn no_room(limit: Limit, value: u64, used: u64) -> Refusal {
    Refusal::new(
        ErrorCode::QuotaExceeded,
        format!("{limit} is limited to {value}, of which {used} are used"),
        "ask the operator of this deployment for a higher limit",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(set: &[(&str, u64)], reset: &[&str]) -> Result<LimitsChange, Refusal> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), *value));
        let reset: Vec<String> = reset.iter().map(|name| (*name).to_owned()).collect();
        LimitsChange::read(&set.collect(), &reset)
    }

    #[test]
    fn every_limit_has_a_name_that_serde_writes_too() {
        for limit in Limit::ALL {
            let written = serde_json::to_value(limit).unwrap();
            assert_eq!(written, limit.name());
            assert_eq!(Limit::parse(limit.name()), Some(limit));
            assert_eq!(Limit::parse(limit.option()), Some(limit));
        }
        assert_eq!(Limit::parse("subscriptions"), None);
    }

    #[test]
    fn what_is_not_set_has_its_default_and_a_burst_follows_its_rate() {
        let none = Limits::default();
        assert_eq!(none.in_use(Limit::CommandsPerS), None);
        assert_eq!(none.in_use(Limit::Burst), None);
        assert_eq!(none.in_use(Limit::Waits), Some(TENANT_WAITS_OPEN as u64));
        assert_eq!(none.bound(Limit::StoredBytes), usize::MAX);
        let some = none.with(&change(&[("commandsPerS", 10), ("agent-burst", 3)], &[]).unwrap());
        assert_eq!(some.in_use(Limit::Burst), Some(10));
        assert_eq!(some.in_use(Limit::AgentBurst), Some(3));
        assert_eq!(some.set(Limit::Burst), None);
        let back = some.with(&change(&[], &["commands-per-s", "agentBurst", "waits"]).unwrap());
        assert!(back.is_empty() && !back.has_quota());
    }

    #[test]
    fn a_change_names_known_limits_in_bounds_and_changes_something() {
        for limit in Limit::ALL {
            assert!(change(&[(limit.name(), 1)], &[]).is_ok(), "{limit}");
            assert!(
                change(&[(limit.name(), limit.max())], &[]).is_ok(),
                "{limit}"
            );
            for value in [0, limit.max() + 1] {
                let refusal = change(&[(limit.name(), value)], &[]).unwrap_err();
                assert_eq!(refusal.field.as_deref(), Some(limit.name()));
            }
        }
        let field = |change: Result<_, Refusal>| change.unwrap_err().field.unwrap();
        assert_eq!(field(change(&[("subscriptions", 3)], &[])), "set");
        assert_eq!(field(change(&[], &["everything"])), "reset");
        assert_eq!(field(change(&[("burst", 3)], &["burst"])), "reset");
        assert_eq!(field(change(&[], &[])), "set");
    }

    #[test]
    fn a_change_that_is_there_already_is_known() {
        let limits = Limits::default().with(&change(&[("messages", 5)], &[]).unwrap());
        assert!(limits.include(&change(&[("messages", 5)], &["waits"]).unwrap()));
        assert!(!limits.include(&change(&[("messages", 6)], &[]).unwrap()));
        assert!(!limits.include(&change(&[], &["messages"]).unwrap()));
    }
}
