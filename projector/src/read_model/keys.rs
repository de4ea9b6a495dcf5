//! Keys: how their parts are written, so that they sort as their parts do, and read back. Owns
//! [`Prefix`], the owner's part of every key: the tenant's name and a zero byte that no name contains.

use crate::apply::Touched;
use postroad_protocol::event::{EventKey, TenantErased};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role};
use postroad_protocol::subject::Owner;
use postroad_protocol::tenancy::TenantScope;
use std::ops::Bound;

/// A key, or its first parts. Written so that keys sort as their parts do.
pub(crate) trait RowKey {
    fn write(&self, key: &mut Vec<u8>);

    fn bytes(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.write(&mut key);
        key
    }
}

/// A key that is read back when rows are listed.
pub(crate) trait ListedKey: RowKey + Sized {
    /// Takes this part off the front of `key`.
    fn read(key: &mut &[u8]) -> Option<Self>;
}

impl RowKey for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

/// A key's bytes as they are, or its rest.
impl RowKey for &[u8] {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self);
    }
}

impl RowKey for u64 {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.to_be_bytes());
    }
}

impl ListedKey for u64 {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(Self::from_be_bytes(*bytes))
    }
}

/// Writes a name, and the zero byte that ends it.
pub(crate) fn write_name(name: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(name.as_bytes());
    key.push(0);
}

/// Takes a name and its zero byte off the front of `key`.
pub(crate) fn read_name<'a>(key: &mut &'a [u8]) -> Option<&'a str> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (name, rest) = key.split_at(end);
    *key = rest.get(1..)?;
    std::str::from_utf8(name).ok()
}

impl RowKey for Role {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(self.as_str(), key);
    }
}

impl ListedKey for Role {
    fn read(key: &mut &[u8]) -> Option<Self> {
        Self::parse_stored(read_name(key)?).ok()
    }
}

impl RowKey for InstanceId {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(self.as_str(), key);
    }
}

impl ListedKey for InstanceId {
    fn read(key: &mut &[u8]) -> Option<Self> {
        Self::parse(read_name(key)?).ok()
    }
}

impl RowKey for Reader {
    fn write(&self, key: &mut Vec<u8>) {
        self.role.write(key);
        self.instance.write(key);
    }
}

impl ListedKey for Reader {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let role = Role::read(key)?;
        let instance = InstanceId::read(key)?;
        Some(Self { role, instance })
    }
}

impl RowKey for EventKey {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl RowKey for CommandId {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl ListedKey for CommandId {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(Self::from_bytes(*bytes))
    }
}

impl<A: RowKey, B: RowKey> RowKey for (A, B) {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
        self.1.write(key);
    }
}

impl<A: ListedKey, B: ListedKey> ListedKey for (A, B) {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let first = A::read(key)?;
        let second = B::read(key)?;
        Some((first, second))
    }
}

/// The owner's part of every key. Made from a scope, so a row function cannot be given a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix(Box<[u8]>);

impl Prefix {
    /// Rows of the tenant in `scope`.
    pub(crate) fn of(scope: &TenantScope) -> Self {
        Self::of_owner(scope.owner())
    }

    /// Rows of the deployment itself. No tenant's name begins with its underscore.
    pub(crate) fn system() -> Self {
        Self::of_owner(Owner::System)
    }

    /// Rows of a tenant that an event of the deployment's own says was erased: they are deleted, and
    /// never read.
    pub(super) fn of_erased(erased: &TenantErased) -> Self {
        Self::of_owner(Owner::Tenant(&erased.tenant))
    }

    /// Rows of the tenant that an applied batch touched, for whoever makes something of them in the background.
    pub(crate) fn of_touched(touched: &Touched) -> Self {
        let (Touched::Role(tenant, _) | Touched::Instance(tenant, _) | Touched::Broadcast(tenant)) =
            touched;
        Self::of_owner(Owner::Tenant(tenant))
    }

    fn of_owner(owner: Owner<'_>) -> Self {
        let mut key = Vec::new();
        write_name(owner.token(), &mut key);
        Self(key.into())
    }

    /// Takes the owner's part off the front of a stored key.
    pub(crate) fn read(key: &mut &[u8]) -> Option<Self> {
        let end = key.iter().position(|byte| *byte == 0)?;
        let (owner, rest) = key.split_at(end + 1);
        *key = rest;
        std::str::from_utf8(owner).ok()?;
        Some(Self(owner.into()))
    }

    /// The owner's name.
    pub(crate) fn owner(&self) -> &str {
        let name = self.0.strip_suffix(&[0]).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    pub(crate) fn key(&self, key: &impl RowKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + 48);
        self.write_key(key, &mut bytes);
        bytes
    }

    pub(crate) fn write_key(&self, key: &impl RowKey, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
        key.write(bytes);
    }

    /// The range of keys that begin with `under`, from behind `after`, which is such a key's rest.
    pub(crate) fn range(
        &self,
        under: &impl RowKey,
        after: Option<&[u8]>,
    ) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let first = self.key(under);
        let end = successor(&first);
        let start = match after {
            None => Bound::Included(first),
            Some(rest) => Bound::Excluded([&self.0, rest].concat()),
        };
        (start, end)
    }

    /// The range of keys that begin with `under`, up to before `before`, which is such a key's rest.
    pub(crate) fn range_back(
        &self,
        under: &impl RowKey,
        before: Option<&[u8]>,
    ) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let (start, end) = self.range(under, None);
        let end = match before {
            None => end,
            Some(rest) => Bound::Excluded([&self.0, rest].concat()),
        };
        (start, end)
    }

    /// A row's own key without the owner's part.
    pub(crate) fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&*self.0)
    }
}

/// The range of keys that begin with `first`.
pub(crate) fn beginning_with(first: Vec<u8>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let end = successor(&first);
    (Bound::Included(first), end)
}

/// Behind every key that begins with `first`.
pub(super) fn successor(first: &[u8]) -> Bound<Vec<u8>> {
    let mut end = first.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_reads_as_the_beginning_of_another() {
        let role = |name| Role::parse(name).unwrap();
        let range = Prefix::system().range(&role("tau"), None);
        let inside = Prefix::system().key(&(role("tau"), 7));
        let beside = Prefix::system().key(&(role("tau-2"), 7));
        let holds = |key: &Vec<u8>| std::ops::RangeBounds::contains(&range, key);
        assert!(holds(&inside) && !holds(&beside));
    }

    #[test]
    fn the_range_of_a_prefix_of_last_bytes_has_an_end() {
        assert_eq!(successor(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(successor(&[255]), Bound::Unbounded);
    }
}
