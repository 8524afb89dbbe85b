//! Directories of a tree that is put over another.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, fchmod, fchown, futimens, openat};
use rustix::io::Errno;

/// Gives a directory the owner, mode and time of another one.
pub(super) fn dress(directory: BorrowedFd<'_>, like: &Stat) -> Result<(), Errno> {
    fchown(directory, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    fchmod(directory, Mode::from_raw_mode(like.st_mode))?;
    let nanoseconds = i64::try_from(like.st_mtime_nsec).unwrap_or(0);
    let time = Timespec { tv_sec: like.st_mtime, tv_nsec: nanoseconds };
    futimens(directory, &Timestamps { last_access: time, last_modification: time })
}

/// Opens a directory in another one.
pub(super) fn open(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}
