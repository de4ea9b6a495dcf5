//! The NATS JWTs of a deployment: operator, accounts, users, and `.creds` files.
//!
//! Owns what is claimed and who signs it. Never keeps a key, never decides who may have a
//! credential, never talks to a server.

use super::grant::{Grant, GrantError, Tag, Templates};
use super::keys::{CredentialKind, DeploymentKeys, seed_of};
use nats_jwt_rs::account::{Account, AccountLimits, JetStreamLimits, OperatorLimits};
use nats_jwt_rs::operator::Operator;
use nats_jwt_rs::types::{
    Limits, NO_LIMIT, NatsLimits, Permission, Permissions, ScopeType, SigningKey, UserScope,
};
use nats_jwt_rs::user::{User, UserPermissionLimits};
use nats_jwt_rs::{Claim, Claims};
use nkeys::{KeyPair, KeyPairType};
use postroad_protocol::limits::AGENT_SUBSCRIPTIONS;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Why a JWT was not signed or not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JwtError {
    /// The grant's tags do not fit its kind.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// What should be a user's public key is not one.
    #[error("'{key}' is not the public nkey of a user (it begins with U)")]
    NotAUserKey {
        /// What was given.
        key: String,
    },
    /// The claims could not be encoded or signed.
    #[error("a NATS JWT could not be signed")]
    Sign(#[source] anyhow::Error),
    /// A token is malformed or its signature is wrong.
    #[error("the stored account JWT is not readable: remove it, and the issuer writes a new one")]
    Unreadable(#[source] anyhow::Error),
    /// A token was signed by somebody else's operator.
    #[error(
        "the stored account JWT was signed by {issuer}, which is not this deployment's operator"
    )]
    ForeignIssuer {
        /// The key that signed it.
        issuer: String,
    },
}

/// When each revoked user key was revoked, in seconds since 1970: JWTs issued until then are refused.
pub(crate) type Revocations = BTreeMap<String, u64>;

/// In [`Revocations`], the place of every user's key.
pub(crate) const EVERYBODY: &str = "*";

/// The root of trust in the server's configuration.
pub(crate) fn operator_jwt(keys: &DeploymentKeys) -> Result<String, JwtError> {
    let mut claims = Operator::new_claims("postroad".to_owned(), keys.operator().public_key());
    claims.nats.system_account = Some(keys.system_account().public_key());
    sign(&claims, keys.operator())
}

/// The account of the server's own events, where the issuer pushes account JWTs. It stores nothing.
pub(crate) fn system_account_jwt(keys: &DeploymentKeys) -> Result<String, JwtError> {
    let claims = Account::new_claims("SYS".to_owned(), keys.system_account().public_key());
    sign(&claims, keys.operator())
}

/// The account of everything else: unlimited JetStream, one scoped signing key a kind of
/// credential, and whoever was revoked.
pub(crate) fn account_jwt(
    keys: &DeploymentKeys,
    templates: &Templates,
    revocations: &Revocations,
) -> Result<String, JwtError> {
    let mut claims = Account::new_claims("POSTROAD".to_owned(), keys.account().public_key());
    claims.nats.limits = Some(OperatorLimits {
        nats: Some(NatsLimits::default()),
        account: Some(AccountLimits {
            disallow_bearer: Some(true),
            ..AccountLimits::default()
        }),
        jetstream: Some(JetStreamLimits {
            memory_storage: Some(NO_LIMIT),
            disk_storage: Some(NO_LIMIT),
            streams: Some(NO_LIMIT),
            consumer: Some(NO_LIMIT),
            ..JetStreamLimits::default()
        }),
        tiered_limits: None,
    });
    let scopes = CredentialKind::ALL.map(|kind| scoped_key(keys, templates, kind));
    claims.nats.signing_keys = Some(scopes.into_iter().collect());
    if !revocations.is_empty() {
        claims.nats.revocations = Some(revocations.clone());
    }
    sign(&claims, keys.operator())
}

/// A user's JWT. It carries no permissions: the server takes them from the signing key's template
/// and refuses a user that brings its own, so a leaked signing key cannot sign itself wider ones.
pub(crate) fn user_jwt(
    keys: &DeploymentKeys,
    templates: &Templates,
    grant: &Grant<'_>,
) -> Result<String, JwtError> {
    grant.check(templates.of(grant.kind))?;
    match KeyPair::from_public_key(grant.user) {
        Ok(key) if key.key_pair_type() == KeyPairType::User => {}
        _ => {
            return Err(JwtError::NotAUserKey {
                key: grant.user.to_owned(),
            });
        }
    }
    let mut claims = User::new_claims(grant.name.to_owned(), grant.user.to_owned());
    claims.exp = grant.expires_at_s.map(seconds);
    claims.nats.issuer_account = Some(keys.account().public_key());
    claims.nats.permissions = no_permissions();
    let tags = grant.tags.iter().map(Tag::to_string);
    claims.nats.generic_fields.tags = Some(tags.collect());
    sign(&claims, keys.signing(grant.kind))
}

/// Where account JWTs are pushed to a nats-server, by whoever has a user in the system account.
pub(crate) const ACCOUNT_PUSHES: [&str; 3] = [
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
    "$SYS.ACCOUNT.*.CLAIMS.UPDATE",
];

/// The issuer's user in the system account: it may look account JWTs up, replace them and hear them
/// replaced, no more.
pub(crate) fn system_user_jwt(keys: &DeploymentKeys) -> Result<String, JwtError> {
    let mut claims = User::new_claims("issuer".to_owned(), keys.system_user().public_key());
    claims.nats.permissions.permissions = Permissions {
        publish: Permission {
            allow: vec![
                "$SYS.REQ.CLAIMS.UPDATE".to_owned(),
                "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP".to_owned(),
            ],
            deny: Vec::new(),
        },
        subscribe: Permission {
            allow: std::iter::once("_INBOX.>")
                .chain(ACCOUNT_PUSHES)
                .map(str::to_owned)
                .collect(),
            deny: Vec::new(),
        },
        resp: None,
    };
    sign(&claims, keys.system_account())
}

/// The text of a `.creds` file, which every NATS client reads.
pub(crate) fn creds_file(jwt: &str, user: &KeyPair) -> Zeroizing<String> {
    let seed = seed_of(user);
    Zeroizing::new(format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         Whoever holds the seed below is this user. Keep it secret.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
         *************************************************************\n",
        seed.as_str()
    ))
}

/// Whom an account JWT revokes, when this deployment's operator signed it.
pub(crate) fn revocations_of(
    keys: &DeploymentKeys,
    account_jwt: &str,
) -> Result<Revocations, JwtError> {
    let claims: Claims<Account> =
        Claims::decode(account_jwt.trim()).map_err(JwtError::Unreadable)?;
    if claims.iss != keys.operator().public_key() || claims.sub != keys.account().public_key() {
        return Err(JwtError::ForeignIssuer { issuer: claims.iss });
    }
    Ok(claims.nats.revocations.unwrap_or_default())
}

/// Whether two account JWTs say the same, whenever they were signed.
pub(crate) fn same_account(left: &str, right: &str) -> bool {
    let said = |token: &str| -> Option<serde_json::Value> {
        let claims: Claims<Account> = Claims::decode(token.trim()).ok()?;
        let mut said = serde_json::to_value(claims).ok()?;
        let fields = said.as_object_mut()?;
        fields.remove("iat");
        fields.remove("jti");
        Some(said)
    };
    matches!((said(left), said(right)), (Some(left), Some(right)) if left == right)
}

fn scoped_key(keys: &DeploymentKeys, templates: &Templates, kind: CredentialKind) -> SigningKey {
    let template = templates.of(kind).clone();
    let subscriptions = match kind {
        CredentialKind::Agent | CredentialKind::AgentAnyInstance => i64::from(AGENT_SUBSCRIPTIONS),
        _ => NO_LIMIT,
    };
    let key = keys.signing(kind).public_key();
    let scope = UserScope {
        kind: ScopeType::UserScope,
        key: key.clone(),
        role: Some(kind.name().to_owned()),
        template: Some(UserPermissionLimits {
            permissions: Permissions {
                publish: Permission {
                    allow: template.publish_allow,
                    deny: template.publish_deny,
                },
                subscribe: Permission {
                    allow: template.subscribe_allow,
                    deny: template.subscribe_deny,
                },
                resp: None,
            },
            limits: Some(Limits {
                user_limits: None,
                nats_limits: Some(NatsLimits {
                    subs: Some(subscriptions),
                    ..NatsLimits::default()
                }),
            }),
            bearer_token: None,
            allowed_connection_types: None,
        }),
        description: None,
    };
    SigningKey {
        key,
        scope: Some(scope),
    }
}

/// The one form of a user's permissions that a scoped signer may sign: none at all.
fn no_permissions() -> UserPermissionLimits {
    UserPermissionLimits {
        permissions: Permissions::default(),
        limits: None,
        bearer_token: None,
        allowed_connection_types: None,
    }
}

fn sign<T>(claims: &Claims<T>, signer: &KeyPair) -> Result<String, JwtError>
where
    T: Claim + Serialize + DeserializeOwned + Clone,
{
    claims.encode(signer).map_err(JwtError::Sign)
}

fn seconds(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::grant::TagKey;
    use super::super::layout::Layout;
    use super::super::lock::DirLock;
    use super::*;

    fn keys() -> DeploymentKeys {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let lock = DirLock::acquire(&layout).unwrap();
        DeploymentKeys::load_or_create(&layout, &lock, None)
            .unwrap()
            .0
    }

    /// What a token claims, as the server reads it.
    fn claims(token: &str) -> serde_json::Value {
        use base64::Engine as _;
        let payload = token.split('.').nth(1).unwrap();
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn a_users_jwt_carries_tags_and_an_end_but_no_permissions() {
        let keys = keys();
        let user = KeyPair::new_user();
        let public = user.public_key();
        let tags = [
            (TagKey::Tenant, "acme"),
            (TagKey::Role, "tau"),
            (TagKey::Instance, "mac"),
            (TagKey::Scope, "self"),
        ]
        .map(|(key, value)| Tag::new(key, value).unwrap());
        let mut grant = Grant {
            kind: CredentialKind::Agent,
            name: "tau",
            user: &public,
            tags: &tags,
            expires_at_s: Some(9),
        };
        let templates = Templates::for_root("postroad");
        let claims = claims(&user_jwt(&keys, &templates, &grant).unwrap());
        assert_eq!(claims["sub"], public);
        assert_eq!(
            claims["iss"],
            keys.signing(CredentialKind::Agent).public_key()
        );
        assert_eq!(claims["exp"], 9);
        assert_eq!(
            claims["nats"]["issuer_account"],
            keys.account().public_key()
        );
        assert_eq!(
            claims["nats"]["tags"],
            serde_json::json!(["tenant:acme", "role:tau", "instance:mac", "scope:self"])
        );
        assert_eq!(claims["nats"]["pub"], serde_json::json!({}));
        assert_eq!(claims["nats"]["sub"], serde_json::json!({}));
        assert!(claims["nats"].get("subs").is_none());

        let account = keys.account().public_key();
        for wrong in ["", "U", account.as_str()] {
            grant.user = wrong;
            assert!(matches!(
                user_jwt(&keys, &templates, &grant),
                Err(JwtError::NotAUserKey { .. })
            ));
        }
    }

    #[test]
    fn every_signing_key_of_the_account_is_bounded_by_a_template() {
        let keys = keys();
        let token =
            account_jwt(&keys, &Templates::for_root("postroad"), &Revocations::new()).unwrap();
        let claims = claims(&token);
        let scopes = claims["nats"]["signing_keys"].as_array().unwrap();
        assert_eq!(scopes.len(), CredentialKind::ALL.len());
        for scope in scopes {
            assert_eq!(scope["kind"], "user_scope");
            // An empty list would allow everything.
            assert!(
                !scope["template"]["pub"]["allow"]
                    .as_array()
                    .unwrap()
                    .is_empty()
            );
            assert!(
                !scope["template"]["sub"]["allow"]
                    .as_array()
                    .unwrap()
                    .is_empty()
            );
        }
    }

    #[test]
    fn account_jwts_are_the_same_when_they_say_the_same() {
        let keys = keys();
        let templates = Templates::for_root("postroad");
        let revoked = Revocations::from([("U1".to_owned(), 7), (EVERYBODY.to_owned(), 8)]);
        let plain = account_jwt(&keys, &templates, &Revocations::new()).unwrap();
        let revoking = account_jwt(&keys, &templates, &revoked).unwrap();
        assert_eq!(revocations_of(&keys, &revoking).unwrap(), revoked);
        assert!(same_account(
            &revoking,
            &format!("{}\n", account_jwt(&keys, &templates, &revoked).unwrap())
        ));
        assert!(!same_account(&plain, &revoking));
        assert!(!same_account(
            &plain,
            &account_jwt(&keys, &Templates::for_root("other"), &Revocations::new()).unwrap()
        ));
        assert!(!same_account("garbage", "garbage"));
    }

    #[test]
    fn a_changed_account_jwt_is_not_believed() {
        let keys = keys();
        let token =
            account_jwt(&keys, &Templates::for_root("postroad"), &Revocations::new()).unwrap();
        let (body, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let changed = format!("{body}.{other}{}", &signature[1..]);
        assert!(matches!(
            revocations_of(&keys, &changed),
            Err(JwtError::Unreadable(_))
        ));
        assert!(matches!(
            revocations_of(&keys, "a.b"),
            Err(JwtError::Unreadable(_))
        ));
    }
}
