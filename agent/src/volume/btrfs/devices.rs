//! What a file system lies on: drives that grow, a seed and what is on top of it, blocks that are free or bad.

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use super::calls::{
    DEV_INFO, DeviceInfo, FITRIM, Named, REMOVE_DEVICE_V2, SCRUB, SYNC, ScrubArgs, TrimRange, VolArgsV2, checked,
};
use crate::system_error::{Doing, SystemError};

/// `BTRFS_SCRUB_READONLY`.
const ONLY_LOOK: u64 = 1;
/// `BTRFS_DEVICE_SPEC_BY_ID`: the name's first bytes are a device's number.
const BY_NUMBER: u64 = 1 << 3;
/// The number of a file system's first device, which of one that was sprouted is its seed.
const FIRST_DEVICE: u64 = 1;
/// Changes how much of a drive the file system uses: `ID:max`, `ID:-BYTES`.
pub(in crate::volume) fn resize(top: BorrowedFd<'_>, how: &str) -> Result<(), Errno> {
    Named::Resize.call(top, how.as_bytes())
}

/// How much of a drive the file system uses, in bytes. ENODEV: it has none of this id.
pub(in crate::volume) fn device_bytes(top: BorrowedFd<'_>, id: u64) -> Result<u64, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut info: DeviceInfo = unsafe { zeroed() };
    info.id = id;
    // SAFETY: DEV_INFO reads the id of, and fills, a btrfs_ioctl_dev_info_args.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), DEV_INFO, &raw mut info) })?;
    Ok(info.total_bytes)
}

/// Writes everything, and has what was removed freed now and not within the next half minute.
pub(in crate::volume) fn sync_and_clean(top: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: SYNC takes no argument.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), SYNC) })
}

/// Tells btrfs of a device, which it finds by itself when what lies on it is mounted. As a mount option it would be opened
/// for writing, which a seed's drive refuses.
pub(in crate::volume) fn scan(device: &Path) -> Result<(), SystemError> {
    let control = File::open("/dev/btrfs-control").doing(|| "open /dev/btrfs-control")?;
    Named::ScanDevice.call(control, device.as_os_str().as_bytes()).doing(|| format!("scan {}", device.display()))
}

/// Adds a device, whatever lies on it, to a file system that is a seed: what is written from then on is on that one.
pub(in crate::volume) fn add_device(top: BorrowedFd<'_>, device: &Path) -> Result<(), SystemError> {
    Named::AddDevice
        .call(top, device.as_os_str().as_bytes())
        .doing(|| format!("add {} to the volume", device.display()))
}

/// Moves what lies on the seed to the volume's own device, and forgets the seed.
pub(in crate::volume) fn remove_seed(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let arguments = VolArgsV2::new(0, BY_NUMBER, &FIRST_DEVICE.to_ne_bytes());
    // SAFETY: REMOVE_DEVICE_V2 reads a btrfs_ioctl_vol_args_v2, in which the name's place holds a number.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), REMOVE_DEVICE_V2, &raw const arguments) })
}

/// Reads all that is in use on the first device and compares it with its checksums; how many blocks are bad.
pub(in crate::volume) fn scrub(top: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: ScrubArgs = unsafe { zeroed() };
    (arguments.device, arguments.end, arguments.flags) = (FIRST_DEVICE, u64::MAX, ONLY_LOOK);
    // SAFETY: SCRUB reads and writes a btrfs_ioctl_scrub_args.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), SCRUB, &raw mut arguments) })?;
    let ScrubArgs { read_errors, checksum_errors, verify_errors, superblock_errors, .. } = arguments;
    Ok(read_errors + checksum_errors + verify_errors + superblock_errors)
}

/// Tells the disk of all space that is free.
pub(in crate::volume) fn trim(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut range = TrimRange { start: 0, length: u64::MAX, least_length: 0 };
    // SAFETY: FITRIM reads and writes a fstrim_range.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), FITRIM, &raw mut range) })
}
