//! Finding directories of a tree by paths longer than one call of Linux takes, and never through a link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// The directories on the way to where one looked last, open: the next place is mostly near.
pub struct Places<'t> {
    root: BorrowedFd<'t>,
    way: Vec<(Vec<u8>, OwnedFd)>,
}

impl<'t> Places<'t> {
    /// Of the tree in `root`.
    #[must_use]
    pub fn new(root: BorrowedFd<'t>) -> Self {
        Self { root, way: Vec::new() }
    }

    /// The directory that `path` is in, and its name there.
    ///
    /// # Errors
    /// What openat(2) says: ENOENT, ENOTDIR or ELOOP where there is no such directory; so does `directory`.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p [u8]), Errno> {
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => Ok((self.directory(&path[..slash])?, &path[slash + 1..])),
            None => Ok((self.root, path)),
        }
    }

    /// A directory of the tree.
    pub fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        let known = self.way.iter().zip(&parts).take_while(|((name, _), part)| name == *part).count();
        self.way.truncate(known);
        for part in &parts[known..] {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = openat(self.last(), *part, flags, Mode::empty())?;
            self.way.push((part.to_vec(), next));
        }
        Ok(self.last())
    }

    fn last(&self) -> BorrowedFd<'_> {
        self.way.last().map_or(self.root, |(_, descriptor)| descriptor.as_fd())
    }
}
