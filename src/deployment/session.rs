//! Credentials for one sitting at the deployment's own machine: what `--as` speaks with.
//!
//! Owns their short life. Never asks whether the role is on the roster: broker and projector do, and
//! refuse who is not.

use super::grant::{Grant, GrantError, Tag, TagKey, Templates};
use super::jwt::{self, JwtError};
use super::keys::{CredentialKind, DeploymentKeys, KeysError};
use super::layout::{Layout, LayoutError};
use nkeys::KeyPair;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{InstanceId, Role, TenantId, TimeMs};
use std::path::Path;
use zeroize::Zeroizing;

/// How long such a credential lives: a working day of `watch`.
const LIFE_S: u64 = 12 * 3600;

/// Why no credential could be signed here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SessionError {
    /// DIR cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The deployment's keys are not here.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A name that cannot stand in a credential.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// Signing failed.
    #[error(transparent)]
    Jwt(#[from] JwtError),
}

/// The `.creds` text for an agent of the deployment in `dir`, bound to `instance` where one is given.
pub(crate) fn mint_session(
    dir: &Path,
    subject_root: &str,
    tenant: &TenantId,
    role: &Role,
    instance: Option<&InstanceId>,
) -> Result<Zeroizing<String>, SessionError> {
    let keys = DeploymentKeys::load(&Layout::open(dir)?)?;
    let mut tags = vec![
        Tag::new(TagKey::Tenant, tenant.as_str())?,
        Tag::new(TagKey::Role, role.as_str())?,
    ];
    // Which of them the role has is checked by broker and projector.
    for scope in Scope::ALL {
        tags.push(Tag::new(TagKey::Scope, scope.token())?);
    }
    let kind = match instance {
        Some(instance) => {
            tags.push(Tag::new(TagKey::Instance, instance.as_str())?);
            CredentialKind::Agent
        }
        None => CredentialKind::AgentAnyInstance,
    };
    let user = KeyPair::new_user();
    let grant = Grant {
        kind,
        name: role.as_str(),
        user: &user.public_key(),
        tags: &tags,
        expires_at_s: Some(TimeMs::now().0 / 1000 + LIFE_S),
    };
    let templates = Templates::for_root(subject_root);
    let token = jwt::user_jwt(&keys, &templates, &grant)?;
    Ok(jwt::creds_file(&token, &user))
}
