//! Two trees of a volume as they were or are at one moment, to be compared.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::btrfs::{self, Access};
use super::{BASELINE, Source, Volume, layout, open_directory, touched};
use crate::changes::{self, Options, Sink};
use crate::console;
use crate::system_error::{Doing, SystemError};

/// In front of the names of snapshots that live as long as a comparison. The host's ids have no dot.
const PASSING: &str = "passing.";

/// The later of two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Later {
    /// The workspace as it is now.
    Now,
    /// As it was kept.
    Kept(Source),
}

impl Volume {
    /// Compares two trees of the volume. The workspace may go on: what is compared is how it was when this began.
    ///
    /// # Errors
    /// ENOENT when there is no such tree; what the file system and the sink say.
    pub fn compare(&self, from: &Source, to: &Later, options: Options, sink: &mut Sink<'_>) -> Result<(), SystemError> {
        let (_passing, path) = match to {
            Later::Now => {
                let passing = self.pass()?;
                let path = passing.path.clone();
                (Some(passing), path)
            }
            Later::Kept(source) => (None, source.path()),
        };
        let earlier = open_directory(self.top.as_fd(), &from.path())?;
        let later = open_directory(self.top.as_fd(), &path)?;
        let since = self.since(&earlier, &later, *to == Later::Now).doing(|| "look at the trees' subvolumes")?;
        let narrowed = touched::narrow(since, earlier.as_fd(), later.as_fd())?;
        changes::compare(&earlier, &later, options, narrowed.as_ref(), sink)
    }

    /// A transaction after which nothing is the same in both that has changed in one: where both come from one tree, when that was so;
    /// at least all trees of the volume come from the baseline.
    fn since(&self, earlier: &File, later: &File, is_live: bool) -> Result<u64, Errno> {
        let (one, other) = (btrfs::look(earlier)?, btrfs::look(later)?);
        if one.parent == other.parent && one.parent != [0; 16] {
            return Ok(one.changed_in.min(other.changed_in));
        }
        let live = open_directory(self.top.as_fd(), layout::WORKSPACE).map_err(|error| error.errno())?;
        if is_live && btrfs::look(&live)?.parent == one.uuid {
            return Ok(one.changed_in);
        }
        let baseline = open_directory(self.top.as_fd(), BASELINE).map_err(|error| error.errno())?;
        btrfs::look(&baseline).map(|baseline| baseline.changed_in)
    }

    /// Keeps the workspace as it is now for as long as what this gives. What a crash leaves of it the next start removes.
    fn pass(&self) -> Result<Passing<'_>, SystemError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = format!("{}/{PASSING}{}", layout::SNAPSHOTS, COUNT.fetch_add(1, Ordering::Relaxed));
        let _changing = self.changing();
        btrfs::snapshot(self.top.as_fd(), layout::WORKSPACE, &path, Access::ReadOnly)?;
        Ok(Passing { volume: self, path })
    }
}

struct Passing<'v> {
    volume: &'v Volume,
    path: String,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let _changing = self.volume.changing();
        if let Err(error) = btrfs::remove(self.volume.top.as_fd(), &self.path) {
            console::log(error);
        }
    }
}
