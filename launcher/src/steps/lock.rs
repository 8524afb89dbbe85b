//! `--lock PATH`: the kernel releases it when the program is gone, however it went (flock(2)).

mod alarm;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use self::alarm::Alarm;
use super::Launch;
use crate::failure::{Doing, Failure};

/// Takes the lock, and waits for it as long as was said. The descriptor is the program's, so it is not closed by exec.
pub(super) fn acquire(launch: &mut Launch) -> Result<(), Failure> {
    let Some(path) = &launch.options.lock else { return Ok(()) };
    let doing = || format!("lock {}", path.display());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
    let file = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).doing(doing)?;
    let mut taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
    if taken == Err(Errno::WOULDBLOCK) && launch.options.lock_wait_ms > 0 {
        let wait = Duration::from_millis(launch.options.lock_wait_ms);
        let alarm = Alarm::set(wait).doing(doing)?;
        taken = wait_for(&file, wait);
        drop(alarm);
    }
    match taken {
        Err(Errno::WOULDBLOCK) => return Err(Failure::locked(path.display())),
        taken => taken.doing(doing)?,
    }
    launch.lock = Some(file);
    Ok(())
}

/// Waits until whoever has the lock lets go of it, or until the alarm.
fn wait_for(file: &OwnedFd, wait: Duration) -> Result<(), Errno> {
    let end = Instant::now() + wait;
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) if Instant::now() >= end => return Err(Errno::WOULDBLOCK),
            Err(Errno::INTR) => {}
            taken => return taken,
        }
    }
}
