//! What is not the same in two trees: a walk through both at once, in the order of their names.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, lgetxattr, llistxattr, openat, readlinkat, statat};
use rustix::io::Errno;

use super::change::{Carried, Change, Kind, Lost, Side};
use super::content::{self, PIECE_BYTES};
use super::ignore::{Rules, is_ignored};
use super::narrow::{Narrowed, Node};
use super::repository::Repository;
use crate::system_error::{Doing, SystemError};

/// A longer file is not compared by lines, in bytes: both sides and their lines are in memory at once.
pub(super) const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Where git looks for NUL bytes (xdiff-interface.c), in bytes from a file's beginning.
const BINARY_BYTES: usize = 8000;
/// Longest `.gitignore` that is read, in bytes.
const IGNORE_BYTES_MAX: u64 = 1 << 20;
const XATTR_BYTES_MAX: usize = 64 << 10;

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

/// The same of both trees.
#[derive(Clone, Copy)]
struct Both<T> {
    from: Option<T>,
    to: Option<T>,
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

/// A name in a directory of either tree, with its inode's number in each.
struct Name {
    name: Vec<u8>,
    inodes: Both<u64>,
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
        if !untouched && let Some(change) = self.change(name, holder, sides)? {
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

    /// What has become of a path itself; of a directory that came or went only what is not in its names.
    fn change(
        &self,
        name: &[u8],
        holder: Both<BorrowedFd<'_>>,
        Both { from, to }: Both<Side>,
    ) -> Result<Option<Change>, SystemError> {
        let mut change = Change::new(self.path.clone(), from, to);
        let attributes = |holder: Option<BorrowedFd<'_>>, side: Option<Side>| {
            holder.filter(|_| side.is_some()).map_or(Ok(Vec::new()), |holder| xattrs(holder, name))
        };
        let (old, new) = (attributes(holder.from, from), attributes(holder.to, to));
        let other_xattrs =
            old.doing(|| self.doing("read attributes of"))? != new.doing(|| self.doing("read attributes of"))?;
        if let Some(to) = &to {
            if other_xattrs {
                change.lost.add(Lost::XATTRS);
            }
            change.lose(from.as_ref().filter(|from| from.kind == to.kind), to);
        } else if from.is_some_and(|from| from.kind == Kind::Special) {
            change.lost.add(Lost::SPECIAL_FILE);
        }
        if name.eq_ignore_ascii_case(b".git") {
            change.lost.add(Lost::NAME);
        }
        if let (Some(from), Some(to)) = (from, to)
            && from.kind == to.kind
        {
            change.has_other_content = is_other(name, holder, &from, &to).doing(|| self.doing("compare"))?;
            if to.kind == Kind::Special && !change.has_other_content {
                change.lost = Lost::default();
                change.lose(Some(&from), &Side { kind: Kind::Directory, ..to });
            }
            let is_other_mode = to.kind == Kind::File && from.git_mode() != to.git_mode();
            if !change.has_other_content && !is_other_mode && !change.lost.is_some() {
                return Ok(None);
            }
        }
        let blobs = [from, to].into_iter().flatten().filter(Side::is_blob).count();
        // Directories come and go with what is in them.
        if blobs == 0 && !change.lost.is_some() {
            return Ok(None);
        }
        change.carried = self.carried(name, holder, &change).doing(|| self.doing("read"))?;
        Ok(Some(change))
    }

    fn carried(&self, name: &[u8], holder: Both<BorrowedFd<'_>>, change: &Change) -> Result<Carried, Errno> {
        if self.path.split(|byte| *byte == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
            return Ok(Carried::Never);
        }
        let is_modified = matches!((change.from, change.to), (Some(from), Some(to)) if from.kind == to.kind);
        if is_modified && !change.has_other_content {
            let is_other_mode = change.to.is_some_and(|to| to.kind == Kind::File)
                && change.from.map(|from| from.git_mode()) != change.to.map(|to| to.git_mode());
            return Ok(if is_other_mode { Carried::Text } else { Carried::Never });
        }
        let mut carried = Carried::Never;
        for (side, holder) in [(change.from, holder.from), (change.to, holder.to)] {
            let (Some(side), Some(holder)) = (side.filter(Side::is_blob), holder) else { continue };
            if carried == Carried::Never {
                carried = Carried::Text;
            }
            if side.kind == Kind::Symlink {
                continue;
            }
            if side.size > TEXT_BYTES_MAX {
                carried = Carried::Huge;
            } else if carried == Carried::Text && has_nul(holder, name, side.size)? {
                carried = Carried::Binary;
            }
        }
        Ok(carried)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} {}", String::from_utf8_lossy(&super::quote::name(&self.path)))
    }
}

impl Change {
    fn new(path: Vec<u8>, from: Option<Side>, to: Option<Side>) -> Self {
        let (carried, lost) = (Carried::Never, Lost::default());
        Self { path, from, to, has_other_content: false, carried, lost, renamed: None, renamed_from: None }
    }
}

/// The names of a directory in either tree, in the order of their bytes.
fn names(holder: Both<BorrowedFd<'_>>) -> Result<Vec<Name>, Errno> {
    let (from, to) = (list(holder.from)?, list(holder.to)?);
    let mut all = Vec::with_capacity(from.len().max(to.len()));
    let (mut left, mut right) = (from.into_iter().peekable(), to.into_iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (None, None) => return Ok(all),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let old = if next.is_le() { left.next() } else { None };
        let new = if next.is_ge() { right.next() } else { None };
        let inodes = Both { from: old.as_ref().map(|each| each.1), to: new.as_ref().map(|each| each.1) };
        if let Some((name, _)) = old.or(new) {
            all.push(Name { name, inodes });
        }
    }
}

fn list(holder: Option<BorrowedFd<'_>>) -> Result<Vec<(Vec<u8>, u64)>, Errno> {
    let Some(holder) = holder else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in Dir::read_from(holder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((name.to_vec(), entry.ino()));
        }
    }
    names.sort_unstable();
    Ok(names)
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

/// Opens a regular file.
pub(super) fn open_file(holder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(holder, name, flags, Mode::empty())
}

/// Whether a path of one kind has another content.
fn is_other(name: &[u8], holder: Both<BorrowedFd<'_>>, from: &Side, to: &Side) -> Result<bool, Errno> {
    let (Some(old), Some(new)) = (holder.from, holder.to) else { return Ok(true) };
    match to.kind {
        Kind::Directory => Ok(false),
        Kind::Special => Ok(from.device != to.device),
        Kind::Symlink => Ok(readlinkat(old, name, Vec::new())? != readlinkat(new, name, Vec::new())?),
        Kind::File if from.size != to.size => Ok(true),
        Kind::File => content::is_same(open_file(old, name)?, open_file(new, name)?, to.size).map(|is_same| !is_same),
    }
}

fn has_nul(holder: BorrowedFd<'_>, name: &[u8], size: u64) -> Result<bool, Errno> {
    let mut start = vec![0; BINARY_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
    let filled = content::fill(open_file(holder, name)?, &mut start, 0)?;
    Ok(start[..filled].contains(&0))
}

/// An extended attribute's name and value.
type Xattr = (Vec<u8>, Vec<u8>);

/// A path's extended attributes, in the order of their names.
fn xattrs(holder: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Xattr>, Errno> {
    let path = [format!("/proc/self/fd/{}/", holder.as_raw_fd()).as_bytes(), name].concat();
    let mut few = [0; 256];
    let mut names = match llistxattr(&path, &mut few[..]) {
        Ok(length) => few[..length].to_vec(),
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut all = vec![0; XATTR_BYTES_MAX];
            let length = llistxattr(&path, &mut all[..])?;
            all.truncate(length);
            all
        }
        Err(errno) => return Err(errno),
    };
    names.pop();
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = lgetxattr(&path, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}
