//! The user's root: the shared read-only image below, a layer of this machine's own above, joined by overlayfs.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_move, move_mount, open_tree};

use crate::boot::cmdline::RootfsType;
use crate::boot::filesystems::ensure_directory;
use crate::system_error::{Doing, SystemError};
use crate::volume::Volume;

/// Where the read-only image is mounted, in the initramfs: nothing in the user's root can reach it.
pub(super) const IMAGE: &str = "/rootfs";

/// Mounts the image on [`IMAGE`], read-only.
pub(super) fn mount_image(disk: &Path, kind: RootfsType) -> Result<(), SystemError> {
    ensure_directory(Path::new(IMAGE))?;
    let (disk_name, kind) = (disk.display(), kind.name());
    mount(disk, IMAGE, kind, MountFlags::RDONLY, None).doing(|| format!("mount {disk_name} ({kind}) on {IMAGE}"))
}

/// The writable part of an overlay: two directories on one file system (Documentation/filesystems/overlayfs.rst).
///
/// A tmpfs gives it, or a workspace's volume.
pub(super) struct WritableLayer {
    upper: PathBuf,
    work: PathBuf,
}

impl WritableLayer {
    /// The layer that a volume keeps.
    pub(super) fn on_volume(volume: &Volume) -> Self {
        let (upper, work) = volume.layer();
        Self { upper, work }
    }

    /// Makes the layer in a tmpfs of its own, mounted on `directory`.
    pub(super) fn on_tmpfs(directory: &Path) -> Result<Self, SystemError> {
        ensure_directory(directory)?;
        mount("tmpfs", directory, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))
            .doing(|| format!("mount tmpfs on {}", directory.display()))?;
        let layer = Self { upper: directory.join("upper"), work: directory.join("work") };
        ensure_directory(&layer.upper)?;
        ensure_directory(&layer.work)?;
        Ok(layer)
    }
}

/// Mounts the image with `layer` over it on `target`. Nothing ever writes to the image.
pub(super) fn mount_overlay(layer: &WritableLayer, target: &Path) -> Result<(), SystemError> {
    ensure_directory(target)?;
    // redirect_dir: without it, rename(2) of a directory of the image fails with EXDEV, which few programs expect.
    let options =
        format!("lowerdir={IMAGE},upperdir={},workdir={},redirect_dir=on", layer.upper.display(), layer.work.display());
    // The paths are this module's own: there is no NUL in them.
    let options = CString::new(options).unwrap_or_default();
    mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .doing(|| format!("mount overlay on {}", target.display()))
}

/// Makes `target` this process's root, for good.
///
/// The mount is moved over the initramfs, not only entered: user namespaces are refused to a process whose root is not
/// its mount namespace's root (user_namespaces(7), EPERM).
pub(super) fn enter(target: &Path) -> Result<(), SystemError> {
    std::env::set_current_dir(target).doing(|| format!("chdir {}", target.display()))?;
    mount_move(".", "/").doing(|| format!("move {} over /", target.display()))?;
    rustix::process::chroot(".").doing(|| "chroot to the new root")?;
    std::env::set_current_dir("/").doing(|| "chdir /")
}

/// Whether what is mounted in a tree comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// Nothing of it.
    Alone,
    /// All of it.
    WithMounts,
}

/// A directory that is to be found in another root too.
pub(super) struct Tree(OwnedFd);

impl Tree {
    /// Takes hold of it in the root that this process is in.
    pub(super) fn take(path: &Path, below: Below) -> Result<Self, SystemError> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if below == Below::WithMounts {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        open_tree(CWD, path, flags).map(Self).doing(|| format!("clone mount {}", path.display()))
    }

    /// Mounts it on `target` in the root that this process is in now.
    pub(super) fn attach(self, target: &Path) -> Result<(), SystemError> {
        ensure_directory(target)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&self.0, "", CWD, target, flags).doing(|| format!("mount a tree on {}", target.display()))
    }
}
