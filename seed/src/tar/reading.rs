//! Reading all headers of an archive: what each entry is, with what was said in front of it.

use std::os::unix::fs::FileExt;

use pyro_seed::report::{Report, printable};
use pyro_seed::stream::{MAX_TARGET_BYTES, MODE_BITS, Meta};

use super::Refusal;
use super::cursor::Cursor;
use super::header::{BLOCK_BYTES, Header, Kind, text};
use super::pax::Records;
use super::sparse::{self, Extent};
use super::tree::{Leaf, Tree};

/// Most entries of one archive.
const MAX_ENTRIES: u64 = 4_000_000;
/// Largest sum of what global headers say: each is a part of every entry after it.
const MAX_GLOBAL_BYTES: usize = 64 << 10;
/// Most bytes of names, targets and attributes of all entries, which are held in memory and written to the stream. An archive's own
/// size is no bound for them: a few bytes in a global header come again with each entry.
const MAX_HELD_BYTES: usize = 1 << 30;

/// What an archive of `length` bytes has.
pub(super) fn read(archive: &impl FileExt, length: u64, report: &mut Report) -> Result<Tree, Refusal> {
    let cursor = Cursor { archive, length, position: 0 };
    let mut reading = Reading { cursor, global: Records::default(), next: Next::default(), held: 0 };
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
    cursor: Cursor<'a, A>,
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
        let block = self.cursor.block()?;
        if block.iter().any(|byte| *byte != 0) {
            return Header::parse(&block)
                .map(Some)
                .map_err(|why| format!("{why}, at byte {}", self.cursor.position - BLOCK_BYTES));
        }
        self.cursor.only_zeros()?;
        Ok(None)
    }

    fn entry(&mut self, header: &Header, tree: &mut Tree, report: &mut Report) -> Result<(), Refusal> {
        match header.kind {
            Kind::Pax => self.next.records = Some(Records::parse(&self.cursor.extension(header.size)?)?),
            Kind::GlobalPax => {
                let records = Records::parse(&self.cursor.extension(header.size)?)?;
                self.global.extend(records);
                if self.global.bytes() > MAX_GLOBAL_BYTES {
                    return Err("a global header is too large".to_owned());
                }
            }
            Kind::LongName => self.next.name = Some(text(self.cursor.extension(header.size)?)),
            Kind::LongLink => self.next.link = Some(text(self.cursor.extension(header.size)?)),
            Kind::Label => self.cursor.skip(header.size)?,
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
                self.cursor.skip(stored)?;
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
                self.cursor.skip(stored)?;
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
                self.cursor.skip(stored)?;
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
                is_extended = sparse::extension(&self.cursor.block()?, &mut map)?;
            }
            (map, header.real_size)
        } else if let Some(found) = sparse::of_records(records)? {
            found
        } else if let Some(real_size) = sparse::real_size_of_1_0(records)? {
            let start = self.cursor.position;
            let map = sparse::map_of_data(|| self.cursor.block())?;
            let used = self.cursor.position - start;
            let data = stored.checked_sub(used).ok_or("a sparse file whose map is longer than it")?;
            return self.placed(&map, real_size, data);
        } else {
            let whole = if stored == 0 { Vec::new() } else { vec![(0, stored)] };
            (whole, stored)
        };
        self.placed(&map, size, stored)
    }

    fn placed(&mut self, map: &[(u64, u64)], size: u64, stored: u64) -> Result<(Vec<Extent>, u64), Refusal> {
        let extents = sparse::placed(map, size, stored, self.cursor.position)?;
        self.cursor.skip(stored)?;
        Ok((extents, size))
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
