//! Reading what files of a tree contain.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread};

/// Read at once, in bytes.
pub(super) const PIECE_BYTES: usize = 128 << 10;

/// Opens a regular file.
pub(super) fn open(holder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(holder, name, flags, Mode::empty())
}

/// All of a file of `size` bytes.
pub(super) fn read_whole(file: impl AsFd, size: u64) -> Result<Vec<u8>, Errno> {
    let mut content = vec![0; usize::try_from(size).map_err(|_| Errno::FBIG)?];
    let filled = fill(&file, &mut content, 0)?;
    content.truncate(filled);
    Ok(content)
}

/// Reads until `into` is full or the file ends; how much it was.
pub(super) fn fill(file: impl AsFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < into.len() {
        match pread(&file, &mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Whether two files have the same content.
pub(super) fn is_same(left: impl AsFd, right: impl AsFd, size: u64) -> Result<bool, Errno> {
    let length = usize::try_from(size).unwrap_or(PIECE_BYTES).clamp(1, PIECE_BYTES);
    let (mut one, mut other) = (vec![0; length], vec![0; length]);
    let mut offset = 0;
    loop {
        let filled = fill(&left, &mut one, offset)?;
        if fill(&right, &mut other, offset)? != filled || one[..filled] != other[..filled] {
            return Ok(false);
        }
        if filled < length {
            return Ok(true);
        }
        offset += filled as u64;
    }
}

/// A file as a reader, from its beginning.
pub(super) struct FileReader<F> {
    file: F,
    offset: u64,
}

impl<F: AsFd> FileReader<F> {
    pub(super) fn new(file: F) -> Self {
        Self { file, offset: 0 }
    }
}

impl<F: AsFd> std::io::Read for FileReader<F> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = pread(&self.file, into, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
