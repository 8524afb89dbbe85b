//! What a directory has in either of two trees, side by side.

use std::os::fd::BorrowedFd;

use rustix::fs::Dir;
use rustix::io::Errno;

/// The same of both trees.
#[derive(Clone, Copy)]
pub(super) struct Both<T> {
    pub(super) from: Option<T>,
    pub(super) to: Option<T>,
}

/// A name in a directory of either tree, with its inode's number in each.
pub(super) struct Name {
    pub(super) name: Vec<u8>,
    pub(super) inodes: Both<u64>,
}

/// The names of a directory in either tree, in the order of their bytes.
pub(super) fn names(holder: Both<BorrowedFd<'_>>) -> Result<Vec<Name>, Errno> {
    let (from, to) = (list(holder.from)?, list(holder.to)?);
    let mut all = Vec::with_capacity(from.len().max(to.len()));
    let (mut left, mut right) = (from.into_iter().peekable(), to.into_iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (None, None) => return Ok(all),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let old = if next.is_le() { left.next() } else { None };
        let new = if next.is_ge() { right.next() } else { None };
        let inodes = Both { from: old.as_ref().map(|each| each.1), to: new.as_ref().map(|each| each.1) };
        if let Some((name, _)) = old.or(new) {
            all.push(Name { name, inodes });
        }
    }
}

fn list(holder: Option<BorrowedFd<'_>>) -> Result<Vec<(Vec<u8>, u64)>, Errno> {
    let Some(holder) = holder else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in Dir::read_from(holder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((name.to_vec(), entry.ino()));
        }
    }
    names.sort_unstable();
    Ok(names)
}
