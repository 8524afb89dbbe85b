//! `--stdout PATH`, `--stderr PATH` and, unless `--keep-stdin`, standard input from /dev/null.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Launch;
use crate::failure::{Doing, Failure};

/// Puts the standard streams where they were asked to be.
pub(super) fn redirect(launch: &mut Launch) -> Result<(), Failure> {
    let options = &launch.options;
    if !options.keep_stdin {
        let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        dup2_stdin(null.doing(|| "open /dev/null".into())?).doing(|| "standard input".into())?;
    }
    if let Some(path) = &options.stdout {
        dup2_stdout(open_log(path)?).doing(|| "standard output".into())?;
    }
    if let Some(path) = &options.stderr {
        dup2_stderr(open_log(path)?).doing(|| "standard error".into())?;
    }
    Ok(())
}

/// Appends, so that two streams or two lives of a program can share a file; never through a symbolic link.
fn open_log(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).doing(|| format!("open {}", path.display()))
}
