//! What is on its way into the workspace.
//!
//! ```text
//! incoming/NAME               a directory of this name in the workspace is a staging place, nobody's; or this one is, where nothing is to
//!                             come into the workspace
//! before                      read-only subvolume: the workspace before a change of several steps that is being made
//! ```

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use pyro_seed::{names, removal};
use rustix::fs::{Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with};
use rustix::rand::{GetRandomFlags, getrandom};

use super::btrfs::{self, Access};
use super::layout::{NEXT, WORKSPACE, directory, discard, exists};
use super::{State, Volume, open_directory};
use crate::console;
use crate::system_error::{Doing, SystemError};

const INCOMING: &str = "incoming";
const BEFORE: &str = "before";
/// Of staging places in the workspace.
const PREFIX: &str = ".pyro-incoming-";

/// A staging place in the workspace, gone with this value. One at a time.
pub(crate) struct Incoming<'v> {
    volume: &'v Volume,
    _turn: MutexGuard<'v, ()>,
    name: String,
    workspace: File,
    staged: OwnedFd,
    is_torn: AtomicBool,
}

impl Volume {
    /// Makes an empty directory in the workspace's file system, from which renames lead into the workspace.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn take_in(&self) -> Result<Incoming<'_>, SystemError> {
        self.stage(WORKSPACE)
    }

    /// The same beside the workspace: nothing of it comes into it, which is as it was.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn try_out(&self) -> Result<Incoming<'_>, SystemError> {
        self.stage(INCOMING)
    }

    fn stage(&self, place: &str) -> Result<Incoming<'_>, SystemError> {
        let turn = self.arriving.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let top = self.top.as_fd();
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty()).doing(|| "name a staging place")?;
        let name = format!("{PREFIX}{:016x}", u64::from_ne_bytes(random));
        directory(top, INCOMING)?;
        directory(top, &format!("{INCOMING}/{name}"))?;
        let workspace = open_directory(top, WORKSPACE)?;
        if place == WORKSPACE {
            mkdirat(&workspace, name.as_str(), Mode::RWXU).doing(|| "make a staging place")?;
        }
        let holder = open_directory(top, place)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let staged = openat(&holder, name.as_str(), flags, Mode::empty()).doing(|| "open a staging place")?;
        Ok(Incoming { volume: self, _turn: turn, name, workspace, staged, is_torn: AtomicBool::new(false) })
    }
}

impl Incoming<'_> {
    /// The staging place.
    pub(crate) fn staged(&self) -> BorrowedFd<'_> {
        self.staged.as_fd()
    }

    /// The workspace's directory.
    pub(crate) fn workspace(&self) -> BorrowedFd<'_> {
        self.workspace.as_fd()
    }

    /// Has the next start bring the workspace back to what it is now, unless `settle` comes first.
    pub(crate) fn keep_before(&self) -> Result<(), SystemError> {
        let _changing = self.volume.changing();
        btrfs::snapshot(self.volume.top.as_fd(), WORKSPACE, BEFORE, Access::ReadOnly)?;
        self.volume.sync()
    }

    /// The workspace is half-changed: what it was is left for the next start.
    pub(crate) fn leave_torn(&self) {
        self.is_torn.store(true, Ordering::Relaxed);
    }

    /// The change is made: writes it to the disk, and forgets what was before.
    pub(crate) fn settle(self) -> Result<State, SystemError> {
        self.volume.sync()?;
        // What is removed now the next start would remove; but for what was before, which it would bring back.
        if self.clear()? {
            self.volume.sync()?;
        }
        self.volume.state()
    }

    /// Whether there was a `before`.
    fn clear(&self) -> Result<bool, SystemError> {
        let _changing = self.volume.changing();
        let top = self.volume.top.as_fd();
        let was_kept = exists(top, BEFORE)?;
        if was_kept {
            btrfs::remove(top, BEFORE)?;
        }
        remove_staging(top, &self.workspace, &self.name)?;
        Ok(was_kept)
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if self.is_torn.load(Ordering::Relaxed) {
            return;
        }
        // What is left the next start removes.
        if let Err(error) = self.clear() {
            console::log(error);
        }
    }
}

/// Takes back what a crash has left half-done.
pub(super) fn recover(top: BorrowedFd<'_>) -> Result<(), SystemError> {
    if exists(top, BEFORE)? {
        directory(top, NEXT)?;
        let next = format!("{NEXT}/workspace");
        btrfs::snapshot(top, BEFORE, &next, Access::Writable)?;
        renameat_with(top, next.as_str(), top, WORKSPACE, RenameFlags::EXCHANGE)
            .doing(|| "bring the workspace back to what it was")?;
        rustix::fs::syncfs(top).doing(|| "sync the volume")?;
        btrfs::remove(top, BEFORE)?;
        discard(top)?;
    }
    for name in names_in(top, INCOMING)? {
        remove_staging(top, &open_directory(top, WORKSPACE)?, &name)?;
    }
    Ok(())
}

fn remove_staging(top: BorrowedFd<'_>, workspace: &File, name: &str) -> Result<(), SystemError> {
    let entry = CString::new(name).unwrap_or_default();
    removal::remove(workspace.as_fd(), &entry).doing(|| format!("remove {name}"))?;
    let incoming = open_directory(top, INCOMING)?;
    removal::remove(incoming.as_fd(), &entry).doing(|| format!("remove {INCOMING}/{name}"))
}

fn names_in(top: BorrowedFd<'_>, path: &str) -> Result<Vec<String>, SystemError> {
    if !exists(top, path)? {
        return Ok(Vec::new());
    }
    let found = names::names(open_directory(top, path)?.as_fd()).doing(|| format!("read {path}"))?;
    Ok(found.iter().map(|name| name.to_string_lossy().into_owned()).collect())
}
