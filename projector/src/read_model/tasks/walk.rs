//! What is in several sets at once, in order of place. Blocks in which one of the sets has no member are leapt over, so a walk costs
//! blocks of the sparsest.

use super::bits::{BitsKey, Dim, TaskBits};
use crate::read_model::bits::{BLOCK, Bits, Place, place_in};
use crate::read_model::keys::RowKey as _;
use crate::read_model::table::TenantReader;
use crate::store::StoreError;

/// One set, and its first block that was not passed.
struct Ahead {
    dim: Dim,
    head: Head,
}

enum Head {
    Unread,
    At(u64, Bits),
    End,
}

impl Ahead {
    /// Passes what lies before `block`; answers which block it stands at then.
    fn seek(&mut self, rows: &TenantReader<'_>, block: u64) -> Result<Option<u64>, StoreError> {
        match &self.head {
            Head::At(at, _) if *at >= block => return Ok(Some(*at)),
            Head::End => return Ok(None),
            Head::Unread | Head::At(..) => {}
        }
        let key = |block| BitsKey(Some(self.dim.clone()), block).bytes();
        let after = block.checked_sub(1).map(key);
        let found = rows
            .list::<TaskBits>(&self.dim, after.as_deref())?
            .next()
            .transpose()?;
        self.head = match found {
            Some((BitsKey(_, at), TaskBits(bits))) => Head::At(at, bits),
            None => Head::End,
        };
        match self.head {
            Head::At(at, _) => Ok(Some(at)),
            Head::Unread | Head::End => Ok(None),
        }
    }
}

/// Sets one of which is enough.
struct Either(Vec<Ahead>);

impl Either {
    fn seek(&mut self, rows: &TenantReader<'_>, block: u64) -> Result<Option<u64>, StoreError> {
        let mut first = None;
        for ahead in &mut self.0 {
            if let Some(at) = ahead.seek(rows, block)? {
                first = Some(first.map_or(at, |known: u64| known.min(at)));
            }
        }
        Ok(first)
    }

    fn bits(&self, block: u64) -> Bits {
        let mut bits = Bits::default();
        for ahead in &self.0 {
            if let Head::At(at, members) = &ahead.head
                && *at == block
            {
                bits.insert_all(members, Place::FIRST);
            }
        }
        bits
    }
}

/// Places that are in one of the sets of each group, in order.
pub(super) struct Walk<'r, 's> {
    rows: &'r TenantReader<'s>,
    groups: Vec<Either>,
    /// The block at hand, and what of it is shared.
    block: Option<(u64, Bits)>,
    /// The first place that was not looked at; none at the end.
    next: Option<u64>,
}

impl<'r, 's> Walk<'r, 's> {
    /// From `first` on. There is at least one group.
    pub(super) fn open(rows: &'r TenantReader<'s>, groups: Vec<Vec<Dim>>, first: u64) -> Self {
        let ahead = |dim| Ahead {
            dim,
            head: Head::Unread,
        };
        let group = |dims: Vec<Dim>| Either(dims.into_iter().map(ahead).collect());
        Self {
            rows,
            groups: groups.into_iter().map(group).collect(),
            block: None,
            next: Some(first),
        }
    }

    /// The next place.
    pub(super) fn next(&mut self) -> Result<Option<u64>, StoreError> {
        while let Some(next) = self.next {
            if self.block.is_none() {
                self.block = self.shared_from(next / BLOCK)?;
            }
            let Some((block, bits)) = &self.block else {
                self.next = None;
                break;
            };
            let found = place_in(*block, next).and_then(|from| bits.first_from(from));
            if let Some(found) = found {
                let place = block * BLOCK + found.offset();
                self.next = place.checked_add(1);
                return Ok(Some(place));
            }
            // The block's last place may be the last there is.
            self.next = (block * BLOCK).checked_add(BLOCK);
            self.block = None;
        }
        Ok(None)
    }

    /// The first block at or behind `block` in which something is shared, or in which all have members.
    fn shared_from(&mut self, block: u64) -> Result<Option<(u64, Bits)>, StoreError> {
        let mut at = block;
        loop {
            let mut furthest = at;
            for group in &mut self.groups {
                match group.seek(self.rows, furthest)? {
                    Some(found) => furthest = found,
                    None => return Ok(None),
                }
            }
            if furthest == at {
                break;
            }
            at = furthest;
        }
        let mut shared = self.groups.iter().map(|group| group.bits(at));
        let first = shared.next().unwrap_or_default();
        let bits = shared.fold(first, |mut bits, other| {
            bits.keep(&other);
            bits
        });
        Ok(Some((at, bits)))
    }
}
