//! Making, looking at and removing subvolumes.

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::calls::{GET_SUBVOL_INFO, Named, SNAP_CREATE_V2, SUBVOL_SET_FLAGS, SubvolInfo, VolArgsV2, checked};
use crate::system_error::{Doing, SystemError};
use crate::volume::{for_each_entry, open_directory};

/// BTRFS_SUBVOL_RDONLY.
const READ_ONLY: u64 = 1 << 1;
/// Inode number of every subvolume's top directory (BTRFS_FIRST_FREE_OBJECTID).
const SUBVOLUME_INODE: u64 = 256;

/// Whether a snapshot can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum Access {
    /// It can.
    Writable,
    /// It stays as it is.
    ReadOnly,
}

/// Makes an empty subvolume.
pub(in crate::volume) fn create(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let (parent, name) = split(top, path)?;
    Named::CreateSubvolume.call(&parent, name.as_bytes()).doing(|| format!("make subvolume {path}"))
}

/// Makes a subvolume with the content of another one. It has all that was written to that so far.
pub(in crate::volume) fn snapshot(
    top: BorrowedFd<'_>,
    source: &str,
    path: &str,
    access: Access,
) -> Result<(), SystemError> {
    let from = open_directory(top, source)?;
    let (parent, name) = split(top, path)?;
    let flags = if access == Access::ReadOnly { READ_ONLY } else { 0 };
    let arguments = VolArgsV2::new(from.as_raw_fd().into(), flags, name.as_bytes());
    // SAFETY: SNAP_CREATE_V2 reads a btrfs_ioctl_vol_args_v2, whose name ends with a zero; `from` is open.
    checked(unsafe { libc::ioctl(parent.as_raw_fd(), SNAP_CREATE_V2, &raw const arguments) })
        .doing(|| format!("make {path} of {source}"))
}

/// Removes a subvolume, and first those that its user has made in it.
pub(in crate::volume) fn remove(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let (parent, name) = split(top, path)?;
    remove_from(&parent, name.as_bytes()).doing(|| format!("remove subvolume {path}"))
}

fn remove_from(parent: &File, name: &[u8]) -> Result<(), Errno> {
    match Named::DestroySubvolume.call(parent, name) {
        Err(Errno::NOTEMPTY) => {}
        done => return done,
    }
    let inside = open_below(parent.as_fd(), name)?;
    remove_subvolumes_below(inside.as_fd())?;
    Named::DestroySubvolume.call(parent, name)
}

/// Looks through a whole tree: subvolumes in a workspace are rare, and nothing else tells where they are.
fn remove_subvolumes_below(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    for_each_entry(directory, &mut |holder, name, kind| {
        if kind != FileType::Directory {
            return Ok(true);
        }
        let found = statat(holder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = File::from(rustix::io::fcntl_dupfd_cloexec(holder, 0)?);
        if found.st_ino == SUBVOLUME_INODE {
            remove_from(&parent, name.to_bytes())?;
        } else {
            remove_subvolumes_below(open_below(holder, name.to_bytes())?.as_fd())?;
        }
        Ok(true)
    })
    .map(|_| ())
}

fn open_below(parent: BorrowedFd<'_>, name: &[u8]) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty()).map(File::from)
}

/// Lets nobody write to a subvolume any more.
pub(in crate::volume) fn set_read_only(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let subvolume = open_directory(top, path)?;
    let flags = READ_ONLY;
    // SAFETY: SUBVOL_SET_FLAGS reads a u64.
    checked(unsafe { libc::ioctl(subvolume.as_raw_fd(), SUBVOL_SET_FLAGS, &raw const flags) })
        .doing(|| format!("make {path} read-only"))
}

/// A subvolume's tree.
pub(in crate::volume) struct Subvolume {
    /// The tree's number.
    pub(in crate::volume) tree: u64,
    /// The transaction in which it was changed last.
    pub(in crate::volume) changed_in: u64,
    /// Its own name.
    pub(in crate::volume) uuid: [u8; 16],
    /// The name of what it was copied from; zeros: it was made.
    pub(in crate::volume) parent: [u8; 16],
}

/// Looks at the subvolume whose top this is.
pub(in crate::volume) fn look(subvolume: impl AsFd) -> Result<Subvolume, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut info: SubvolInfo = unsafe { zeroed() };
    // SAFETY: GET_SUBVOL_INFO writes a btrfs_ioctl_get_subvol_info_args, which `info` has the size of.
    checked(unsafe { libc::ioctl(subvolume.as_fd().as_raw_fd(), GET_SUBVOL_INFO, &raw mut info) })?;
    let [uuid, parent, _] = info.uuids;
    Ok(Subvolume { tree: info.id, changed_in: info.ctransid, uuid, parent })
}

/// The parent directory, open, and the last name of a path of ours.
fn split<'a>(top: BorrowedFd<'_>, path: &'a str) -> Result<(File, &'a str), SystemError> {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    Ok((open_directory(top, directory)?, name))
}
