//! A volume that is mounted, from the start of its machine to the end.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::syncfs;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::reserve::{self, Reserve};
use super::top::{TOP, mount_top};
use super::{Setup, btrfs, layout, open_directory};
use crate::console;
use crate::system_error::{Doing, SystemError};

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
    pub(super) top: OwnedFd,
    /// Held while subvolumes are made, exchanged and removed.
    changing: Mutex<()>,
    /// Held while something is put into the workspace; taken before `changing`.
    pub(super) arriving: Mutex<()>,
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

    pub(super) fn sync(&self) -> Result<(), SystemError> {
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
    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
