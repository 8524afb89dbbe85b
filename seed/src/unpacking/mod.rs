//! Making on the host what a guest's stream has: in a fresh place beside the target, and then one rename.
//!
//! Whatever the stream says, nothing is made outside the fresh place: a name is one part of a path that is followed by descriptors, links are
//! made as text, and what is there already is never opened. Everything belongs to whoever runs this, and has no setuid bit.

mod fresh;

use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use pyro_seed::fill::{FillError, Filled, Policy, fill};
use pyro_seed::names::names;
use pyro_seed::report::Report;
use rustix::fs::{AtFlags, Mode, RenameFlags, fchmod, fsync, renameat_with, statat, syncfs};
use rustix::io::Errno;

pub(crate) use fresh::{Discarded, discard};
use fresh::{Fresh, open_directory};

use crate::twins::twin;

/// What is made, and where.
pub(crate) struct Order<'a> {
    /// An absolute path whose parent is there.
    pub(crate) target: &'a [u8],
    /// Name beside the target that is not taken.
    pub(crate) fresh: &'a [u8],
    /// The stream's one entry, which becomes the target; none: the target is a directory with all entries.
    pub(crate) only: Option<&'a [u8]>,
    /// Whether something may be there, which this takes the place of.
    pub(crate) overwrite: bool,
    /// What a new directory of several entries does not grant (umask(2)).
    pub(crate) umask: u32,
}

/// Why it was not made. What was there is as it was.
pub(crate) enum Problem {
    /// The guest's stream breaks its format, or is another one than was asked for.
    Hostile(String),
    /// The target is there.
    Exists,
    /// The file system takes the name of the first path for that of the second one.
    Twins(Vec<u8>, Vec<u8>),
    /// The system refused something about this path.
    System(Vec<u8>, Errno),
}

impl From<FillError> for Problem {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Stream(error) => Self::Hostile(error.to_string()),
            // A name that comes twice, or lies below what is no directory.
            FillError::System(path, Errno::EXIST | Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {
                Self::Hostile(format!("{} has no place of its own", pyro_seed::report::printable(&path)))
            }
            FillError::System(path, errno) => Self::System(path, errno),
        }
    }
}

/// Makes it.
pub(crate) fn unpack(stream: impl Read, order: &Order<'_>, report: &mut Report) -> Result<Filled, Problem> {
    rustix::process::umask(Mode::empty());
    let Order { target, fresh, overwrite, .. } = *order;
    let slash = target.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (parent, name) = (&target[..slash.max(1)], c_name(&target[slash + 1..])?);
    let system = |errno| Problem::System(target.to_vec(), errno);
    let parent = open_directory(parent).map_err(system)?;
    if !overwrite && statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Problem::Exists);
    }
    let fresh = Fresh::make(&parent, c_name(fresh)?).map_err(system)?;
    let mut told = |totals| report.progress(totals);
    let filled = fill(stream, fresh.directory.as_fd(), Policy::harmless(0), &mut told);
    let filled = filled.map_err(|error| refused(error, fresh.directory.as_fd()))?;
    // Before it is where it is looked for, it is on the disk.
    syncfs(&fresh.directory).map_err(system)?;
    match order.only {
        Some(only) => {
            let only = c_name(only)?;
            if names(fresh.directory.as_fd()).map_err(system)? != [only.clone()] {
                return Err(Problem::Hostile("the guest gave something else than it was asked for".to_owned()));
            }
            place((fresh.directory.as_fd(), &only), (parent.as_fd(), &name), overwrite)?;
        }
        None => {
            fchmod(&fresh.directory, Mode::from_raw_mode(0o777 & !order.umask)).map_err(system)?;
            place((parent.as_fd(), &fresh.name), (parent.as_fd(), &name), overwrite)?;
        }
    }
    fsync(&parent).map_err(system)?;
    Ok(filled)
}

/// Why what the stream has was not made in the fresh place.
fn refused(error: FillError, fresh: BorrowedFd<'_>) -> Problem {
    let FillError::System(path, Errno::EXIST) = error else { return error.into() };
    match twin(fresh, &path) {
        Some(there) => Problem::Twins(path, there),
        None => FillError::System(path, Errno::EXIST).into(),
    }
}

/// The one step that shows: the new one is there, and the old one, if there was one, in its place.
fn place(
    (from, old_name): (BorrowedFd<'_>, &CString),
    (to, new_name): (BorrowedFd<'_>, &CString),
    overwrite: bool,
) -> Result<(), Problem> {
    let rename = |flags| renameat_with(from, old_name, to, new_name, flags);
    match rename(RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if overwrite => rename(RenameFlags::EXCHANGE),
        Err(Errno::EXIST) => return Err(Problem::Exists),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| Problem::System(new_name.as_bytes().to_vec(), errno))
}

fn c_name(name: &[u8]) -> Result<CString, Problem> {
    match CString::new(name) {
        Ok(c_name) if pyro_seed::stream::is_plain(name) && !name.contains(&b'/') => Ok(c_name),
        _ => Err(Problem::System(name.to_vec(), Errno::INVAL)),
    }
}

#[cfg(test)]
mod tests;
