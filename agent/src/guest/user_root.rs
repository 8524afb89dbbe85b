//! The user's root as commands find it: image, writable layer, the kernel's file systems. All of it but what tells machines
//! apart is made for the template, where it costs a restored machine nothing.

use std::path::Path;

use super::identity::{BootId, IdentityFiles};
use super::{Configuration, rootfs};
use crate::boot::filesystems::{self, ensure_directory};
use crate::system_error::SystemError;

/// Where it lies until it is entered, and its writable layer.
const ROOT: &str = "/user/root";
const LAYER: &str = "/user/layer";
/// Directory of the agent's own files, on the initramfs.
const PRIVATE: &str = "/private";

/// The root that this process is in, nobody's yet.
pub(super) struct UserRoot {
    boot_id: BootId,
    files: IdentityFiles,
}

impl UserRoot {
    /// Makes it of the image, which is mounted, and enters it for good.
    pub(super) fn enter() -> Result<Self, SystemError> {
        ensure_directory(Path::new(PRIVATE))?;
        let (boot_id, boot_id_mount) = BootId::create(Path::new(PRIVATE))?;
        let layer = rootfs::WritableLayer::on_tmpfs(Path::new(LAYER))?;
        rootfs::mount_overlay(&layer, Path::new(ROOT))?;
        rootfs::enter(Path::new(ROOT))?;
        filesystems::mount_for_user()?;
        boot_id_mount.attach()?;
        Ok(Self { boot_id, files: IdentityFiles::create()? })
    }

    /// Makes it this machine's. Gives the boot id that commands see.
    pub(super) fn personalise(self, configuration: &Configuration) -> Result<String, SystemError> {
        let boot_id = self.boot_id.write()?;
        self.files.write(&configuration.hostname, &configuration.machine_id)?;
        ensure_directory(&configuration.workspace)?;
        Ok(boot_id)
    }
}
