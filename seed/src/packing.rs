//! Turning a directory into a stream: attributes, links and content of each entry, as they are on the host.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat, openat, readlinkat, seek};
use rustix::io::Errno;

use crate::git_config;
use crate::git_link::{self, Link, MAX_LINK_BYTES};
use crate::report::{Failure, Report};
use crate::stream::{MAX_CHUNK_BYTES, MODE_BITS, Meta, Totals, Writer};
use crate::walk::{Found, Visitor};
use crate::xattrs::{self, Xattrs, is_carried};

/// Largest git configuration that is looked through.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Writes a stream of what is visited.
pub struct Packing<W: Write> {
    /// Where the source is, if it is one of the host's: then what git keeps in it is made fit for another place.
    host_root: Option<Vec<u8>>,
    writer: Writer<W>,
    /// First names of what has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

/// Why one entry is not in the stream.
enum Problem {
    Unreadable(Errno),
    Changed,
    Output(std::io::Error),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => Self::Changed,
            _ => Self::Unreadable(errno),
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl<W: Write> Packing<W> {
    /// Begins a stream. With `host_root`, the place of a source on the host, credentials are taken out of git configurations in the
    /// stream, and a linked worktree names its repository without that place.
    ///
    /// # Errors
    /// What writing says; so do all others.
    pub fn new(to: W, host_root: Option<&[u8]>) -> std::io::Result<Self> {
        let host_root = host_root.map(<[u8]>::to_vec);
        Ok(Self { host_root, writer: Writer::new(to)?, links: HashMap::new(), buffer: vec![0; MAX_CHUNK_BYTES] })
    }

    /// Ends it.
    ///
    /// # Errors
    /// What writing says.
    pub fn end(self) -> std::io::Result<Totals> {
        self.writer.end()
    }

    fn file(&mut self, found: &Found<'_>, report: &mut Report) -> Result<(), Problem> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(found.parent, found.name, flags, Mode::empty())?;
        let before = rustix::fs::fstat(&file)?;
        if identity(&before) != identity(found.stat) {
            return Err(Problem::Changed);
        }
        // What cannot be read is to be noticed before the stream has a part of it.
        rustix::io::pread(&file, &mut self.buffer[..1], 0)?;
        let meta = meta(&before, xattrs::of_open(&file, is_carried)?);
        let size = before.st_size.cast_unsigned();
        if let Some(content) = self.fitted(&file, size, found, report)? {
            self.writer.file(found.path, &meta, content.len() as u64)?;
            self.writer.chunk(0, &content)?;
            self.writer.end_file()?;
            return unchanged(&file, &before);
        }
        self.writer.file(found.path, &meta, size)?;
        // A file with fewer blocks than bytes has holes, or a file system that compresses.
        if before.st_blocks.cast_unsigned().saturating_mul(512) >= size {
            self.range(&file, 0, size)?;
        } else {
            self.data(&file, size)?;
        }
        self.writer.end_file()?;
        unchanged(&file, &before)
    }

    /// The content of what is git's, where it is to be another one in the stream.
    fn fitted(
        &self,
        file: &OwnedFd,
        size: u64,
        found: &Found<'_>,
        report: &mut Report,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let Some(root) = &self.host_root else { return Ok(None) };
        if found.in_git_directory && git_config::is_one(found.name) && size <= MAX_CONFIG_BYTES {
            let clean = git_config::without_credentials(&whole(file, size)?);
            if clean.is_some() {
                report.redacted(found.path);
            }
            return Ok(clean);
        }
        if found.name != c".git" || size > MAX_LINK_BYTES {
            return Ok(None);
        }
        match git_link::read(found.path, &whole(file, size)?, root) {
            Some(Link::Below(content)) => Ok(Some(content)),
            Some(Link::Away(target)) => {
                report.elsewhere(found.path, &target);
                Ok(None)
            }
            Some(Link::Beside) | None => Ok(None),
        }
    }

    /// What is not a hole.
    fn data(&mut self, file: &OwnedFd, size: u64) -> Result<(), Problem> {
        let mut position = 0;
        while position < size {
            let start = match seek(file, SeekFrom::Data(position)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                // A file system that does not say.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return self.range(file, position, size),
                Err(errno) => return Err(errno.into()),
            };
            let end = seek(file, SeekFrom::Hole(start))?.min(size);
            self.range(file, start, end)?;
            position = end.max(start + 1);
        }
        Ok(())
    }

    fn range(&mut self, file: &OwnedFd, start: u64, end: u64) -> Result<(), Problem> {
        let mut position = start;
        while position < end {
            let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(self.buffer.len());
            match rustix::io::pread(file, &mut self.buffer[..wanted], position) {
                Ok(0) => return Err(Problem::Changed),
                Ok(count) => {
                    self.writer.chunk(position, &self.buffer[..count])?;
                    position += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Problem::Unreadable(errno)),
            }
        }
        Ok(())
    }

    fn symlink(&mut self, found: &Found<'_>) -> Result<(), Problem> {
        let target = readlinkat(found.parent, found.name, Vec::new()).map_err(|errno| match errno {
            // It was a link when it was looked at.
            Errno::INVAL => Problem::Changed,
            _ => errno.into(),
        })?;
        let xattrs = xattrs::of_entry(found.parent, found.name.to_bytes(), is_carried)?;
        self.writer.symlink(found.path, &meta(found.stat, xattrs), target.to_bytes())?;
        Ok(())
    }

    fn first_name(&mut self, found: &Found<'_>) -> Option<Vec<u8>> {
        if found.stat.st_nlink < 2 {
            return None;
        }
        let inode = (found.stat.st_dev, found.stat.st_ino);
        let first = self.links.get(&inode).cloned();
        if first.is_none() {
            self.links.insert(inode, found.path.to_vec());
        }
        first
    }
}

impl<W: Write> Visitor for Packing<W> {
    fn directory(&mut self, found: &Found<'_>, _report: &mut Report) -> Result<(), Failure> {
        Ok(self.writer.directory(found.path)?)
    }

    fn leaf(&mut self, found: &Found<'_>, report: &mut Report) -> Result<(), Failure> {
        let done = match self.first_name(found) {
            Some(first) => self.writer.link(found.path, &first).map_err(Problem::Output),
            None if FileType::from_raw_mode(found.stat.st_mode) == FileType::Symlink => self.symlink(found),
            None => self.file(found, report),
        };
        match done {
            Ok(()) => Ok(()),
            Err(Problem::Changed) => Err(Failure::Changed(found.path.to_vec())),
            Err(Problem::Output(error)) => Err(Failure::Output(error)),
            Err(Problem::Unreadable(errno)) => {
                report.unreadable(found.path, errno);
                Ok(())
            }
        }
    }

    fn finished(
        &mut self,
        path: &[u8],
        directory: BorrowedFd<'_>,
        stat: &Stat,
        report: &mut Report,
    ) -> Result<(), Failure> {
        if path.is_empty() {
            // The root is the workspace's own: what it was here is no part of the tree.
            return Ok(self.writer.finished(path, &Meta::default())?);
        }
        match xattrs::of_open(&directory, is_carried) {
            Ok(xattrs) => Ok(self.writer.finished(path, &meta(stat, xattrs))?),
            Err(errno) => {
                report.unreadable(path, errno);
                Ok(())
            }
        }
    }

    fn totals(&self) -> Totals {
        self.writer.totals()
    }
}

fn meta(stat: &Stat, xattrs: Xattrs) -> Meta {
    Meta {
        mode: stat.st_mode & MODE_BITS,
        uid: stat.st_uid,
        gid: stat.st_gid,
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        xattrs,
    }
}

/// What every change of a file moves.
fn identity(stat: &Stat) -> (u64, u64, i64, i64, i64) {
    (stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec.cast_signed())
}

fn unchanged(file: &OwnedFd, before: &Stat) -> Result<(), Problem> {
    if identity(&rustix::fs::fstat(file)?) == identity(before) { Ok(()) } else { Err(Problem::Changed) }
}

fn whole(file: &OwnedFd, size: u64) -> Result<Vec<u8>, Problem> {
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut filled = 0;
    while filled < content.len() {
        match rustix::io::pread(file, &mut content[filled..], filled as u64)? {
            0 => return Err(Problem::Changed),
            count => filled += count,
        }
    }
    Ok(content)
}
