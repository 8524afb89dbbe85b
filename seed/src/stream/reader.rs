//! Reading a stream.

use std::io::{self, ErrorKind, Read};

use super::{
    Entry, KIND_DIRECTORY, KIND_END, KIND_FILE, KIND_FINISHED, KIND_LINK, KIND_SYMLINK, MAGIC, MAX_CHUNK_BYTES,
    MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TARGET_BYTES, MAX_XATTR_BYTES, MAX_XATTRS, MODE_BITS, Meta, Totals, VERSION,
    is_plain,
};

/// Reads a stream, and believes none of it.
pub struct Reader<R: Read> {
    from: R,
    /// Of the file whose chunks are being read: its size, and where the last chunk ended.
    file: Option<(u64, u64)>,
    totals: Totals,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning.
    ///
    /// # Errors
    /// `InvalidData` for what is no stream; what reading says.
    pub fn new(mut from: R) -> io::Result<Self> {
        let mut magic = [0; 8];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC || u32::from_le_bytes(array(&mut from)?) != VERSION {
            return Err(invalid("no seed stream of version 1"));
        }
        Ok(Self { from, file: None, totals: Totals::default(), ended: false })
    }

    /// How much was read so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The next entry. All chunks of a file must have been read. After [`Entry::End`] nothing is left.
    ///
    /// # Errors
    /// `InvalidData` for what breaks the format; what reading says.
    #[expect(clippy::should_implement_trait, reason = "it fails, and chunks are read between")]
    pub fn next(&mut self) -> io::Result<Entry> {
        if self.file.is_some() || self.ended {
            return Err(invalid("read out of order"));
        }
        let [kind] = array(&mut self.from)?;
        if kind == KIND_END {
            let said = Totals { entries: self.u64()?, bytes: self.u64()? };
            self.ended = true;
            return if said == self.totals { Ok(Entry::End(said)) } else { Err(invalid("its totals are wrong")) };
        }
        let path = self.bytes(MAX_PATH_BYTES)?;
        let root = kind == KIND_FINISHED && path.is_empty();
        if !root && !is_plain(&path) {
            return Err(invalid("a path is not plain"));
        }
        if kind != KIND_FINISHED {
            self.totals.entries += 1;
        }
        match kind {
            KIND_DIRECTORY => Ok(Entry::Directory { path }),
            KIND_FILE => {
                let (meta, size) = (self.meta()?, self.u64()?);
                self.file = Some((size, 0));
                self.totals.bytes = self.totals.bytes.checked_add(size).ok_or_else(|| invalid("it is too large"))?;
                Ok(Entry::File { path, meta, size })
            }
            KIND_SYMLINK => {
                let (meta, target) = (self.meta()?, self.bytes(MAX_TARGET_BYTES)?);
                if target.is_empty() || target.contains(&0) {
                    return Err(invalid("a symbolic link has no target"));
                }
                Ok(Entry::Symlink { path, meta, target })
            }
            KIND_LINK => {
                let target = self.bytes(MAX_PATH_BYTES)?;
                if is_plain(&target) { Ok(Entry::Link { path, target }) } else { Err(invalid("a path is not plain")) }
            }
            KIND_FINISHED => Ok(Entry::Finished { path, meta: self.meta()? }),
            _ => Err(invalid("an entry of no known kind")),
        }
    }

    /// The next chunk of the file that `next` gave: where it begins, its bytes in `data`. None: the file is complete.
    ///
    /// # Errors
    /// As `next`.
    pub fn chunk(&mut self, data: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let Some((size, end)) = self.file else { return Err(invalid("read out of order")) };
        let (offset, length) = (self.u64()?, self.u32()? as usize);
        data.clear();
        if length == 0 {
            self.file = None;
            return if offset == 0 { Ok(None) } else { Err(invalid("an empty chunk")) };
        }
        let next = offset.checked_add(length as u64);
        if offset < end || length > MAX_CHUNK_BYTES || next.is_none_or(|next| next > size) {
            return Err(invalid("a chunk is out of place"));
        }
        self.file = next.map(|next| (size, next));
        data.resize(length, 0);
        self.from.read_exact(data)?;
        Ok(Some(offset))
    }

    fn meta(&mut self) -> io::Result<Meta> {
        let (mode, uid, gid) = (self.u32()?, self.u32()?, self.u32()?);
        let seconds = i64::from_le_bytes(array(&mut self.from)?);
        let nanoseconds = self.u32()?;
        let count = self.u32()? as usize;
        if mode & !MODE_BITS != 0 || nanoseconds >= 1_000_000_000 || count > MAX_XATTRS {
            return Err(invalid("attributes that no file has"));
        }
        let mut xattrs = Vec::new();
        for _ in 0..count {
            let name = self.bytes(MAX_NAME_BYTES)?;
            if name.is_empty() || name.contains(&0) {
                return Err(invalid("an attribute without a name"));
            }
            xattrs.push((name, self.bytes(MAX_XATTR_BYTES)?));
        }
        Ok(Meta { mode, uid, gid, seconds, nanoseconds, xattrs })
    }

    fn bytes(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(invalid("a name or value is too long"));
        }
        let mut data = vec![0; length];
        self.from.read_exact(&mut data)?;
        Ok(data)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(array(&mut self.from)?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(array(&mut self.from)?))
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
