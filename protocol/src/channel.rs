//! To whom a message goes: one role, several, or all. Owns the channel's text form.

use crate::error::Refusal;
use crate::id::Role;
use crate::limits::{CHANNEL_MAX_ROLES, NAME_MAX_CHARS};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The word that addresses every agent of a tenant.
pub const BROADCAST: &str = "broadcast";

/// Whom a message addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Every agent of the tenant.
    Broadcast,
    /// These roles, in the order named, each once; never empty.
    Roles(Vec<Role>),
}

impl Channel {
    /// Reads `role`, `broadcast` or `role,role,…`: blanks are dropped, repeats merged.
    ///
    /// # Errors
    /// `invalid_argument` at `channel`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let remedy = "name a role, `broadcast`, or roles separated by commas";
        if text.len() > CHANNEL_MAX_ROLES * (NAME_MAX_CHARS + 1) * 4 {
            return Err(Refusal::invalid(
                "channel",
                "the channel is too long",
                remedy,
            ));
        }
        let mut roles: Vec<Role> = Vec::new();
        let parts: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        if let [only] = parts.as_slice()
            && only.eq_ignore_ascii_case(BROADCAST)
        {
            return Ok(Self::Broadcast);
        }
        for part in parts {
            if part.eq_ignore_ascii_case(BROADCAST) {
                return Err(Refusal::invalid(
                    "channel",
                    "`broadcast` stands alone: it already reaches every role",
                    "send to `broadcast`, or to the roles without it",
                ));
            }
            let role = Role::parse(part).map_err(|error| error.at("channel"))?;
            if !roles.contains(&role) {
                roles.push(role);
            }
            if roles.len() > CHANNEL_MAX_ROLES {
                return Err(Refusal::invalid(
                    "channel",
                    format!("a channel lists at most {CHANNEL_MAX_ROLES} roles"),
                    "send to `broadcast`, or in several messages",
                ));
            }
        }
        if roles.is_empty() {
            return Err(Refusal::invalid(
                "channel",
                "the channel names nobody",
                remedy,
            ));
        }
        Ok(Self::Roles(roles))
    }

    /// The one role it addresses, if it addresses just one.
    pub fn single_role(&self) -> Option<&Role> {
        match self {
            Self::Roles(roles) => match roles.as_slice() {
                [role] => Some(role),
                _ => None,
            },
            Self::Broadcast => None,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broadcast => f.write_str(BROADCAST),
            Self::Roles(roles) => {
                for (index, role) in roles.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    f.write_str(role.as_str())?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Channel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_dropped_and_repeats_merged() {
        assert_eq!(
            Channel::parse(" tau, ,phi,TAU ").unwrap().to_string(),
            "tau,phi"
        );
        assert_eq!(
            Channel::parse("bob")
                .unwrap()
                .single_role()
                .unwrap()
                .as_str(),
            "bob"
        );
        assert_eq!(Channel::parse(" Broadcast ").unwrap(), Channel::Broadcast);
    }

    #[test]
    fn nobody_and_a_broadcast_in_a_list_are_refused() {
        for bad in ["", " , ", "tau,broadcast", "tau.phi", "tau,>", "a\u{7}"] {
            assert_eq!(
                Channel::parse(bad).unwrap_err().field.as_deref(),
                Some("channel"),
                "{bad:?}"
            );
        }
    }
}
