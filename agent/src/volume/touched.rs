//! What btrfs itself knows of changes: inodes by the transaction that changed them last. A search passes over all blocks of a tree
//! that are older, which are shared with what it was copied from.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::btrfs;
use super::search::{FIRST_FREE, INODE, Items, number as u64_at};
use crate::changes::{Narrowed, Touched};
use crate::system_error::{Doing, SystemError};

/// `_IOWR(BTRFS_IOCTL_MAGIC, 18, struct btrfs_ioctl_ino_lookup_args)`.
const INO_LOOKUP: libc::Ioctl = 0xd000_9412_u32 as libc::Ioctl;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 35, struct btrfs_ioctl_ino_path_args)`.
const INO_PATHS: libc::Ioctl = 0xc038_9423_u32 as libc::Ioctl;
/// Of a `struct btrfs_inode_item`: generation, transid, ... ; nlink is at 40, mode at 52.
const LINKS_AT: usize = 40;
const MODE_AT: usize = 52;
const INODE_BYTES: usize = 160;
/// Room for the paths of one inode, in bytes.
const PATHS_BYTES: usize = 64 << 10;
/// With more inodes that changed, looking each one up costs more than a walk, and memory.
const MAX_TOUCHED: usize = 1 << 20;

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
    let mut items = Items::of_inodes(tree, since + 1);
    while let Some(((number, kind, _), _, item)) = items.advance()? {
        if kind != INODE || item.len() < INODE_BYTES {
            continue;
        }
        let touched = Touched { made: u64_at(item, 0), changed: u64_at(item, 8) };
        if touched.changed > since {
            let is_directory = FileType::from_raw_mode(u32_at(item, MODE_AT)) == FileType::Directory;
            found.push(Inode { number, touched, links: u32_at(item, LINKS_AT), is_directory });
        }
        if found.len() > MAX_TOUCHED {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Where an inode is, from the tree's root: every name of a file.
fn paths(tree: BorrowedFd<'_>, inode: &Inode) -> Result<Vec<Vec<u8>>, Errno> {
    if inode.number == FIRST_FREE {
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

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_that_their_calls_name() {
        let size = |call: libc::Ioctl| (call >> 16 & 0x3fff) as usize;
        assert_eq!(size(INO_LOOKUP), size_of::<LookupArgs>());
        assert_eq!(size(INO_PATHS), size_of::<PathArgs>());
    }
}
