//! Taking a tree in.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_seed::fill::{Filled, Policy, fill};
use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::{FilesError, Plan, umask};
use crate::volume::{State, Volume};

/// Of directories that lead to what is put somewhere.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// What came of putting something into the workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pushed<T> {
    /// What was made.
    pub(crate) made: T,
    /// Files and links that took the place of others.
    pub(crate) replaced: u64,
    /// The volume, with all of it on the disk.
    pub(crate) state: State,
}

/// Puts the stream's tree over the directory at `destination`, which is made where it is not there.
///
/// # Errors
/// As [`FilesError`]; the workspace is then as it was.
pub(crate) fn push(volume: &Volume, destination: &[u8], stream: impl Read) -> Result<Pushed<Filled>, FilesError> {
    let nothing = |_: BorrowedFd<'_>| Ok(());
    put(volume, destination, nothing, |place| Ok(fill(stream, place, Policy::whole(umask()), &mut |_| ())?))
}

/// Puts what `make` makes in an empty directory over the one at `destination`; `allow` is asked, with the workspace, when all is made.
pub(super) fn put<T>(
    volume: &Volume,
    destination: &[u8],
    allow: impl FnOnce(BorrowedFd<'_>) -> Result<(), FilesError>,
    make: impl FnOnce(BorrowedFd<'_>) -> Result<T, FilesError>,
) -> Result<Pushed<T>, FilesError> {
    let incoming = volume.take_in()?;
    let (staged, workspace) = (incoming.staged(), incoming.workspace());
    let (place, depth) = lead_to(staged, workspace, destination)?;
    let made = make(place.as_fd())?;
    let plan = Plan::make(staged, workspace, depth)?;
    allow(workspace)?;
    if !plan.is_atomic() {
        incoming.keep_before()?;
    }
    let applied = plan.apply((staged, workspace), staged, &mut |_| Ok(()));
    if let Err(FilesError::Torn(_)) = applied {
        incoming.leave_torn();
    }
    applied?;
    Ok(Pushed { made, replaced: plan.replaced(), state: incoming.settle()? })
}

/// Makes in `staged` the directories that lead to `destination`, like those that are in the workspace; how many.
fn lead_to(
    staged: BorrowedFd<'_>,
    workspace: BorrowedFd<'_>,
    destination: &[u8],
) -> Result<(OwnedFd, usize), FilesError> {
    let system = |errno| FilesError::of("make", destination, errno);
    let mut at = rustix::io::fcntl_dupfd_cloexec(staged, 0).map_err(system)?;
    let mut like = Some(rustix::io::fcntl_dupfd_cloexec(workspace, 0).map_err(system)?);
    let mut last = fstat(workspace).map_err(system)?;
    let mut depth = 0;
    for part in destination.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        // Destinations are checked: they have no NUL.
        let name = CString::new(part).unwrap_or_default();
        like = match like.map(|directory| open_directory(directory.as_fd(), &name)) {
            Some(Ok(directory)) => {
                last = fstat(&directory).map_err(system)?;
                Some(directory)
            }
            None | Some(Err(Errno::NOENT)) => None,
            Some(Err(errno)) => return Err(system(errno)),
        };
        mkdirat(&at, &name, DIRECTORY_MODE).map_err(system)?;
        at = open_directory(at.as_fd(), &name).map_err(system)?;
        own_like(&at, &last).map_err(system)?;
        depth += 1;
    }
    Ok((at, depth))
}

fn own_like(directory: &OwnedFd, like: &Stat) -> Result<(), Errno> {
    debug_assert_eq!(FileType::from_raw_mode(like.st_mode), FileType::Directory);
    fchown(directory, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    fchmod(directory, DIRECTORY_MODE)
}

fn open_directory(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}
