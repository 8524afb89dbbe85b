//! The few calls of btrfs that a volume needs (linux/btrfs.h), by ioctl: the user's root may have no tools at all.

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::open_directory;
use super::tree::for_each_entry;
use crate::system_error::{Doing, SystemError};

/// `_IOW(BTRFS_IOCTL_MAGIC, 4, struct btrfs_ioctl_vol_args)`.
const SCAN_DEVICE: libc::Ioctl = 0x5000_9404;
/// `_IO(BTRFS_IOCTL_MAGIC, 8)`.
const SYNC: libc::Ioctl = 0x9408;
/// `_IOW(BTRFS_IOCTL_MAGIC, 10, struct btrfs_ioctl_vol_args)`.
const ADD_DEVICE: libc::Ioctl = 0x5000_940a;
/// `_IOW(BTRFS_IOCTL_MAGIC, 3, struct btrfs_ioctl_vol_args)`.
const RESIZE: libc::Ioctl = 0x5000_9403;
/// `_IOW(BTRFS_IOCTL_MAGIC, 14, struct btrfs_ioctl_vol_args)`.
const SUBVOL_CREATE: libc::Ioctl = 0x5000_940e;
/// `_IOW(BTRFS_IOCTL_MAGIC, 15, struct btrfs_ioctl_vol_args)`.
const SNAP_DESTROY: libc::Ioctl = 0x5000_940f;
/// `_IOW(BTRFS_IOCTL_MAGIC, 23, struct btrfs_ioctl_vol_args_v2)`.
const SNAP_CREATE_V2: libc::Ioctl = 0x5000_9417;
/// `_IOW(BTRFS_IOCTL_MAGIC, 26, __u64)`.
const SUBVOL_SET_FLAGS: libc::Ioctl = 0x4008_941a;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 27, struct btrfs_ioctl_scrub_args)`.
const SCRUB: libc::Ioctl = 0xc400_941b_u32 as libc::Ioctl;
/// `BTRFS_SCRUB_READONLY`.
const ONLY_LOOK: u64 = 1;
/// `_IOW(BTRFS_IOCTL_MAGIC, 58, struct btrfs_ioctl_vol_args_v2)`.
const REMOVE_DEVICE_V2: libc::Ioctl = 0x5000_943a;
/// `_IOR(BTRFS_IOCTL_MAGIC, 60, struct btrfs_ioctl_get_subvol_info_args)`.
const GET_SUBVOL_INFO: libc::Ioctl = 0x81f8_943c_u32 as libc::Ioctl;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 30, struct btrfs_ioctl_dev_info_args)`.
const DEV_INFO: libc::Ioctl = 0xd000_941e_u32 as libc::Ioctl;
/// `_IOWR('X', 121, struct fstrim_range)` of linux/fs.h.
const FITRIM: libc::Ioctl = 0xc018_5879_u32 as libc::Ioctl;
/// BTRFS_SUBVOL_RDONLY.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_DEVICE_SPEC_BY_ID`: the name's first bytes are a device's number.
const BY_NUMBER: u64 = 1 << 3;
/// The number of a file system's first device, which of one that was sprouted is its seed.
const FIRST_DEVICE: u64 = 1;
/// Longest name of a subvolume (BTRFS_VOL_NAME_MAX), in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Inode number of every subvolume's top directory (BTRFS_FIRST_FREE_OBJECTID).
const SUBVOLUME_INODE: u64 = 256;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_get_subvol_info_args`, of which `id`, `ctransid` and the first two of `uuids` are read.
#[repr(C)]
struct SubvolInfo {
    id: u64,
    name: [u8; 256],
    parent_id: u64,
    directory_id: u64,
    generation: u64,
    flags: u64,
    uuids: [[u8; 16]; 3],
    ctransid: u64,
    other_transids: [u64; 3],
    times: [[u64; 2]; 4],
    reserved: [u64; 8],
}

/// `struct btrfs_ioctl_scrub_args` with its `struct btrfs_scrub_progress`, of which the counts of errors are read.
#[repr(C)]
struct ScrubArgs {
    device: u64,
    start: u64,
    end: u64,
    flags: u64,
    scrubbed: [u64; 4],
    read_errors: u64,
    checksum_errors: u64,
    verify_errors: u64,
    without_checksum: u64,
    checksum_discards: u64,
    superblock_errors: u64,
    rest: [u64; 114],
}

/// `struct btrfs_ioctl_dev_info_args`.
#[repr(C)]
struct DeviceInfo {
    id: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}

/// `struct fstrim_range`.
#[repr(C)]
struct TrimRange {
    start: u64,
    length: u64,
    least_length: u64,
}

/// Whether a snapshot can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It can.
    Writable,
    /// It stays as it is.
    ReadOnly,
}

/// Makes an empty subvolume.
pub(super) fn create(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let (parent, name) = split(top, path)?;
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgs = unsafe { zeroed() };
    fill(&mut arguments.name, name);
    // SAFETY: SUBVOL_CREATE reads a btrfs_ioctl_vol_args, whose name ends with a zero.
    checked(unsafe { libc::ioctl(parent.as_raw_fd(), SUBVOL_CREATE, &raw const arguments) })
        .doing(|| format!("make subvolume {path}"))
}

/// Makes a subvolume with the content of another one. It has all that was written to that so far.
pub(super) fn snapshot(top: BorrowedFd<'_>, source: &str, path: &str, access: Access) -> Result<(), SystemError> {
    let from = open_directory(top, source)?;
    let (parent, name) = split(top, path)?;
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgsV2 = unsafe { zeroed() };
    arguments.fd = from.as_raw_fd().into();
    arguments.flags = if access == Access::ReadOnly { READ_ONLY } else { 0 };
    fill(&mut arguments.name, name);
    // SAFETY: SNAP_CREATE_V2 reads a btrfs_ioctl_vol_args_v2, whose name ends with a zero; `from` is open.
    checked(unsafe { libc::ioctl(parent.as_raw_fd(), SNAP_CREATE_V2, &raw const arguments) })
        .doing(|| format!("make {path} of {source}"))
}

/// Changes how much of a drive the file system uses: `ID:max`, `ID:-BYTES`.
pub(super) fn resize(top: BorrowedFd<'_>, how: &str) -> Result<(), Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgs = unsafe { zeroed() };
    fill(&mut arguments.name, how);
    // SAFETY: RESIZE reads a btrfs_ioctl_vol_args, whose name ends with a zero.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), RESIZE, &raw const arguments) })
}

/// How much of a drive the file system uses, in bytes. ENODEV: it has none of this id.
pub(super) fn device_bytes(top: BorrowedFd<'_>, id: u64) -> Result<u64, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut info: DeviceInfo = unsafe { zeroed() };
    info.id = id;
    // SAFETY: DEV_INFO reads the id of, and fills, a btrfs_ioctl_dev_info_args.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), DEV_INFO, &raw mut info) })?;
    Ok(info.total_bytes)
}

/// Removes a subvolume, and first those that its user has made in it.
pub(super) fn remove(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let (parent, name) = split(top, path)?;
    remove_from(&parent, name.as_bytes()).doing(|| format!("remove subvolume {path}"))
}

fn remove_from(parent: &File, name: &[u8]) -> Result<(), Errno> {
    match destroy(parent, name) {
        Err(Errno::NOTEMPTY) => {}
        done => return done,
    }
    let inside = open_below(parent.as_fd(), name)?;
    remove_subvolumes_below(inside.as_fd())?;
    destroy(parent, name)
}

/// Writes everything, and has what was removed freed now and not within the next half minute.
pub(super) fn sync_and_clean(top: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: SYNC takes no argument.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), SYNC) })
}

/// Looks through a whole tree: subvolumes in a workspace are rare, and nothing else tells where they are.
fn remove_subvolumes_below(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    for_each_entry(directory, &mut |holder, name, kind| {
        if kind != FileType::Directory {
            return Ok(true);
        }
        let found = statat(holder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = File::from(rustix::io::fcntl_dupfd_cloexec(holder, 0)?);
        if found.st_ino == SUBVOLUME_INODE {
            remove_from(&parent, name.to_bytes())?;
        } else {
            remove_subvolumes_below(open_below(holder, name.to_bytes())?.as_fd())?;
        }
        Ok(true)
    })
    .map(|_| ())
}

fn open_below(parent: BorrowedFd<'_>, name: &[u8]) -> Result<File, Errno> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty()).map(File::from)
}

fn destroy(parent: &File, name: &[u8]) -> Result<(), Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgs = unsafe { zeroed() };
    if name.len() > MAX_NAME_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    arguments.name[..name.len()].copy_from_slice(name);
    // SAFETY: SNAP_DESTROY reads a btrfs_ioctl_vol_args, whose name ends with a zero.
    checked(unsafe { libc::ioctl(parent.as_raw_fd(), SNAP_DESTROY, &raw const arguments) })
}

/// Lets nobody write to a subvolume any more.
pub(super) fn set_read_only(top: BorrowedFd<'_>, path: &str) -> Result<(), SystemError> {
    let subvolume = open_directory(top, path)?;
    let flags = READ_ONLY;
    // SAFETY: SUBVOL_SET_FLAGS reads a u64.
    checked(unsafe { libc::ioctl(subvolume.as_raw_fd(), SUBVOL_SET_FLAGS, &raw const flags) })
        .doing(|| format!("make {path} read-only"))
}

/// Tells btrfs of a device, which it finds by itself when what lies on it is mounted. As a mount option it would be opened
/// for writing, which a seed's drive refuses.
pub(super) fn scan(device: &Path) -> Result<(), SystemError> {
    let control = File::open("/dev/btrfs-control").doing(|| "open /dev/btrfs-control")?;
    let arguments = naming(device);
    // SAFETY: SCAN_DEVICE reads a btrfs_ioctl_vol_args, whose name ends with a zero.
    checked(unsafe { libc::ioctl(control.as_raw_fd(), SCAN_DEVICE, &raw const arguments) })
        .doing(|| format!("scan {}", device.display()))
}

/// Adds a device, whatever lies on it, to a file system that is a seed: what is written from then on is on that one.
pub(super) fn add_device(top: BorrowedFd<'_>, device: &Path) -> Result<(), SystemError> {
    let arguments = naming(device);
    // SAFETY: ADD_DEVICE reads a btrfs_ioctl_vol_args, whose name ends with a zero.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), ADD_DEVICE, &raw const arguments) })
        .doing(|| format!("add {} to the volume", device.display()))
}

fn naming(device: &Path) -> VolArgs {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgs = unsafe { zeroed() };
    let name = device.as_os_str().as_bytes();
    // A device's path is one of the agent's own, and short.
    arguments.name[..name.len()].copy_from_slice(name);
    arguments
}

/// Moves what lies on the seed to the volume's own device, and forgets the seed.
pub(super) fn remove_seed(top: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: VolArgsV2 = unsafe { zeroed() };
    arguments.flags = BY_NUMBER;
    arguments.name[..8].copy_from_slice(&FIRST_DEVICE.to_ne_bytes());
    // SAFETY: REMOVE_DEVICE_V2 reads a btrfs_ioctl_vol_args_v2, in which the name's place holds a number.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), REMOVE_DEVICE_V2, &raw const arguments) })
}

/// Reads all that is in use on the first device and compares it with its checksums; how many blocks are bad.
pub(super) fn scrub(top: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut arguments: ScrubArgs = unsafe { zeroed() };
    (arguments.device, arguments.end, arguments.flags) = (FIRST_DEVICE, u64::MAX, ONLY_LOOK);
    // SAFETY: SCRUB reads and writes a btrfs_ioctl_scrub_args.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), SCRUB, &raw mut arguments) })?;
    let ScrubArgs { read_errors, checksum_errors, verify_errors, superblock_errors, .. } = arguments;
    Ok(read_errors + checksum_errors + verify_errors + superblock_errors)
}

/// A subvolume's tree.
pub(super) struct Subvolume {
    /// The tree's number.
    pub(super) tree: u64,
    /// The transaction in which it was changed last.
    pub(super) changed_in: u64,
    /// Its own name.
    pub(super) uuid: [u8; 16],
    /// The name of what it was copied from; zeros: it was made.
    pub(super) parent: [u8; 16],
}

/// Looks at the subvolume whose top this is.
pub(super) fn look(subvolume: &File) -> Result<Subvolume, Errno> {
    // SAFETY: all-zero bytes are a valid value of this struct of numbers.
    let mut info: SubvolInfo = unsafe { zeroed() };
    // SAFETY: GET_SUBVOL_INFO writes a btrfs_ioctl_get_subvol_info_args, which `info` has the size of.
    checked(unsafe { libc::ioctl(subvolume.as_raw_fd(), GET_SUBVOL_INFO, &raw mut info) })?;
    let [uuid, parent, _] = info.uuids;
    Ok(Subvolume { tree: info.id, changed_in: info.ctransid, uuid, parent })
}

/// Tells the disk of all space that is free.
pub(super) fn trim(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut range = TrimRange { start: 0, length: u64::MAX, least_length: 0 };
    // SAFETY: FITRIM reads and writes a fstrim_range.
    checked(unsafe { libc::ioctl(top.as_raw_fd(), FITRIM, &raw mut range) })
}

/// The parent directory, open, and the last name of a path of ours.
fn split<'a>(top: BorrowedFd<'_>, path: &'a str) -> Result<(File, &'a str), SystemError> {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    Ok((open_directory(top, directory)?, name))
}

/// Copies a name of ours, which is short, in front of the zeros that end it.
fn fill(field: &mut [u8], name: &str) {
    field[..name.len()].copy_from_slice(name.as_bytes());
}

/// What an ioctl answered.
pub(super) fn checked(status: libc::c_int) -> Result<(), Errno> {
    if status >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_that_their_calls_name() {
        // Bits 16 to 29 of a call's number (asm-generic/ioctl.h).
        let size = |call: libc::Ioctl| (call >> 16 & 0x3fff) as usize;
        assert_eq!(size(SUBVOL_CREATE), size_of::<VolArgs>());
        assert_eq!(size(SNAP_DESTROY), size_of::<VolArgs>());
        assert_eq!(size(SCAN_DEVICE), size_of::<VolArgs>());
        assert_eq!(size(SCRUB), size_of::<ScrubArgs>());
        assert_eq!(size(ADD_DEVICE), size_of::<VolArgs>());
        assert_eq!(size(REMOVE_DEVICE_V2), size_of::<VolArgsV2>());
        assert_eq!(size(SUBVOL_SET_FLAGS), size_of::<u64>());
        assert_eq!(size(SNAP_CREATE_V2), size_of::<VolArgsV2>());
        assert_eq!(size(GET_SUBVOL_INFO), size_of::<SubvolInfo>());
        assert_eq!(size(FITRIM), size_of::<TrimRange>());
    }
}
