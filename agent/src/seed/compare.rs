//! Comparing a tree with the stream that it was made of: every name, attribute, link, hole and byte.

use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

use pyro_seed::places::Places;
use pyro_seed::stream::{Entry, MAX_CHUNK_BYTES, Meta, Reader, Totals};
use pyro_seed::xattrs;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, fgetxattr, flistxattr, lgetxattr, llistxattr, openat, readlinkat,
    seek, statat,
};
use rustix::io::{Errno, pread};

use super::{SeedError, shown, stream_error};
use crate::system_error::{Doing, SystemError};
use crate::volume::for_each_entry;

/// A hole may end where a block does: what is left of it on both sides is less than this, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// Why an entry is not what it is to be.
enum Unlike {
    Differs(&'static str),
    System(Errno),
    Stream(std::io::Error),
}

impl From<Errno> for Unlike {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Self::Differs("is not there"),
            _ => Self::System(errno),
        }
    }
}

impl From<std::io::Error> for Unlike {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Compares all of them, and that there is nothing else in `root`; how much there is.
pub(super) fn compare(
    stream: impl Read,
    root: BorrowedFd<'_>,
    progress: &mut dyn FnMut(Totals),
) -> Result<Totals, SeedError> {
    let mut reader = Reader::new(stream).map_err(stream_error)?;
    let mut comparison = Comparison {
        places: Places::new(root),
        targets: Places::new(root),
        wanted: Vec::with_capacity(MAX_CHUNK_BYTES),
        found: vec![0; MAX_CHUNK_BYTES],
    };
    loop {
        progress(reader.totals());
        let entry = reader.next().map_err(stream_error)?;
        if let Entry::End(totals) = entry {
            let names = count(root).doing(|| "count the seed's names")?;
            return if names == totals.entries {
                Ok(totals)
            } else {
                Err(SeedError::Different(format!("it has {names} names, and was to have {}", totals.entries)))
            };
        }
        comparison.entry(&mut reader, &entry).map_err(|unlike| explain(unlike, &entry))?;
    }
}

fn explain(unlike: Unlike, entry: &Entry) -> SeedError {
    let path = match entry {
        Entry::Directory { path }
        | Entry::File { path, .. }
        | Entry::Symlink { path, .. }
        | Entry::Link { path, .. }
        | Entry::Finished { path, .. } => shown(path),
        Entry::End(_) => String::new(),
    };
    match unlike {
        Unlike::Differs(what) => SeedError::Different(format!("{path} {what}")),
        Unlike::Stream(error) => stream_error(error),
        Unlike::System(errno) => SeedError::System(SystemError::new(format!("compare {path}"), errno)),
    }
}

struct Comparison<'t> {
    places: Places<'t>,
    targets: Places<'t>,
    wanted: Vec<u8>,
    found: Vec<u8>,
}

impl Comparison<'_> {
    fn entry(&mut self, reader: &mut Reader<impl Read>, entry: &Entry) -> Result<(), Unlike> {
        match entry {
            Entry::Directory { path } => {
                let (parent, name) = self.places.parent(path)?;
                kind(&look(parent, name)?, FileType::Directory)
            }
            Entry::File { path, meta, size } => self.file(reader, path, meta, *size),
            Entry::Symlink { path, meta, target } => {
                let (parent, name) = self.places.parent(path)?;
                let stat = look(parent, name)?;
                kind(&stat, FileType::Symlink)?;
                // The mode of a link is always the same, and means nothing.
                attributes(&stat, meta, false)?;
                let text = readlinkat(parent, name, Vec::new())?;
                same(text.to_bytes() == target, "has another target")?;
                let through = xattrs::through_proc(parent, name);
                let path = through.as_slice();
                same_xattrs(meta, |names| llistxattr(path, names), |name, value| lgetxattr(path, name, value))
            }
            Entry::Link { path, target } => {
                let (from, old) = self.targets.parent(target)?;
                let first = look(from, old)?;
                let (parent, name) = self.places.parent(path)?;
                same(look(parent, name)?.st_ino == first.st_ino, "is no further name of the same file")
            }
            Entry::Finished { path, .. } if path.is_empty() => Ok(()),
            Entry::Finished { path, meta } => {
                let directory = self.places.directory(path)?;
                attributes(&rustix::fs::fstat(directory)?, meta, true)?;
                same_xattrs(meta, |names| flistxattr(directory, names), |name, value| fgetxattr(directory, name, value))
            }
            Entry::End(_) => Ok(()),
        }
    }

    fn file(&mut self, reader: &mut Reader<impl Read>, path: &[u8], meta: &Meta, size: u64) -> Result<(), Unlike> {
        let (parent, name) = self.places.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        kind(&stat, FileType::RegularFile)?;
        attributes(&stat, meta, true)?;
        same(stat.st_size.cast_unsigned() == size, "has another size")?;
        same_xattrs(meta, |names| flistxattr(&file, names), |name, value| fgetxattr(&file, name, value))?;
        let mut end = 0;
        while let Some(offset) = reader.chunk(&mut self.wanted)? {
            hole(&file, end, offset)?;
            let found = &mut self.found[..self.wanted.len()];
            same(read_all(&file, found, offset)? && *found == *self.wanted, "has other content")?;
            end = offset + self.wanted.len() as u64;
        }
        hole(&file, end, size)
    }
}

fn look(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Errno> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn same(is: bool, otherwise: &'static str) -> Result<(), Unlike> {
    if is { Ok(()) } else { Err(Unlike::Differs(otherwise)) }
}

fn kind(stat: &Stat, wanted: FileType) -> Result<(), Unlike> {
    same(FileType::from_raw_mode(stat.st_mode) == wanted, "is of another kind")
}

fn attributes(stat: &Stat, meta: &Meta, with_mode: bool) -> Result<(), Unlike> {
    same(!with_mode || Mode::from_raw_mode(stat.st_mode).as_raw_mode() == meta.mode, "has another mode")?;
    same((stat.st_uid, stat.st_gid) == (meta.uid, meta.gid), "has another owner")?;
    let time = (stat.st_mtime, stat.st_mtime_nsec);
    same(time == (meta.seconds, meta.nanoseconds.into()), "has another time")
}

fn same_xattrs(
    meta: &Meta,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<(), Unlike> {
    let names = xattrs::names(list)?;
    let count = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).count();
    same(count == meta.xattrs.len(), "has other extended attributes")?;
    for (name, wanted) in &meta.xattrs {
        let mut found = vec![0; wanted.len() + 1];
        let is_same = match get(name, &mut found) {
            Ok(length) => found[..length] == **wanted,
            Err(Errno::NODATA | Errno::RANGE) => false,
            Err(errno) => return Err(errno.into()),
        };
        same(is_same, "has other extended attributes")?;
    }
    Ok(())
}

/// What was a hole is one, but for less than a block at each end.
fn hole(file: &OwnedFd, start: u64, end: u64) -> Result<(), Unlike> {
    let (start, end) = (start.next_multiple_of(BLOCK_BYTES), end - end % BLOCK_BYTES);
    if start >= end {
        return Ok(());
    }
    match seek(file, SeekFrom::Data(start)) {
        Ok(data) => same(data >= end, "has lost a hole"),
        Err(Errno::NXIO) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether there were as many bytes.
fn read_all(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<bool, Errno> {
    let mut filled = 0;
    while filled < into.len() {
        match pread(file, &mut into[filled..], offset + filled as u64) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// Names below a directory.
fn count(directory: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut names = 0;
    for_each_entry(directory, &mut |holder, name, kind| {
        names += 1;
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(holder, name, flags, Mode::empty())?;
            names += count(rustix::fd::AsFd::as_fd(&inner))?;
        }
        Ok(true)
    })?;
    Ok(names)
}
