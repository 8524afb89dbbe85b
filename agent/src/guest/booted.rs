//! The guest in a virtual machine that this agent booted.

use std::ffi::CString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Configuration, Guest, clock, entropy, identity, rootfs};
use crate::boot::cmdline::RootfsType;
use crate::boot::devices::{DeviceEvents, Drives};
use crate::boot::filesystems::{UserMounts, ensure_directory};
use crate::kernel_files::KernelFiles;
use crate::passwd;
use crate::system_error::SystemError;
use crate::volume::{Setup, Volume};

/// Name of the drive with the root file system.
const ROOTFS_DRIVE: &str = "rootfs";
/// Name of the drive with what a workspace keeps.
const VOLUME_DRIVE: &str = "volume";
/// The throw-away root of PrepareTemplate and its writable layer.
const TEMPLATE_ROOT: &str = "/template/root";
const TEMPLATE_LAYER: &str = "/template/layer";
/// The user's root, before it is moved over `/`, and its writable layer.
const USER_ROOT: &str = "/user/root";
const USER_LAYER: &str = "/user/layer";
/// Directory of the agent's own files, on the initramfs.
const PRIVATE: &str = "/private";

/// A booted machine.
pub struct BootedGuest {
    rootfs_type: RootfsType,
    devices: DeviceEvents,
    drives: Drives,
    kernel: Arc<KernelFiles>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    image_mounted: bool,
    /// Made for the template, used up by Configure.
    user_mounts: Option<UserMounts>,
    /// What commands see; empty before Configure.
    boot_id: String,
    volume: Option<Arc<Volume>>,
}

impl BootedGuest {
    /// Takes over after early boot.
    #[must_use]
    pub fn new(rootfs_type: RootfsType, devices: DeviceEvents, drives: Drives, kernel: Arc<KernelFiles>) -> Self {
        Self { rootfs_type, devices, drives, kernel, state: Mutex::default() }
    }

    /// A panic while it was held cannot have left it half-changed: it is only assigned to.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mount_image(&self) -> Result<(), SystemError> {
        if self.state().image_mounted {
            return Ok(());
        }
        let disk = self.devices.wait_for("drive rootfs", || self.drives.find(ROOTFS_DRIVE))?;
        rootfs::mount_image(&disk, self.rootfs_type)?;
        self.state().image_mounted = true;
        Ok(())
    }

    fn open_volume(&self, setup: &Setup) -> Result<Arc<Volume>, SystemError> {
        let disk = self.devices.wait_for("drive volume", || self.drives.find(VOLUME_DRIVE))?;
        let volume = Arc::new(Volume::open(&disk, setup)?);
        self.state().volume = Some(Arc::clone(&volume));
        Ok(volume)
    }
}

impl Guest for BootedGuest {
    fn open_template_root(&self) -> Result<CString, SystemError> {
        self.mount_image()?;
        self.state().user_mounts = Some(UserMounts::make()?);
        let layer = rootfs::WritableLayer::on_tmpfs(Path::new(TEMPLATE_LAYER))?;
        rootfs::mount_overlay(&layer, Path::new(TEMPLATE_ROOT))?;
        // A constant without NUL.
        Ok(CString::new(TEMPLATE_ROOT).unwrap_or_default())
    }

    fn close_template_root(&self) -> Result<(), SystemError> {
        rootfs::unmount_at(Path::new(TEMPLATE_ROOT))?;
        rootfs::unmount_at(Path::new(TEMPLATE_LAYER))
    }

    fn configure(&self, configuration: &Configuration) -> Result<(), SystemError> {
        entropy::reseed(&configuration.entropy)?;
        clock::set(configuration.unix_time_ns)?;
        ensure_directory(Path::new(PRIVATE))?;
        let boot_id = identity::new_boot_id(Path::new(PRIVATE))?;
        self.mount_image()?;
        let volume = configuration.volume.as_ref().map(|setup| self.open_volume(setup)).transpose()?;
        let layer = match &volume {
            Some(volume) => rootfs::WritableLayer::on_volume(volume),
            None => rootfs::WritableLayer::on_tmpfs(Path::new(USER_LAYER))?,
        };
        rootfs::mount_overlay(&layer, Path::new(USER_ROOT))?;
        let workspace = volume.map(|volume| rootfs::Borrowed::take(&volume.workspace())).transpose()?;
        rootfs::enter(Path::new(USER_ROOT))?;
        let made = self.state().user_mounts.take();
        made.map_or_else(UserMounts::make, Ok)?.attach()?;
        self.state().boot_id = boot_id.attach()?;
        identity::write(&configuration.hostname, &configuration.machine_id)?;
        ensure_directory(&configuration.workspace)?;
        let Some(workspace) = workspace else { return Ok(()) };
        passwd::add_workspace_user()?;
        workspace.attach(&configuration.workspace)?;
        if let Some(volume) = self.volume() {
            volume.discard_replaced();
        }
        Ok(())
    }

    fn volume(&self) -> Option<Arc<Volume>> {
        self.state().volume.clone()
    }

    fn correct_clock(&self, unix_time_ns: u64) -> Result<(), SystemError> {
        clock::correct(unix_time_ns)
    }

    fn boot_id(&self) -> String {
        let presented = self.state().boot_id.clone();
        if presented.is_empty() { self.kernel.boot_id() } else { presented }
    }

    fn clocksource(&self) -> String {
        self.kernel.clocksource()
    }
}
