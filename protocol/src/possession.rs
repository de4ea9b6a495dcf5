//! Proof that whoever asks for something about a user key holds its seed: a signature over what is asked.
//! Bound to tenant, verb and command id, so that it proves nothing anywhere else, nor a second time.

use crate::id::{CommandId, TenantId, TimeMs};
use crate::seal::context_of;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;

/// The bytes that a proof signs.
fn statement(tenant: &TenantId, verb: &str, public_key: &str, id: CommandId) -> Vec<u8> {
    context_of(&[
        b"postroad 2026 possession",
        tenant.as_str().as_bytes(),
        verb.as_bytes(),
        public_key.as_bytes(),
        id.as_bytes(),
    ])
}

/// Signs with `key`; nothing when the pair holds no seed.
pub fn prove(key: &KeyPair, tenant: &TenantId, verb: &str, id: CommandId) -> Option<String> {
    let signature = key.sign(&statement(tenant, verb, &key.public_key(), id));
    Some(BASE64_URL_SAFE_NO_PAD.encode(signature.ok()?))
}

/// Whether `proof` was signed with the seed of `public_key`, for this tenant, verb and command.
pub fn is_proved(
    proof: &str,
    public_key: &str,
    tenant: &TenantId,
    verb: &str,
    id: CommandId,
) -> bool {
    is_signed(proof, public_key, &statement(tenant, verb, public_key, id))
}

/// How far the clocks of a gateway and an issuer may be apart, in milliseconds: a proof of another time is void.
pub const EXCHANGE_SKEW_MS: u64 = 120_000;

/// The bytes that the proof of an exchange signs: where it is to be answered, and when it was asked, so that
/// whoever overhears one can only have the same answer sent to the same place again, for a while.
fn exchange_statement(public_key: &str, reply: &str, at: TimeMs) -> Vec<u8> {
    context_of(&[
        b"postroad 2026 token exchange",
        public_key.as_bytes(),
        reply.as_bytes(),
        &at.0.to_be_bytes(),
    ])
}

/// Signs with the key of a token that a JWT for it is wanted at `reply`; nothing when the pair holds no seed.
pub fn prove_exchange(key: &KeyPair, reply: &str, at: TimeMs) -> Option<String> {
    let signature = key.sign(&exchange_statement(&key.public_key(), reply, at));
    Some(BASE64_URL_SAFE_NO_PAD.encode(signature.ok()?))
}

/// Whether `proof` was signed with the seed of `public_key`, to be answered at `reply`, at a time near `now`.
pub fn is_exchange_proved(
    proof: &str,
    public_key: &str,
    reply: &str,
    at: TimeMs,
    now: TimeMs,
) -> bool {
    at.0.abs_diff(now.0) <= EXCHANGE_SKEW_MS
        && is_signed(
            proof,
            public_key,
            &exchange_statement(public_key, reply, at),
        )
}

fn is_signed(proof: &str, public_key: &str, statement: &[u8]) -> bool {
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(proof) else {
        return false;
    };
    // An Ed25519 signature; the library must not be asked about anything else.
    signature.len() == 64
        && KeyPair::from_public_key(public_key)
            .is_ok_and(|key| key.verify(statement, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_key_tenant_verb_and_command() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let acme = TenantId::parse("acme").unwrap();
        let two = TenantId::parse("acme-two").unwrap();
        let (id, later) = (CommandId::generate(), CommandId::generate());
        let proof = prove(&key, &acme, "renew_credential", id).unwrap();
        let public = key.public_key();
        assert!(is_proved(&proof, &public, &acme, "renew_credential", id));
        assert!(!is_proved(
            &proof,
            &other.public_key(),
            &acme,
            "renew_credential",
            id
        ));
        assert!(!is_proved(&proof, &public, &two, "renew_credential", id));
        assert!(!is_proved(&proof, &public, &acme, "end_credential", id));
        assert!(!is_proved(
            &proof,
            &public,
            &acme,
            "renew_credential",
            later
        ));
    }

    #[test]
    fn an_exchange_is_proved_for_one_key_one_inbox_and_about_now() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user().public_key());
        let public = key.public_key();
        let (here, at) = ("_INBOX._sys.gateway.a", TimeMs(10_000_000));
        let proof = prove_exchange(&key, here, at).unwrap();
        let holds = |public: &str, reply: &str, said: u64, now: u64| {
            is_exchange_proved(&proof, public, reply, TimeMs(said), TimeMs(now))
        };
        for now in [
            10_000_000,
            10_000_000 - EXCHANGE_SKEW_MS,
            10_000_000 + EXCHANGE_SKEW_MS,
        ] {
            assert!(holds(&public, here, at.0, now), "{now}");
        }
        assert!(!holds(&public, here, at.0, at.0 + EXCHANGE_SKEW_MS + 1));
        assert!(!holds(&public, here, at.0 + 1, at.0));
        assert!(!holds(&public, "_INBOX._sys.gateway.b", at.0, at.0));
        assert!(!holds(&other, here, at.0, at.0));
        assert!(!holds("U", here, at.0, at.0));
        let acme = TenantId::parse("acme").unwrap();
        let id = CommandId::generate();
        assert!(!is_proved(&proof, &public, &acme, "renew_credential", id));
    }

    #[test]
    fn garbage_proves_nothing() {
        let key = KeyPair::new_user().public_key();
        let acme = TenantId::parse("acme").unwrap();
        let id = CommandId::generate();
        let zeroes = BASE64_URL_SAFE_NO_PAD.encode([0; 64]);
        for proof in ["", "?", "AAAA", &zeroes, &"A".repeat(10_000)] {
            assert!(!is_proved(proof, &key, &acme, "renew_credential", id));
            assert!(!is_proved(proof, "U", &acme, "renew_credential", id));
        }
        let public_only = KeyPair::from_public_key(&key).unwrap();
        assert_eq!(prove(&public_only, &acme, "renew_credential", id), None);
    }
}
