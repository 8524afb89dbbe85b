//! What btrfs itself knows of changes: inodes by the transaction that changed them last. A search passes over all blocks of a tree
//! that are older, which are shared with what it was copied from.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::btrfs;
use crate::changes::{Narrowed, Touched};
use crate::system_error::{Doing, SystemError};

/// `_IOWR(BTRFS_IOCTL_MAGIC, 17, struct btrfs_ioctl_search_args_v2)`.
const TREE_SEARCH_V2: libc::Ioctl = 0xc070_9411_u32 as libc::Ioctl;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 18, struct btrfs_ioctl_ino_lookup_args)`.
const INO_LOOKUP: libc::Ioctl = 0xd000_9412_u32 as libc::Ioctl;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 35, struct btrfs_ioctl_ino_path_args)`.
const INO_PATHS: libc::Ioctl = 0xc038_9423_u32 as libc::Ioctl;
/// `BTRFS_INODE_ITEM_KEY`.
const INODE_ITEM: u32 = 1;
/// `struct btrfs_ioctl_search_header`: transid, objectid, offset, type, length.
const HEADER_BYTES: usize = 32;
/// Of a `struct btrfs_inode_item`: generation, transid, ... ; nlink is at 40, mode at 52.
const LINKS_AT: usize = 40;
const MODE_AT: usize = 52;
const INODE_BYTES: usize = 160;
/// What one search gives at most, in bytes.
const SEARCH_BYTES: usize = 256 << 10;
/// Largest inode number that is a file's (BTRFS_LAST_FREE_OBJECTID), and the first (BTRFS_FIRST_FREE_OBJECTID).
const LAST_INODE: u64 = u64::MAX - 256;
const FIRST_INODE: u64 = 256;
/// Room for the paths of one inode, in bytes.
const PATHS_BYTES: usize = 64 << 10;
/// With more inodes that changed, looking each one up costs more than a walk, and memory.
const MAX_TOUCHED: usize = 1 << 20;

/// `struct btrfs_ioctl_search_args_v2`, with its buffer.
#[repr(C)]
struct SearchArgs {
    tree_id: u64,
    min_objectid: u64,
    max_objectid: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: [u32; 9],
    buffer_bytes: u64,
    buffer: [u8; SEARCH_BYTES],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct LookupArgs {
    tree_id: u64,
    inode: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_ino_path_args`.
#[repr(C)]
struct PathArgs {
    inode: u64,
    size: u64,
    reserved: [u64; 4],
    container: u64,
}

/// An inode that was changed since.
struct Inode {
    number: u64,
    touched: Touched,
    links: u32,
    is_directory: bool,
}

/// Where two trees can differ that were copied from one which has not changed since transaction `since`; none: everywhere.
pub(super) fn narrow(since: u64, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<Option<Narrowed>, SystemError> {
    let mut narrowed = Narrowed { since, ..Narrowed::default() };
    for (tree, is_from) in [(from, true), (to, false)] {
        let Some(inodes) = touched(tree, since).doing(|| "search the workspace's tree")? else { return Ok(None) };
        for inode in &inodes {
            // What was made since is found in a directory that has changed.
            if inode.touched.made > since {
                continue;
            }
            match paths(tree, inode) {
                Ok(found) => found.iter().for_each(|path| narrowed.look_at(path, inode.is_directory)),
                // It is gone: it was open still.
                Err(Errno::NOENT) => {}
                // Longer than one call gives.
                Err(Errno::NAMETOOLONG | Errno::OVERFLOW) => return Ok(None),
                Err(errno) => return Err(errno).doing(|| "look up what has changed"),
            }
        }
        let map: HashMap<u64, Touched> = inodes.into_iter().map(|inode| (inode.number, inode.touched)).collect();
        *(if is_from { &mut narrowed.from } else { &mut narrowed.to }) = map;
    }
    Ok(Some(narrowed))
}

/// Inodes of a subvolume that were changed after transaction `since`; none: too many.
fn touched(tree: BorrowedFd<'_>, since: u64) -> Result<Option<Vec<Inode>>, Errno> {
    let mut found = Vec::new();
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: Box<SearchArgs> = unsafe { Box::<SearchArgs>::new_zeroed().assume_init() };
    let mut next = (FIRST_INODE, 0, 0);
    loop {
        (arguments.min_objectid, arguments.min_type, arguments.min_offset) = next;
        (arguments.max_objectid, arguments.max_type, arguments.max_offset) = (LAST_INODE, u32::MAX, u64::MAX);
        (arguments.min_transid, arguments.max_transid) = (since + 1, u64::MAX);
        (arguments.items, arguments.buffer_bytes) = (u32::MAX, SEARCH_BYTES as u64);
        // SAFETY: TREE_SEARCH_V2 reads and writes a btrfs_ioctl_search_args_v2, and no more than `buffer_bytes` after it.
        btrfs::checked(unsafe { libc::ioctl(tree.as_raw_fd(), TREE_SEARCH_V2, &raw mut *arguments) })?;
        if arguments.items == 0 {
            return Ok(Some(found));
        }
        let mut at = 0;
        for _ in 0..arguments.items {
            let header = arguments.buffer.get(at..at + HEADER_BYTES).ok_or(Errno::IO)?;
            let (number, offset) = (u64_at(header, 8), u64_at(header, 16));
            let (kind, length) = (u32_at(header, 24), u32_at(header, 28) as usize);
            let item = arguments.buffer.get(at + HEADER_BYTES..at + HEADER_BYTES + length).ok_or(Errno::IO)?;
            if kind == INODE_ITEM && length >= INODE_BYTES {
                let touched = Touched { made: u64_at(item, 0), changed: u64_at(item, 8) };
                if touched.changed > since {
                    let is_directory = FileType::from_raw_mode(u32_at(item, MODE_AT)) == FileType::Directory;
                    found.push(Inode { number, touched, links: u32_at(item, LINKS_AT), is_directory });
                }
            }
            at += HEADER_BYTES + length;
            next = after(number, kind, offset);
        }
        if found.len() > MAX_TOUCHED {
            return Ok(None);
        }
    }
}

/// The key that follows.
fn after(objectid: u64, kind: u32, offset: u64) -> (u64, u32, u64) {
    match (offset.checked_add(1), kind.checked_add(1)) {
        (Some(offset), _) => (objectid, kind, offset),
        (None, Some(kind)) if kind <= 255 => (objectid, kind, 0),
        _ => (objectid + 1, 0, 0),
    }
}

/// Where an inode is, from the tree's root: every name of a file.
fn paths(tree: BorrowedFd<'_>, inode: &Inode) -> Result<Vec<Vec<u8>>, Errno> {
    if inode.number == FIRST_INODE {
        return Ok(vec![Vec::new()]);
    }
    if inode.links > 1 && !inode.is_directory {
        return all_paths(tree, inode.number);
    }
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: LookupArgs = unsafe { std::mem::zeroed() };
    arguments.inode = inode.number;
    // SAFETY: INO_LOOKUP reads and writes a btrfs_ioctl_ino_lookup_args.
    btrfs::checked(unsafe { libc::ioctl(tree.as_raw_fd(), INO_LOOKUP, &raw mut arguments) })?;
    let name = CStr::from_bytes_until_nul(&arguments.name).map_err(|_| Errno::NAMETOOLONG)?.to_bytes();
    Ok(vec![name.strip_suffix(b"/").unwrap_or(name).to_vec()])
}

fn all_paths(tree: BorrowedFd<'_>, number: u64) -> Result<Vec<Vec<u8>>, Errno> {
    // `struct btrfs_data_container`: bytes_left, bytes_missing, elem_cnt, elem_missed, and offsets from its end.
    let mut container = vec![0_u64; PATHS_BYTES / 8];
    let arguments = PathArgs {
        inode: number,
        size: PATHS_BYTES as u64,
        reserved: [0; 4],
        container: container.as_mut_ptr() as u64,
    };
    // SAFETY: INO_PATHS reads a btrfs_ioctl_ino_path_args and writes `size` bytes where it says, which `container` has.
    btrfs::checked(unsafe { libc::ioctl(tree.as_raw_fd(), INO_PATHS, &raw const arguments) })?;
    let bytes: Vec<u8> = container.iter().flat_map(|number| number.to_ne_bytes()).collect();
    if u32_at(&bytes, 12) > 0 {
        return Err(Errno::OVERFLOW);
    }
    let values = bytes.get(16..).ok_or(Errno::IO)?;
    (0..u32_at(&bytes, 8) as usize)
        .map(|at| {
            let offset = usize::try_from(u64_at(values, at * 8)).map_err(|_| Errno::IO)?;
            let text = values.get(offset..).ok_or(Errno::IO)?;
            CStr::from_bytes_until_nul(text).map(|path| path.to_bytes().to_vec()).map_err(|_| Errno::IO)
        })
        .collect()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_that_their_calls_name() {
        let size = |call: libc::Ioctl| (call >> 16 & 0x3fff) as usize;
        assert_eq!(size(TREE_SEARCH_V2), size_of::<SearchArgs>() - SEARCH_BYTES);
        assert_eq!(size(INO_LOOKUP), size_of::<LookupArgs>());
        assert_eq!(size(INO_PATHS), size_of::<PathArgs>());
    }

    #[test]
    fn a_search_goes_on_behind_the_last_key() {
        assert_eq!(after(300, 1, 7), (300, 1, 8));
        assert_eq!(after(300, 1, u64::MAX), (300, 2, 0));
        assert_eq!(after(300, 255, u64::MAX), (301, 0, 0));
    }
}
