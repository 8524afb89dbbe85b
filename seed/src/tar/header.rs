//! One header block (POSIX.1-2017 pax "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").

use super::number::{signed, unsigned};

pub(super) const BLOCK_BYTES: u64 = 512;
/// Sparse parts that a header of GNU's has room for.
const SPARSE_PARTS: usize = 4;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Sparse,
    Link,
    Symlink,
    Directory,
    /// A device or a fifo.
    Special,
    Pax,
    GlobalPax,
    LongName,
    LongLink,
    /// A volume's label, which is no file.
    Label,
}

pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) seconds: i64,
    /// Of GNU's old sparse files: offsets and lengths, whether more follow, and the length with the holes.
    pub(super) sparse: Vec<(u64, u64)>,
    pub(super) is_extended: bool,
    pub(super) real_size: u64,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK_BYTES as usize]) -> Result<Self, &'static str> {
        if unsigned(&block[148..156]) != Some(checksum(block)) {
            return Err("a header's checksum is wrong");
        }
        let kind = match block[156] {
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::Link,
            b'2' => Kind::Symlink,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' | b'D' => Kind::Directory,
            b'S' => Kind::Sparse,
            b'x' | b'X' => Kind::Pax,
            b'g' => Kind::GlobalPax,
            b'L' => Kind::LongName,
            b'K' => Kind::LongLink,
            b'V' => Kind::Label,
            _ => return Err("an entry of a kind that is not known"),
        };
        let number = |from: usize, to: usize| unsigned(&block[from..to]).ok_or("a header's number is none");
        let name = text(block[..100].to_vec());
        let prefix = text(block[345..500].to_vec());
        // GNU has other things in the prefix's place, and another magic.
        let is_posix = &block[257..263] == b"ustar\0";
        let name = if is_posix && !prefix.is_empty() { [&prefix[..], b"/", &name].concat() } else { name };
        let is_sparse = kind == Kind::Sparse;
        Ok(Self {
            kind,
            name,
            link: text(block[157..257].to_vec()),
            mode: u32::try_from(number(100, 108)? & 0o7777).unwrap_or(0),
            uid: number(108, 116)?,
            gid: number(116, 124)?,
            size: number(124, 136)?,
            seconds: signed(&block[136..148]).ok_or("a header's time is none")?,
            sparse: if is_sparse { parts(&block[386..482], SPARSE_PARTS)? } else { Vec::new() },
            is_extended: is_sparse && block[482] != 0,
            real_size: if is_sparse { number(483, 495)? } else { 0 },
        })
    }
}

/// Up to `count` pairs of an offset and a length, ended by an empty one.
pub(super) fn parts(field: &[u8], count: usize) -> Result<Vec<(u64, u64)>, &'static str> {
    let mut found = Vec::new();
    for part in field.chunks_exact(24).take(count).take_while(|part| part[0] != 0) {
        let number = |field| unsigned(field).ok_or("a sparse file's map is none");
        found.push((number(&part[..12])?, number(&part[12..])?));
    }
    Ok(found)
}

/// The sum of all bytes, with blanks in the checksum's own place.
fn checksum(block: &[u8; BLOCK_BYTES as usize]) -> u64 {
    let own = 148..156;
    block.iter().enumerate().map(|(index, byte)| u64::from(if own.contains(&index) { b' ' } else { *byte })).sum()
}

/// What is before the first NUL.
pub(super) fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
