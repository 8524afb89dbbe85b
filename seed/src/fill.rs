//! Making a tree of a stream.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::stream::{Entry, MAX_CHUNK_BYTES, MODE_BITS, Meta, Reader, Totals};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr, ftruncate,
    futimens, linkat, lsetxattr, mkdirat, openat, symlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use crate::places::Places;

/// What a file or directory may until it has its own mode.
const OWNERS: Mode = Mode::from_raw_mode(0o700);

/// What of an entry's attributes is made.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Owners, and extended attributes.
    pub owners: bool,
    /// The bits that a mode keeps.
    pub mode_bits: u32,
    /// This process's umask (umask(2)).
    pub umask: u32,
}

impl Policy {
    /// All that the stream has.
    #[must_use]
    pub const fn whole(umask: u32) -> Self {
        Self { owners: true, mode_bits: MODE_BITS, umask }
    }

    /// What a guest may decide on the host: everything is its maker's, and nothing runs as somebody else.
    #[must_use]
    pub const fn harmless(umask: u32) -> Self {
        Self { owners: false, mode_bits: 0o777, umask }
    }

    fn mode(self, meta: &Meta) -> u32 {
        meta.mode & self.mode_bits
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Entries and bytes.
    pub totals: Totals,
    /// Further names of files, among the entries.
    pub links: u64,
    /// Modes that lost bits to the policy.
    pub lowered: u64,
}

/// Why a tree was not made.
#[derive(Debug)]
pub enum FillError {
    /// The stream cannot be read, or breaks its format.
    Stream(std::io::Error),
    /// The file system refused something about this path.
    System(Vec<u8>, Errno),
}

/// Makes in `root`, which is empty, what the stream has. The root itself stays as it is.
///
/// # Errors
/// The stream's fault, or the file system's; what was made so far is there.
pub fn fill(
    stream: impl Read,
    root: BorrowedFd<'_>,
    policy: Policy,
    progress: &mut dyn FnMut(Totals),
) -> Result<Filled, FillError> {
    let mut reader = Reader::new(stream).map_err(FillError::Stream)?;
    let (mut places, mut targets) = (Places::new(root), Places::new(root));
    let mut buffer = Vec::with_capacity(MAX_CHUNK_BYTES);
    let mut filled = Filled::default();
    loop {
        progress(reader.totals());
        let entry = reader.next().map_err(FillError::Stream)?;
        if let Entry::File { meta, .. } | Entry::Finished { meta, .. } = &entry {
            filled.lowered += u64::from(policy.mode(meta) != meta.mode);
        }
        match entry {
            Entry::Directory { path } => make(&path, || {
                let (parent, name) = places.parent(&path)?;
                mkdirat(parent, name, OWNERS)
            })?,
            Entry::File { path, meta, size } => {
                let (parent, name) = places.parent(&path).map_err(|errno| FillError::System(path.clone(), errno))?;
                let new = NewFile { parent, name, size, meta: &meta, policy };
                new.write(&mut reader, &mut buffer).map_err(|error| error.of(&path))?;
            }
            Entry::Symlink { path, meta, target } => make(&path, || {
                let (parent, name) = places.parent(&path)?;
                symlinkat(target.as_slice(), parent, name)?;
                dress_link(parent, name, &meta, policy)
            })?,
            Entry::Link { path, target } => {
                filled.links += 1;
                make(&path, || {
                    let (from, old) = targets.parent(&target)?;
                    let (parent, name) = places.parent(&path)?;
                    linkat(from, old, parent, name, AtFlags::empty())
                })?;
            }
            // The root belongs to the workspace, not to the tree.
            Entry::Finished { path, .. } if path.is_empty() => {}
            Entry::Finished { path, meta } => make(&path, || dress(places.directory(&path)?, &meta, policy, false))?,
            Entry::End(totals) => return Ok(Filled { totals, ..filled }),
        }
    }
}

fn make(path: &[u8], work: impl FnOnce() -> Result<(), Errno>) -> Result<(), FillError> {
    work().map_err(|errno| FillError::System(path.to_vec(), errno))
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
    fn of(self, path: &[u8]) -> FillError {
        match self {
            Self::Stream(error) => FillError::Stream(error),
            Self::System(errno) => FillError::System(path.to_vec(), errno),
        }
    }
}

/// A file that is to be made.
struct NewFile<'a> {
    parent: BorrowedFd<'a>,
    name: &'a [u8],
    size: u64,
    meta: &'a Meta,
    policy: Policy,
}

impl NewFile<'_> {
    fn write(&self, reader: &mut Reader<impl Read>, buffer: &mut Vec<u8>) -> Result<(), FileError> {
        let Self { parent, name, size, meta, policy } = *self;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Without setuid and setgid, which it is not to have for its first owner.
        let mode = meta.mode & 0o777;
        let file = openat(parent, name, flags, Mode::from_raw_mode(mode))?;
        let mut end = 0;
        while let Some(offset) = reader.chunk(buffer).map_err(FileError::Stream)? {
            write_all(&file, buffer, offset)?;
            end = offset + buffer.len() as u64;
        }
        if end < size {
            ftruncate(&file, size)?;
        }
        let is_owned = !policy.owners || (meta.uid, meta.gid) == (0, 0);
        let is_dressed = is_owned && mode & policy.umask == 0 && policy.mode(meta) == mode;
        dress(file.as_fd(), meta, policy, is_dressed)?;
        Ok(())
    }
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
fn dress(file: BorrowedFd<'_>, meta: &Meta, policy: Policy, is_dressed: bool) -> Result<(), Errno> {
    if !is_dressed {
        if policy.owners {
            fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        }
        fchmod(file, Mode::from_raw_mode(policy.mode(meta)))?;
    }
    for (name, value) in meta.xattrs.iter().filter(|_| policy.owners) {
        fsetxattr(file, name.as_slice(), value, XattrFlags::empty())?;
    }
    futimens(file, &times(meta))
}

fn dress_link(parent: BorrowedFd<'_>, name: &[u8], meta: &Meta, policy: Policy) -> Result<(), Errno> {
    if !policy.owners {
        return utimensat(parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW);
    }
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
