//! Room that only the agent can use, so that a volume that its user has filled can still be started and reset.
//!
//! btrfs keeps a little for removing files, and none for making a directory. So the file system ends some way before its drive
//! does (the host makes it so), and is given the rest while it is full.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use super::btrfs;
use crate::console;
use crate::system_error::{Doing, SystemError};

/// What is left out at the drive's end, in bytes: btrfs takes up to 1 GiB at once for its own structures, and as much for data.
const RESERVE_BYTES: u64 = 2 << 30;
/// With less than this free in the file system, in bytes, it counts as full.
const TIGHT_BYTES: u64 = 64 << 20;
/// Ids that the volume's drive can have in the file system, the likelier first: after a seed's it is the second.
const DEVICE_IDS: [u64; 2] = [2, 1];

/// The end of a volume's drive, which may grow.
#[derive(Debug)]
pub(super) struct Reserve {
    drive: File,
}

impl Reserve {
    /// That of this drive.
    pub(super) fn of(disk: &Path) -> Result<Self, SystemError> {
        Ok(Self { drive: File::open(disk).doing(|| format!("open {}", disk.display()))? })
    }

    /// Gives the file system what the drive has more than before, but for the reserve.
    pub(super) fn grow(&self, top: BorrowedFd<'_>) -> Result<(), SystemError> {
        let (id, used) = device(top).doing(|| "look at the volume's drive")?;
        let wanted = self.drive_bytes().doing(|| "measure the volume's drive")?.saturating_sub(RESERVE_BYTES);
        if wanted <= used {
            return Ok(());
        }
        btrfs::resize(top, &format!("{id}:{wanted}")).doing(|| "grow the volume")
    }

    /// How large the drive is now.
    pub(super) fn drive_bytes(&self) -> Result<u64, Errno> {
        let size = (&self.drive).seek(SeekFrom::End(0));
        size.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Gives the file system all of its drive.
    pub(super) fn lend(&self, top: BorrowedFd<'_>) -> Result<(), SystemError> {
        let (id, _) = device(top).doing(|| "look at the volume's drive")?;
        btrfs::resize(top, &format!("{id}:max")).doing(|| "use the volume's reserve")
    }

    /// Takes back what was lent. Where something lies there that finds no other room, it stays lent until there is some.
    pub(super) fn take_back(&self, top: BorrowedFd<'_>) {
        let lent = device(top).and_then(|(id, used)| {
            let drive_bytes = self.drive_bytes()?;
            Ok((id, (used + RESERVE_BYTES).saturating_sub(drive_bytes)))
        });
        let taken = lent.and_then(|(id, lent)| match lent {
            0 => Ok(()),
            _ => btrfs::resize(top, &format!("{id}:-{lent}")),
        });
        if let Err(errno) = taken {
            console::log(format_args!("the volume's reserve stays in use: {errno}"));
        }
    }
}

/// Whether so little is free that a start may fail for want of room.
pub(super) fn is_tight(top: BorrowedFd<'_>) -> Result<bool, SystemError> {
    let space = rustix::fs::fstatvfs(top).doing(|| "look at the volume's space")?;
    Ok(space.f_bavail * space.f_frsize < TIGHT_BYTES)
}

/// The volume's drive in the file system: its id, and how much of it is used, in bytes.
fn device(top: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let mut found = Err(Errno::NODEV);
    for id in DEVICE_IDS {
        found = btrfs::device_bytes(top, id).map(|bytes| (id, bytes));
        if found.is_ok() {
            break;
        }
    }
    found
}
