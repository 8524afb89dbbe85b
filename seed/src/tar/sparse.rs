//! The maps of sparse files (GNU tar manual, "Storing Sparse Files"): the old one in the header, and the pax ones 0.0, 0.1, 1.0.

use super::Refusal;
use super::header::{BLOCK_BYTES, parts};
use super::number::decimal;
use super::pax::Records;

/// Sparse parts in a block that goes on with a header's.
const EXTENSION_PARTS: usize = 21;
/// Most parts of one file.
const MAX_PARTS: u64 = 1 << 20;

/// Offsets in the file, and lengths.
type Map = Vec<(u64, u64)>;

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it is in the file.
    pub(super) offset: u64,
    /// Where it is in the archive.
    pub(super) position: u64,
    pub(super) length: u64,
}

/// Adds the parts of a block that goes on with a header's; whether there is one more.
pub(super) fn extension(block: &[u8; BLOCK_BYTES as usize], map: &mut Map) -> Result<bool, Refusal> {
    map.extend(parts(&block[..504], EXTENSION_PARTS)?);
    if map.len() as u64 > MAX_PARTS { Err(too_many()) } else { Ok(block[504] != 0) }
}

/// The map of the forms 0.0 and 0.1, with the file's length.
pub(super) fn of_records(records: &Records) -> Result<Option<(Map, u64)>, Refusal> {
    let Some(size) = records.number(b"GNU.sparse.size")? else { return Ok(None) };
    let numbers = match records.get(b"GNU.sparse.map") {
        Some(text) => text.split(|byte| *byte == b',').map(decimal).collect::<Option<Vec<_>>>().ok_or_else(wrong)?,
        None => records.sparse_parts.clone(),
    };
    if numbers.len() % 2 != 0 {
        return Err(wrong());
    }
    Ok(Some((numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), size)))
}

/// The length of a file in the form 1.0, whose map is in front of its data.
pub(super) fn real_size_of_1_0(records: &Records) -> Result<Option<u64>, Refusal> {
    match (records.number(b"GNU.sparse.major")?, records.number(b"GNU.sparse.minor")?) {
        (None, None) => Ok(None),
        (Some(1), Some(0)) => records.number(b"GNU.sparse.realsize")?.map(Some).ok_or_else(wrong),
        _ => Err("a sparse file in a form that is not known".to_owned()),
    }
}

/// Decimal numbers, each with a newline behind it, in whole blocks: how many parts, then each one's offset and length.
pub(super) fn map_of_data(
    mut block: impl FnMut() -> Result<[u8; BLOCK_BYTES as usize], Refusal>,
) -> Result<Map, Refusal> {
    let mut unread = Vec::new();
    let mut number = || -> Result<u64, Refusal> {
        loop {
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                return decimal(&line[..end]).ok_or_else(wrong);
            }
            // No number is longer.
            if unread.len() > 20 {
                return Err(wrong());
            }
            unread.extend(block()?);
        }
    };
    let count = number()?;
    if count > MAX_PARTS {
        return Err(too_many());
    }
    (0..count).map(|_| Ok((number()?, number()?))).collect()
}

/// Where the parts lie in the archive, where `stored` bytes of them begin at `position`.
pub(super) fn placed(map: &[(u64, u64)], size: u64, stored: u64, position: u64) -> Result<Vec<Extent>, Refusal> {
    let (mut end, mut used) = (0, 0_u64);
    let mut extents = Vec::new();
    for (offset, length) in map.iter().copied() {
        let next = offset.checked_add(length).filter(|next| offset >= end && *next <= size).ok_or_else(wrong)?;
        let at = position.checked_add(used).ok_or_else(wrong)?;
        if length > 0 {
            extents.push(Extent { offset, position: at, length });
        }
        (end, used) = (next, used.checked_add(length).ok_or_else(wrong)?);
    }
    // Lengths are signed for every file system.
    if used == stored && i64::try_from(size).is_ok() { Ok(extents) } else { Err(wrong()) }
}

fn wrong() -> Refusal {
    "a sparse file's map does not fit it".to_owned()
}

fn too_many() -> Refusal {
    format!("a sparse file has more than {MAX_PARTS} parts")
}
