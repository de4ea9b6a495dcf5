//! The form that blocks of facts and of revisions share: up to 64 records of one length, by place. First a bit for each place
//! that has one, then the records in order. So the bytes depend on nothing but what is in them.

/// How many places a block has.
pub(crate) const BLOCK_PLACES: u32 = 64;

/// The bytes are no block of such records.
pub(crate) struct Malformed;

/// Calls `visit` with each place that has a record, in order.
pub(crate) fn each<const N: usize>(
    block: &[u8],
    mut visit: impl FnMut(u32, &[u8; N]),
) -> Result<(), Malformed> {
    let (mut present, records) = parts(block)?;
    for record in records {
        visit(present.trailing_zeros(), record);
        present &= present - 1;
    }
    Ok(())
}

/// The record at a place.
pub(crate) fn get<const N: usize>(block: &[u8], place: u32) -> Result<Option<&[u8; N]>, Malformed> {
    let (present, records) = parts(block)?;
    Ok(is_set(present, place).then(|| &records[rank(present, place)]))
}

/// The block with a place's record set, or without it. No bytes are the block that has none.
pub(crate) fn set<const N: usize>(
    block: &[u8],
    place: u32,
    record: Option<&[u8; N]>,
) -> Result<Vec<u8>, Malformed> {
    let (present, records): (_, &[[u8; N]]) = if block.is_empty() {
        (0, &[])
    } else {
        parts(block)?
    };
    let at = rank(present, place);
    let (before, behind) = records.split_at(at);
    let behind = &behind[usize::from(is_set(present, place))..];
    let bit = 1 << place;
    let present = if record.is_some() {
        present | bit
    } else {
        present & !bit
    };
    if present == 0 {
        return Ok(Vec::new());
    }
    Ok([
        &present.to_le_bytes()[..],
        before.as_flattened(),
        record.map_or(&[], |record| &record[..]),
        behind.as_flattened(),
    ]
    .concat())
}

/// Whether a place's bit is set.
pub(crate) fn is_set(present: u64, place: u32) -> bool {
    present >> place & 1 == 1
}

/// How many of the bits are set before a place's own.
pub(crate) fn rank(present: u64, place: u32) -> usize {
    (present & ((1 << place) - 1)).count_ones() as usize
}

fn parts<const N: usize>(block: &[u8]) -> Result<(u64, &[[u8; N]]), Malformed> {
    let (present, records) = block.split_first_chunk().ok_or(Malformed)?;
    let present = u64::from_le_bytes(*present);
    let (records, rest) = records.as_chunks();
    if rest.is_empty() && !records.is_empty() && records.len() == present.count_ones() as usize {
        Ok((present, records))
    } else {
        Err(Malformed)
    }
}
