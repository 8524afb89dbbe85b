//! Gives the kernel's random number generator the host's bytes: every clone of a template starts with the same state.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::Configuration;
use crate::system_error::{Doing, SystemError};

/// `_IOW('R', 0x03, int[2])` of linux/random.h.
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
/// `_IO('R', 0x07)` of linux/random.h.
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
/// Bytes handed over in one RNDADDENTROPY.
const PIECE_BYTES: usize = Configuration::MIN_ENTROPY_BYTES;

/// `struct rand_pool_info` of linux/random.h with its buffer.
#[repr(C)]
struct RandPoolInfo {
    entropy_bits: libc::c_int,
    buffer_bytes: libc::c_int,
    buffer: [u8; PIECE_BYTES],
}

/// Mixes `entropy` into the pool by `device`, which is `/dev/urandom`, credited in full, and reseeds the generator from it at once.
pub(super) fn reseed(device: BorrowedFd<'_>, entropy: &[u8]) -> Result<(), SystemError> {
    for piece in entropy.chunks(PIECE_BYTES) {
        add(device, piece).doing(|| "add entropy")?;
    }
    // SAFETY: RNDRESEEDCRNG takes no argument.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) };
    checked(status).doing(|| "reseed the random number generator")
}

fn add(device: BorrowedFd<'_>, piece: &[u8]) -> Result<(), Errno> {
    let mut buffer = [0; PIECE_BYTES];
    buffer[..piece.len()].copy_from_slice(piece);
    // `chunks` gives at most PIECE_BYTES, which fits.
    let length = piece.len() as libc::c_int;
    let info = RandPoolInfo { entropy_bits: length * 8, buffer_bytes: length, buffer };
    // SAFETY: RNDADDENTROPY reads a rand_pool_info and `buffer_bytes` bytes behind it, which `info` has.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const info) })
}

fn checked(status: libc::c_int) -> Result<(), Errno> {
    if status == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
