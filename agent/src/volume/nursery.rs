//! Volumes before anybody has them: filling what will be a seed, and growing the first volume out of one.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::syncfs;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};

use super::top::{TOP, mount_top};
use super::{BASELINE, Setup, btrfs, layout, open_directory};
use crate::system_error::{Doing, SystemError};

/// A mounted file system that is to be a seed: one tree in it, the baseline of all that grow out of it.
pub struct Nursery {
    top: OwnedFd,
}

impl Nursery {
    /// Mounts an empty file system and makes the tree in it, which is empty too.
    ///
    /// # Errors
    /// The step that failed; so do all others.
    pub fn make(disk: &Path) -> Result<Self, SystemError> {
        let top = mount_top(disk, MountFlags::empty(), c"subvolid=5")?;
        layout::tree(top.as_fd(), BASELINE)?;
        Ok(Self { top })
    }

    /// The tree's root.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn tree(&self) -> Result<File, SystemError> {
        open_directory(self.top.as_fd(), BASELINE)
    }

    /// Lets nobody write to the tree any more, and has it on the disk.
    ///
    /// # Errors
    /// What the file system says, also of what was written before.
    pub fn seal(&self) -> Result<(), SystemError> {
        self.sync()?;
        btrfs::set_read_only(self.top.as_fd(), BASELINE)?;
        self.sync()
    }

    /// Reads everything from the disk and checks it; how many blocks are not what was written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn scrub(&self) -> Result<u64, SystemError> {
        btrfs::scrub(self.top.as_fd()).doing(|| "check the seed's blocks")
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// What umount(2) says.
    pub fn close(self) -> Result<(), SystemError> {
        close(self.top)
    }

    fn sync(&self) -> Result<(), SystemError> {
        syncfs(&self.top).doing(|| "sync the seed")
    }
}

/// Makes on `disk`, whatever lies there, a volume on top of `seed`, as a workspace has it that was just made.
///
/// # Errors
/// The step that failed; the disk is then of no use.
pub fn sprout(seed: &Path, disk: &Path) -> Result<(), SystemError> {
    let top = mount_top(seed, MountFlags::RDONLY, c"subvolid=5")?;
    btrfs::add_device(top.as_fd(), disk)?;
    mount_remount(TOP, MountFlags::NOATIME, c"").doing(|| format!("remount {TOP}"))?;
    layout::prepare(top.as_fd(), &Setup::default())?;
    syncfs(&top).doing(|| "sync the volume")?;
    close(top)
}

fn close(top: OwnedFd) -> Result<(), SystemError> {
    drop(top);
    unmount(TOP, UnmountFlags::empty()).doing(|| format!("unmount {TOP}"))
}
