//! Turning a tar archive into a stream: ustar, pax, GNU's long names and all of GNU's forms of sparse files.
//!
//! All headers are read before anything is written: what has no plain place in a tree, and what is not whole, refuses the
//! archive as a whole. Nothing is unpacked on the host; a name only ever becomes a name in the stream.

mod header;
mod number;
mod pax;
mod sparse;
mod tree;
pub(crate) mod write;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};

use pyro_seed::stream::{MAX_TARGET_BYTES, MODE_BITS, Meta, Totals};

use header::{BLOCK_BYTES, Header, Kind};
use pax::Records;
use pyro_seed::report::{Failure, Report, printable};
use sparse::Extent;
use tree::{Leaf, Tree};

/// Most entries of one archive.
const MAX_ENTRIES: u64 = 4_000_000;
/// Largest extended header, or long name.
const MAX_EXTENSION_BYTES: u64 = 4 << 20;

/// Largest sum of what global headers say: each is a part of every entry after it.
const MAX_GLOBAL_BYTES: usize = 64 << 10;
/// Most bytes of names, targets and attributes of all entries, which are held in memory and written to the stream. An archive's own
/// size is no bound for them: a few bytes in a global header come again with each entry.
const MAX_HELD_BYTES: usize = 1 << 30;

/// Why an archive is none that can be taken.
type Refusal = String;

/// Reads an archive and writes what it has to `output` as a stream.
pub(crate) fn pack(archive: &File, output: impl Write, report: &mut Report) -> Result<Totals, Failure> {
    let identity = |file: &File| file.metadata().map(|meta| (meta.len(), meta.ctime(), meta.ctime_nsec()));
    let before = identity(archive)?;
    let tree = read(archive, before.0, report).map_err(Failure::Invalid)?;
    let totals = tree.write(archive, output, report)?;
    if identity(archive)? == before { Ok(totals) } else { Err(Failure::Changed(Vec::new())) }
}

/// What an archive of `length` bytes has.
fn read(archive: &impl FileExt, length: u64, report: &mut Report) -> Result<Tree, Refusal> {
    let mut reading =
        Reading { archive, length, position: 0, global: Records::default(), next: Next::default(), held: 0 };
    let mut tree = Tree::default();
    let mut entries = 0;
    while let Some(header) = reading.header()? {
        reading.entry(&header, &mut tree, report)?;
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(format!("the archive has more than {MAX_ENTRIES} entries"));
        }
    }
    if reading.next.is_pending() {
        return Err("the archive ends with an extended header".to_owned());
    }
    Ok(tree)
}

struct Reading<'a, A: FileExt> {
    archive: &'a A,
    length: u64,
    position: u64,
    global: Records,
    next: Next,
    /// How many bytes the entries so far hold.
    held: usize,
}

/// What was said in front of an entry.
#[derive(Default)]
struct Next {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Next {
    fn is_pending(&self) -> bool {
        self.records.is_some() || self.name.is_some() || self.link.is_some()
    }
}

impl<A: FileExt> Reading<'_, A> {
    /// The next header; none at the end of the archive, after which there is nothing.
    fn header(&mut self) -> Result<Option<Header>, Refusal> {
        let block = self.block()?;
        if block.iter().any(|byte| *byte != 0) {
            return Header::parse(&block)
                .map(Some)
                .map_err(|why| format!("{why}, at byte {}", self.position - BLOCK_BYTES));
        }
        let mut rest = vec![0; 1 << 20];
        while self.position < self.length {
            let count = usize::try_from(self.length - self.position).unwrap_or(usize::MAX).min(rest.len());
            self.read(&mut rest[..count])?;
            if rest[..count].iter().any(|byte| *byte != 0) {
                return Err("something follows the end of the archive".to_owned());
            }
        }
        Ok(None)
    }

    fn entry(&mut self, header: &Header, tree: &mut Tree, report: &mut Report) -> Result<(), Refusal> {
        match header.kind {
            Kind::Pax => self.next.records = Some(Records::parse(&self.extension(header.size)?)?),
            Kind::GlobalPax => {
                let records = Records::parse(&self.extension(header.size)?)?;
                self.global.extend(records);
                if self.global.bytes() > MAX_GLOBAL_BYTES {
                    return Err("a global header is too large".to_owned());
                }
            }
            Kind::LongName => self.next.name = Some(text(self.extension(header.size)?)),
            Kind::LongLink => self.next.link = Some(text(self.extension(header.size)?)),
            Kind::Label => self.skip(header.size)?,
            _ => {
                let next = std::mem::take(&mut self.next);
                let mut records = self.global.clone();
                records.extend(next.records.unwrap_or_default());
                return self.file(header, &records, (next.name, next.link), tree, report);
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        header: &Header,
        records: &Records,
        (long_name, long_link): (Option<Vec<u8>>, Option<Vec<u8>>),
        tree: &mut Tree,
        report: &mut Report,
    ) -> Result<(), Refusal> {
        let name = records.get(b"GNU.sparse.name").or_else(|| records.get(b"path")).map(<[u8]>::to_vec);
        let name = name.or(long_name).unwrap_or_else(|| header.name.clone());
        let place = place(&name)?;
        let refuse = |why: &str| format!("{}: {why}", printable(&name));
        let link = records.get(b"linkpath").map(<[u8]>::to_vec).or(long_link).unwrap_or_else(|| header.link.clone());
        let stored = records.number(b"size")?.unwrap_or(header.size);
        let is_directory = header.kind == Kind::Directory || header.kind == Kind::File && name.ends_with(b"/");
        let meta = meta(header, records).map_err(|why| refuse(&why))?;
        self.hold(
            name.len() + link.len() + meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>(),
        )?;
        match header.kind {
            _ if is_directory => {
                self.skip(stored)?;
                tree.directory(&place, meta).map_err(|why| refuse(&why))
            }
            _ if place.is_empty() => Err(refuse("only a directory can be the root")),
            Kind::File | Kind::Sparse => {
                let (extents, size) = self.extents(header, records, stored).map_err(|why| refuse(&why))?;
                tree.leaf(&place, Leaf::File { meta, size, extents }).map_err(|why| refuse(&why))
            }
            Kind::Symlink => {
                if link.is_empty() || link.len() > MAX_TARGET_BYTES || link.contains(&0) {
                    return Err(refuse("a symbolic link with a target that none can have"));
                }
                self.skip(stored)?;
                tree.leaf(&place, Leaf::Symlink { meta, target: link }).map_err(|why| refuse(&why))
            }
            Kind::Link => {
                if stored != 0 {
                    return Err(refuse("a hard link with content of its own"));
                }
                let target = self::place(&link)?;
                tree.link(&place, &target).map_err(|why| refuse(&why))
            }
            _ => {
                self.skip(stored)?;
                report.skip("device or fifo", &place);
                Ok(())
            }
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held += bytes;
        if self.held > MAX_HELD_BYTES {
            return Err("the archive's names and attributes are too large".to_owned());
        }
        Ok(())
    }

    /// Where in the archive the file's parts lie, and how long it is with its holes.
    fn extents(&mut self, header: &Header, records: &Records, stored: u64) -> Result<(Vec<Extent>, u64), Refusal> {
        let (map, size) = if header.kind == Kind::Sparse {
            let mut map = header.sparse.clone();
            let mut is_extended = header.is_extended;
            while is_extended {
                is_extended = sparse::extension(&self.block()?, &mut map)?;
            }
            (map, header.real_size)
        } else if let Some(found) = sparse::of_records(records)? {
            found
        } else if let Some(real_size) = sparse::real_size_of_1_0(records)? {
            let start = self.position;
            let map = sparse::map_of_data(|| self.block())?;
            let used = self.position - start;
            let data = stored.checked_sub(used).ok_or("a sparse file whose map is longer than it")?;
            return self.placed(&map, real_size, data);
        } else {
            let whole = if stored == 0 { Vec::new() } else { vec![(0, stored)] };
            (whole, stored)
        };
        self.placed(&map, size, stored)
    }

    fn placed(&mut self, map: &[(u64, u64)], size: u64, stored: u64) -> Result<(Vec<Extent>, u64), Refusal> {
        let extents = sparse::placed(map, size, stored, self.position)?;
        self.skip(stored)?;
        Ok((extents, size))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
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
    fn skip(&mut self, size: u64) -> Result<(), Refusal> {
        let end = size.checked_next_multiple_of(BLOCK_BYTES).and_then(|size| self.position.checked_add(size));
        match end {
            Some(end) if end <= self.length => {
                self.position = end;
                Ok(())
            }
            _ => Err("the archive is cut off".to_owned()),
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK_BYTES as usize], Refusal> {
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

fn meta(header: &Header, records: &Records) -> Result<Meta, Refusal> {
    let id = |key: &[u8], field: u64| -> Result<u32, Refusal> {
        // The highest number is no owner's: for Linux it means that a file keeps the one that it has.
        let id = u32::try_from(records.number(key)?.unwrap_or(field)).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| "an owner that no file can have".to_owned())
    };
    let (seconds, nanoseconds) = records.time()?.unwrap_or((header.seconds, 0));
    Ok(Meta {
        mode: header.mode & MODE_BITS,
        uid: id(b"uid", header.uid)?,
        gid: id(b"gid", header.gid)?,
        seconds,
        nanoseconds,
        xattrs: records.xattrs()?,
    })
}

/// The path from the root that a name means.
fn place(name: &[u8]) -> Result<Vec<u8>, Refusal> {
    if name.starts_with(b"/") {
        return Err(format!("{}: an absolute name", printable(name)));
    }
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    let place = parts.join(&b'/');
    if place.is_empty() || pyro_seed::stream::is_plain(&place) {
        return Ok(place);
    }
    let why =
        if parts.contains(&&b".."[..]) { "leads out of its directory" } else { "is no name that a file can have" };
    Err(format!("{}: {why}", printable(name)))
}

/// What is before the first NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

#[cfg(test)]
mod tests;
