//! What is not the same in two trees, as a list and as a patch that git takes.
//!
//! Both trees must not change meanwhile: they are read twice, once for what differs and once for how. What git has no words for is
//! told of and counted.

mod binary;
mod both;
mod change;
mod content;
mod difference;
mod hunks;
mod ignore;
mod lines;
mod narrow;
mod patch;
mod quote;
mod renames;
mod repository;
pub(crate) mod sha1;
mod walk;

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

pub(crate) use binary::DIGITS as BASE_85;
pub use change::{Carried, Change, Kind, Lost, Side, Status};
pub use hunks::LineCount;
pub use narrow::{Narrowed, Node, Touched};
use patch::Patcher;
use repository::Repository;

use crate::system_error::{Doing, SystemError};

/// A piece of a patch as it is handed on, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// What is to be told of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Also what git ignores.
    pub include_ignored: bool,
    /// Binary and large files with their content.
    pub include_binary: bool,
    /// Not only the list.
    pub with_patch: bool,
}

/// How much differs. A file with a new name counts as one that was added and one that was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Paths that are only in the later tree.
    pub added: u64,
    /// Paths that are in both.
    pub modified: u64,
    /// Paths that are only in the earlier tree.
    pub deleted: u64,
    /// Paths that are of another kind.
    pub type_changed: u64,
    /// Paths that a patch has as text.
    pub text_patched: u64,
    /// The others.
    pub non_text: u64,
    /// Files that have a new name and the old content.
    pub renamed: u64,
    /// Paths that differ and that git ignores; of a directory that it ignores, one.
    pub ignored: u64,
    /// Paths of which git cannot have something, for each of [`Lost::ALL`].
    pub lost: [u64; Lost::ALL.len()],
    /// The commits that HEAD is in the earlier and in the later tree.
    pub heads: [Option<String>; 2],
}

/// What is told of a comparison, in this order but for the last two, of which there are many.
#[derive(Debug)]
pub enum Event<'c> {
    /// First of all.
    Summary(Summary),
    /// A piece of the patch.
    Patch(Vec<u8>),
    /// A path, once its part of the patch has been told.
    Change(&'c Change, LineCount),
}

/// Takes what is told. An error ends the comparison.
pub type Sink<'s> = dyn FnMut(Event<'_>) -> Result<(), Errno> + 's;

/// Compares two trees. `narrowed`: what of them can differ; none: all of both is looked at.
///
/// # Errors
/// What cannot be read; what the sink says.
pub fn compare(
    from: impl AsFd,
    to: impl AsFd,
    options: Options,
    narrowed: Option<&Narrowed>,
    sink: &mut Sink<'_>,
) -> Result<(), SystemError> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let mut found = walk::walk(from, to, options.include_ignored, narrowed)?;
    renames::find(&mut found.changes, from, to).doing(|| "look for new names of files")?;
    let summary = summary(&found, from, to);
    sink(Event::Summary(summary)).doing(|| "tell of a comparison")?;
    let mut patcher = Patcher::new(from, to, options.include_binary);
    let mut pieces = Pieces { sink, piece: Vec::new() };
    for change in &found.changes {
        let count = if options.with_patch {
            let path = || format!("compare {}", quote::shown(&change.path));
            patcher.write(change, &mut pieces).doing(path)?
        } else {
            LineCount::default()
        };
        (pieces.sink)(Event::Change(change, count)).doing(|| "tell of a comparison")?;
    }
    pieces.flush().doing(|| "tell of a comparison")
}

fn summary(found: &walk::Found, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Summary {
    let head = |tree| Repository::of(tree).and_then(|repository| repository.head());
    let mut summary = Summary { ignored: found.ignored, heads: [head(from), head(to)], ..Summary::default() };
    for change in &found.changes {
        *match change.status() {
            Status::Added => &mut summary.added,
            Status::Modified => &mut summary.modified,
            Status::Deleted => &mut summary.deleted,
            Status::TypeChanged => &mut summary.type_changed,
        } += 1;
        let is_text = change.carried == Carried::Text || change.renamed.is_some();
        *if is_text { &mut summary.text_patched } else { &mut summary.non_text } += 1;
        summary.renamed += u64::from(change.renamed.is_some() && change.status() != Status::Deleted);
        for (count, (lost, _)) in summary.lost.iter_mut().zip(Lost::ALL) {
            *count += u64::from(change.lost.has(lost));
        }
    }
    summary
}

/// Gathers what is written.
struct Pieces<'a, 's> {
    sink: &'a mut Sink<'s>,
    piece: Vec<u8>,
}

impl Write for Pieces<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.piece.extend(data);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        (self.sink)(Event::Patch(std::mem::take(&mut self.piece))).map_err(io::Error::from)
    }
}
