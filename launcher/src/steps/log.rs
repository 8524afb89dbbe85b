//! `--log PATH`

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::Launch;
use crate::failure::{Doing, Failure};

/// Opens the log while its path still means what it meant to whoever named it; never through a symbolic link.
pub(super) fn open(launch: &mut Launch) -> Result<(), Failure> {
    let Some(monitor) = &launch.options.monitor else { return Ok(()) };
    // Read too: it is shortened to its last half. Not a pipe with nobody at its end, for which an open would wait.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = openat(CWD, &monitor.log, flags, Mode::RUSR | Mode::WUSR);
    launch.log = Some(log.doing(|| format!("open {}", monitor.log.display()))?);
    Ok(())
}
