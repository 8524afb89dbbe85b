//! Going through an archive from its beginning, in blocks and in whatever is longer.

use std::os::unix::fs::FileExt;

use super::Refusal;
use super::header::BLOCK_BYTES;

/// Largest extended header, or long name.
const MAX_EXTENSION_BYTES: u64 = 4 << 20;

/// Where in the archive the next thing is.
pub(super) struct Cursor<'a, A: FileExt> {
    pub(super) archive: &'a A,
    /// Of the whole archive, in bytes.
    pub(super) length: u64,
    pub(super) position: u64,
}

impl<A: FileExt> Cursor<'_, A> {
    /// Goes to the end of the archive, before which there is nothing any more.
    pub(super) fn only_zeros(&mut self) -> Result<(), Refusal> {
        let mut rest = vec![0; 1 << 20];
        while self.position < self.length {
            let count = usize::try_from(self.length - self.position).unwrap_or(usize::MAX).min(rest.len());
            self.read(&mut rest[..count])?;
            if rest[..count].iter().any(|byte| *byte != 0) {
                return Err("something follows the end of the archive".to_owned());
            }
        }
        Ok(())
    }

    /// An extended header, or a long name.
    pub(super) fn extension(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
        if size > MAX_EXTENSION_BYTES {
            return Err("an extended header is too large".to_owned());
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        let start = self.position;
        self.skip(size)?;
        let end = std::mem::replace(&mut self.position, start);
        self.read(&mut data)?;
        self.position = end;
        Ok(data)
    }

    /// Goes over data with what fills its last block.
    pub(super) fn skip(&mut self, size: u64) -> Result<(), Refusal> {
        let end = size.checked_next_multiple_of(BLOCK_BYTES).and_then(|size| self.position.checked_add(size));
        match end {
            Some(end) if end <= self.length => {
                self.position = end;
                Ok(())
            }
            _ => Err("the archive is cut off".to_owned()),
        }
    }

    pub(super) fn block(&mut self) -> Result<[u8; BLOCK_BYTES as usize], Refusal> {
        let mut block = [0; BLOCK_BYTES as usize];
        self.read(&mut block)?;
        Ok(block)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Refusal> {
        self.archive.read_exact_at(into, self.position).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the archive is cut off".to_owned(),
            _ => format!("the archive cannot be read: {error}"),
        })?;
        self.position += into.len() as u64;
        Ok(())
    }
}
