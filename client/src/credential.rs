//! Credentials as their holder sees them: who they say one is, until when, and making new keys.
//!
//! Owns reading and writing `.creds` text. Believes nothing on its own account: the nats-server
//! checks signatures, and what is read here only tells which subjects to use.

use crate::private;
use crate::user_key::UserKey;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use postroad_protocol::subject::OPERATOR_ROLE;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{InstanceId, Role, TenantId, TimeMs};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest `.creds` file that is read, in bytes. Real ones have about a thousand.
const CREDS_MAX_BYTES: u64 = 64 * 1024;

/// Why a credential cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("the credential {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file cannot be written, though a new credential is at hand.
    #[error("the credential {} cannot be written", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The text is no `.creds` file.
    #[error("this is no credential: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A NATS credential, but not one that Postroad issued.
    #[error("this credential was not issued by Postroad: {reason}")]
    Foreign {
        /// What is missing or wrong.
        reason: &'static str,
    },
    /// It has ended.
    #[error("this credential has expired")]
    Expired {
        /// When it ended.
        at: TimeMs,
    },
    /// It serves any instance of its role, and none was named.
    #[error("this credential serves any instance of `{role}`, and no instance was named")]
    InstanceNeeded {
        /// Its role.
        role: Role,
    },
    /// It is bound to another instance than the one that was named.
    #[error("this credential serves the instance `{bound}` only, not `{wanted}`")]
    OtherInstance {
        /// The credential's.
        bound: InstanceId,
        /// The one that was named.
        wanted: InstanceId,
    },
}

impl CredentialError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the path and that the file is yours to read",
            Self::Unwritable { .. } => "let the file and its folder be yours to write",
            Self::Malformed { .. } => {
                "use the .creds file that `postroad agent issue` wrote, as it is"
            }
            Self::Foreign { .. } => {
                "use a credential that `postroad agent issue` wrote, or the operator.creds of the deployment"
            }
            Self::Expired { .. } => "have a new one issued: `postroad agent issue`",
            Self::InstanceNeeded { .. } => {
                "name the instance that this process is, always the same one on the same machine"
            }
            Self::OtherInstance { .. } => {
                "leave the instance out, or have a credential issued for the other one"
            }
        }
    }
}

/// Whom a credential speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// An agent.
    Agent {
        /// Its tenant.
        tenant: TenantId,
        /// Its role.
        role: Role,
        /// The instance it is bound to; none when it serves any.
        instance: Option<InstanceId>,
        /// What it may touch.
        scopes: Vec<Scope>,
    },
    /// The deployment's operator.
    Operator {
        /// From which machine.
        instance: InstanceId,
    },
}

/// A `.creds` text whose claims were read. Holds a secret, so it never shows itself.
#[derive(Clone)]
pub struct Credential {
    text: Zeroizing<String>,
    holder: Holder,
    issued_at: Option<TimeMs>,
    expires_at: Option<TimeMs>,
    /// The file that it came from.
    file: Option<PathBuf>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("holder", &self.holder)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Reads a `.creds` file.
    ///
    /// # Errors
    /// [`CredentialError`]: each variant names its remedy.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CredentialError> {
        use std::io::Read as _;
        let path = path.as_ref();
        let unreadable = |source| CredentialError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut text = Zeroizing::new(String::new());
        file.take(CREDS_MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        let credential = Self::parse(&text)?;
        Ok(Self {
            file: Some(path.to_owned()),
            ..credential
        })
    }

    /// Reads the text of a `.creds` file. An expired one is refused.
    ///
    /// # Errors
    /// [`CredentialError`]: each variant names its remedy.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let credential = Self::parse_at(text, TimeMs::now())?;
        Ok(credential)
    }

    fn parse_at(text: &str, now: TimeMs) -> Result<Self, CredentialError> {
        let malformed = |reason| CredentialError::Malformed { reason };
        let jwt = armoured(text, JWT_ARMOUR)
            .ok_or_else(|| malformed("it holds no user JWT between its dashed lines"))?;
        let seed = armoured(text, SEED_ARMOUR)
            .ok_or_else(|| malformed("it holds no user seed between its dashed lines"))?;
        let key = KeyPair::from_seed(seed)
            .ok()
            .filter(|key| key.key_pair_type() == KeyPairType::User)
            .ok_or_else(|| malformed("its seed is not the seed of a user"))?;
        let claims = Claims::read(jwt).ok_or_else(|| malformed("its JWT cannot be read"))?;
        if claims.sub != key.public_key() {
            return Err(malformed("its seed and its JWT belong to different users"));
        }
        let credential = Self {
            text: Zeroizing::new(text.to_owned()),
            holder: claims.holder()?,
            issued_at: claims.issued_at(),
            expires_at: claims.expires_at(),
            file: None,
        };
        match credential.expires_at {
            Some(at) if at <= now => Err(CredentialError::Expired { at }),
            _ => Ok(credential),
        }
    }

    /// Whom it speaks for.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Whether it is the operator's.
    pub fn is_operator(&self) -> bool {
        matches!(self.holder, Holder::Operator { .. })
    }

    /// When it ends; none when it never does.
    pub fn expires_at(&self) -> Option<TimeMs> {
        self.expires_at
    }

    /// Whether it has ended by this machine's clock.
    pub(crate) fn check_alive(&self) -> Result<(), CredentialError> {
        match self.expires_at {
            Some(at) if at <= TimeMs::now() => Err(CredentialError::Expired { at }),
            _ => Ok(()),
        }
    }

    /// When a third of its life is left, which is when it should be renewed; none for one that never
    /// ends, or does not say when it began.
    pub(crate) fn due_at(&self) -> Option<TimeMs> {
        let (from, to) = (self.issued_at?, self.expires_at?);
        let life = to.0.saturating_sub(from.0);
        Some(TimeMs(to.0.saturating_sub(life / 3)))
    }

    /// Its JWT.
    pub(crate) fn jwt(&self) -> &str {
        armoured(&self.text, JWT_ARMOUR).unwrap_or_default()
    }

    /// Its key pair, to sign with.
    pub(crate) fn key(&self) -> Result<KeyPair, CredentialError> {
        let seed = armoured(&self.text, SEED_ARMOUR).unwrap_or_default();
        KeyPair::from_seed(seed).map_err(|_| CredentialError::Malformed {
            reason: "its seed is not the seed of a user",
        })
    }

    /// The public user nkey that it is for.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`].
    pub fn public_key(&self) -> Result<String, CredentialError> {
        Ok(self.key()?.public_key())
    }

    /// The same key with another JWT.
    pub(crate) fn with_jwt(&self, jwt: &str) -> Result<Self, CredentialError> {
        self.with_key(&UserKey::from(self.key()?), jwt)
    }

    /// Another key with its JWT, to be kept where this one is.
    pub(crate) fn with_key(&self, key: &UserKey, jwt: &str) -> Result<Self, CredentialError> {
        let other = Self::parse(&key.creds(jwt))?;
        Ok(Self {
            file: self.file.clone(),
            ..other
        })
    }

    /// Writes it to the file that it came from, if it came from one: whole or not at all, for its owner
    /// only.
    pub(crate) fn store(&self) -> Result<(), CredentialError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let unwritable = |source| CredentialError::Unwritable {
            path: path.clone(),
            source,
        };
        // A link stays one: what it leads to is replaced.
        let target = std::fs::canonicalize(path).map_err(unwritable)?;
        private::replace(&target, self.text.as_bytes()).map_err(unwritable)
    }
}

const JWT_ARMOUR: &str = "NATS USER JWT";
const SEED_ARMOUR: &str = "USER NKEY SEED";

/// The line between `-----BEGIN {what}-----` and its end, as every NATS client reads it.
fn armoured<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        line.strip_prefix("-----BEGIN ")
            .is_some_and(|rest| rest.starts_with(what))
    })?;
    let body = lines.find(|line| !line.is_empty())?;
    let is_body = !body.starts_with('-') && !body.contains(char::is_whitespace);
    (is_body && lines.next()?.starts_with("---")).then_some(body)
}

/// What a user JWT says, as far as a client must know. Its signature is the server's to check.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    exp: i64,
    #[serde(default)]
    iat: i64,
    nats: NatsClaims,
}

#[derive(Deserialize)]
struct NatsClaims {
    #[serde(default)]
    tags: Vec<String>,
}

impl Claims {
    fn read(jwt: &str) -> Option<Self> {
        let mut parts = jwt.split('.');
        let (_, body, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let body = BASE64_URL_SAFE_NO_PAD.decode(body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    fn issued_at(&self) -> Option<TimeMs> {
        time_of(self.iat)
    }

    fn expires_at(&self) -> Option<TimeMs> {
        // NATS writes no `exp`, or 0, for a credential that never ends.
        time_of(self.exp)
    }

    fn holder(&self) -> Result<Holder, CredentialError> {
        let foreign = |reason| CredentialError::Foreign { reason };
        let role = self
            .tag("role")?
            .ok_or_else(|| foreign("its JWT names no role"))?;
        let instance = self
            .tag("instance")?
            .map(InstanceId::parse)
            .transpose()
            .map_err(|_| foreign("its JWT names a malformed instance"))?;
        if role == OPERATOR_ROLE {
            let instance = instance.ok_or_else(|| foreign("its JWT names no instance"))?;
            return Ok(Holder::Operator { instance });
        }
        let tenant = self
            .tag("tenant")?
            .ok_or_else(|| foreign("its JWT names no tenant"))?;
        Ok(Holder::Agent {
            tenant: TenantId::parse(tenant)
                .map_err(|_| foreign("its JWT names a malformed tenant"))?,
            role: Role::parse(role).map_err(|_| foreign("its JWT names a malformed role"))?,
            instance,
            // A scope that this version does not know is of no use to it.
            scopes: self.tags("scope").filter_map(Scope::parse).collect(),
        })
    }

    fn tags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.nats
            .tags
            .iter()
            .filter_map(move |tag| tag.strip_prefix(name)?.strip_prefix(':'))
    }

    fn tag<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, CredentialError> {
        let mut found = self.tags(name);
        let first = found.next();
        if found.next().is_some() {
            return Err(CredentialError::Foreign {
                reason: "its JWT names two tenants, roles or instances at once",
            });
        }
        Ok(first)
    }
}

fn time_of(seconds: i64) -> Option<TimeMs> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s > 0)?;
    Some(TimeMs(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_800_000_000_000);

    fn creds(exp: i64, tags: &[&str]) -> String {
        let key = UserKey::generate();
        creds_for(&key, &key.public_key(), exp, tags)
    }

    fn creds_for(key: &UserKey, sub: &str, exp: i64, tags: &[&str]) -> String {
        let claims = serde_json::json!({
            "sub": sub, "exp": exp, "iss": "A", "nats": {"tags": tags, "type": "user", "version": 2}
        });
        let body = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        key.creds(&format!("e30.{body}.c2ln")).to_string()
    }

    #[test]
    fn an_agents_credential_says_whose_it_is_and_until_when() {
        let tags = [
            "tenant:acme",
            "role:tau",
            "instance:pi",
            "scope:self",
            "scope:messages",
        ];
        let credential = Credential::parse_at(&creds(1_900_000_000, &tags), NOW).unwrap();
        let Holder::Agent {
            tenant,
            role,
            instance,
            scopes,
        } = credential.holder().clone()
        else {
            panic!("an agent's credential is an agent's");
        };
        assert_eq!((tenant.as_str(), role.as_str()), ("acme", "tau"));
        assert_eq!(instance.unwrap().as_str(), "pi");
        assert_eq!(scopes, [Scope::Own, Scope::Messages]);
        assert_eq!(credential.expires_at(), Some(TimeMs(1_900_000_000_000)));
        assert!(!credential.is_operator());
    }

    #[test]
    fn an_operators_credential_names_its_machine() {
        let text = creds(0, &["role:_operator", "instance:desk"]);
        let credential = Credential::parse_at(&text, NOW).unwrap();
        assert!(credential.is_operator());
        assert_eq!(credential.expires_at(), None);
    }

    #[test]
    fn an_expired_credential_says_so() {
        let text = creds(1_700_000_000, &["tenant:acme", "role:tau"]);
        let error = Credential::parse_at(&text, NOW).unwrap_err();
        assert!(matches!(
            error,
            CredentialError::Expired {
                at: TimeMs(1_700_000_000_000)
            }
        ));
        assert!(error.remedy().contains("agent issue"));
    }

    #[test]
    fn text_that_is_no_credential_is_refused() {
        let good = creds(0, &["tenant:acme", "role:tau"]);
        let cut = &good[..good.find("USER NKEY").unwrap()];
        let other = UserKey::generate().public_key();
        let swapped = creds_for(
            &UserKey::generate(),
            &other,
            0,
            &["tenant:acme", "role:tau"],
        );
        let garbled = good.replace("e30.", "e30.!");
        for text in ["", "hello", cut, &swapped, &garbled] {
            let error = Credential::parse_at(text, NOW).unwrap_err();
            assert!(
                matches!(error, CredentialError::Malformed { .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_credential_of_somebody_elses_nats_is_told_apart() {
        for tags in [
            &["team:x"][..],
            &["role:tau"],
            &["tenant:a", "tenant:b", "role:tau"],
            &["tenant:a.b", "role:tau"],
            &["role:_operator"],
        ] {
            let error = Credential::parse_at(&creds(0, tags), NOW).unwrap_err();
            assert!(matches!(error, CredentialError::Foreign { .. }), "{tags:?}");
        }
    }

    #[test]
    fn a_seed_never_shows_itself() {
        let text = creds(0, &["tenant:acme", "role:tau"]);
        let seed = armoured(&text, "USER NKEY SEED").unwrap().to_owned();
        let shown = format!("{:?}", Credential::parse_at(&text, NOW).unwrap());
        assert!(!shown.contains(&seed) && shown.contains("acme"));
    }
}
