//! Making a tree of a stream.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use pyro_seed::stream::{Entry, MAX_CHUNK_BYTES, Meta, Reader, Totals};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr, ftruncate,
    futimens, linkat, lsetxattr, mkdirat, openat, symlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::places::Places;
use super::{SeedError, shown, stream_error};
use crate::system_error::{Doing, SystemError};

/// What a file or directory may until it has its own mode.
const OWNERS: Mode = Mode::from_raw_mode(0o700);

/// Makes in `root`, which is empty, what the stream has. The root itself stays as it is.
pub(super) fn fill(
    stream: impl Read,
    root: BorrowedFd<'_>,
    progress: &mut dyn FnMut(Totals),
) -> Result<Totals, SeedError> {
    // Modes are the stream's, and this machine is nobody's.
    rustix::process::umask(Mode::empty());
    let mut reader = Reader::new(stream).map_err(stream_error)?;
    let (mut places, mut targets) = (Places::new(root), Places::new(root));
    let mut buffer = Vec::with_capacity(MAX_CHUNK_BYTES);
    loop {
        progress(reader.totals());
        match reader.next().map_err(stream_error)? {
            Entry::Directory { path } => make(&path, || {
                let (parent, name) = places.parent(&path)?;
                mkdirat(parent, name, OWNERS)
            })?,
            Entry::File { path, meta, size } => {
                let (parent, name) = places.parent(&path).doing(|| format!("find {}", shown(&path)))?;
                write_file(&mut reader, parent, name, size, &meta, &mut buffer).map_err(|error| error.of(&path))?;
            }
            Entry::Symlink { path, meta, target } => make(&path, || {
                let (parent, name) = places.parent(&path)?;
                symlinkat(target.as_slice(), parent, name)?;
                dress_link(parent, name, &meta)
            })?,
            Entry::Link { path, target } => make(&path, || {
                let (from, old) = targets.parent(&target)?;
                let (parent, name) = places.parent(&path)?;
                linkat(from, old, parent, name, AtFlags::empty())
            })?,
            // The root belongs to the workspace, not to the tree.
            Entry::Finished { path, .. } if path.is_empty() => {}
            Entry::Finished { path, meta } => make(&path, || dress(places.directory(&path)?, &meta, false))?,
            Entry::End(totals) => return Ok(totals),
        }
    }
}

fn make(path: &[u8], work: impl FnOnce() -> Result<(), Errno>) -> Result<(), SystemError> {
    work().doing(|| format!("make {}", shown(path)))
}

/// Why a file was not written: the stream's fault, or the file system's.
enum FileError {
    Stream(std::io::Error),
    System(Errno),
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl FileError {
    fn of(self, path: &[u8]) -> SeedError {
        match self {
            Self::Stream(error) => stream_error(error),
            Self::System(errno) => SeedError::System(SystemError::new(format!("make {}", shown(path)), errno)),
        }
    }
}

fn write_file(
    reader: &mut Reader<impl Read>,
    parent: BorrowedFd<'_>,
    name: &[u8],
    size: u64,
    meta: &Meta,
    buffer: &mut Vec<u8>,
) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Without setuid and setgid, which it is not to have for its first owner.
    let mode = Mode::from_raw_mode(meta.mode & 0o777);
    let file = openat(parent, name, flags, mode)?;
    let mut end = 0;
    while let Some(offset) = reader.chunk(buffer).map_err(FileError::Stream)? {
        write_all(&file, buffer, offset)?;
        end = offset + buffer.len() as u64;
    }
    if end < size {
        ftruncate(&file, size)?;
    }
    let is_dressed = (meta.uid, meta.gid, meta.mode) == (0, 0, mode.as_raw_mode());
    dress(file.as_fd(), meta, is_dressed)?;
    Ok(())
}

fn write_all(file: &OwnedFd, data: &[u8], offset: u64) -> Result<(), Errno> {
    let mut written = 0;
    while written < data.len() {
        match pwrite(file, &data[written..], offset + written as u64) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Gives a file or directory its attributes: the owner first, for changing it clears others, the times last. One that was made
/// with its owner and mode need not be told them again, which under emulation is a third of what it costs.
fn dress(file: BorrowedFd<'_>, meta: &Meta, is_dressed: bool) -> Result<(), Errno> {
    if !is_dressed {
        fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        fchmod(file, Mode::from_raw_mode(meta.mode))?;
    }
    for (name, value) in &meta.xattrs {
        fsetxattr(file, name.as_slice(), value, XattrFlags::empty())?;
    }
    futimens(file, &times(meta))
}

fn dress_link(parent: BorrowedFd<'_>, name: &[u8], meta: &Meta) -> Result<(), Errno> {
    chownat(parent, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), AtFlags::SYMLINK_NOFOLLOW)?;
    for (attribute, value) in &meta.xattrs {
        let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
        lsetxattr(path.as_slice(), attribute.as_slice(), value, XattrFlags::empty())?;
    }
    utimensat(parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(meta: &Meta) -> Timestamps {
    let time = Timespec { tv_sec: meta.seconds, tv_nsec: meta.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
