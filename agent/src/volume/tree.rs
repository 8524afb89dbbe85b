//! Looking at the trees in a volume.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::open_directory;
use crate::system_error::{Doing, SystemError};

/// Entries that are counted: a snapshot must not cost more in a large tree than in a small one.
const COUNT_LIMIT: u64 = 100;

/// How much is in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeCount {
    /// Files, directories and all else below the tree's root.
    pub entries: u64,
    /// Sizes of its regular files, added up.
    pub bytes: u64,
    /// Whether that is all.
    pub complete: bool,
}

/// What is done with an entry of a directory: the directory, the entry's name and kind. False ends the reading.
pub(crate) type EachEntry<'a> = dyn FnMut(BorrowedFd<'_>, &CStr, FileType) -> Result<bool, Errno> + 'a;

/// Calls `each` for the entries of a directory until it says no; whether it never did.
pub(crate) fn for_each_entry(directory: BorrowedFd<'_>, each: &mut EachEntry<'_>) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // btrfs always says the kind.
        if !each(directory, name, entry.file_type())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts what is below `path`.
pub(super) fn count(top: BorrowedFd<'_>, path: &str) -> Result<TreeCount, SystemError> {
    let directory = open_directory(top, path)?;
    let mut counted = TreeCount { entries: 0, bytes: 0, complete: true };
    counted.complete = count_below(directory.as_fd(), &mut counted).doing(|| format!("count {path}"))?;
    Ok(counted)
}

fn count_below(directory: BorrowedFd<'_>, counted: &mut TreeCount) -> Result<bool, Errno> {
    for_each_entry(directory, &mut |holder, name, kind| {
        if counted.entries == COUNT_LIMIT {
            return Ok(false);
        }
        counted.entries += 1;
        match kind {
            FileType::RegularFile => {
                let found = statat(holder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                counted.bytes += u64::try_from(found.st_size).unwrap_or(0);
                Ok(true)
            }
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                count_below(openat(holder, name, flags, Mode::empty())?.as_fd(), counted)
            }
            _ => Ok(true),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_tree_is_counted_and_a_large_one_not_to_its_end() {
        let root = std::env::temp_dir().join(format!("pyro-count-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("tree/a/b")).unwrap();
        fs::write(root.join("tree/a/five"), "12345").unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("tree/link")).unwrap();
        let top = File::open(&root).unwrap();
        let found = count(top.as_fd(), "tree").unwrap();
        assert_eq!(found, TreeCount { entries: 4, bytes: 5, complete: true });
        for number in 0..COUNT_LIMIT {
            File::create(root.join(format!("tree/a/b/{number}"))).unwrap();
        }
        let found = count(top.as_fd(), "tree").unwrap();
        assert_eq!((found.entries, found.complete), (COUNT_LIMIT, false));
        fs::remove_dir_all(root).unwrap();
    }
}
