//! Reads the commands about credentials: keys, scopes and lives are checked here.

use super::read::{identify, read_instance};
use super::{
    Command, Identified, IssueCredential, Possessed, RenewCredential, RevokeCredential, wire,
};
use crate::error::{ErrorCode, Refusal};
use crate::id::Role;
use crate::limits;
use crate::tenancy::Scope;

/// Longest life of a credential, in seconds.
const TTL_MAX_S: u64 = 365 * 24 * 3600;

pub(super) fn read_issue(wire: &wire::IssueCredential) -> Result<Identified, Refusal> {
    let role = Role::parse(&wire.role).map_err(|error| error.at("role"))?;
    let instance = read_instance(wire.instance_id.as_deref())?;
    let public_key = read_key("publicKey", &wire.public_key)?;
    let mut scopes = match &wire.scopes {
        None => Scope::AGENT_DEFAULT.to_vec(),
        Some(texts) => texts
            .iter()
            .map(|text| {
                Scope::parse(text).ok_or_else(|| {
                    Refusal::invalid(
                        "scopes",
                        "there is no such scope",
                        "use messages, memory, tasks, audit or admin",
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?,
    };
    let token = wire.token.unwrap_or_default();
    if token && instance.is_none() {
        return Err(Refusal::invalid(
            "instanceId",
            "a token serves one instance, and none is named",
            "name the instance that whoever presents the token is",
        ));
    }
    scopes.push(Scope::Own);
    scopes.sort_by_key(|scope| Scope::ALL.iter().position(|known| known == scope));
    scopes.dedup();
    let command = Command::IssueCredential(IssueCredential {
        role,
        instance,
        public_key,
        scopes,
        ttl_s: read_ttl(wire.ttl_s)?.unwrap_or(limits::CREDENTIAL_TTL_S),
        token,
    });
    identify(wire.command_id.as_deref(), "commandId", command)
}

pub(super) fn read_revoke(wire: &wire::RevokeCredential) -> Result<Identified, Refusal> {
    let revoke = match (&wire.public_key, &wire.role) {
        (Some(key), None) if wire.instance_id.is_none() => {
            RevokeCredential::Key(read_key("publicKey", key)?)
        }
        (None, Some(role)) => RevokeCredential::Of {
            role: Role::parse(role).map_err(|error| error.at("role"))?,
            instance: read_instance(wire.instance_id.as_deref())?,
        },
        (Some(_), _) => {
            return Err(Refusal::invalid(
                "publicKey",
                "a key names its credential alone",
                "give publicKey, or role with or without instanceId",
            ));
        }
        (None, None) => {
            return Err(Refusal::invalid(
                "role",
                "it is not said which credential ends",
                "give role, role and instanceId, or publicKey",
            ));
        }
    };
    let command = Command::RevokeCredential(revoke);
    identify(wire.command_id.as_deref(), "commandId", command)
}

pub(super) fn read_renew(wire: &wire::RenewCredential) -> Result<Identified, Refusal> {
    let new_public_key = wire.new_public_key.as_deref();
    let command = Command::RenewCredential(RenewCredential {
        held: read_possessed(&wire.public_key, &wire.proof)?,
        new_public_key: new_public_key
            .map(|key| read_key("newPublicKey", key))
            .transpose()?,
        ttl_s: read_ttl(wire.ttl_s)?,
    });
    identify(wire.command_id.as_deref(), "commandId", command)
}

pub(super) fn read_end(wire: &wire::EndCredential) -> Result<Identified, Refusal> {
    let command = Command::EndCredential(read_possessed(&wire.public_key, &wire.proof)?);
    identify(wire.command_id.as_deref(), "commandId", command)
}

fn read_possessed(public_key: &str, proof: &str) -> Result<Possessed, Refusal> {
    Ok(Possessed {
        public_key: read_key("publicKey", public_key)?,
        proof: proof.to_owned(),
    })
}

fn read_key(field: &str, text: &str) -> Result<String, Refusal> {
    let is_key = text.len() == 56
        && text.starts_with('U')
        && nkeys::KeyPair::from_public_key(text)
            .is_ok_and(|key| key.key_pair_type() == nkeys::KeyPairType::User);
    if is_key {
        return Ok(text.to_owned());
    }
    Err(Refusal::invalid(
        field,
        "this is no public user nkey",
        "give the 56 characters that begin with U",
    ))
}

fn read_ttl(ttl_s: Option<i64>) -> Result<Option<u64>, Refusal> {
    let read = |seconds: i64| {
        u64::try_from(seconds)
            .ok()
            .filter(|seconds| (1..=TTL_MAX_S).contains(seconds))
            .ok_or_else(|| {
                Refusal::invalid(
                    "ttlS",
                    "a credential lives between 1 second and 365 days",
                    "name a life within that",
                )
            })
    };
    ttl_s.map(read).transpose()
}

/// The refusal of a key whose seed the caller did not show to hold, and of one that has no
/// credential of the caller's: both read alike.
pub fn no_such_credential() -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        "the caller holds no such credential",
        "name the key of a credential of your own that stands, and prove that you hold its seed",
    )
    .at("publicKey")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Encoding;

    const KEY: &str = "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ";

    fn field(scope: Scope, verb: &str, body: &serde_json::Value) -> Option<String> {
        let read = Command::read(scope, verb, Encoding::Json, body.to_string().as_bytes());
        read.err().map(|refusal| refusal.field.unwrap_or_default())
    }

    #[test]
    fn a_token_names_its_instance() {
        let at = |more: serde_json::Value| {
            let mut body = serde_json::json!({"role": "t", "publicKey": KEY, "token": true});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            field(Scope::Admin, "issue_credential", &body)
        };
        assert_eq!(at(serde_json::json!({})).as_deref(), Some("instanceId"));
        assert_eq!(at(serde_json::json!({"instanceId": "mcp"})), None);
        assert_eq!(at(serde_json::json!({"token": false})), None);
        let wrong = serde_json::json!({"instanceId": "mcp", "token": "yes"});
        assert_eq!(at(wrong).as_deref(), Some("token"));
    }

    #[test]
    fn each_credential_command_names_the_field_at_fault() {
        let (admin, own) = (Scope::Admin, Scope::Own);
        let cases = [
            (
                admin,
                "issue_credential",
                serde_json::json!({"role":"t","publicKey":"U"}),
                "publicKey",
            ),
            (
                admin,
                "issue_credential",
                serde_json::json!({"role":"t","publicKey":KEY.to_lowercase()}),
                "publicKey",
            ),
            (
                admin,
                "issue_credential",
                serde_json::json!({"role":"t","publicKey":KEY,"ttlS":0}),
                "ttlS",
            ),
            (
                admin,
                "issue_credential",
                serde_json::json!({"role":"t","publicKey":KEY,"ttlS":-1}),
                "ttlS",
            ),
            (
                admin,
                "issue_credential",
                serde_json::json!({"role":"t","publicKey":KEY,"scopes":["all"]}),
                "scopes",
            ),
            (admin, "revoke_credential", serde_json::json!({}), "role"),
            (
                admin,
                "revoke_credential",
                serde_json::json!({"instanceId":"pi"}),
                "role",
            ),
            (
                admin,
                "revoke_credential",
                serde_json::json!({"role":"t","publicKey":KEY}),
                "publicKey",
            ),
            (
                admin,
                "revoke_credential",
                serde_json::json!({"publicKey":"x"}),
                "publicKey",
            ),
            (
                own,
                "renew_credential",
                serde_json::json!({"publicKey":KEY,"proof":"","newPublicKey":"x"}),
                "newPublicKey",
            ),
            (
                own,
                "renew_credential",
                serde_json::json!({"publicKey":KEY}),
                "proof",
            ),
            (
                own,
                "end_credential",
                serde_json::json!({"publicKey":"x","proof":""}),
                "publicKey",
            ),
        ];
        for (scope, verb, body, expected) in cases {
            assert_eq!(
                field(scope, verb, &body).as_deref(),
                Some(expected),
                "{verb} {body}"
            );
        }
        assert_eq!(
            field(
                admin,
                "revoke_credential",
                &serde_json::json!({"publicKey":KEY})
            ),
            None
        );
        assert_eq!(
            field(
                admin,
                "revoke_credential",
                &serde_json::json!({"role":"t","instanceId":"pi"})
            ),
            None
        );
    }
}
