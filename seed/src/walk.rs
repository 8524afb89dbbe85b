//! Reading a directory: every entry once, in the order of its name's bytes, by descriptors and without following a link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::stream::{MAX_PATH_BYTES, Totals};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use crate::names::names;
use crate::report::{Failure, Report};
use crate::selection::Selection;

/// One entry of the source.
pub struct Found<'a> {
    /// From the source's root.
    pub path: &'a [u8],
    /// The directory that it is in, and its name there.
    pub parent: BorrowedFd<'a>,
    /// Its name in that directory.
    pub name: &'a CStr,
    /// How it was when it was found.
    pub stat: &'a Stat,
    /// Whether the directory that it is in is a git repository's own (`.git`).
    pub in_git_directory: bool,
}

/// What is done with the entries.
pub trait Visitor {
    /// A directory begins.
    ///
    /// # Errors
    /// What ends the walk; so do all others.
    fn directory(&mut self, found: &Found<'_>, report: &mut Report) -> Result<(), Failure>;
    /// A file or symbolic link.
    fn leaf(&mut self, found: &Found<'_>, report: &mut Report) -> Result<(), Failure>;
    /// Everything in a directory was visited; an empty path is the root's.
    fn finished(
        &mut self,
        path: &[u8],
        directory: BorrowedFd<'_>,
        stat: &Stat,
        report: &mut Report,
    ) -> Result<(), Failure>;
    /// How far it is.
    fn totals(&self) -> Totals;
}

/// A walk through one source.
pub struct Walk<'a, V: Visitor> {
    /// What is done with the entries.
    pub visitor: V,
    /// What is said of them.
    pub report: Report,
    /// What of the source is wanted; none: all.
    pub selection: Option<&'a Selection>,
}

impl<V: Visitor> Walk<'_, V> {
    /// Visits an entry of an open directory, and everything in it, as if its path were `path`. `name` may be `.`.
    ///
    /// # Errors
    /// What ended the walk.
    pub fn entry_as(&mut self, path: &[u8], parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Failure> {
        self.entry(&mut path.to_vec(), parent, name, false)
    }

    /// Visits everything in `root`.
    ///
    /// # Errors
    /// What ended the walk.
    pub fn run(&mut self, root: &OwnedFd) -> Result<(), Failure> {
        let stat = rustix::fs::fstat(root).map_err(|errno| Failure::System(Vec::new(), errno))?;
        self.inside(&mut Vec::new(), root.as_fd(), &stat)
    }

    fn inside(&mut self, path: &mut Vec<u8>, directory: BorrowedFd<'_>, stat: &Stat) -> Result<(), Failure> {
        let names = match names(directory) {
            Ok(names) => names,
            // One that may be read and not searched is not the only one, perhaps; of the root there is nothing more to say.
            Err(errno @ Errno::ACCESS) if !path.is_empty() => {
                self.report.unreadable(path, errno);
                return Ok(());
            }
            Err(errno) => return Err(Failure::System(path.clone(), errno)),
        };
        let has = |name: &CStr| names.binary_search_by(|each| each.as_c_str().cmp(name)).is_ok();
        let in_git_directory = has(c"HEAD") && has(c"config") && has(c"objects");
        let length = path.len();
        for name in &names {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            self.entry(path, directory, name, in_git_directory)?;
            self.report.progress(self.visitor.totals());
        }
        path.truncate(length);
        self.note(stat);
        self.visitor.finished(path, directory, stat, &mut self.report)
    }

    fn entry(
        &mut self,
        path: &mut Vec<u8>,
        parent: BorrowedFd<'_>,
        name: &CStr,
        in_git_directory: bool,
    ) -> Result<(), Failure> {
        if self.selection.is_some_and(|selection| !selection.has(path)) {
            return Ok(());
        }
        if path.len() > MAX_PATH_BYTES {
            return Err(Failure::System(path.clone(), Errno::NAMETOOLONG));
        }
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(Failure::Changed(path.clone())),
            Err(errno) => {
                self.report.unreadable(path, errno);
                return Ok(());
            }
        };
        let found = Found { path: &path.clone(), parent, name, stat: &stat, in_git_directory };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(path, &found),
            FileType::RegularFile | FileType::Symlink => {
                self.note(&stat);
                self.report.disk_bytes += stat.st_blocks.cast_unsigned().saturating_mul(512);
                if crate::secrets::is_named_like_one(path) {
                    self.report.secret(path);
                }
                self.visitor.leaf(&found, &mut self.report)
            }
            kind => {
                self.report.skip(kind_name(kind), path);
                Ok(())
            }
        }
    }

    fn directory(&mut self, path: &mut Vec<u8>, found: &Found<'_>) -> Result<(), Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(found.parent, found.name, flags, Mode::empty()) {
            Ok(directory) => {
                self.visitor.directory(found, &mut self.report)?;
                self.inside(path, directory.as_fd(), found.stat)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(Failure::Changed(path.clone())),
            Err(errno @ (Errno::MFILE | Errno::NFILE)) => Err(Failure::System(path.clone(), errno)),
            Err(errno) => {
                self.report.unreadable(path, errno);
                Ok(())
            }
        }
    }

    fn note(&mut self, stat: &Stat) {
        let changed_ns = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        self.report.newest_ns = self.report.newest_ns.max(changed_ns);
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::BlockDevice | FileType::CharacterDevice => "device",
        _ => "unknown",
    }
}
