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

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

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

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

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
