//! What lies where in a volume, and how it gets there in steps of which none loses anything.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, RenameFlags, Uid, chownat, mkdirat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::btrfs::{self, Access};
use super::incoming;
use super::{BASELINE, Setup, SnapshotId, Source, open_directory};
use crate::passwd;
use crate::system_error::{Doing, SystemError};

pub(super) const SNAPSHOTS: &str = "snapshots";
pub(super) const WORKSPACE: &str = "live/workspace";
pub(super) const UPPER: &str = "live/system/upper";
pub(super) const WORK: &str = "live/system/work";
const LIVE: &str = "live";
const ROOM: &str = "room";
pub(super) const NEXT: &str = "next";
/// Subvolumes of `live` and `next`.
const PARTS: [&str; 2] = ["workspace", "system"];

const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Brings a volume to the state that `setup` asks for, from whatever state a crash left it in.
pub(super) fn prepare(top: BorrowedFd<'_>, setup: &Setup) -> Result<(), SystemError> {
    // Of a change that was not finished: what was to come, or what had been.
    discard(top)?;
    incoming::recover(top)?;
    if !exists(top, LIVE)? {
        create(top)?;
    } else if let Some(source) = &setup.reset_to {
        reset(top, source)?;
    }
    remove_unknown_snapshots(top, &setup.snapshots)
}

/// The first life of a volume: a workspace like the seed's tree, or an empty one, and the baseline of it.
fn create(top: BorrowedFd<'_>) -> Result<(), SystemError> {
    directory(top, SNAPSHOTS)?;
    directory(top, NEXT)?;
    let workspace = part(NEXT, "workspace");
    if exists(top, BASELINE)? {
        btrfs::snapshot(top, BASELINE, &workspace, Access::Writable)?;
    } else {
        tree(top, &workspace)?;
        btrfs::snapshot(top, &workspace, BASELINE, Access::ReadOnly)?;
    }
    create_system(top)?;
    renameat(top, NEXT, top, LIVE).doing(|| "put the first workspace in its place")
}

/// Makes an empty tree, which is the workspace user's.
pub(super) fn tree(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    btrfs::create(top, path)?;
    let (user, group) = (Uid::from_raw(passwd::WORKSPACE_UID), Gid::from_raw(passwd::WORKSPACE_UID));
    chownat(top, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).doing(|| format!("chown {path}"))
}

/// Puts a copy of `source` with a new root layer in the place of what is there, which is `next` from then on.
fn reset(top: BorrowedFd<'_>, source: &Source) -> Result<(), SystemError> {
    directory(top, NEXT)?;
    btrfs::snapshot(top, &source.path(), &part(NEXT, "workspace"), Access::Writable)?;
    create_system(top)?;
    renameat_with(top, NEXT, top, LIVE, RenameFlags::EXCHANGE).doing(|| "exchange the workspace")
}

fn create_system(top: BorrowedFd<'_>) -> Result<(), SystemError> {
    let system = part(NEXT, "system");
    btrfs::create(top, &system)?;
    directory(top, &format!("{system}/upper"))?;
    directory(top, &format!("{system}/work"))
}

/// Removes `next` with all that is in it; whether there was one.
pub(super) fn discard(top: BorrowedFd<'_>) -> Result<bool, SystemError> {
    if !exists(top, NEXT)? {
        return Ok(false);
    }
    for name in PARTS {
        let path = part(NEXT, name);
        if exists(top, &path)? {
            btrfs::remove(top, &path)?;
        }
    }
    unlinkat(top, NEXT, AtFlags::REMOVEDIR).doing(|| format!("remove {NEXT}"))?;
    Ok(true)
}

/// Makes a directory and removes it. Without room for that the overlay would be mounted read-only, and say nothing.
pub(super) fn try_for_room(top: BorrowedFd<'_>) -> Result<(), SystemError> {
    directory(top, ROOM)?;
    unlinkat(top, ROOM, AtFlags::REMOVEDIR).doing(|| format!("remove {ROOM}"))
}

fn remove_unknown_snapshots(top: BorrowedFd<'_>, known: &[SnapshotId]) -> Result<(), SystemError> {
    let directory = open_directory(top, SNAPSHOTS)?;
    let mut unknown = Vec::new();
    super::tree::for_each_entry(rustix::fd::AsFd::as_fd(&directory), &mut |_, name, _| {
        let name = name.to_string_lossy().into_owned();
        if !known.iter().any(|id| id.as_str() == name) {
            unknown.push(name);
        }
        Ok(true)
    })
    .doing(|| format!("read {SNAPSHOTS}"))?;
    unknown.iter().try_for_each(|name| btrfs::remove(top, &format!("{SNAPSHOTS}/{name}")))
}

fn part(of: &str, name: &str) -> String {
    format!("{of}/{name}")
}

/// Makes a directory of ours unless it is there.
pub(super) fn directory(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    match mkdirat(top, path, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).doing(|| format!("mkdir {path} of the volume")),
    }
}

pub(super) fn exists(top: BorrowedFd<'_>, path: &str) -> Result<bool, SystemError> {
    match statat(top, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).doing(|| format!("look for {path} of the volume")),
    }
}
