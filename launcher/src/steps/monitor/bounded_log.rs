//! A file that holds the last of what was written to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, pread, pwrite};

/// Plain text at every moment: a reader, also after a crash, finds the last half of `most` bytes in it, and at most all.
pub(super) struct BoundedLog {
    file: OwnedFd,
    size: u64,
    most: u64,
}

impl BoundedLog {
    /// Goes on after what is in the file.
    pub(super) fn new(file: OwnedFd, most: u64) -> io::Result<Self> {
        let size = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
        Ok(Self { file, size, most })
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes `data`, or its last part. A disk that is full costs the words and not the program.
    pub(super) fn append(&mut self, data: &[u8]) {
        let half = self.most / 2;
        let kept = usize::try_from(half).unwrap_or(usize::MAX).min(data.len());
        let data = &data[data.len() - kept..];
        let _ = self.make_room(data.len() as u64, half).and_then(|()| {
            let written = write_all(&self.file, data, self.size);
            self.size += data.len() as u64;
            written
        });
    }

    fn make_room(&mut self, more: u64, half: u64) -> Result<(), Errno> {
        if self.size + more <= self.most {
            return Ok(());
        }
        let keep = half.min(self.size);
        let mut tail = vec![0; usize::try_from(keep).unwrap_or(0)];
        let mut read = 0;
        while read < tail.len() {
            match pread(&self.file, &mut tail[read..], self.size - keep + read as u64)? {
                0 => break,
                length => read += length,
            }
        }
        write_all(&self.file, &tail[..read], 0)?;
        ftruncate(&self.file, read as u64)?;
        self.size = read as u64;
        Ok(())
    }
}

fn write_all(file: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !data.is_empty() {
        match pwrite(file, data, offset) {
            Ok(length) => {
                data = &data[length..];
                offset += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};

    #[test]
    fn the_file_never_grows_beyond_its_limit_and_ends_with_what_came_last() {
        let mut log = BoundedLog::new(memfd_create("log", MemfdFlags::CLOEXEC).unwrap(), 1000).unwrap();
        let mut all = Vec::new();
        for round in 0..500_u32 {
            let piece = vec![b'a' + u8::try_from(round % 26).unwrap(); usize::try_from(round % 97).unwrap()];
            all.extend_from_slice(&piece);
            log.append(&piece);
            let mut held = vec![0; 2000];
            let length = pread(&log.file, &mut held, 0).unwrap();
            assert!(length <= 1000 && all.ends_with(&held[..length]));
            assert!(length >= 500.min(all.len()), "{length} of {}", all.len());
        }
        log.append(&[b'z'; 5000]);
        assert!(fstat(&log.file).unwrap().st_size <= 1000);
    }
}
