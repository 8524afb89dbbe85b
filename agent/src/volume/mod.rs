//! A workspace's volume: one btrfs on the drive `volume`, mounted where the user's root does not reach.
//!
//! ```text
//! live/workspace     subvolume: the user's /workspace
//! live/system        subvolume: the overlay's upper and work directories, what the user changed of /
//! baseline           read-only subvolume: the workspace as it was made
//! snapshots/ID       read-only subvolumes
//! next               what will take the place of `live`, or has been it
//! room               an empty directory, for a moment: whether there is room for one
//! incoming, before, reading    what is on its way in and out (`incoming`)
//! ```
//!
//! Names of the user's lie below these, never beside them. Nothing is overwritten in place: a new `live` is made as `next`
//! and exchanged in one step, so that a crash leaves the old one or the new one.

mod btrfs;
mod incoming;
mod layout;
mod nursery;
mod pins;
mod reserve;
mod search;
mod touched;
mod tree;
mod trees;

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat, syncfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

pub use nursery::{Nursery, sprout};
pub use pins::Pin;
use reserve::Reserve;
pub use tree::TreeCount;
pub(crate) use tree::for_each_entry;
pub use trees::Later;

use crate::boot::filesystems::ensure_directory;
use crate::console;
use crate::system_error::{Doing, SystemError};

/// Where the file system's top is mounted, in the initramfs.
const TOP: &str = "/volume";
/// Longest id of a snapshot, in bytes. It is a directory's name.
const MAX_ID_BYTES: usize = 64;
/// The snapshot that every volume has.
const BASELINE: &str = "baseline";

/// What the host wants of a volume before anything runs on it (VolumeSetup), already validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// The snapshots that the host knows.
    pub snapshots: Vec<SnapshotId>,
    /// What the workspace becomes a copy of; none: it stays as it is.
    pub reset_to: Option<Source>,
    /// Whether it was sprouted from the seed that is on the drive `seed`.
    pub seeded: bool,
    /// Least size of its drive, in bytes, which may have grown just now.
    pub drive_bytes: u64,
}

/// What a workspace can be a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The workspace as it was made.
    Baseline,
    /// A snapshot.
    Snapshot(SnapshotId),
}

impl Source {
    /// Checks a snapshot's id, or `baseline`.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == BASELINE { Ok(Self::Baseline) } else { SnapshotId::parse(text).map(Self::Snapshot) }
    }

    fn path(&self) -> String {
        match self {
            Self::Baseline => BASELINE.to_owned(),
            Self::Snapshot(id) => id.path(),
        }
    }
}

/// The host's name for a snapshot: 1 to [`MAX_ID_BYTES`] characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotId(String);

impl SnapshotId {
    /// Checks an id.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(valid) {
            return Err(format!("snapshot_id: expected 1 to {MAX_ID_BYTES} characters of [A-Za-z0-9_-]"));
        }
        Ok(Self(text.to_owned()))
    }

    fn path(&self) -> String {
        format!("{}/{}", layout::SNAPSHOTS, self.0)
    }

    /// As the host gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Changes with every change to the workspace's tree (its subvolume's `ctransid`), and with nothing else.
    pub workspace_generation: u64,
    /// Size of the file system.
    pub total_bytes: u64,
    /// What of it is in use.
    pub used_bytes: u64,
}

/// A mounted volume.
pub struct Volume {
    top: OwnedFd,
    /// Held while subvolumes are made, exchanged and removed.
    changing: Mutex<()>,
    /// Held while something is put into the workspace; taken before `changing`.
    arriving: Mutex<()>,
    reserve: Reserve,
}

impl Volume {
    /// Mounts the file system on `disk`, and on `seed` where it was sprouted from one, and brings it to the state that
    /// `setup` asks for.
    ///
    /// # Errors
    /// The step that failed, ENOSPC when it is full to its end. Whatever the step, the volume is as it was before or as it was to
    /// be.
    pub fn open(disk: &Path, seed: Option<&Path>, setup: &Setup) -> Result<Self, SystemError> {
        // discard: what is deleted takes no room on the host.
        seed.map(btrfs::scan).transpose()?;
        let top = mount_top(disk, MountFlags::empty(), c"subvolid=5,discard=async")?;
        let reserve = Reserve::of(disk)?;
        reserve.grow(top.as_fd())?;
        prepare(top.as_fd(), setup, &reserve)?;
        if reserve::is_tight(top.as_fd())? || layout::try_for_room(top.as_fd()).is_err() {
            reserve.lend(top.as_fd())?;
            layout::try_for_room(top.as_fd())?;
        }
        syncfs(&top).doing(|| "sync the volume")?;
        Ok(Self { top, changing: Mutex::default(), arriving: Mutex::default(), reserve })
    }

    /// Removes what a reset has replaced, beside everything else: nobody waits for it, and what a crash leaves of it the next
    /// mount removes.
    pub fn discard_replaced(self: &Arc<Self>) {
        let volume = Arc::clone(self);
        std::thread::spawn(move || {
            let _changing = volume.changing();
            let top = volume.top.as_fd();
            let freed = || btrfs::sync_and_clean(top).doing(|| "free what was replaced");
            if let Err(error) = layout::discard(top).and_then(|replaced| if replaced { freed() } else { Ok(()) }) {
                console::log(error);
            }
        });
    }

    /// The directory that is the user's `/workspace`.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        Path::new(TOP).join(layout::WORKSPACE)
    }

    /// The same, open.
    ///
    /// # Errors
    /// What open(2) says.
    pub(crate) fn workspace_directory(&self) -> Result<File, SystemError> {
        open_directory(self.top.as_fd(), layout::WORKSPACE)
    }

    /// The overlay's upper and work directories.
    #[must_use]
    pub fn layer(&self) -> (PathBuf, PathBuf) {
        (Path::new(TOP).join(layout::UPPER), Path::new(TOP).join(layout::WORK))
    }

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

    /// How large its drive is now, in bytes.
    ///
    /// # Errors
    /// What lseek(2) says.
    pub fn drive_bytes(&self) -> Result<u64, SystemError> {
        self.reserve.drive_bytes().doing(|| "measure the volume's drive")
    }

    /// Uses what its drive has grown by.
    ///
    /// # Errors
    /// What the file system says.
    pub fn grow(&self) -> Result<State, SystemError> {
        let _changing = self.changing();
        self.reserve.grow(self.top.as_fd())?;
        self.sync()?;
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

    /// Moves what lies on the seed to the volume's own device: it needs the seed no more.
    ///
    /// # Errors
    /// What the file system says: ENOSPC when there is no room for it.
    pub fn flatten(&self) -> Result<State, SystemError> {
        let _changing = self.changing();
        btrfs::remove_seed(self.top.as_fd()).doing(|| "move the seed into the volume")?;
        self.sync()?;
        self.state()
    }

    /// Writes everything to the disk, the disk's own cache included; `trim`: also gives free space back to it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn flush(&self, trim: bool) -> Result<State, SystemError> {
        self.sync()?;
        if trim {
            self.reserve.take_back(self.top.as_fd());
            match btrfs::trim(self.top.as_fd()) {
                // A disk that cannot take space back.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno).doing(|| "trim the volume"),
            }
        }
        self.state()
    }

    fn sync(&self) -> Result<(), SystemError> {
        syncfs(&self.top).doing(|| "sync the volume")
    }

    /// How it is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn state(&self) -> Result<State, SystemError> {
        let workspace = open_directory(self.top.as_fd(), layout::WORKSPACE)?;
        let space = rustix::fs::fstatvfs(&self.top).doing(|| "look at the volume's space")?;
        Ok(State {
            workspace_generation: btrfs::look(&workspace).doing(|| "look at the workspace's subvolume")?.changed_in,
            total_bytes: space.f_blocks * space.f_frsize,
            used_bytes: (space.f_blocks - space.f_bfree) * space.f_frsize,
        })
    }

    /// A panic while it was held leaves nothing half-done in memory: the disk is the state.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mounts the file system on `disk`, read without noting it, and opens its top.
fn mount_top(disk: &Path, flags: MountFlags, options: &CStr) -> Result<OwnedFd, SystemError> {
    ensure_directory(Path::new(TOP))?;
    mount(disk, TOP, "btrfs", flags | MountFlags::NOATIME, Some(options))
        .doing(|| format!("mount {} (btrfs) on {TOP}", disk.display()))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, TOP, flags, Mode::empty()).doing(|| format!("open {TOP}"))
}

/// Brings a volume to the state that `setup` asks for, also one that is full.
fn prepare(top: BorrowedFd<'_>, setup: &Setup, reserve: &Reserve) -> Result<(), SystemError> {
    match layout::prepare(top, setup) {
        Err(error) if error.errno() == Errno::NOSPC => {
            reserve.lend(top)?;
            layout::prepare(top, setup)
        }
        prepared => prepared,
    }
}

/// Opens a directory of the volume that is ours by its path from the top.
fn open_directory(top: impl AsFd, path: &str) -> Result<File, SystemError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(top, path, flags, Mode::empty()).doing(|| format!("open {path} of the volume"))?;
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_not_be_a_plain_directory_name_are_refused() {
        for text in ["", ".", "..", "a/b", "a.b", "a b", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(SnapshotId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(SnapshotId::parse("a_1-B").unwrap().path(), "snapshots/a_1-B");
        assert_eq!(Source::Baseline.path(), "baseline");
    }
}
