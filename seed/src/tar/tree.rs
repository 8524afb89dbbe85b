//! What an archive has, in its places, before any of it is written.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::FileExt;

use pyro_seed::report::{Failure, Report};
use pyro_seed::stream::{MAX_CHUNK_BYTES, Meta, Totals, Writer};
use pyro_seed::{secrets, without_credentials};

use super::Refusal;
use super::sparse::Extent;

/// Largest git configuration that is looked through.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Mode of a directory that an archive has something in and says nothing of.
const IMPLIED_MODE: u32 = 0o755;

pub(super) enum Leaf {
    File { meta: Meta, size: u64, extents: Vec<Extent> },
    Symlink { meta: Meta, target: Vec<u8> },
}

enum Node {
    Directory(Directory),
    /// Its number among the leaves: two names of one have the same.
    Leaf(usize),
}

struct Directory {
    meta: Meta,
    inside: BTreeMap<Vec<u8>, Node>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { meta: Meta { mode: IMPLIED_MODE, ..Meta::default() }, inside: BTreeMap::new() }
    }
}

#[derive(Default)]
pub(super) struct Tree {
    root: Directory,
    leaves: Vec<Leaf>,
}

impl Tree {
    /// A directory; one that is there gets these attributes.
    pub(super) fn directory(&mut self, place: &[u8], meta: Meta) -> Result<(), Refusal> {
        self.root.reach(place)?.meta = meta;
        Ok(())
    }

    /// A file or symbolic link, in the place of what was said of this name before.
    pub(super) fn leaf(&mut self, place: &[u8], leaf: Leaf) -> Result<(), Refusal> {
        self.leaves.push(leaf);
        let number = self.leaves.len() - 1;
        self.put(place, number)
    }

    /// A further name of what has one already.
    pub(super) fn link(&mut self, place: &[u8], target: &[u8]) -> Result<(), Refusal> {
        let number = self.root.find(target).ok_or("a hard link to nothing that came before it")?;
        self.put(place, number)
    }

    fn put(&mut self, place: &[u8], number: usize) -> Result<(), Refusal> {
        let (parent, name) = split(place);
        let inside = &mut self.root.reach(parent)?.inside;
        match inside.insert(name.to_vec(), Node::Leaf(number)) {
            Some(Node::Directory(_)) => Err("a directory had this name before".to_owned()),
            _ => Ok(()),
        }
    }

    /// Writes it all as a stream, with the data from where it lies in the archive.
    pub(super) fn write(
        &self,
        archive: &impl FileExt,
        output: impl Write,
        report: &mut Report,
    ) -> Result<Totals, Failure> {
        let mut writing = Writing {
            leaves: &self.leaves,
            first_names: vec![None; self.leaves.len()],
            archive,
            writer: Writer::new(output)?,
            report,
            buffer: vec![0; MAX_CHUNK_BYTES],
        };
        writing.directory(&mut Vec::new(), &self.root)?;
        Ok(writing.writer.end()?)
    }
}

impl Directory {
    /// A directory below, made with those on the way.
    fn reach(&mut self, place: &[u8]) -> Result<&mut Self, Refusal> {
        let mut at = self;
        for part in place.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let node = at.inside.entry(part.to_vec()).or_insert_with(|| Node::Directory(Self::default()));
            match node {
                Node::Directory(next) => at = next,
                Node::Leaf(_) => return Err("lies below what is no directory".to_owned()),
            }
        }
        Ok(at)
    }

    fn find(&self, place: &[u8]) -> Option<usize> {
        let (parent, name) = split(place);
        let mut at = self;
        for part in parent.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            match at.inside.get(part)? {
                Node::Directory(next) => at = next,
                Node::Leaf(_) => return None,
            }
        }
        match at.inside.get(name)? {
            Node::Leaf(number) => Some(*number),
            Node::Directory(_) => None,
        }
    }
}

fn split(place: &[u8]) -> (&[u8], &[u8]) {
    match place.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&place[..slash], &place[slash + 1..]),
        None => (&[], place),
    }
}

struct Writing<'a, A: FileExt, W: Write> {
    leaves: &'a [Leaf],
    first_names: Vec<Option<Vec<u8>>>,
    archive: &'a A,
    writer: Writer<W>,
    report: &'a mut Report,
    buffer: Vec<u8>,
}

impl<A: FileExt, W: Write> Writing<'_, A, W> {
    fn directory(&mut self, path: &mut Vec<u8>, directory: &Directory) -> Result<(), Failure> {
        let has = |name: &[u8]| directory.inside.contains_key(name);
        let is_git = has(b"HEAD") && has(b"config") && has(b"objects");
        let length = path.len();
        for (name, node) in &directory.inside {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            match node {
                Node::Directory(next) => {
                    self.writer.directory(path)?;
                    self.directory(path, next)?;
                }
                Node::Leaf(number) => {
                    let is_config = is_git && (name == b"config" || name == b"config.worktree");
                    self.leaf(path, *number, is_config)?;
                }
            }
            path.truncate(length);
            self.report.progress(self.writer.totals());
        }
        // The root is the workspace's own: what the archive says of it is no part of the tree.
        let root = Meta::default();
        Ok(self.writer.finished(path, if path.is_empty() { &root } else { &directory.meta })?)
    }

    fn leaf(&mut self, path: &[u8], number: usize, is_config: bool) -> Result<(), Failure> {
        if secrets::is_named_like_one(path) {
            self.report.secret(path);
        }
        if let Some(first) = &self.first_names[number] {
            return Ok(self.writer.link(path, first)?);
        }
        self.first_names[number] = Some(path.to_vec());
        match &self.leaves[number] {
            Leaf::Symlink { meta, target } => Ok(self.writer.symlink(path, meta, target)?),
            Leaf::File { meta, size, extents } if is_config && *size <= MAX_CONFIG_BYTES => {
                self.config(path, meta, *size, extents)
            }
            Leaf::File { meta, size, extents } => self.file(path, meta, *size, extents),
        }
    }

    fn file(&mut self, path: &[u8], meta: &Meta, size: u64, extents: &[Extent]) -> Result<(), Failure> {
        self.writer.file(path, meta, size)?;
        for Extent { offset, position, length } in extents {
            let mut done = 0;
            while done < *length {
                let count = usize::try_from(length - done).unwrap_or(usize::MAX).min(self.buffer.len());
                self.archive
                    .read_exact_at(&mut self.buffer[..count], position + done)
                    .map_err(|_| Failure::Changed(Vec::new()))?;
                self.writer.chunk(offset + done, &self.buffer[..count])?;
                done += count as u64;
            }
        }
        Ok(self.writer.end_file()?)
    }

    /// A git configuration, without credentials.
    fn config(&mut self, path: &[u8], meta: &Meta, size: u64, extents: &[Extent]) -> Result<(), Failure> {
        let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
        for Extent { offset, position, length } in extents {
            let range = usize::try_from(*offset).unwrap_or(0)..usize::try_from(offset + length).unwrap_or(0);
            self.archive.read_exact_at(&mut content[range], *position).map_err(|_| Failure::Changed(Vec::new()))?;
        }
        let Some(clean) = without_credentials(&content) else {
            return self.file(path, meta, size, extents);
        };
        self.report.redacted(path);
        self.writer.file(path, meta, clean.len() as u64)?;
        self.writer.chunk(0, &clean)?;
        Ok(self.writer.end_file()?)
    }
}
