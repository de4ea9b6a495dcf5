//! Seals events and data keys: XChaCha20-Poly1305, a random nonce each time, everything that is
//! stored beside the payload bound as associated data. Owns secrets in memory; stores nothing.

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// A seal that does not open: another key, a changed byte, or another place than it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not open: wrong key, changed bytes, or moved from where it was written")]
pub struct SealBroken;

/// The deployment's master key: wraps data keys and derives tags; never seals an event itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

/// One data key of a tenant, or of the system.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(secret)")
    }
}

/// Which data key sealed an event: the generation of the tenant's name, and the key's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId {
    /// Counts how often the tenant's name was created.
    pub generation: u32,
    /// Counts rotations inside a generation, from 1.
    pub number: u32,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.number)
    }
}

impl KeyId {
    /// Reads `generation.number`.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, number) = text.split_once('.')?;
        Some(Self {
            generation: generation.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// How far the life of an owner has come, as the keys stream tells it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is there.
    #[default]
    Live,
    /// Its erase began: nothing is sealed for it any more, and nobody is served.
    Closing,
    /// Its keys are destroyed; what its hosts still hold of it is on its way out.
    Destroyed,
    /// Nothing of it is left. The name may be created again, as the next generation.
    Erased,
}

impl Stage {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    fn is_live(&self) -> bool {
        *self == Self::Live
    }
}

/// A wrapped data key as it is kept in the keys stream; also the record of the tenant's shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// Which key.
    pub key: KeyId,
    /// The shard in which the owner lives.
    pub shard: u16,
    /// The key, sealed under the master key.
    #[serde(with = "serde_bytes")]
    pub wrapped: Vec<u8>,
    /// How far the owner's life has come; a record that is not live holds no key.
    #[serde(default, skip_serializing_if = "Stage::is_live")]
    pub stage: Stage,
}

impl KeyRecord {
    /// The record that `owner`'s life has come to `stage`, whose last key was `key`.
    pub fn ending(key: KeyId, shard: u16, stage: Stage) -> Self {
        Self {
            key,
            shard,
            wrapped: Vec::new(),
            stage,
        }
    }
}

impl MasterKey {
    /// A random master key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// From 32 bytes read from a file or an environment variable.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for storing.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for another purpose, from which this one cannot be found.
    pub fn derive(&self, purpose: &'static str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }

    /// Makes the record of a fresh data key of `owner`.
    pub fn wrap(&self, owner: &str, key: KeyId, shard: u16, data: &DataKey) -> KeyRecord {
        let wrapping = self.derive("postroad 2026 data key wrapping");
        let wrapped = seal_bytes(&wrapping, &wrap_context(owner, key, shard), &data.0);
        KeyRecord {
            key,
            shard,
            wrapped,
            stage: Stage::Live,
        }
    }

    /// Opens a record that was kept for `owner`.
    ///
    /// # Errors
    /// [`SealBroken`] for another master key, another owner or a damaged record.
    pub fn unwrap(&self, owner: &str, record: &KeyRecord) -> Result<DataKey, SealBroken> {
        let wrapping = self.derive("postroad 2026 data key wrapping");
        let mut bytes = open_bytes(
            &wrapping,
            &wrap_context(owner, record.key, record.shard),
            &record.wrapped,
        )?;
        let key = <[u8; 32]>::try_from(bytes.as_slice())
            .map(DataKey)
            .map_err(|_| SealBroken);
        bytes.zeroize();
        key
    }
}

impl DataKey {
    /// A random data key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// Seals `plain` for the place that `context` describes.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        seal_bytes(&self.0, context, plain)
    }

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// [`SealBroken`].
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        open_bytes(&self.0, context, sealed)
    }
}

fn wrap_context(owner: &str, key: KeyId, shard: u16) -> Vec<u8> {
    context_of(&[
        owner.as_bytes(),
        &key.generation.to_be_bytes(),
        &key.number.to_be_bytes(),
        &shard.to_be_bytes(),
    ])
}

/// Joins parts so that no two lists of parts read alike.
pub(crate) fn context_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        joined.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A nonce that never comes again: of 24 bytes, random ones do not. The thread's generator is seeded
/// by the operating system, which is not asked for each event.
fn nonce() -> [u8; NONCE_BYTES] {
    rand::random()
}

/// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key derived from the first 16 bytes of the nonce,
/// with the other eight as its own nonce behind four zero bytes (draft-irtf-cfrg-xchacha, part 2.3).
fn cipher(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (for_key, for_nonce) = nonce.split_first_chunk::<16>().expect("24 is more than 16");
    let mut derived = <[u8; 32]>::from(hchacha::<R20>(key.into(), for_key.into()));
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &derived);
    derived.zeroize();
    let mut inner = [0; 12];
    inner[4..].copy_from_slice(for_nonce);
    (
        LessSafeKey::new(unbound.expect("32 bytes are a key of this cipher")),
        Nonce::assume_unique_for_key(inner),
    )
}

/// The nonce, the encrypted bytes and the tag.
fn seal_bytes(key: &[u8; 32], context: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce = nonce();
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let (cipher, inner) = cipher(key, &nonce);
    let tag = cipher
        .seal_in_place_separate_tag(inner, Aad::from(context), &mut sealed[NONCE_BYTES..])
        .expect("payloads are far below the cipher's limit of 256 GiB");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn open_bytes(key: &[u8; 32], context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
    let (nonce, body) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(SealBroken)?;
    let (cipher, inner) = cipher(key, nonce);
    let mut plain = body.to_vec();
    let opened = cipher.open_in_place(inner, Aad::from(context), &mut plain);
    let length = opened.map_err(|_| SealBroken)?.len();
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use chacha20poly1305::{XChaCha20Poly1305, XNonce};
    use proptest::prelude::*;

    proptest! {
        /// What is in the logs was, and will be, sealed by whatever implements the cipher best.
        #[test]
        fn another_implementation_opens_our_seals_and_makes_seals_that_open(
            key: [u8; 32],
            nonce: [u8; NONCE_BYTES],
            context: Vec<u8>,
            plain in proptest::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let other = XChaCha20Poly1305::new(&key.into());
            let ours = seal_bytes(&key, &context, &plain);
            let (ours_nonce, body) = ours.split_first_chunk::<NONCE_BYTES>().unwrap();
            let payload = Payload { msg: body, aad: &context };
            let opened = other.decrypt(&XNonce::from(*ours_nonce), payload);
            prop_assert_eq!(opened.as_deref(), Ok(plain.as_slice()));
            let payload = Payload { msg: &plain, aad: &context };
            let theirs = other.encrypt(&XNonce::from(nonce), payload).unwrap();
            let theirs = [nonce.as_slice(), &theirs].concat();
            prop_assert_eq!(open_bytes(&key, &context, &theirs), Ok(plain));
        }
    }

    #[test]
    fn a_seal_opens_only_where_it_was_made_and_unchanged() {
        let key = DataKey::generate();
        let sealed = key.seal(b"here", b"content");
        assert_eq!(key.open(b"here", &sealed).unwrap(), b"content");
        assert_eq!(key.open(b"there", &sealed), Err(SealBroken));
        assert_eq!(DataKey::generate().open(b"here", &sealed), Err(SealBroken));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"here", &flipped), Err(SealBroken), "bit {bit}");
        }
        assert_eq!(key.open(b"here", &sealed[..20]), Err(SealBroken));
    }

    #[test]
    fn a_wrapped_key_belongs_to_its_owner_and_master() {
        let (master, data) = (MasterKey::generate(), DataKey::generate());
        let id = KeyId {
            generation: 1,
            number: 1,
        };
        let record = master.wrap("acme", id, 0, &data);
        let sealed = data.seal(b"x", b"y");
        assert_eq!(
            master
                .unwrap("acme", &record)
                .unwrap()
                .open(b"x", &sealed)
                .unwrap(),
            b"y"
        );
        assert!(master.unwrap("globex", &record).is_err());
        assert!(MasterKey::generate().unwrap("acme", &record).is_err());
        assert_eq!(
            format!("{master:?} {data:?}"),
            "MasterKey(secret) DataKey(secret)"
        );
    }
}
