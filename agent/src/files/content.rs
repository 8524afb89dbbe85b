//! The content of single files: a range of one, and one put in its place at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, fchmod, fchown, fstat, openat, statat};
use rustix::io::{Errno, pread, write as write_some};

use super::push::{Pushed, put};
use super::{FilesError, checked, shown};
use crate::volume::Volume;

/// Largest file in which a text is replaced, in bytes.
const MAX_EDITED_BYTES: u64 = 16 << 20;
/// Of the names and of a value of extended attributes, in bytes.
const XATTR_BYTES: usize = 64 << 10;

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Range {
    /// Its bytes; fewer than were asked for at the file's end.
    pub(crate) data: Vec<u8>,
    /// How the file is.
    pub(crate) stat: Stat,
}

/// What a file becomes.
#[derive(Debug)]
pub(crate) enum Change {
    /// These bytes.
    Whole(Vec<u8>),
    /// What it is with one text replaced.
    Replace {
        /// The text.
        old: Vec<u8>,
        /// What takes its place.
        new: Vec<u8>,
        /// Every one, where there are several.
        all: bool,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Of the file, in bytes.
    pub(crate) size: u64,
    /// There was none before.
    pub(crate) created: bool,
    /// Texts that were replaced.
    pub(crate) replaced: u64,
}

/// Reads up to `limit` bytes of a file.
///
/// # Errors
/// As [`FilesError`].
pub(crate) fn read(volume: &Volume, path: &[u8], offset: u64, limit: usize) -> Result<Range, FilesError> {
    let workspace = volume.workspace_directory()?;
    let (file, stat) = open(workspace.as_fd(), path)?;
    let mut data = vec![0; limit.min(usize::try_from(stat.st_size).unwrap_or(usize::MAX))];
    let length = fill(&file, &mut data, offset).map_err(|errno| FilesError::of("read", path, errno))?;
    data.truncate(length);
    Ok(Range { data, stat })
}

/// Writes a file, or replaces a text in one. `mode`: what it gets; none: a new one 0644, one that is there keeps its own.
///
/// # Errors
/// As [`FilesError`]; the file is then as it was.
pub(crate) fn write(
    volume: &Volume,
    path: &[u8],
    change: Change,
    mode: Option<u32>,
) -> Result<Pushed<Written>, FilesError> {
    let path = checked(path)?;
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (directory, name) = slash.map_or((&path[..0], path), |slash| (&path[..slash], &path[slash + 1..]));
    if name.is_empty() {
        return Err(FilesError::Invalid("the workspace itself is no file".to_owned()));
    }
    let workspace = volume.workspace_directory()?;
    let before = present(workspace.as_fd(), path)?;
    let (data, replaced) = match (change, &before) {
        (Change::Whole(data), _) => (data, 0),
        (Change::Replace { .. }, None) => return Err(FilesError::of("find", path, Errno::NOENT)),
        (Change::Replace { old, new, all }, Some((file, stat))) => edited(file, stat, (&old, &new, all), path)?,
    };
    let written = Written { size: data.len() as u64, created: before.is_none(), replaced };
    let unchanged = |workspace: BorrowedFd<'_>| match (&before, present(workspace, path)?) {
        (Some((_, stat)), Some((_, now))) if identity(stat) == identity(&now) => Ok(()),
        (None, None) => Ok(()),
        _ => Err(FilesError::Conflict(format!("{} was changed meanwhile", shown(path)))),
    };
    put(volume, directory, unchanged, |place| {
        make(place, name, &data, (before.as_ref(), mode)).map_err(|errno| FilesError::of("write", path, errno))?;
        Ok(written)
    })
}

fn make(
    place: BorrowedFd<'_>,
    name: &[u8],
    data: &[u8],
    (before, mode): (Option<&(OwnedFd, Stat)>, Option<u32>),
) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(place, name, flags, Mode::from_raw_mode(0o600))?;
    let mut left = data;
    while !left.is_empty() {
        match write_some(&file, left) {
            Ok(count) => left = &left[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let like = match before {
        Some((_, stat)) => *stat,
        None => fstat(place)?,
    };
    fchown(&file, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    let own = before.map_or(0o644, |(_, stat)| stat.st_mode & 0o7777);
    fchmod(&file, Mode::from_raw_mode(mode.unwrap_or(own)))?;
    before.map_or(Ok(()), |(old, _)| copy_xattrs(old.as_fd(), file.as_fd()))
}

/// Gives a file the extended attributes of another one.
pub(crate) fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0; XATTR_BYTES];
    let length = rustix::fs::flistxattr(from, &mut names)?;
    let mut value = vec![0; XATTR_BYTES];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = rustix::fs::fgetxattr(from, name, &mut value)?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// The file's content with the text replaced, and how often it was.
fn edited(
    file: &OwnedFd,
    stat: &Stat,
    (old, new, all): (&[u8], &[u8], bool),
    path: &[u8],
) -> Result<(Vec<u8>, u64), FilesError> {
    if old.is_empty() {
        return Err(FilesError::Invalid("the text to be replaced is empty".to_owned()));
    }
    let size = stat.st_size.cast_unsigned();
    if size > MAX_EDITED_BYTES {
        let why = format!("{} has {size} bytes, and at most {MAX_EDITED_BYTES} can be edited in place", shown(path));
        return Err(FilesError::Conflict(why));
    }
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    let length = fill(file, &mut content, 0).map_err(|errno| FilesError::of("read", path, errno))?;
    content.truncate(length);
    let places = occurrences(&content, old);
    match places.len() {
        0 => return Err(FilesError::Conflict(format!("the text is not in {}", shown(path)))),
        1 => {}
        count if !all => {
            let why = format!("the text is in {} {count} times: name more of what is around it", shown(path));
            return Err(FilesError::Conflict(why));
        }
        _ => {}
    }
    let mut result = Vec::with_capacity(content.len() + places.len() * new.len());
    let mut end = 0;
    for place in &places {
        result.extend_from_slice(&content[end..*place]);
        result.extend_from_slice(new);
        end = place + old.len();
    }
    result.extend_from_slice(&content[end..]);
    Ok((result, places.len() as u64))
}

/// Where the text begins, each behind the end of the one before.
fn occurrences(content: &[u8], text: &[u8]) -> Vec<usize> {
    let (mut found, mut from) = (Vec::new(), 0);
    let finder = grep_memmem(text);
    while let Some(place) = finder(&content[from..]) {
        found.push(from + place);
        from += place + text.len();
    }
    found
}

fn grep_memmem(text: &[u8]) -> impl Fn(&[u8]) -> Option<usize> {
    let finder = memchr::memmem::Finder::new(text).into_owned();
    move |content| finder.find(content)
}

/// The regular file at a path, if there is one. What is there and is none stands in the way.
fn present(workspace: BorrowedFd<'_>, path: &[u8]) -> Result<Option<(OwnedFd, Stat)>, FilesError> {
    match open(workspace, path) {
        Err(FilesError::System(error)) if error.errno() == Errno::NOENT => Ok(None),
        opened => opened.map(Some),
    }
}

fn open(workspace: BorrowedFd<'_>, path: &[u8]) -> Result<(OwnedFd, Stat), FilesError> {
    let path = checked(path)?;
    let system = |errno| FilesError::of("open", path, errno);
    let mut places = Places::new(workspace);
    let (parent, name) = places.parent(path).map_err(system)?;
    let refuse = |what: &str| Err(FilesError::Conflict(format!("{} is {what}", shown(path))));
    if path.is_empty() {
        return refuse("a directory");
    }
    // A fifo or a device is not even opened.
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(system)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return refuse("a directory"),
        FileType::Symlink => return refuse("a symbolic link, which is not followed"),
        _ => return refuse("no regular file"),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty()).map_err(system)?;
    let stat = fstat(&file).map_err(system)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok((file, stat))
    } else {
        refuse("no regular file")
    }
}

/// What every change moves.
fn identity(stat: &Stat) -> (u64, i64, i64, u64) {
    (stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec)
}

fn fill(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < into.len() {
        match pread(file, &mut into[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_where_it_is_and_not_twice_in_one_place() {
        assert_eq!(occurrences(b"aXbXc", b"X"), [1, 3]);
        assert_eq!(occurrences(b"aaaa", b"aa"), [0, 2]);
        assert_eq!(occurrences(b"\xff\0\n\xff\0\n", b"\0\n"), [1, 4]);
        assert!(occurrences(b"abc", b"abcd").is_empty());
    }
}
