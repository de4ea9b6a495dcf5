//! Which credential somebody is to get: its kind, its tags, its end.
//!
//! Owns the check that tags fit the kind's permission template. Never decides who may have it, never signs.

use super::keys::CredentialKind;
use postroad_protocol::permission::{self, PermissionTemplate};
use std::fmt;

/// Why a grant would not mean what it says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GrantError {
    /// The permission template needs a tag that the grant lacks.
    #[error("a credential of kind {kind} needs the tag '{tag}'")]
    Missing {
        /// What was to be issued.
        kind: &'static str,
        /// The tag's name.
        tag: String,
    },
    /// Two values of a tag would reach two tenants, roles or instances at once.
    #[error("a credential has one '{tag}', not several")]
    Repeated {
        /// The tag's name.
        tag: &'static str,
    },
    /// A value that would widen a subject.
    #[error(
        "'{value}' cannot be the tag '{tag}': only a-z, 0-9, '_' and '-' are safe in a subject"
    )]
    Unsafe {
        /// The tag's name.
        tag: &'static str,
        /// The value that was refused.
        value: String,
    },
}

/// What the tags of a credential may be called. The templates refer to them by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TagKey {
    /// Whose data.
    Tenant,
    /// The agent's role.
    Role,
    /// The instance it is bound to.
    Instance,
    /// What it may ask for; the only tag that may occur more than once.
    Scope,
}

impl TagKey {
    fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Role => "role",
            Self::Instance => "instance",
            Self::Scope => "scope",
        }
    }
}

/// One tag of a credential: a value that stays one token of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    key: TagKey,
    value: String,
}

impl Tag {
    /// A tag, unless its value would change the shape of a subject.
    ///
    /// NATS pastes the value into the permission as it is: `>` or `*` would open every tenant and
    /// a dot would shift the tokens behind it. So this is checked here too, whatever was checked before.
    pub(crate) fn new(key: TagKey, value: &str) -> Result<Self, GrantError> {
        let safe = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if value.is_empty() || !value.bytes().all(safe) {
            return Err(GrantError::Unsafe {
                tag: key.name(),
                value: value.to_owned(),
            });
        }
        Ok(Self {
            key,
            value: value.to_owned(),
        })
    }
}

/// The permission template of every kind of credential.
#[derive(Clone, Debug)]
pub(crate) struct Templates(Vec<PermissionTemplate>);

impl Templates {
    /// The templates for subjects below `root`.
    pub(crate) fn for_root(root: &str) -> Self {
        Self(
            CredentialKind::ALL
                .map(|kind| match kind {
                    CredentialKind::Agent => permission::agent(root),
                    CredentialKind::AgentAnyInstance => permission::agent_any_instance(root),
                    CredentialKind::Operator => permission::operator(root),
                    CredentialKind::Broker => permission::broker(root),
                    CredentialKind::Projector => permission::projector(root),
                    CredentialKind::Issuer => permission::issuer(root),
                    CredentialKind::Gateway => permission::gateway(root),
                })
                .into(),
        )
    }

    /// The template that bounds credentials of one kind.
    pub(crate) fn of(&self, kind: CredentialKind) -> &PermissionTemplate {
        &self.0[kind as usize]
    }
}

/// Who gets which credential.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'a> {
    /// Which template bounds it.
    pub(crate) kind: CredentialKind,
    /// What the server's list of connections shows.
    pub(crate) name: &'a str,
    /// The public key of the user; whoever holds its seed holds the credential.
    pub(crate) user: &'a str,
    /// What the template's placeholders become.
    pub(crate) tags: &'a [Tag],
    /// When it ends, in seconds since 1970; never, when nothing is given.
    pub(crate) expires_at_s: Option<u64>,
}

impl Grant<'_> {
    /// Refuses tags with which the template would mean less, or more, than one agent's own subjects.
    ///
    /// NATS would drop what lacks a tag without a word, and open every combination of tags that repeat.
    pub(crate) fn check(&self, template: &PermissionTemplate) -> Result<(), GrantError> {
        for key in [TagKey::Tenant, TagKey::Role, TagKey::Instance] {
            if self.tags.iter().filter(|tag| tag.key == key).count() > 1 {
                return Err(GrantError::Repeated { tag: key.name() });
            }
        }
        let lists = [
            &template.publish_allow,
            &template.publish_deny,
            &template.subscribe_allow,
            &template.subscribe_deny,
        ];
        for token in lists
            .into_iter()
            .flatten()
            .flat_map(|subject| subject.split('.'))
        {
            let Some(needed) = token
                .strip_prefix("{{tag(")
                .and_then(|rest| rest.strip_suffix(")}}"))
            else {
                continue;
            };
            if !self.tags.iter().any(|tag| tag.key.name() == needed) {
                return Err(GrantError::Missing {
                    kind: self.kind.name(),
                    tag: needed.to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Tag {
    /// As a JWT lists it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: CredentialKind, tags: &[(TagKey, &str)]) -> Result<(), GrantError> {
        let tags: Vec<Tag> = tags
            .iter()
            .map(|(key, value)| Tag::new(*key, value).unwrap())
            .collect();
        let grant = Grant {
            kind,
            name: "",
            user: "",
            tags: &tags,
            expires_at_s: None,
        };
        grant.check(Templates::for_root("postroad").of(kind))
    }

    #[test]
    fn a_value_that_is_not_one_token_is_no_tag() {
        for bad in ["", "*", ">", "a.b", "a b", "A", "é", "{{name()}}", "a\n"] {
            assert!(
                matches!(
                    Tag::new(TagKey::Tenant, bad),
                    Err(GrantError::Unsafe { .. })
                ),
                "{bad:?}"
            );
        }
        assert_eq!(
            Tag::new(TagKey::Role, "_operator").unwrap().to_string(),
            "role:_operator"
        );
    }

    #[test]
    fn every_tag_that_the_template_names_must_be_there_once() {
        use TagKey::{Instance, Role, Scope, Tenant};
        let full = [
            (Tenant, "acme"),
            (Role, "tau"),
            (Instance, "mac"),
            (Scope, "self"),
            (Scope, "messages"),
        ];
        assert_eq!(check(CredentialKind::Agent, &full), Ok(()));
        for place in 0..3 {
            let mut lacking = full.to_vec();
            lacking.remove(place);
            assert!(matches!(
                check(CredentialKind::Agent, &lacking),
                Err(GrantError::Missing { .. })
            ));
            let mut twice = full.to_vec();
            twice.push((full[place].0, "other"));
            assert!(matches!(
                check(CredentialKind::Agent, &twice),
                Err(GrantError::Repeated { .. })
            ));
        }
        assert!(matches!(
            check(CredentialKind::Agent, &full[..3]),
            Err(GrantError::Missing { .. })
        ));
        assert_eq!(
            check(
                CredentialKind::AgentAnyInstance,
                &[full[0], full[1], full[3]]
            ),
            Ok(())
        );
        assert_eq!(check(CredentialKind::Broker, &[]), Ok(()));
    }
}
