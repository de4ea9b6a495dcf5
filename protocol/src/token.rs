//! A bearer token: an agent's credential as one short line of text, for callers that speak HTTP and no NATS.
//! Owns the text, its checksum and the key that derives from it. Never stored anywhere: the log has the public
//! key, as of every credential.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// What every token begins with, so that programs that look for leaked secrets know one.
pub const PREFIX: &str = "pr_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Bytes behind them that tell a slip of the pen from a token that nobody knows.
const CHECKSUM_BYTES: usize = 4;
/// Characters of a token: base64url of both, which comes out even.
pub const TEXT_BYTES: usize = PREFIX.len() + (SECRET_BYTES + CHECKSUM_BYTES) / 3 * 4;

/// Derives the seed of the user key.
const SEED_PURPOSE: &str = "postroad 2026 bearer token user seed";
/// Derives the checksum.
const CHECKSUM_PURPOSE: &str = "postroad 2026 bearer token checksum";

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It has not the form of one.
    #[error(
        "this is no token of Postroad: one has {TEXT_BYTES} characters and begins with `{PREFIX}`"
    )]
    Form,
    /// It looks like one, and its checksum does not fit.
    #[error("this token was not copied whole, or was changed")]
    Checksum,
}

/// A token. Whoever holds it is the agent it was issued to, so it never shows itself.
pub struct Token(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Makes one from the system's randomness.
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret).expect("the operating system gives random bytes");
        Self(secret)
    }

    /// Reads what [`Token::text`] gave.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let body = text
            .strip_prefix(PREFIX)
            .filter(|_| text.len() == TEXT_BYTES)
            .ok_or(InvalidToken::Form)?;
        let mut bytes = [0; SECRET_BYTES + CHECKSUM_BYTES];
        let read = BASE64_URL_SAFE_NO_PAD.decode_slice(body, &mut bytes);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&bytes[..SECRET_BYTES]);
        let is_whole = checksum(&secret) == bytes[SECRET_BYTES..];
        bytes.zeroize();
        match read {
            Err(_) => Err(InvalidToken::Form),
            Ok(_) if is_whole => Ok(Self(secret)),
            Ok(_) => Err(InvalidToken::Checksum),
        }
    }

    /// Its text, to be shown once and kept by its holder.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES + CHECKSUM_BYTES]);
        bytes[..SECRET_BYTES].copy_from_slice(&*self.0);
        bytes[SECRET_BYTES..].copy_from_slice(&checksum(&self.0));
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(PREFIX);
        BASE64_URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        text
    }

    /// The user key that derives from it. One cannot go back from the key to the token.
    pub fn key(&self) -> KeyPair {
        let seed = blake3::derive_key(SEED_PURPOSE, &*self.0);
        KeyPair::new_from_raw(KeyPairType::User, seed).expect("any 32 bytes are a seed")
    }
}

fn checksum(secret: &[u8; SECRET_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let digest = blake3::derive_key(CHECKSUM_PURPOSE, secret);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A token that was written down once: what derives from it may never change.
    const KNOWN: &str = "pr_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh95X7CV";
    const KNOWN_KEY: &str = "UDKWHMTORMNDN4NLRIE6VKARUYS57OYBQAR4Q2YXFN6F2XG3UCM72GLC";

    #[test]
    fn what_derives_from_a_token_never_changes() {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&(0..32).collect::<Vec<u8>>());
        let token = Token(secret);
        assert_eq!(token.text().as_str(), KNOWN);
        assert_eq!(token.key().public_key(), KNOWN_KEY);
        let again = Token::parse(KNOWN).unwrap();
        assert_eq!(again.key().public_key(), KNOWN_KEY);
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_no_two_are_alike() {
        let (one, two) = (Token::generate(), Token::generate());
        assert_eq!(one.text().len(), TEXT_BYTES);
        let again = Token::parse(&one.text()).unwrap();
        assert_eq!(again.key().public_key(), one.key().public_key());
        assert_ne!(two.key().public_key(), one.key().public_key());
        assert!(one.key().public_key().starts_with('U'));
        assert!(!format!("{one:?}").contains(&one.text()[PREFIX.len()..]));
    }

    #[test]
    fn every_slip_in_one_character_is_told() {
        let text = Token::generate().text();
        for at in PREFIX.len()..TEXT_BYTES {
            let mut slipped = text.as_bytes().to_vec();
            slipped[at] = if slipped[at] == b'A' { b'B' } else { b'A' };
            let slipped = String::from_utf8(slipped).unwrap();
            assert_eq!(
                Token::parse(&slipped).map(drop),
                Err(InvalidToken::Checksum),
                "{at}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = Token::generate().text();
        let longer = format!("{}A", good.as_str());
        let other = good.replacen("pr_", "xx_", 1);
        let spaced = format!("{} ", &good[..TEXT_BYTES - 1]);
        let plus = format!("{}+", &good[..TEXT_BYTES - 1]);
        for text in [
            "",
            "pr_",
            &good[..TEXT_BYTES - 1],
            &longer,
            &other,
            &spaced,
            &plus,
        ] {
            assert_eq!(
                Token::parse(text).map(drop),
                Err(InvalidToken::Form),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", body in "[A-Za-z0-9_-]{48}") {
            let _ = Token::parse(&text);
            let _ = Token::parse(&format!("{PREFIX}{body}"));
        }
    }
}
