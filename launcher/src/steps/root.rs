//! `--root` and what is in it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, statat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};

use super::Launch;
use super::mounts::{NO_DEVICES, NO_EXEC, NO_SETUID, READ_ONLY, copy_of, restrict, tmpfs};
use crate::failure::{Doing, Failure};
use crate::options::Access;

/// Room for directories and mount points.
const ROOT_BYTES: u64 = 1024 * 1024;

/// Something to be mounted at a path of the new root.
struct Part {
    path: PathBuf,
    tree: OwnedFd,
}

/// Builds the root and enters it: the old one is then nowhere to be found.
pub(super) fn build(launch: &mut Launch) -> Result<(), Failure> {
    if !launch.options.root {
        return Ok(());
    }
    // The user that the program will be must come through the directories on the way to what it is shown.
    let mask = rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let result = build_with_mask(launch);
    rustix::process::umask(mask);
    result
}

fn build_with_mask(launch: &Launch) -> Result<(), Failure> {
    // The new root is put over it, as a place that is there in any case; the command line was refused without one.
    let Some(base) = &launch.options.directory else { return Err(Failure::usage("--root", "needs --chdir")) };
    // Nothing that is mounted from here on is seen by the host, nor the reverse.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).doing(|| "root: private mounts".into())?;
    // All of them before the first is hidden by the new root.
    let parts = gather(launch)?;
    let doing = || format!("root on {}", base.display());
    let tree = tmpfs(ROOT_BYTES).doing(doing)?;
    attach(&tree, CWD, base).doing(doing)?;
    let new = openat(CWD, base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).doing(doing)?;
    for Part { path, tree } in &parts {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let mounted = mount_point(&new, inside, tree).and_then(|()| attach(tree, &new, inside));
        mounted.doing(|| format!("root: {}", path.display()))?;
    }
    restrict(&tree, READ_ONLY | NO_DEVICES | NO_EXEC, false).doing(doing)?;
    enter(&new).doing(doing)
}

/// Copies of the mounts that the root is made of, outer ones first.
fn gather(launch: &Launch) -> Result<Vec<Part>, Failure> {
    let options = &launch.options;
    let contents =
        options.contents.iter().map(|content| (content.path.as_path(), content.path.as_path(), content.access));
    // Through the host's /proc, of which nothing else is seen.
    let own = options.own_descriptors.then_some((Path::new("/dev/fd"), Path::new("/proc/self/fd"), Access::ReadOnly));
    let mut parts = Vec::new();
    for (path, source, access) in contents.chain(own) {
        let attributes = match access {
            Access::ReadOnly => READ_ONLY | NO_SETUID | NO_DEVICES,
            Access::Writable => NO_SETUID | NO_DEVICES | NO_EXEC,
            Access::Device => NO_SETUID | NO_EXEC,
        };
        let tree = copy_of(source, attributes).doing(|| format!("root: {}", source.display()))?;
        parts.push(Part { path: path.to_owned(), tree });
    }
    parts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(parts)
}

/// Makes sure that there is something to mount over: a directory for a directory, a file for anything else.
fn mount_point(root: &OwnedFd, inside: &Path, tree: &OwnedFd) -> io::Result<()> {
    let is_directory = FileType::from_raw_mode(fstat(tree)?.st_mode) == FileType::Directory;
    let mode = Mode::from_raw_mode(0o755);
    let outer = inside.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>();
    let own = is_directory.then_some(inside);
    for directory in outer.into_iter().rev().chain(own) {
        match mkdirat(root, directory, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            // In a part that is mounted already, everything is there that is there outside.
            Err(Errno::ROFS) if statat(root, directory, AtFlags::empty()).is_ok() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !is_directory && statat(root, inside, AtFlags::empty()).is_err() {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(root, inside, flags, Mode::RUSR)?;
    }
    Ok(())
}

fn attach(tree: &OwnedFd, directory: impl std::os::fd::AsFd, path: &Path) -> io::Result<()> {
    Ok(move_mount(tree, "", directory, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// pivot_root(2) with both names the same: the old root lies on the new one, and is taken off.
fn enter(new: &OwnedFd) -> io::Result<()> {
    rustix::process::fchdir(new)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
