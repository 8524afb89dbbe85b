//! Going through the files that are searched: by descriptors, so that a path may be as long as it is, and never through a link.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::vec;

use pyro_seed::names::names;
use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::rules::Rules;
use crate::files::FilesError;
use crate::files::directories::open;

/// The files of a tree, depth first and by name, without what the rules leave out.
pub(super) struct Files<'s> {
    rules: Rules<'s>,
    /// What is named itself, which no rule leaves out.
    named: Option<File>,
    levels: Vec<Level>,
    /// Of what was given last, from the workspace.
    path: Vec<u8>,
}

/// What was come across.
pub(super) struct Entry<'f> {
    /// From the workspace.
    pub(super) path: &'f [u8],
    /// None for what is only on the way to others, or left out.
    pub(super) file: Option<File>,
}

/// A directory that is being gone through.
struct Level {
    directory: OwnedFd,
    /// Length of its path, with the slash that ends it.
    base: usize,
    names: vec::IntoIter<CString>,
}

impl<'s> Files<'s> {
    /// What is at `path`, a file or everything in a directory.
    pub(super) fn new(workspace: BorrowedFd<'_>, path: &[u8], mut rules: Rules<'s>) -> Result<Self, FilesError> {
        let found = |errno| FilesError::of("search", path, errno);
        let mut places = Places::new(workspace);
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        // The rules of the directories that it is in hold for it too.
        if !path.is_empty() {
            rules.enter(workspace, 0);
        }
        for end in ends {
            rules.enter(places.directory(&path[..end]).map_err(found)?, end + 1);
        }
        let (parent, name) = places.parent(path).map_err(found)?;
        let name = CString::new(if path.is_empty() { b"." } else { name }).map_err(|_| found(Errno::INVAL))?;
        let stat = statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(found)?;
        let mut files = Self { rules, named: None, levels: Vec::new(), path: path.to_vec() };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => return Err(found(Errno::LOOP)),
            FileType::Directory => {
                let opened = open_directory(parent, &name).map_err(found)?;
                files.enter(opened);
            }
            FileType::RegularFile => files.named = Some(open_file(parent, &[&name]).map_err(found)?),
            _ => {}
        }
        Ok(files)
    }

    /// The next entry; nothing at the end.
    ///
    /// # Errors
    /// A directory cannot be read, and is not just gone.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, FilesError> {
        if let Some(named) = self.named.take() {
            return Ok(Some(Entry { path: &self.path, file: Some(named) }));
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let base = level.base;
        self.path.truncate(base);
        let Some(name) = level.names.next() else {
            self.rules.leave(base);
            self.levels.pop();
            return Ok(Some(Entry { path: &self.path, file: None }));
        };
        self.path.extend_from_slice(name.as_bytes());
        let level = &self.levels[self.levels.len() - 1];
        // What cannot be looked at has gone.
        let Ok(stat) = statat(&level.directory, &name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(Some(Entry { path: &self.path, file: None }));
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut file = None;
        if !self.rules.leave_out(&self.path, kind == FileType::Directory) {
            match kind {
                FileType::Directory => match open_directory(level.directory.as_fd(), &name) {
                    Ok(opened) => self.enter(opened),
                    // It has gone, or something else has taken its place.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(FilesError::of("search", &self.path, errno)),
                },
                FileType::RegularFile => file = open_file(level.directory.as_fd(), &[&name]).ok(),
                _ => {}
            }
        }
        Ok(Some(Entry { path: &self.path, file }))
    }

    /// Goes into a directory, whose path is the one of now.
    fn enter(&mut self, (directory, names): (OwnedFd, Vec<CString>)) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        let base = self.path.len();
        self.rules.enter(directory.as_fd(), base);
        self.levels.push(Level { directory, base, names: names.into_iter() });
    }
}

/// Opens a directory; what is in it.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Vec<CString>), Errno> {
    let directory = open(parent, name)?;
    let names = names(directory.as_fd())?;
    Ok((directory, names))
}

/// Opens a regular file, whatever takes its place meanwhile.
pub(super) fn open_file(directory: BorrowedFd<'_>, way: &[&CStr]) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Some((name, holders)) = way.split_last() else { return Err(Errno::INVAL) };
    let mut at: Option<OwnedFd> = None;
    for holder in holders {
        let from = at.as_ref().map_or(directory, OwnedFd::as_fd);
        at = Some(openat(from, *holder, flags | OFlags::DIRECTORY, Mode::empty())?);
    }
    let file = openat(at.as_ref().map_or(directory, OwnedFd::as_fd), *name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    Ok(File::from(file))
}
