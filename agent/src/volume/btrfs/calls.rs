//! The calls' numbers and what they are given (linux/btrfs.h).

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// `_IO(BTRFS_IOCTL_MAGIC, 8)`.
pub(super) const SYNC: libc::Ioctl = 0x9408;
/// `_IOW(BTRFS_IOCTL_MAGIC, 23, struct btrfs_ioctl_vol_args_v2)`.
pub(super) const SNAP_CREATE_V2: libc::Ioctl = 0x5000_9417;
/// `_IOW(BTRFS_IOCTL_MAGIC, 26, __u64)`.
pub(super) const SUBVOL_SET_FLAGS: libc::Ioctl = 0x4008_941a;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 27, struct btrfs_ioctl_scrub_args)`.
pub(super) const SCRUB: libc::Ioctl = 0xc400_941b_u32 as libc::Ioctl;
/// `_IOW(BTRFS_IOCTL_MAGIC, 58, struct btrfs_ioctl_vol_args_v2)`.
pub(super) const REMOVE_DEVICE_V2: libc::Ioctl = 0x5000_943a;
/// `_IOR(BTRFS_IOCTL_MAGIC, 60, struct btrfs_ioctl_get_subvol_info_args)`.
pub(super) const GET_SUBVOL_INFO: libc::Ioctl = 0x81f8_943c_u32 as libc::Ioctl;
/// `_IOWR(BTRFS_IOCTL_MAGIC, 30, struct btrfs_ioctl_dev_info_args)`.
pub(super) const DEV_INFO: libc::Ioctl = 0xd000_941e_u32 as libc::Ioctl;
/// `_IOWR('X', 121, struct fstrim_range)` of linux/fs.h.
pub(super) const FITRIM: libc::Ioctl = 0xc018_5879_u32 as libc::Ioctl;

/// Longest name that is given (BTRFS_VOL_NAME_MAX, of a subvolume), in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Calls that are given nothing but a name: `_IOW(BTRFS_IOCTL_MAGIC, n, struct btrfs_ioctl_vol_args)`, n the last byte.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(super) enum Named {
    Resize = 0x5000_9403,
    ScanDevice = 0x5000_9404,
    AddDevice = 0x5000_940a,
    CreateSubvolume = 0x5000_940e,
    DestroySubvolume = 0x5000_940f,
}

impl Named {
    pub(super) fn call(self, on: impl AsFd, name: &[u8]) -> Result<(), Errno> {
        if name.len() > MAX_NAME_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        let mut arguments = VolArgs { fd: 0, name: [0; 4088] };
        arguments.name[..name.len()].copy_from_slice(name);
        // SAFETY: each of these reads a btrfs_ioctl_vol_args, whose name ends with a zero.
        checked(unsafe { libc::ioctl(on.as_fd().as_raw_fd(), self as libc::Ioctl, &raw const arguments) })
    }
}

/// What an ioctl answered.
pub(in crate::volume) fn checked(status: libc::c_int) -> Result<(), Errno> {
    if status >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
pub(super) struct VolArgsV2 {
    pub(super) fd: i64,
    pub(super) transid: u64,
    pub(super) flags: u64,
    pub(super) unused: [u64; 4],
    pub(super) name: [u8; 4040],
}

impl VolArgsV2 {
    /// With a name that is of ours, and short.
    pub(super) fn new(fd: i64, flags: u64, name: &[u8]) -> Self {
        let mut arguments = Self { fd, transid: 0, flags, unused: [0; 4], name: [0; 4040] };
        arguments.name[..name.len()].copy_from_slice(name);
        arguments
    }
}

/// `struct btrfs_ioctl_get_subvol_info_args`, of which `id`, `ctransid` and the first two of `uuids` are read.
#[repr(C)]
pub(super) struct SubvolInfo {
    pub(super) id: u64,
    pub(super) name: [u8; 256],
    pub(super) parent_id: u64,
    pub(super) directory_id: u64,
    pub(super) generation: u64,
    pub(super) flags: u64,
    pub(super) uuids: [[u8; 16]; 3],
    pub(super) ctransid: u64,
    pub(super) other_transids: [u64; 3],
    pub(super) times: [[u64; 2]; 4],
    pub(super) reserved: [u64; 8],
}

/// `struct btrfs_ioctl_scrub_args` with its `struct btrfs_scrub_progress`, of which the counts of errors are read.
#[repr(C)]
pub(super) struct ScrubArgs {
    pub(super) device: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: u64,
    pub(super) scrubbed: [u64; 4],
    pub(super) read_errors: u64,
    pub(super) checksum_errors: u64,
    pub(super) verify_errors: u64,
    pub(super) without_checksum: u64,
    pub(super) checksum_discards: u64,
    pub(super) superblock_errors: u64,
    pub(super) rest: [u64; 114],
}

/// `struct btrfs_ioctl_dev_info_args`.
#[repr(C)]
pub(super) struct DeviceInfo {
    pub(super) id: u64,
    pub(super) uuid: [u8; 16],
    pub(super) bytes_used: u64,
    pub(super) total_bytes: u64,
    pub(super) unused: [u64; 379],
    pub(super) path: [u8; 1024],
}

/// `struct fstrim_range`.
#[repr(C)]
pub(super) struct TrimRange {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) least_length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_that_their_calls_name() {
        // Bits 16 to 29 of a call's number (asm-generic/ioctl.h).
        let size = |call: libc::Ioctl| (call >> 16 & 0x3fff) as usize;
        for call in
            [Named::Resize, Named::ScanDevice, Named::AddDevice, Named::CreateSubvolume, Named::DestroySubvolume]
        {
            assert_eq!(size(call as libc::Ioctl), size_of::<VolArgs>());
        }
        assert_eq!(size(SCRUB), size_of::<ScrubArgs>());
        assert_eq!(size(REMOVE_DEVICE_V2), size_of::<VolArgsV2>());
        assert_eq!(size(SUBVOL_SET_FLAGS), size_of::<u64>());
        assert_eq!(size(SNAP_CREATE_V2), size_of::<VolArgsV2>());
        assert_eq!(size(DEV_INFO), size_of::<DeviceInfo>());
        assert_eq!(size(GET_SUBVOL_INFO), size_of::<SubvolInfo>());
        assert_eq!(size(FITRIM), size_of::<TrimRange>());
    }
}
