//! What ripgrep leaves out: what files in the tree say is ignored, and what is hidden.

use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::overrides::Override;

use super::walk::open_file;

/// Most bytes of a file with patterns: of a longer one the rest is not looked at.
const MAX_BYTES: u64 = 4 << 20;
/// Files with patterns, the one that decides before the others first.
const SOURCES: [&[&CStr]; 3] = [&[c".ignore"], &[c".gitignore"], &[c".git", c"info", c"exclude"]];

/// What the files in the directories on the way say, and what was asked for.
pub(super) struct Rules<'s> {
    /// Globs that were asked for; they decide before all others.
    wanted: &'s Override,
    /// Nothing else decides.
    is_all: bool,
    levels: Vec<Level>,
}

/// The patterns of a directory that has some.
struct Level {
    /// Length of its path, with the slash that ends it.
    base: usize,
    sources: [Gitignore; SOURCES.len()],
}

impl<'s> Rules<'s> {
    pub(super) fn new(wanted: &'s Override, is_all: bool) -> Self {
        Self { wanted, is_all, levels: Vec::new() }
    }

    /// One goes into a directory: `base` is the length of its path, with the slash that ends it.
    pub(super) fn enter(&mut self, directory: BorrowedFd<'_>, base: usize) {
        if self.is_all {
            return;
        }
        let sources = SOURCES.map(|way| patterns(directory, way).unwrap_or_else(Gitignore::empty));
        if sources.iter().any(|each| !each.is_empty()) {
            self.levels.push(Level { base, sources });
        }
    }

    /// One has left all directories whose paths are that long.
    pub(super) fn leave(&mut self, base: usize) {
        while self.levels.last().is_some_and(|level| level.base >= base) {
            self.levels.pop();
        }
    }

    /// Whether what is at `path`, in the directory that was entered last, is left out.
    pub(super) fn leave_out(&self, path: &[u8], is_directory: bool) -> bool {
        let of = |bytes| Path::new(OsStr::from_bytes(bytes));
        let decided = decision(&self.wanted.matched(of(path), is_directory));
        if self.is_all || decided.is_some() {
            return decided.unwrap_or(false);
        }
        // Each kind of file decides before the next one, and of one kind the innermost file.
        let found = (0..SOURCES.len()).find_map(|source| {
            let mut inner = self.levels.iter().rev();
            inner.find_map(|level| decision(&level.sources[source].matched(of(&path[level.base..]), is_directory)))
        });
        found.unwrap_or_else(|| path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b".")))
    }
}

fn decision<T>(found: &Match<T>) -> Option<bool> {
    match found {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// The patterns of a file, none where it cannot be read; a line that is no pattern is none.
fn patterns(directory: BorrowedFd<'_>, way: &[&CStr]) -> Option<Gitignore> {
    let mut text = Vec::new();
    open_file(directory, way).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let mut builder = GitignoreBuilder::new("");
    for line in text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).split(|byte| *byte == b'\n') {
        if let Ok(line) = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            let _ = builder.add_line(None, line);
        }
    }
    builder.build().ok()
}
