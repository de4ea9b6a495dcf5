//! Opaque cursors: where a list goes on, bound to who was given it, for what, and in which log.
//! Owns their text; what a place means is the list's own business. A cursor is no secret and no
//! proof: a forged one only begins the forger's own list elsewhere.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{InstanceId, MessageId, Reader};
use postroad_protocol::query::bad_cursor;
use postroad_protocol::subject::{ALL_TENANTS, OPERATOR_ROLE};
use postroad_protocol::tenancy::TenantScope;

const VERSION: u8 = 1;
/// Version, kind, epoch.
const HEAD_BYTES: usize = 10;
const FINGERPRINT_BYTES: usize = 8;

/// Which list a cursor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unread messages; the place is a sequence.
    Check,
    /// History; the place is a sequence.
    List,
    /// Receipts of one message.
    Status(MessageId),
    /// Agents of one's tenant.
    Peers,
    /// A tenant's roster.
    Roster,
    /// Every tenant.
    Tenants,
    /// What every tenant used; the place is a tenant's name.
    Usage,
    /// A tenant's memories; the place is a sequence.
    Memories,
    /// Those of the shared library; the place is a sequence.
    Library,
    /// A tenant's tasks; the place is the priority's rank and an ordinal.
    Tasks,
    /// A tenant's missions; the place is an ordinal.
    Missions,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Check => b'c',
            Self::List => b'l',
            // Not `s`: those of an earlier layout did not carry the counts.
            Self::Status(_) => b'S',
            Self::Peers => b'p',
            Self::Roster => b'r',
            Self::Tenants => b't',
            Self::Usage => b'u',
            Self::Memories => b'm',
            Self::Library => b'L',
            Self::Tasks => b'k',
            Self::Missions => b'i',
        }
    }
}

/// Who is given a cursor, and for which tenant.
#[derive(Clone, Copy, Debug)]
struct Holder<'a> {
    tenant: &'a str,
    role: &'a str,
    instance: &'a str,
}

impl<'a> Holder<'a> {
    fn agent(scope: &'a TenantScope, reader: &'a Reader) -> Self {
        Self {
            tenant: scope.tenant().as_str(),
            role: reader.role.as_str(),
            instance: reader.instance.as_str(),
        }
    }

    fn operator(scope: Option<&'a TenantScope>, operator: &'a InstanceId) -> Self {
        Self {
            tenant: scope.map_or(ALL_TENANTS, |scope| scope.tenant().as_str()),
            role: OPERATOR_ROLE,
            instance: operator.as_str(),
        }
    }
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    kind: Kind,
    epoch: u64,
    place: Box<[u8]>,
}

impl Cursor {
    /// At a sequence of the log that began at `epoch`.
    pub fn new(kind: Kind, epoch: u64, sequence: u64) -> Self {
        Self::at(kind, epoch, &sequence.to_be_bytes())
    }

    /// At the place that a page named as its next.
    pub fn at(kind: Kind, epoch: u64, place: &[u8]) -> Self {
        Self {
            kind,
            epoch,
            place: place.into(),
        }
    }

    /// The place, as the page named it.
    pub fn place(&self) -> &[u8] {
        &self.place
    }

    /// The sequence of a cursor that was made of one.
    ///
    /// # Errors
    /// `invalid_argument` when it was not.
    pub fn sequence(&self) -> Result<u64, Refusal> {
        <[u8; 8]>::try_from(&*self.place)
            .map(u64::from_be_bytes)
            .map_err(|_| bad_cursor())
    }

    /// The text that `reader` is given.
    pub fn encode(&self, scope: &TenantScope, reader: &Reader) -> String {
        self.write(Holder::agent(scope, reader))
    }

    /// The text that the operator is given, for one tenant or for all.
    pub fn encode_for_operator(
        &self,
        scope: Option<&TenantScope>,
        operator: &InstanceId,
    ) -> String {
        self.write(Holder::operator(scope, operator))
    }

    /// Reads what `reader` was given for the same list of the same log.
    ///
    /// # Errors
    /// [`bad_cursor`] for anything else.
    pub fn decode(
        text: &str,
        kind: Kind,
        epoch: u64,
        scope: &TenantScope,
        reader: &Reader,
    ) -> Result<Self, Refusal> {
        Self::read(text, kind, epoch, Holder::agent(scope, reader)).ok_or_else(bad_cursor)
    }

    /// Reads what the operator was given for the same list of the same log.
    ///
    /// # Errors
    /// [`bad_cursor`] for anything else.
    pub fn decode_for_operator(
        text: &str,
        kind: Kind,
        epoch: u64,
        scope: Option<&TenantScope>,
        operator: &InstanceId,
    ) -> Result<Self, Refusal> {
        Self::read(text, kind, epoch, Holder::operator(scope, operator)).ok_or_else(bad_cursor)
    }

    fn write(&self, holder: Holder<'_>) -> String {
        let mut bytes = vec![VERSION, self.kind.code()];
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.place);
        bytes.extend_from_slice(&self.fingerprint(holder));
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str, kind: Kind, epoch: u64, holder: Holder<'_>) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let place_bytes = rest.len().checked_sub(FINGERPRINT_BYTES)?;
        let (place, fingerprint) = rest.split_at(place_bytes);
        let cursor = Self::at(kind, epoch, place);
        let is_right = head[0] == VERSION
            && head[1] == kind.code()
            && head[2..] == epoch.to_be_bytes()
            && cursor.fingerprint(holder) == fingerprint;
        is_right.then_some(cursor)
    }

    /// Binds everything, the place too: a changed one is noticed as garbage would be.
    fn fingerprint(&self, holder: Holder<'_>) -> [u8; FINGERPRINT_BYTES] {
        let about = match self.kind {
            Kind::Status(message) => *message.as_bytes(),
            _ => [0; 16],
        };
        let code = [self.kind.code()];
        let epoch = self.epoch.to_be_bytes();
        let parts: [&[u8]; 7] = [
            &code,
            &about,
            &epoch,
            &self.place,
            holder.tenant.as_bytes(),
            holder.role.as_bytes(),
            holder.instance.as_bytes(),
        ];
        let mut hasher = blake3::Hasher::new_derive_key("postroad 2026 list cursor");
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..FINGERPRINT_BYTES]);
        fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reader, scope};
    use postroad_protocol::limits::CURSOR_MAX_CHARS;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_reads_only_where_and_for_whom_it_was_made() {
        let (acme, pi) = (scope("acme"), reader("tau/pi"));
        let text = Cursor::new(Kind::Check, 7, 42).encode(&acme, &pi);
        let decode = |kind, epoch, scope: &TenantScope, reader: &Reader| {
            Cursor::decode(&text, kind, epoch, scope, reader)
        };
        assert_eq!(
            decode(Kind::Check, 7, &acme, &pi)
                .unwrap()
                .sequence()
                .unwrap(),
            42
        );
        for foreign in [
            decode(Kind::List, 7, &acme, &pi),
            decode(Kind::Check, 8, &acme, &pi),
            decode(Kind::Check, 7, &scope("globex"), &pi),
            decode(Kind::Check, 7, &acme, &reader("tau/mac")),
        ] {
            assert_eq!(foreign.unwrap_err().field.as_deref(), Some("cursor"));
        }
        let instance = InstanceId::parse("cli").unwrap();
        let operator = Cursor::new(Kind::Roster, 7, 42).encode_for_operator(Some(&acme), &instance);
        let decode = |scope: Option<&TenantScope>| {
            Cursor::decode_for_operator(&operator, Kind::Roster, 7, scope, &instance)
        };
        assert!(decode(Some(&acme)).is_ok() && decode(None).is_err());
        assert!(Cursor::decode(&operator, Kind::Roster, 7, &acme, &pi).is_err());
    }

    #[test]
    fn a_status_cursor_belongs_to_its_message() {
        let (acme, pi) = (scope("acme"), reader("tau/pi"));
        let (one, other) = (MessageId::generate(), MessageId::generate());
        let text = Cursor::at(Kind::Status(one), 7, b"tau\0pi\0").encode(&acme, &pi);
        let decode = |message| Cursor::decode(&text, Kind::Status(message), 7, &acme, &pi);
        assert_eq!(decode(one).unwrap().place(), b"tau\0pi\0");
        assert!(decode(one).unwrap().sequence().is_err());
        assert!(decode(other).is_err());
    }

    #[test]
    fn the_longest_place_fits_the_longest_cursor() {
        // A credential in the roster: role, kind, instance, the beginning of its key. A receipt in a status
        // is shorter: three counts, role, instance.
        let longest = [b'a'; 64 + 1 + 1 + 64 + 1 + 40 + 1];
        let text =
            Cursor::at(Kind::Roster, u64::MAX, &longest).encode(&scope("acme"), &reader("tau/pi"));
        assert!(text.len() <= CURSOR_MAX_CHARS, "{}", text.len());
    }

    proptest! {
        #[test]
        fn garbage_and_changed_cursors_are_refused(text in "\\PC{0,60}", place in 0..40_usize, bit in 0..8_u8) {
            let (acme, pi) = (scope("acme"), reader("tau/pi"));
            let decode = |text: &str| Cursor::decode(text, Kind::Check, 7, &acme, &pi);
            prop_assert!(decode(&text).is_err());
            let good = Cursor::new(Kind::Check, 7, 42).encode(&acme, &pi);
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&good).unwrap();
            let place = place % bytes.len();
            bytes[place] ^= 1_u8 << bit;
            prop_assert!(decode(&BASE64_URL_SAFE_NO_PAD.encode(&bytes)).is_err());
        }
    }
}
