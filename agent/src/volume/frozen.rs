//! The workspace as it is at one moment, to be read or compared while it goes on changing.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::btrfs::{self, Access};
use super::{Volume, layout, open_directory};
use crate::console;
use crate::system_error::SystemError;

/// In front of the names of snapshots that live as long as somebody reads them. The host's ids have no dot, so that what a crash leaves
/// is removed by the next start, as is every snapshot that the host does not know.
const PREFIX: &str = "frozen.";

/// A tree that does not change, gone with this value.
pub(crate) struct Frozen<'v> {
    volume: &'v Volume,
    path: String,
    tree: File,
}

impl Volume {
    /// The workspace's tree as it is now.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn freeze(&self) -> Result<Frozen<'_>, SystemError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = format!("{}/{PREFIX}{}", layout::SNAPSHOTS, COUNT.fetch_add(1, Ordering::Relaxed));
        let _changing = self.changing();
        btrfs::snapshot(self.top.as_fd(), layout::WORKSPACE, &path, Access::ReadOnly)?;
        let tree = open_directory(self.top.as_fd(), &path)?;
        Ok(Frozen { volume: self, path, tree })
    }
}

impl Frozen<'_> {
    /// Its root.
    pub(crate) fn tree(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _changing = self.volume.changing();
        if let Err(error) = btrfs::remove(self.volume.top.as_fd(), &self.path) {
            console::log(error);
        }
    }
}
