//! Removing a tree by descriptors: whoever changes it meanwhile leads nobody out of it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, openat, statat, unlinkat};
use rustix::io::Errno;

/// Removes an entry of a directory, and all that is in it; one that is not there is removed.
///
/// # Errors
/// What the file system says.
pub fn remove(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
        Ok(_) => return gone(unlinkat(parent, name, AtFlags::empty())),
        Err(errno) => return gone(Err(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty());
    let directory = match open() {
        // One that its own mode closes to its owner.
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        opened => opened?,
    };
    match empty(directory.as_fd()) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(&directory, Mode::RWXU)?;
            empty(directory.as_fd())?;
        }
        emptied => emptied?,
    }
    gone(unlinkat(parent, name, AtFlags::REMOVEDIR))
}

/// Removes all that is in a directory.
///
/// # Errors
/// What the file system says.
pub fn empty(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            remove(directory, entry.file_name())?;
        }
    }
    Ok(())
}

fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}
