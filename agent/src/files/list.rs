//! What is in a directory.

use std::os::fd::{AsFd, BorrowedFd};

use pyro_seed::names::names;
use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::{FilesError, checked};
use crate::volume::Volume;

/// Most bytes of an answer, and what an entry takes of it besides its names.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const ENTRY_BYTES: usize = 64;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    /// The directory, or one file.
    pub(crate) path: Vec<u8>,
    /// With what is below.
    pub(crate) recursive: bool,
    /// Entries at most.
    pub(crate) limit: usize,
    /// Only what comes after this path; empty: all.
    pub(crate) after: Vec<u8>,
}

/// One entry, with the target of a symbolic link.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// From the workspace.
    pub(crate) path: Vec<u8>,
    /// How it is.
    pub(crate) stat: Stat,
    /// Of a symbolic link.
    pub(crate) target: Vec<u8>,
}

/// Lists a directory, whose entries come in the order of their names' bytes, each with what is below it; whether there is more.
///
/// # Errors
/// As [`FilesError`].
pub(crate) fn list(volume: &Volume, listing: &Listing) -> Result<(Vec<Listed>, bool), FilesError> {
    list_in(volume.workspace_directory()?.as_fd(), listing)
}

fn list_in(workspace: BorrowedFd<'_>, listing: &Listing) -> Result<(Vec<Listed>, bool), FilesError> {
    let path = checked(&listing.path)?;
    let system = |errno| FilesError::of("list", path, errno);
    let mut lister = Lister { listing, found: Vec::new(), bytes: 0, after: parts(checked(&listing.after)?) };
    let mut places = Places::new(workspace);
    if !path.is_empty() {
        let (parent, name) = places.parent(path).map_err(system)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(system)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let target = target_of(parent, name, &stat).map_err(system)?;
            return Ok((vec![Listed { path: path.to_vec(), stat, target }], false));
        }
    }
    let directory = places.directory(path).map_err(system)?;
    let complete = lister.inside(&mut path.to_vec(), directory).map_err(system)?;
    Ok((lister.found, !complete))
}

struct Lister<'l> {
    listing: &'l Listing,
    found: Vec<Listed>,
    /// Of what was found, in a message.
    bytes: usize,
    after: Vec<&'l [u8]>,
}

impl Lister<'_> {
    /// Whether that was all.
    fn inside(&mut self, path: &mut Vec<u8>, directory: BorrowedFd<'_>) -> Result<bool, Errno> {
        let length = path.len();
        for name in names(directory)? {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            let place = self.place(path);
            if place == Place::Before {
                continue;
            }
            let stat = match statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            if place == Place::After {
                if self.found.len() == self.listing.limit || self.bytes >= MAX_ANSWER_BYTES {
                    return Ok(false);
                }
                let target = target_of(directory, name.as_bytes(), &stat)?;
                self.bytes += path.len() + target.len() + ENTRY_BYTES;
                self.found.push(Listed { path: path.clone(), stat, target });
            }
            if self.listing.recursive && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = match openat(directory, &name, flags, Mode::empty()) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    opened => opened?,
                };
                if !self.inside(path, inner.as_fd())? {
                    return Ok(false);
                }
            }
        }
        path.truncate(length);
        Ok(true)
    }

    fn place(&self, path: &[u8]) -> Place {
        let path = parts(path);
        if self.after.is_empty() || path > self.after {
            Place::After
        } else if self.after.starts_with(&path) {
            Place::OnTheWay
        } else {
            Place::Before
        }
    }
}

/// Where an entry is from the last one that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    OnTheWay,
    After,
}

/// Compared part by part: what is in a directory comes right after it.
fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect()
}

fn target_of(parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<Vec<u8>, Errno> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(Vec::new());
    }
    Ok(readlinkat(parent, name, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_list_goes_on_where_it_was_cut_and_misses_nothing() {
        let root = std::env::temp_dir().join(format!("pyro-list-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("a/b")).unwrap();
        for path in ["a/b/1", "a/b/2", "a.txt", "a/z", "b"] {
            fs::write(root.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", root.join("a/link")).unwrap();
        let workspace = File::open(&root).unwrap();
        let page = |after: &[u8], limit| {
            let listing = Listing { recursive: true, limit, after: after.to_vec(), ..Listing::default() };
            list_in(workspace.as_fd(), &listing).unwrap()
        };
        let (all, more) = page(b"", 100);
        let paths: Vec<_> = all.iter().map(|each| String::from_utf8_lossy(&each.path).into_owned()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/1", "a/b/2", "a/link", "a/z", "a.txt", "b"]);
        assert!(!more);
        assert_eq!(all[4].target, b"/nowhere");
        for limit in 1..4 {
            let (mut found, mut after) = (Vec::new(), Vec::new());
            loop {
                let (entries, more) = page(&after, limit);
                found.extend(entries.iter().map(|each| String::from_utf8_lossy(&each.path).into_owned()));
                after = entries.last().map_or(after, |last| last.path.clone());
                if !more {
                    break;
                }
            }
            assert_eq!(found, paths, "by {limit}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
