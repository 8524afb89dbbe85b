//! What of a tree's `.git` a comparison needs to know: where HEAD is, and which files git has taken in.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::content::read_whole;
use pyro_seed::places::Places;

/// Largest list of refs, and of files, that is read, in bytes.
const MAX_REFS_BYTES: u64 = 16 << 20;
const MAX_INDEX_BYTES: u64 = 256 << 20;
/// Of an entry of the index before its name (gitformat-index(5)): ten numbers, a SHA-1 and the flags.
const ENTRY_BYTES: usize = 62;
const NAME_AT: usize = 60;

/// A tree that has a repository at its top.
pub(super) struct Repository<'t> {
    root: BorrowedFd<'t>,
}

impl<'t> Repository<'t> {
    /// That of a tree, if it has one.
    pub(super) fn of(root: BorrowedFd<'t>) -> Option<Self> {
        statat(root, c".git/HEAD", AtFlags::SYMLINK_NOFOLLOW).is_ok().then_some(Self { root })
    }

    /// The commit that HEAD is, in hexadecimal; none: there is no commit yet, or it is not to be read.
    pub(super) fn head(&self) -> Option<String> {
        let head = self.text(b".git/HEAD")?;
        let Some(name) = head.strip_prefix("ref: ") else { return commit(&head) };
        if let Some(direct) = self.text(&[b".git/", name.as_bytes()].concat()) {
            return commit(&direct);
        }
        let packed = self.text(b".git/packed-refs")?;
        packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').and_then(commit))
    }

    /// The files that git has taken in, and the directories that they are in; none: it is no index that is understood.
    pub(super) fn tracked(&self) -> Option<HashSet<Vec<u8>>> {
        index(&self.bytes(b".git/index", MAX_INDEX_BYTES)?)
    }

    /// The patterns that only this repository ignores.
    pub(super) fn exclude(&self) -> Option<Vec<u8>> {
        self.bytes(b".git/info/exclude", MAX_REFS_BYTES)
    }

    fn text(&self, path: &[u8]) -> Option<String> {
        let text = String::from_utf8(self.bytes(path, MAX_REFS_BYTES)?).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn bytes(&self, path: &[u8], limit: u64) -> Option<Vec<u8>> {
        read_file(self.root, path, limit).ok().flatten()
    }
}

/// A file of a tree, if it is one and not too long.
pub(super) fn read_file(root: BorrowedFd<'_>, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, Errno> {
    let mut places = Places::new(root);
    let (parent, name) = places.parent(path)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    if !is_file || stat.st_size.cast_unsigned() > limit {
        return Ok(None);
    }
    read_whole(&file, stat.st_size.cast_unsigned()).map(Some)
}

fn commit(text: &str) -> Option<String> {
    let is_name = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| text.to_owned())
}

/// The names in an index of version 2, 3 or 4 with SHA-1, and their directories.
fn index(bytes: &[u8]) -> Option<HashSet<Vec<u8>>> {
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let (version, count) = (number(4)?, number(8)?);
    if !bytes.starts_with(b"DIRC") || !(2..=4).contains(&version) {
        return None;
    }
    let mut names = HashSet::new();
    let (mut at, mut last) = (12, Vec::new());
    for _ in 0..count {
        let is_extended = bytes.get(at + NAME_AT)? & 0x40 != 0;
        let mut name_at = at + ENTRY_BYTES + if is_extended { 2 } else { 0 };
        if version == 4 {
            let (gone, length) = varint(bytes.get(name_at..)?)?;
            last.truncate(last.len().checked_sub(gone)?);
            name_at += length;
        } else {
            last.clear();
        }
        let length = bytes.get(name_at..)?.iter().position(|byte| *byte == 0)?;
        last.extend(&bytes[name_at..name_at + length]);
        let end = name_at + length + 1;
        at = if version == 4 { end } else { at + (end - at).next_multiple_of(8) };
        for slash in (0..last.len()).filter(|slash| last[*slash] == b'/') {
            if !names.contains(&last[..slash]) {
                names.insert(last[..slash].to_vec());
            }
        }
        names.insert(last.clone());
    }
    Some(names)
}

/// A number as git's varint.c writes it, and its length.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = usize::from(*bytes.first()? & 0x7f);
    let mut length = 1;
    while bytes[length - 1] & 0x80 != 0 {
        value = (value.checked_add(1)?).checked_shl(7)? | usize::from(*bytes.get(length)? & 0x7f);
        length += 1;
    }
    Some((value, length))
}
