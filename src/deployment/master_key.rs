//! The key that wraps the tenants' data keys, and its text in a file.
//!
//! Never shows itself in `Debug`, and wipes itself from memory.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

const MASTER_KEY_BYTES: usize = 32;

/// The key that wraps the tenants' data keys.
#[derive(Clone)]
pub(crate) struct MasterKey(Zeroizing<[u8; MASTER_KEY_BYTES]>);

impl MasterKey {
    /// The bytes, for the one who seals with them.
    pub(crate) fn expose(&self) -> &[u8; MASTER_KEY_BYTES] {
        &self.0
    }

    /// A new one.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The text of its file.
    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        use fmt::Write as _;
        let mut hex = Zeroizing::new(String::with_capacity(MASTER_KEY_BYTES * 2 + 1));
        for byte in self.0.iter() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// Reads it as hexadecimal digits or as base64, with or without padding, of either alphabet.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if let Some(key) = Self::from_hex(text) {
            return Some(key);
        }
        let unpadded = text.trim_end_matches('=');
        let decoded = [STANDARD_NO_PAD, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(unpadded).ok());
        let decoded = Zeroizing::new(decoded?);
        let bytes = <[u8; MASTER_KEY_BYTES]>::try_from(decoded.as_slice()).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// Reads the text of its file.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != MASTER_KEY_BYTES * 2 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit())
        {
            return None;
        }
        let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[place * 2..place * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_after_its_text() {
        let key = MasterKey::generate().unwrap();
        let text = key.to_hex();
        assert_eq!(MasterKey::from_hex(&text).unwrap().expose(), key.expose());
        assert_eq!(
            MasterKey::from_hex(&text.to_uppercase()).unwrap().expose(),
            key.expose()
        );
        assert!(!format!("{key:?}").contains(text.as_str()));
    }

    #[test]
    fn a_text_of_another_length_or_alphabet_is_no_key() {
        for bad in [
            String::new(),
            "0".repeat(63),
            "0".repeat(66),
            "g".repeat(64),
            "é".repeat(32),
            "+0".repeat(32),
        ] {
            assert!(MasterKey::from_hex(&bad).is_none(), "{bad}");
        }
    }
}
