//! Reading a btrfs tree's items in order, by ioctl (linux/btrfs_tree.h has their formats).

use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::btrfs::checked;

/// `_IOWR(BTRFS_IOCTL_MAGIC, 17, struct btrfs_ioctl_search_args_v2)`.
const TREE_SEARCH: libc::Ioctl = 0xc070_9411_u32 as libc::Ioctl;
/// What is read at once, in bytes. The largest item is smaller than a tree's node, which has 16 KiB.
const BUFFER_BYTES: usize = 32 << 10;
/// `struct btrfs_item`: what an item takes of its leaf besides its data, in bytes.
const ITEM_HEAD_BYTES: u64 = 25;
/// `BTRFS_ROOT_TREE_OBJECTID`: the tree of all subvolumes.
const ROOT_TREE: u64 = 1;
/// `BTRFS_ROOT_ITEM_KEY`.
const ROOT_ITEM: u8 = 132;
/// `BTRFS_EXTENT_DATA_KEY`.
const EXTENT_DATA: u8 = 108;
/// `BTRFS_FILE_EXTENT_INLINE`: the file's bytes lie in the item.
const INLINE: u8 = 0;
/// `BTRFS_INODE_ITEM_KEY`.
pub(super) const INODE: u8 = 1;
/// `BTRFS_FIRST_FREE_OBJECTID`, and `BTRFS_LAST_FREE_OBJECTID`, which is -256: numbers of subvolumes, and of inodes in one.
pub(super) const FIRST_FREE: u64 = 256;
const LAST_FREE: u64 = u64::MAX - 255;
/// `struct btrfs_ioctl_search_args_v2` names the tree that its descriptor is in by none.
const OWN_TREE: u64 = 0;

/// `struct btrfs_ioctl_search_key`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SearchKey {
    tree: u64,
    object: [u64; 2],
    offset: [u64; 2],
    generation: [u64; 2],
    kind: [u32; 2],
    items: u32,
    unused: u32,
    more_unused: [u64; 4],
}

/// `struct btrfs_ioctl_search_args_v2`.
#[repr(C)]
struct SearchArgs {
    key: SearchKey,
    buffer_bytes: u64,
    buffer: [u8; BUFFER_BYTES],
}

/// `struct btrfs_ioctl_search_header`, in bytes.
const HEADER_BYTES: usize = 32;

/// Where in its tree an item is: the object, the item's kind, the offset.
pub(super) type Key = (u64, u8, u64);

/// A run of blocks on the disk that holds a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) address: u64,
    pub(super) bytes: u64,
    /// The transaction in which it was written.
    pub(super) generation: u64,
}

/// An item of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Key,
    /// The transaction in which its leaf was written.
    pub(super) generation: u64,
    /// What it takes of its leaf.
    pub(super) bytes: u64,
    /// What it refers to.
    pub(super) extent: Option<Extent>,
}

/// An item's key, its leaf's generation, and its data.
pub(super) type Found<'a> = (Key, u64, &'a [u8]);

/// The items of a tree whose leaves were written in a transaction or later, in the order of their keys.
pub(super) struct Items<'a> {
    top: BorrowedFd<'a>,
    arguments: Box<SearchArgs>,
    /// Items of the buffer that were not given yet, and where the next one begins.
    left: u32,
    at: usize,
    ended: bool,
}

impl<'a> Items<'a> {
    pub(super) fn of(top: BorrowedFd<'a>, tree: u64, since: u64) -> Self {
        let all = [0, u64::MAX];
        let key = SearchKey {
            tree,
            object: all,
            offset: all,
            generation: [since, u64::MAX],
            kind: [0, 255],
            ..SearchKey::default()
        };
        Self::matching(top, key)
    }

    /// The items of inodes, and others between them, in the subvolume that `directory` is in.
    pub(super) fn of_inodes(directory: BorrowedFd<'a>, since: u64) -> Self {
        let key = SearchKey {
            tree: OWN_TREE,
            object: [FIRST_FREE, LAST_FREE],
            offset: [0, u64::MAX],
            generation: [since, u64::MAX],
            kind: [0, 255],
            ..SearchKey::default()
        };
        Self::matching(directory, key)
    }

    fn matching(top: BorrowedFd<'a>, key: SearchKey) -> Self {
        let buffer_bytes = BUFFER_BYTES as u64;
        let arguments = Box::new(SearchArgs { key, buffer_bytes, buffer: [0; BUFFER_BYTES] });
        Self { top, arguments, left: 0, at: 0, ended: false }
    }

    /// The next item. None: there are no more.
    pub(super) fn advance(&mut self) -> Result<Option<Found<'_>>, Errno> {
        if self.left == 0 && !self.ended {
            self.refill()?;
        }
        if self.left == 0 {
            return Ok(None);
        }
        let header = self.at;
        let generation = self.u64_at(header);
        let object = self.u64_at(header + 8);
        let offset = self.u64_at(header + 16);
        let kind = self.u32_at(header + 24);
        let length = self.u32_at(header + 28) as usize;
        let data = header + HEADER_BYTES..header + HEADER_BYTES + length;
        self.at = data.end;
        self.left -= 1;
        // The kernel's kinds are bytes.
        let kind = u8::try_from(kind).map_err(|_| Errno::INVAL)?;
        self.go_on_after((object, kind, offset));
        let data = self.arguments.buffer.get(data).ok_or(Errno::INVAL)?;
        Ok(Some(((object, kind, offset), generation, data)))
    }

    fn refill(&mut self) -> Result<(), Errno> {
        self.arguments.key.items = u32::MAX;
        let call = &raw mut *self.arguments;
        // SAFETY: TREE_SEARCH reads the key and the size, and writes at most `buffer_bytes` to what follows: the buffer.
        checked(unsafe { libc::ioctl(self.top.as_raw_fd(), TREE_SEARCH, call) })?;
        self.left = self.arguments.key.items;
        self.at = 0;
        self.ended = self.left == 0;
        Ok(())
    }

    /// Where the next search begins: right after this key, which is one number of 17 bytes.
    fn go_on_after(&mut self, (object, kind, offset): Key) {
        let key = &mut self.arguments.key;
        let (kind_after, offset_after) = match (kind, offset.checked_add(1)) {
            (_, Some(next)) => (u32::from(kind), next),
            (u8::MAX, None) => (0, 0),
            (_, None) => (u32::from(kind) + 1, 0),
        };
        let object_after = if kind_after == 0 { object.checked_add(1) } else { Some(object) };
        match object_after {
            Some(next) => (key.object[0], key.kind[0], key.offset[0]) = (next, kind_after, offset_after),
            None => self.ended = true,
        }
    }

    fn u64_at(&self, at: usize) -> u64 {
        number(&self.arguments.buffer, at)
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.arguments.buffer.get(at..at + 4).and_then(|found| found.try_into().ok());
        u32::from_ne_bytes(bytes.unwrap_or_default())
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance().transpose()?;
        Some(found.map(|(key, generation, data)| Item {
            key,
            generation,
            bytes: data.len() as u64 + ITEM_HEAD_BYTES,
            extent: if key.1 == EXTENT_DATA { extent(data) } else { None },
        }))
    }
}

/// The trees of all subvolumes that are not being removed, by their numbers.
pub(super) fn subvolumes(top: BorrowedFd<'_>) -> Result<Vec<u64>, Errno> {
    /// Where in `struct btrfs_root_item` it says how often the subvolume is referred to.
    const REFERENCES_AT: usize = 216;
    let kind = u32::from(ROOT_ITEM);
    let key = SearchKey {
        tree: ROOT_TREE,
        object: [FIRST_FREE, LAST_FREE],
        offset: [0, u64::MAX],
        generation: [0, u64::MAX],
        kind: [kind, kind],
        ..SearchKey::default()
    };
    let mut items = Items::matching(top, key);
    let mut found = Vec::new();
    while let Some(((object, kind, _), _, data)) = items.advance()? {
        let references = data.get(REFERENCES_AT..REFERENCES_AT + 4).is_some_and(|bytes| bytes != [0; 4]);
        // The range is one of keys: other kinds of objects in it are given as well.
        if kind == ROOT_ITEM && references {
            found.push(object);
        }
    }
    Ok(found)
}

/// What a `struct btrfs_file_extent_item` refers to; none: a hole, or bytes in the item.
fn extent(data: &[u8]) -> Option<Extent> {
    let (address, bytes) = (number(data, 21), number(data, 29));
    (data.get(20) != Some(&INLINE) && address != 0).then(|| Extent { address, bytes, generation: number(data, 0) })
}

/// Eight bytes of little endian, which is x86's own order.
pub(super) fn number(data: &[u8], at: usize) -> u64 {
    let bytes = data.get(at..at + 8).and_then(|found| found.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

/// The buffer follows the size directly.
const _: () = assert!(offset_of!(SearchArgs, buffer) == 112);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_extent_is_read_and_holes_and_inline_files_are_none() {
        let mut data = [0_u8; 53];
        data[0] = 7;
        data[20] = 1;
        data[21..29].copy_from_slice(&4096_u64.to_le_bytes());
        data[29..37].copy_from_slice(&8192_u64.to_le_bytes());
        assert_eq!(extent(&data), Some(Extent { address: 4096, bytes: 8192, generation: 7 }));
        data[20] = INLINE;
        assert_eq!(extent(&data), None);
        data[20] = 1;
        data[21..29].fill(0);
        assert_eq!(extent(&data), None);
    }

    #[test]
    fn structures_have_the_size_that_their_call_names() {
        assert_eq!((TREE_SEARCH >> 16 & 0x3fff) as usize, size_of::<SearchArgs>() - BUFFER_BYTES);
    }

    #[test]
    fn the_search_goes_on_right_after_each_key() {
        // Any file: nothing is asked of it.
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut items = Items::of(std::os::fd::AsFd::as_fd(&file), 5, 1);
        let after = |items: &mut Items<'_>, key: Key| {
            items.go_on_after(key);
            let SearchKey { object, kind, offset, .. } = items.arguments.key;
            (object[0], kind[0], offset[0])
        };
        assert_eq!(after(&mut items, (1, 2, 3)), (1, 2, 4));
        assert_eq!(after(&mut items, (1, 2, u64::MAX)), (1, 3, 0));
        assert_eq!(after(&mut items, (1, 255, u64::MAX)), (2, 0, 0));
        assert!(!items.ended);
        after(&mut items, (u64::MAX, 255, u64::MAX));
        assert!(items.ended);
    }
}
