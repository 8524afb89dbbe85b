//! Writing a stream.

use std::io::{self, ErrorKind, Write};

use super::{
    KIND_DIRECTORY, KIND_END, KIND_FILE, KIND_FINISHED, KIND_LINK, KIND_SYMLINK, MAGIC, MAX_CHUNK_BYTES, MODE_BITS,
    Meta, Totals, VERSION,
};

/// Writes a stream.
pub struct Writer<W: Write> {
    to: W,
    totals: Totals,
}

impl<W: Write> Writer<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// What writing says; so do all others.
    pub fn new(mut to: W) -> io::Result<Self> {
        to.write_all(MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { to, totals: Totals::default() })
    }

    /// How much was written so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// A directory begins.
    pub fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        self.begin(KIND_DIRECTORY, path)
    }

    /// A regular file of `size` bytes begins; its chunks are to follow, and [`Writer::end_file`].
    pub fn file(&mut self, path: &[u8], meta: &Meta, size: u64) -> io::Result<()> {
        self.begin(KIND_FILE, path)?;
        self.meta(meta)?;
        self.totals.bytes += size;
        self.to.write_all(&size.to_le_bytes())
    }

    /// Bytes of the file that began last.
    pub fn chunk(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        for (index, part) in data.chunks(MAX_CHUNK_BYTES).enumerate() {
            self.to.write_all(&(offset + (index * MAX_CHUNK_BYTES) as u64).to_le_bytes())?;
            self.bytes(part)?;
        }
        Ok(())
    }

    /// The file that began last is complete.
    pub fn end_file(&mut self) -> io::Result<()> {
        self.to.write_all(&[0; 12])
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> io::Result<()> {
        self.begin(KIND_SYMLINK, path)?;
        self.meta(meta)?;
        self.bytes(target)
    }

    /// A further name of a file or symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        self.begin(KIND_LINK, path)?;
        self.bytes(target)
    }

    /// A directory is complete; empty: the root.
    pub fn finished(&mut self, path: &[u8], meta: &Meta) -> io::Result<()> {
        self.to.write_all(&[KIND_FINISHED])?;
        self.bytes(path)?;
        self.meta(meta)
    }

    /// The tree is complete.
    pub fn end(mut self) -> io::Result<Totals> {
        self.to.write_all(&[KIND_END])?;
        self.to.write_all(&self.totals.entries.to_le_bytes())?;
        self.to.write_all(&self.totals.bytes.to_le_bytes())?;
        self.to.flush()?;
        Ok(self.totals)
    }

    fn begin(&mut self, kind: u8, path: &[u8]) -> io::Result<()> {
        self.totals.entries += 1;
        self.to.write_all(&[kind])?;
        self.bytes(path)
    }

    fn meta(&mut self, meta: &Meta) -> io::Result<()> {
        for number in [meta.mode & MODE_BITS, meta.uid, meta.gid] {
            self.to.write_all(&number.to_le_bytes())?;
        }
        self.to.write_all(&meta.seconds.to_le_bytes())?;
        self.to.write_all(&meta.nanoseconds.to_le_bytes())?;
        self.length(meta.xattrs.len())?;
        for (name, value) in &meta.xattrs {
            self.bytes(name)?;
            self.bytes(value)?;
        }
        Ok(())
    }

    fn bytes(&mut self, data: &[u8]) -> io::Result<()> {
        self.length(data.len())?;
        self.to.write_all(data)
    }

    fn length(&mut self, length: usize) -> io::Result<()> {
        let length = u32::try_from(length).map_err(|_| ErrorKind::InvalidInput)?;
        self.to.write_all(&length.to_le_bytes())
    }
}
