//! A tree as a stream: parents before what is in them, a directory's own attributes after it.
//!
//! ```text
//! stream    = "PYROSEED" version:u32 entry* end
//! entry     = kind:u8 path …            all numbers little-endian, bytes with their length before them
//! directory = 1 path                    it is there from now on
//! file      = 2 path meta size:u64 chunk* 0:u64 0:u32
//! symlink   = 3 path meta target:bytes
//! link      = 4 path target:path        a further name of an entry that came before
//! finished  = 5 path meta               nothing more comes in this directory; "" is the tree's root
//! end       = 0 entries:u64 bytes:u64
//! chunk     = offset:u64 length:u32 data
//! path      = bytes                     relative, without ".", ".." and empty parts
//! meta      = mode:u32 uid:u32 gid:u32 seconds:i64 nanoseconds:u32 count:u32 (name:bytes value:bytes)*
//! ```
//!
//! What no chunk covers is a hole. Names are bytes.

use std::io::{self, ErrorKind, Read, Write};

const MAGIC: &[u8; 8] = b"PYROSEED";
const VERSION: u32 = 1;

/// Longest path in a tree, in bytes: more than a single call of Linux takes (PATH_MAX), so it is walked in parts.
pub const MAX_PATH_BYTES: usize = 16 << 10;
/// Longest name in a directory (NAME_MAX), in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest target of a symbolic link, in bytes (PATH_MAX without its NUL).
pub const MAX_TARGET_BYTES: usize = 4095;
/// Most bytes in one chunk.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Most bytes in an extended attribute's value (XATTR_SIZE_MAX).
pub const MAX_XATTR_BYTES: usize = 64 << 10;
/// Most extended attributes of one file (XATTR_LIST_MAX holds fewer).
pub const MAX_XATTRS: usize = 16 << 10;
/// Bits of a mode that a tree keeps: permissions, setuid, setgid and sticky.
pub const MODE_BITS: u32 = 0o7777;

const KIND_END: u8 = 0;
const KIND_DIRECTORY: u8 = 1;
const KIND_FILE: u8 = 2;
const KIND_SYMLINK: u8 = 3;
const KIND_LINK: u8 = 4;
const KIND_FINISHED: u8 = 5;

/// Attributes of a file, link or directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permissions, within [`MODE_BITS`].
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of its content, since the Unix epoch.
    pub seconds: i64,
    /// And nanoseconds, below 10^9.
    pub nanoseconds: u32,
    /// Extended attributes, by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One step of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory begins.
    Directory {
        /// Where.
        path: Vec<u8>,
    },
    /// A regular file; its chunks follow.
    File {
        /// Where.
        path: Vec<u8>,
        /// Its attributes.
        meta: Meta,
        /// Length in bytes, holes included.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: Vec<u8>,
        /// Its attributes.
        meta: Meta,
        /// Its text, whatever it says.
        target: Vec<u8>,
    },
    /// A further name of a file or symbolic link.
    Link {
        /// Where.
        path: Vec<u8>,
        /// Its first name.
        target: Vec<u8>,
    },
    /// A directory is complete.
    Finished {
        /// Where; empty: the root.
        path: Vec<u8>,
        /// Its attributes.
        meta: Meta,
    },
    /// The tree is complete.
    End(Totals),
}

/// How much a stream has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Names below the root.
    pub entries: u64,
    /// Sizes of regular files, each counted once.
    pub bytes: u64,
}

/// Whether a path is relative and plain: no empty part, no `.` or `..`, nothing too long, no NUL.
#[must_use]
pub fn is_plain(path: &[u8]) -> bool {
    path.len() <= MAX_PATH_BYTES
        && path.split(|byte| *byte == b'/').all(|part| {
            !part.is_empty() && part.len() <= MAX_NAME_BYTES && part != b"." && part != b".." && !part.contains(&0)
        })
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(chunks: &[(u64, Vec<u8>)], size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        let meta = Meta { mode: 0o640, uid: 7, xattrs: vec![(b"user.a".to_vec(), vec![0, 255])], ..Meta::default() };
        writer.directory(b"d\xff").unwrap();
        writer.file(b"d\xff/f", &meta, size).unwrap();
        for (offset, data) in chunks {
            writer.chunk(*offset, data).unwrap();
        }
        writer.end_file().unwrap();
        writer.symlink(b"d\xff/s", &meta, b"../../etc/passwd").unwrap();
        writer.link(b"d\xff/l", b"d\xff/f").unwrap();
        writer.finished(b"d\xff", &meta).unwrap();
        writer.finished(b"", &Meta::default()).unwrap();
        assert_eq!(writer.end().unwrap(), Totals { entries: 4, bytes: size });
        bytes
    }

    /// Reads to the end; what it had.
    fn read(bytes: &[u8]) -> io::Result<Vec<Entry>> {
        let mut reader = Reader::new(bytes)?;
        let (mut entries, mut data) = (Vec::new(), Vec::new());
        loop {
            let entry = reader.next()?;
            if matches!(entry, Entry::File { .. }) {
                while reader.chunk(&mut data)?.is_some() {}
            }
            let over = matches!(entry, Entry::End(_));
            entries.push(entry);
            if over {
                return Ok(entries);
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let entries = read(&written(&[(0, vec![1; 10]), (4096, vec![2; 3])], 5000)).unwrap();
        let kinds: Vec<_> = entries.iter().map(std::mem::discriminant).collect();
        assert_eq!(kinds.len(), 7);
        assert!(matches!(&entries[1], Entry::File { path, size: 5000, meta } if path == b"d\xff/f" && meta.uid == 7));
        assert!(matches!(&entries[2], Entry::Symlink { target, .. } if target == b"../../etc/passwd"));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_not_plain() {
        let long = [&[b'a'; MAX_NAME_BYTES + 1][..]].concat();
        for path in [&b""[..], b"/", b"/a", b"a/", b"a//b", b".", b"a/../b", b"..", b"a\0", &long] {
            assert!(!is_plain(path), "{path:?}");
        }
        assert!(is_plain(b"a/..b/.c/\xff \n"));
    }

    #[test]
    fn chunks_out_of_place_are_refused() {
        for chunks in [&[(0, vec![1; 10]), (5, vec![2; 3])][..], &[(4990, vec![0; 11])], &[(u64::MAX, vec![0; 2])]] {
            assert_eq!(read(&written(chunks, 5000)).unwrap_err().kind(), ErrorKind::InvalidData, "{chunks:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_or_altered_stream_is_an_error_or_another_tree_and_never_a_panic(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut bytes = written(&[(0, vec![1; 10])], 10);
            let index = at.index(bytes.len());
            if cut {
                bytes.truncate(index);
                prop_assert!(read(&bytes).is_err());
            } else {
                bytes[index] = byte;
                let _ = read(&bytes);
            }
        }
    }
}
