//! The guest in a virtual machine that this agent booted.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::user_root::UserRoot;
use super::{Configuration, Fresh, Guest, clock, entropy, rootfs};
use crate::boot::cmdline::RootfsType;
use crate::boot::devices::{DeviceEvents, Drives};
use crate::boot::filesystems::ensure_directory;
use crate::boot::modules;
use crate::kernel_files::KernelFiles;
use crate::passwd;
use crate::seed::{self, Progress, SeedError, Totals};
use crate::system_error::SystemError;
use crate::volume::{Setup, State as VolumeState, Volume, sprout};

/// Name of the drive with the root file system.
const ROOTFS_DRIVE: &str = "rootfs";
/// Name of the drive with what workspaces share.
const SEED_DRIVE: &str = "seed";
/// Name of the drive with what a workspace keeps.
const VOLUME_DRIVE: &str = "volume";
/// What only volumes need of the kernel, in the initramfs: loaded for the template, or by the first that has a volume.
const VOLUME_MODULES: &str = "/modules/volume";

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
    /// Made for the template, used up by Configure.
    user_root: Option<UserRoot>,
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

    /// The user's root, made and entered unless it is.
    fn take_user_root(&self) -> Result<UserRoot, SystemError> {
        if let Some(root) = self.state().user_root.take() {
            return Ok(root);
        }
        let disk = self.drive(ROOTFS_DRIVE)?;
        rootfs::mount_image(&disk, self.rootfs_type)?;
        UserRoot::enter()
    }

    fn drive(&self, name: &str) -> Result<PathBuf, SystemError> {
        self.devices.wait_for(&format!("drive {name}"), || self.drives.find(name))
    }

    /// Waits until a drive is so large: the host has said that it has grown.
    fn grown(&self, drive_bytes: u64, size: impl Fn() -> Option<u64>) -> Result<(), SystemError> {
        let is_there = || size().filter(|&bytes| bytes >= drive_bytes).map(drop);
        self.devices.wait_for("what the volume's drive has grown by", is_there)
    }

    /// Leaves the user's root for work on the drives `seed` and `volume`: nothing else is done in this machine.
    fn workshop(&self, fresh: &Fresh) -> Result<(PathBuf, PathBuf), SystemError> {
        entropy::reseed(self.kernel.random(), &fresh.entropy)?;
        clock::set(fresh.unix_time_ns)?;
        self.take_user_root()?.leave()?;
        modules::load_all(Path::new(VOLUME_MODULES))?;
        Ok((self.drive(SEED_DRIVE)?, self.drive(VOLUME_DRIVE)?))
    }

    /// Changes the root that every template has for one that the volume keeps, with the workspace in it.
    fn move_to_volume(&self, root: UserRoot, setup: &Setup, workspace: &Path) -> Result<UserRoot, SystemError> {
        let left = root.leave()?;
        modules::load_all(Path::new(VOLUME_MODULES))?;
        let disk = self.drive(VOLUME_DRIVE)?;
        let seed = if setup.seeded { Some(self.drive(SEED_DRIVE)?) } else { None };
        self.grown(setup.drive_bytes, || size_of_drive(&disk))?;
        let volume = Arc::new(Volume::open(&disk, seed.as_deref(), setup)?);
        let tree = rootfs::Tree::take(&volume.workspace(), rootfs::Below::Alone)?;
        let root = left.enter_on(&volume)?;
        passwd::add_workspace_user()?;
        tree.attach(workspace)?;
        volume.discard_replaced();
        self.state().volume = Some(volume);
        Ok(root)
    }
}

/// How large the drive with this node is, in bytes.
fn size_of_drive(node: &Path) -> Option<u64> {
    File::open(node).and_then(|mut drive| drive.seek(SeekFrom::End(0))).ok()
}

impl Guest for BootedGuest {
    fn prepare(&self, workspace: Option<&Path>) -> Result<(), SystemError> {
        // In the initramfs, not in a root of the user's.
        if self.state().user_root.is_none() {
            modules::load_all(Path::new(VOLUME_MODULES))?;
        }
        let root = self.take_user_root()?;
        self.state().user_root = Some(root);
        // Whoever reads the clock for the first time looks for it: once for all clones.
        clock::correct(0)?;
        workspace.map_or(Ok(()), ensure_directory)
    }

    fn configure(&self, configuration: &Configuration) -> Result<(), SystemError> {
        entropy::reseed(self.kernel.random(), &configuration.entropy)?;
        clock::set(configuration.unix_time_ns)?;
        let root = self.take_user_root()?;
        let root = match &configuration.volume {
            Some(setup) => self.move_to_volume(root, setup, &configuration.workspace)?,
            None => root,
        };
        let boot_id = root.personalise(configuration)?;
        self.state().boot_id = boot_id;
        Ok(())
    }

    fn volume(&self) -> Option<Arc<Volume>> {
        self.state().volume.clone()
    }

    fn grow_volume(&self, drive_bytes: u64) -> Result<VolumeState, SystemError> {
        let no_volume = || SystemError::new("grow the volume".to_owned(), Errno::NODEV);
        let volume = self.volume().ok_or_else(no_volume)?;
        self.grown(drive_bytes, || volume.drive_bytes().ok())?;
        volume.grow()
    }

    fn make_seed(&self, fresh: &Fresh, progress: &mut Progress<'_>) -> Result<Totals, SeedError> {
        let (stream, volume) = self.workshop(fresh)?;
        seed::make(&stream, &volume, progress)
    }

    fn sprout(&self, fresh: &Fresh) -> Result<(), SystemError> {
        let (seed, volume) = self.workshop(fresh)?;
        sprout(&seed, &volume)
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
