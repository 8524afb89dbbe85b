//! The file system's top, below which everything of a volume lies by paths that are ours.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{MountFlags, mount};

use crate::boot::filesystems::ensure_directory;
use crate::system_error::{Doing, SystemError};

/// Where the file system's top is mounted, in the initramfs.
pub(super) const TOP: &str = "/volume";

/// Mounts the file system on `disk`, read without noting it, and opens its top.
pub(super) fn mount_top(disk: &Path, flags: MountFlags, options: &CStr) -> Result<OwnedFd, SystemError> {
    ensure_directory(Path::new(TOP))?;
    mount(disk, TOP, "btrfs", flags | MountFlags::NOATIME, Some(options))
        .doing(|| format!("mount {} (btrfs) on {TOP}", disk.display()))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, TOP, flags, Mode::empty()).doing(|| format!("open {TOP}"))
}

/// Opens a directory of the volume that is ours by its path from the top.
pub(super) fn open_directory(top: impl AsFd, path: &str) -> Result<File, SystemError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(top, path, flags, Mode::empty()).doing(|| format!("open {path} of the volume"))?;
    Ok(File::from(opened))
}
