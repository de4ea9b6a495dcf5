//! One block of a term's postings: which documents of a range hold it, and how often.
//!
//! A block holds the documents whose numbers have the same quotient by [`BLOCK_DOCUMENTS`], in order, each as two varints
//! (LEB128): distance from the one before (from the block's first number at the start), then how often the term occurs. So
//! the bytes depend on nothing but what is in them, and a document that comes or goes touches one block of each of its terms.

use crate::Damaged;

/// How many document numbers a block spans.
pub const BLOCK_DOCUMENTS: u32 = 512;

/// How often one document holds a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The document's number within its block.
    pub offset: u32,
    /// How often the term occurs in it, at least once.
    pub count: u32,
}

/// Calls `visit` for each posting of a block, in order.
pub fn each(mut block: &[u8], mut visit: impl FnMut(Posting)) -> Result<(), Damaged> {
    let mut next = 0_u32;
    while !block.is_empty() {
        let offset = varint(&mut block)?
            .checked_add(next)
            .filter(|offset| *offset < BLOCK_DOCUMENTS)
            .ok_or(Damaged::Postings)?;
        let count = varint(&mut block)?;
        if count == 0 {
            return Err(Damaged::Postings);
        }
        visit(Posting { offset, count });
        next = offset + 1;
    }
    Ok(())
}

/// The block with `offset` set to `count`, or without `offset` where `count` is 0. An empty block is empty bytes.
pub fn set(block: &[u8], offset: u32, count: u32) -> Result<Vec<u8>, Damaged> {
    let mut behind = 0;
    each(block, |posting| behind = posting.offset + 1)?;
    // Numbers ascend: nearly every document stands behind the others.
    if offset >= behind && count > 0 {
        let mut bytes = Vec::with_capacity(block.len() + 4);
        bytes.extend_from_slice(block);
        put_varint(&mut bytes, offset - behind);
        put_varint(&mut bytes, count);
        return Ok(bytes);
    }
    let mut postings = Vec::new();
    each(block, |posting| postings.push(posting))?;
    let place = postings.binary_search_by_key(&offset, |posting| posting.offset);
    match (place, count) {
        (Ok(at), 0) => drop(postings.remove(at)),
        (Ok(at), _) => postings[at].count = count,
        (Err(_), 0) => {}
        (Err(at), _) => postings.insert(at, Posting { offset, count }),
    }
    let mut bytes = Vec::with_capacity(postings.len() * 2);
    let mut next = 0;
    for posting in postings {
        put_varint(&mut bytes, posting.offset - next);
        put_varint(&mut bytes, posting.count);
        next = posting.offset + 1;
    }
    Ok(bytes)
}

fn varint(bytes: &mut &[u8]) -> Result<u32, Damaged> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (first, rest) = bytes.split_first().ok_or(Damaged::Postings)?;
        *bytes = rest;
        let low = u32::from(first & 0x7f);
        if low << shift >> shift != low {
            return Err(Damaged::Postings);
        }
        value |= low << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Damaged::Postings)
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_two_bytes_a_usual_posting() {
        let mut block = Vec::new();
        for offset in [7, 3, 511] {
            block = set(&block, offset, 2).unwrap();
        }
        // 3; 3 further, less one; 503 further in two bytes.
        assert_eq!(block, [3, 2, 3, 2, 0xf7, 0x03, 2]);
        assert_eq!(
            set(&set(&set(&block, 3, 0).unwrap(), 511, 0).unwrap(), 7, 0).unwrap(),
            [0_u8; 0]
        );
    }

    #[test]
    fn bytes_that_are_no_block_are_refused() {
        for bytes in [
            &[1][..],
            &[1, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xff, 0x7f, 1],
            &[5, 1, 0xff, 3, 1],
        ] {
            assert_eq!(each(bytes, |_| ()), Err(Damaged::Postings), "{bytes:?}");
        }
    }
}
