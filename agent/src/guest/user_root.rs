//! The user's root as commands find it: image, writable layer, the kernel's file systems. All of it but what tells machines
//! apart is made for the template, where it costs a restored machine nothing.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::identity::{BootId, IdentityFiles};
use super::{Configuration, rootfs};
use crate::boot::filesystems::{self, ensure_directory};
use crate::system_error::{Doing, SystemError};
use crate::volume::Volume;

/// Where it lies until it is entered, and its writable layer.
const ROOT: &str = "/user/root";
const LAYER: &str = "/user/layer";
/// The same of a root that a volume keeps.
const VOLUME_ROOT: &str = "/user/volume-root";
/// What the kernel gives a root, with all that is mounted below.
const KERNEL_TREES: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];
/// Directory of the agent's own files, on the initramfs.
const PRIVATE: &str = "/private";

/// The root that this process is in, nobody's yet.
pub(super) struct UserRoot {
    boot_id: BootId,
    files: IdentityFiles,
    /// The root before this one.
    initramfs: OwnedFd,
}

/// A root that was left for another one: what that takes over from it.
pub(super) struct LeftRoot {
    boot_id: BootId,
    trees: Vec<rootfs::Tree>,
    initramfs: OwnedFd,
}

impl UserRoot {
    /// Makes it of the image, which is mounted, and enters it for good.
    pub(super) fn enter() -> Result<Self, SystemError> {
        ensure_directory(Path::new(PRIVATE))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let initramfs = openat(CWD, "/", flags, Mode::empty()).doing(|| "open the initramfs")?;
        let (boot_id, boot_id_mount) = BootId::create(Path::new(PRIVATE))?;
        let layer = rootfs::WritableLayer::on_tmpfs(Path::new(LAYER))?;
        rootfs::mount_overlay(&layer, Path::new(ROOT))?;
        rootfs::enter(Path::new(ROOT))?;
        filesystems::mount_for_user()?;
        boot_id_mount.attach()?;
        Ok(Self { boot_id, files: IdentityFiles::create()?, initramfs })
    }

    /// Goes back to the initramfs, where a volume can be mounted out of every user's reach. The root stays mounted, below
    /// the one that comes.
    pub(super) fn leave(self) -> Result<LeftRoot, SystemError> {
        let take = |path: &&str| rootfs::Tree::take(Path::new(path), rootfs::Below::WithMounts);
        let trees = KERNEL_TREES.iter().map(take).collect::<Result<_, _>>()?;
        rustix::process::fchdir(&self.initramfs).doing(|| "chdir to the initramfs")?;
        rustix::process::chroot(".").doing(|| "chroot to the initramfs")?;
        Ok(LeftRoot { boot_id: self.boot_id, trees, initramfs: self.initramfs })
    }

    /// Makes it this machine's. Gives the boot id that commands see.
    pub(super) fn personalise(self, configuration: &Configuration) -> Result<String, SystemError> {
        let boot_id = self.boot_id.write()?;
        self.files.write(&configuration.hostname, &configuration.machine_id)?;
        ensure_directory(&configuration.workspace)?;
        Ok(boot_id)
    }
}

impl LeftRoot {
    /// Makes a root of the image and the volume's layer, and enters it for good.
    pub(super) fn enter_on(self, volume: &Volume) -> Result<UserRoot, SystemError> {
        rootfs::mount_overlay(&rootfs::WritableLayer::on_volume(volume), Path::new(VOLUME_ROOT))?;
        rootfs::enter(Path::new(VOLUME_ROOT))?;
        for (tree, target) in self.trees.into_iter().zip(KERNEL_TREES) {
            tree.attach(Path::new(target))?;
        }
        filesystems::make_temporary_directory()?;
        Ok(UserRoot { boot_id: self.boot_id, files: IdentityFiles::create()?, initramfs: self.initramfs })
    }
}
