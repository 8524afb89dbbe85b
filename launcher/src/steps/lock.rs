//! `--lock PATH`: the kernel releases it when the program is gone, however it went (flock(2)).

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::Launch;
use crate::failure::{Doing, Failure};

/// Takes the lock without waiting. The descriptor is the program's, so it is not closed by exec.
pub(super) fn acquire(launch: &mut Launch) -> Result<(), Failure> {
    let Some(path) = &launch.options.lock else { return Ok(()) };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
    let file = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).doing(|| format!("lock {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(Failure::locked(path.display())),
        result => result.doing(|| format!("lock {}", path.display()))?,
    }
    launch.lock = Some(file);
    Ok(())
}
