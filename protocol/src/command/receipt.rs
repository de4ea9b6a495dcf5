//! Receipt ids: opaque, and readable only for the reader whose receipt it is.

use crate::event::EventKey;
use crate::id::Reader;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// What every receipt id begins with: it is recognised as one, and never looks like an option of a
/// command line, as base64 may.
const PREFIX: &str = "rcpt-";

/// The opaque id of one reader's receipt of one message. Nobody else's receipt can be named by it.
pub fn receipt_id(message: EventKey, reader: &Reader) -> String {
    let mut bytes = message.as_bytes().to_vec();
    bytes.extend_from_slice(&reader_mark(message, reader));
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// The message of a receipt id, when it is `reader`'s.
pub fn parse_receipt_id(text: &str, reader: &Reader) -> Option<EventKey> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text.strip_prefix(PREFIX)?)
        .ok()?;
    let (key, mark) = bytes.split_at_checked(16)?;
    let key = EventKey::from_bytes(key.try_into().ok()?);
    (mark == reader_mark(key, reader)).then_some(key)
}

fn reader_mark(message: EventKey, reader: &Reader) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("postroad 2026 receipt id");
    let parts: [&[u8]; 3] = [
        message.as_bytes(),
        reader.role.as_str().as_bytes(),
        reader.instance.as_str().as_bytes(),
    ];
    hasher.update(&crate::seal::context_of(&parts));
    let mut mark = [0; 8];
    mark.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{InstanceId, Role};

    #[test]
    fn a_receipt_id_reads_only_for_its_reader() {
        let reader = |instance| Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse(instance).unwrap(),
        };
        let key = EventKey::from_bytes([7; 16]);
        let id = receipt_id(key, &reader("a"));
        assert_eq!(parse_receipt_id(&id, &reader("a")), Some(key));
        assert_eq!(parse_receipt_id(&id, &reader("b")), None);
        assert_eq!(parse_receipt_id("rcpt-xyz", &reader("a")), None);
        assert_eq!(parse_receipt_id(&id[PREFIX.len()..], &reader("a")), None);
    }
}
