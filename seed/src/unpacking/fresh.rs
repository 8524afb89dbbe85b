//! The fresh place: a directory of our own beside the target.
//!
//! The fresh place is locked as long as it is being filled. What a maker that was killed has left there is not locked, and may be removed: it is a
//! part of what was to be made, or what was to be replaced and is.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pyro_seed::removal;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, mkdirat, openat};
use rustix::io::Errno;

use super::{Problem, c_name};

/// A directory of our own beside the target; with whatever is in it in the end it is gone.
pub(super) struct Fresh<'a> {
    parent: &'a OwnedFd,
    pub(super) name: CString,
    pub(super) directory: OwnedFd,
}

impl<'a> Fresh<'a> {
    pub(super) fn make(parent: &'a OwnedFd, name: CString) -> Result<Self, Errno> {
        mkdirat(parent, &name, Mode::RWXU)?;
        let directory = openat(parent, &name, directory_flags() | OFlags::NOFOLLOW, Mode::empty())?;
        // A file system without locks: then `discard` gets none either, and leaves it alone.
        let _ = flock(&directory, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { parent, name, directory })
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        // What cannot be removed is left for a person to see.
        let _ = removal::remove(self.parent.as_fd(), &self.name);
    }
}

/// What became of what was to be discarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// There is none, or no longer.
    Gone,
    /// Somebody is making something of it.
    InUse,
}

/// Removes the fresh place that a maker has left in `directory`.
pub(crate) fn discard(directory: &[u8], fresh: &[u8]) -> Result<Discarded, Problem> {
    let name = c_name(fresh)?;
    let system = |errno| Problem::System(fresh.to_vec(), errno);
    let parent = open_directory(directory).map_err(system)?;
    let left = match openat(&parent, &name, directory_flags() | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(left) => left,
        // What is no directory is none of ours.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Discarded::Gone),
        Err(errno) => return Err(system(errno)),
    };
    match flock(&left, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Discarded::InUse),
        Err(errno) => return Err(system(errno)),
    }
    removal::remove(parent.as_fd(), &name).map_err(system)?;
    Ok(Discarded::Gone)
}

/// Opens a directory by a path of the caller's, which may lead over links.
pub(super) fn open_directory(path: &[u8]) -> Result<OwnedFd, Errno> {
    openat(CWD, Path::new(OsStr::from_bytes(path)), directory_flags(), Mode::empty())
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}
