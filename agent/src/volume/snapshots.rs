//! A workspace's snapshots: making one, giving it up, what it pins.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::tree::{self, TreeCount};
use super::{Pin, SnapshotId, State, Volume, btrfs, layout, pins};
use crate::system_error::{Doing, SystemError};

impl Volume {
    /// Keeps the workspace's tree as it is now.
    ///
    /// # Errors
    /// EEXIST when the id is known; what the file system says.
    pub fn create_snapshot(&self, id: &SnapshotId) -> Result<(State, TreeCount), SystemError> {
        let _changing = self.changing();
        let path = id.path();
        btrfs::snapshot(self.top.as_fd(), layout::WORKSPACE, &path, btrfs::Access::ReadOnly)?;
        self.sync()?;
        let state = self.state()?;
        Ok((state, tree::count(self.top.as_fd(), &path)?))
    }

    /// Gives a snapshot up.
    ///
    /// # Errors
    /// ENOENT when the id is not known; what the file system says.
    pub fn delete_snapshot(&self, id: &SnapshotId) -> Result<State, SystemError> {
        let _changing = self.changing();
        btrfs::remove(self.top.as_fd(), &id.path())?;
        btrfs::sync_and_clean(self.top.as_fd()).doing(|| "sync the volume")?;
        self.state()
    }

    /// What each of these snapshots alone holds; those that are not there are left out. None: not counted within `limit`.
    /// Changes that are made meanwhile may or may not be seen.
    ///
    /// # Errors
    /// What the file system says.
    pub fn count_pins(&self, ids: &[SnapshotId], limit: Duration) -> Result<Option<Vec<Pin>>, SystemError> {
        pins::count(self.top.as_fd(), ids, Instant::now() + limit)
    }
}
