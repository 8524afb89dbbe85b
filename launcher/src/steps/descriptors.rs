//! `--keep-fd N`: everything else above the standard streams is closed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::Launch;
use crate::failure::{Doing, Failure};

/// First descriptor that is not a standard stream.
const FIRST: RawFd = 3;

/// Leaves open what was asked for, the lock, the log, and the launcher's own way to complain.
pub(super) fn close_others(launch: &mut Launch) -> Result<(), Failure> {
    for number in &launch.options.kept_descriptors {
        keep(*number).doing(|| format!("keep descriptor {number}"))?;
    }
    let mut kept = launch.options.kept_descriptors.clone();
    kept.extend(launch.lock.as_ref().map(AsRawFd::as_raw_fd));
    kept.extend(launch.log.as_ref().map(AsRawFd::as_raw_fd));
    kept.push(launch.complaints);
    kept.sort_unstable();
    let mut first = FIRST;
    for number in kept {
        close(first, number - 1)?;
        first = number + 1;
    }
    close(first, RawFd::MAX)
}

/// Makes sure that the descriptor is open and survives exec.
fn keep(number: RawFd) -> io::Result<()> {
    // SAFETY: only asks about the number; if it is not open the kernel says so.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(descriptor)?;
    Ok(fcntl_setfd(descriptor, flags - FdFlags::CLOEXEC)?)
}

/// Closes a range of numbers, both ends included; an empty one is fine.
fn close(first: RawFd, last: RawFd) -> Result<(), Failure> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the descriptors that this process owns objects for, the lock, the log and the complaints, are never in the range.
    let status = unsafe { libc::close_range(first.cast_unsigned(), last.cast_unsigned(), 0) };
    let result = if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    result.doing(|| "close descriptors".into())
}
