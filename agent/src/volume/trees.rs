//! Two trees of a volume as they were or are at one moment, to be compared.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::{BASELINE, Source, Volume, btrfs, layout, open_directory, touched};
use crate::changes::{self, Options, Sink};
use crate::system_error::{Doing, SystemError};

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
        let earlier = open_directory(self.top.as_fd(), &from.path())?;
        let (frozen, kept);
        let later = match to {
            Later::Now => {
                frozen = self.freeze()?;
                frozen.tree()
            }
            Later::Kept(source) => {
                kept = open_directory(self.top.as_fd(), &source.path())?;
                kept.as_fd()
            }
        };
        let since = self.since(earlier.as_fd(), later, *to == Later::Now).doing(|| "look at the trees' subvolumes")?;
        let narrowed = touched::narrow(since, earlier.as_fd(), later)?;
        changes::compare(&earlier, later, options, narrowed.as_ref(), sink)
    }

    /// A transaction after which nothing is the same in both that has changed in one: where both come from one tree, when that was so;
    /// at least all trees of the volume come from the baseline.
    fn since(&self, earlier: BorrowedFd<'_>, later: BorrowedFd<'_>, is_live: bool) -> Result<u64, Errno> {
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
}
