//! What is not the same in two trees: a walk through both at once, in the order of their names.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::both::{Both, Name, names};
use super::change::{Change, Kind, Lost, Side};
use super::difference::Pair;
use super::ignore::{Rules, is_ignored};
use super::narrow::{Narrowed, Node};
use super::repository::Repository;
use crate::system_error::{Doing, SystemError};

/// Longest `.gitignore` that is read, in bytes.
const IGNORE_BYTES_MAX: u64 = 1 << 20;

/// What a walk has found.
#[derive(Default)]
pub(super) struct Found {
    /// In the order of the paths' bytes, a directory before what is in it.
    pub(super) changes: Vec<Change>,
    /// Paths that differ and that git ignores; a directory that it ignores is one.
    pub(super) ignored: u64,
}

/// Walks through two trees. `include_ignored`: what git ignores is a change like any other.
pub(super) fn walk(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    include_ignored: bool,
    narrowed: Option<&Narrowed>,
) -> Result<Found, SystemError> {
    let repository = Repository::of(to).or_else(|| Repository::of(from)).filter(|_| !include_ignored);
    let mut rules = Vec::new();
    if let Some(text) = repository.as_ref().and_then(Repository::exclude) {
        rules.push(Rules::parse(&text, 0));
    }
    let mut walk = Walk { narrowed, repository, tracked: None, rules, path: Vec::new(), found: Found::default() };
    let root = narrowed.map(|narrowed| &narrowed.root);
    walk.directory(Both { from: Some(from), to: Some(to) }, root, Ignoring::Nothing)?;
    Ok(walk.found)
}

/// What git ignores of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ignoring {
    /// What its rules say.
    Nothing,
    /// What it has not taken in.
    Untracked,
    /// All: one change is enough to know of.
    All,
}

struct Walk<'t> {
    narrowed: Option<&'t Narrowed>,
    repository: Option<Repository<'t>>,
    /// Read when the first path is ignored.
    tracked: Option<HashSet<Vec<u8>>>,
    rules: Vec<Rules>,
    path: Vec<u8>,
    found: Found,
}

impl Walk<'_> {
    /// Goes through a directory of one or both trees; how many names each has. `node`: only what it names is looked at; none: all.
    fn directory(
        &mut self,
        holder: Both<BorrowedFd<'_>>,
        node: Option<&Node>,
        ignoring: Ignoring,
    ) -> Result<(usize, usize), SystemError> {
        let base = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
        let rules = self.rules.len();
        if let (Some(_), Some(holder)) = (&self.repository, holder.to.or(holder.from))
            && let Ok(Some(text)) = super::repository::read_file(holder, b".gitignore", IGNORE_BYTES_MAX)
        {
            self.rules.push(Rules::parse(&text, base));
        }
        let narrow = node.filter(|node| !node.is_whole);
        let mut counts = (0, 0);
        if let Some(narrow) = narrow {
            counts = (1, 1);
            for (name, below) in &narrow.below {
                self.named(name, holder, Some(below), ignoring)?;
            }
        } else {
            for Name { name, inodes } in names(holder).doing(|| self.doing("read"))? {
                counts.0 += usize::from(inodes.from.is_some());
                counts.1 += usize::from(inodes.to.is_some());
                let below = node.and_then(|node| node.below.get(&name));
                if below.is_none() && self.is_untouched(inodes) {
                    continue;
                }
                self.named(&name, holder, below, ignoring)?;
            }
        }
        self.rules.truncate(rules);
        Ok(counts)
    }

    /// Whether it is one file or directory whose own inode has not changed between the trees.
    fn is_untouched(&self, inodes: Both<u64>) -> bool {
        match (self.narrowed, inodes) {
            (Some(narrowed), Both { from: Some(from), to: Some(to) }) => from == to && narrowed.is_same(from),
            _ => false,
        }
    }

    fn named(
        &mut self,
        name: &[u8],
        holder: Both<BorrowedFd<'_>>,
        node: Option<&Node>,
        ignoring: Ignoring,
    ) -> Result<(), SystemError> {
        // What a repository knows of itself is no content of the tree.
        if name == b".git" || (ignoring == Ignoring::All && !self.found.changes.is_empty()) {
            return Ok(());
        }
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend(name);
        let look = |holder: Option<BorrowedFd<'_>>| holder.map_or(Ok(None), |holder| look(holder, name));
        let sides = Both {
            from: look(holder.from).doing(|| self.doing("look at"))?,
            to: look(holder.to).doing(|| self.doing("look at"))?,
        };
        if let Some(side) = sides.to.or(sides.from) {
            let below = self.ignoring(side.kind == Kind::Directory, ignoring);
            if below == Ignoring::All && ignoring != Ignoring::All {
                let outer = std::mem::take(&mut self.found.changes);
                self.pair(name, holder, sides, node, below)?;
                let is_changed = !self.found.changes.is_empty();
                self.found.changes = outer;
                self.found.ignored += u64::from(is_changed);
            } else {
                self.pair(name, holder, sides, node, below)?;
            }
        }
        self.path.truncate(length);
        Ok(())
    }

    /// What git ignores of the path that is being looked at.
    fn ignoring(&mut self, is_directory: bool, outer: Ignoring) -> Ignoring {
        let Some(repository) = &self.repository else { return Ignoring::Nothing };
        if outer == Ignoring::All {
            return outer;
        }
        if outer == Ignoring::Nothing && !is_ignored(&self.rules, &self.path, is_directory) {
            return Ignoring::Nothing;
        }
        let tracked = self.tracked.get_or_insert_with(|| repository.tracked().unwrap_or_default());
        match (tracked.contains(&self.path), is_directory) {
            (true, true) => Ignoring::Untracked,
            (true, false) => Ignoring::Nothing,
            (false, _) => Ignoring::All,
        }
    }

    fn pair(
        &mut self,
        name: &[u8],
        holder: Both<BorrowedFd<'_>>,
        sides: Both<Side>,
        node: Option<&Node>,
        ignoring: Ignoring,
    ) -> Result<(), SystemError> {
        let untouched = self.is_untouched(Both { from: sides.from.map(|s| s.inode), to: sides.to.map(|s| s.inode) });
        let place = self.found.changes.len();
        if !untouched && let Some(change) = (Pair { path: &self.path, name, holder, sides }).change()? {
            self.found.changes.push(change);
        }
        let is_directory = |side: Option<Side>| side.is_some_and(|side| side.kind == Kind::Directory);
        let (was, is) = (is_directory(sides.from), is_directory(sides.to));
        if !was && !is {
            return Ok(());
        }
        // Below a directory that is the same one in both, what has changed says so itself.
        let is_one = was && is && sides.from.map(|side| side.inode) == sides.to.map(|side| side.inode);
        let scope = match (self.narrowed, sides.to) {
            (Some(narrowed), Some(to)) if is_one && !narrowed.is_new(to.inode) => match node {
                Some(node) => Some(node),
                None => return Ok(()),
            },
            _ => None,
        };
        let open = |holder: Option<BorrowedFd<'_>>, wanted: bool| {
            holder.filter(|_| wanted).map(|holder| open_directory(holder, name)).transpose()
        };
        let from = open(holder.from, was).doing(|| self.doing("open"))?;
        let to = open(holder.to, is).doing(|| self.doing("open"))?;
        let below = Both { from: from.as_ref().map(AsFd::as_fd), to: to.as_ref().map(AsFd::as_fd) };
        let (had, has) = self.directory(below, scope, ignoring)?;
        let emptied = (is && has == 0 && !(was && had == 0)) || (was && had == 0 && !is);
        if emptied {
            let change = match self.found.changes.get_mut(place).filter(|change| change.path == self.path) {
                Some(change) => change,
                None => {
                    self.found.changes.insert(place, Change::new(self.path.clone(), sides.from, sides.to));
                    &mut self.found.changes[place]
                }
            };
            change.lost.add(Lost::EMPTY_DIRECTORY);
        }
        Ok(())
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} {}", super::quote::shown(&self.path))
    }
}

fn look(holder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Side>, Errno> {
    match statat(holder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Side::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open_directory(holder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(holder, name, flags, Mode::empty())
}
