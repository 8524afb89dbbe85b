//! Applying a patch to the workspace, as git does, all of it or nothing.
//!
//! The patch lies in a file, since it may be larger than the memory. It is read twice: once for which files it is about ([`parse`]), then each
//! file is made beside the workspace ([`draft`]), whatever comes of the others, so that all failures are told of at once. Only when there is
//! none is anything of the workspace touched ([`place`]).

mod binary;
mod draft;
mod effort;
mod failure;
mod header;
mod hunk;
mod locate;
mod name;
mod parse;
mod place;
mod refusal;
mod section;
mod spool;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use draft::{Done, PatchedFile};
pub(crate) use failure::{Failure, Reason};
use rustix::io::Errno;
pub(crate) use text::Moved;

use crate::files::FilesError;
use crate::system_error::SystemError;
use crate::volume::{State, Volume};
use draft::Draft;
use effort::Effort;
use place::Stage;

/// How a patch is applied.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Parts that are taken off each name; none: 1, and 0 for names without a slash in a patch that is not git's.
    pub(crate) strip: Option<u32>,
    /// It is taken back.
    pub(crate) is_reverse: bool,
    /// Nothing is changed.
    pub(crate) is_check: bool,
}

/// What came of a patch.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// In the patch's order.
    pub(crate) files: Vec<PatchedFile>,
    /// The first ones of them; with any nothing was changed.
    pub(crate) failures: Vec<Failure>,
    /// All of them.
    pub(crate) failure_count: u64,
}

/// Applies the patch that comes from `stream` to the workspace.
///
/// # Errors
/// As [`FilesError`]; the workspace is then as it was.
pub(crate) fn apply(volume: &Volume, options: Options, stream: impl Read) -> Result<(Report, State), FilesError> {
    let incoming = if options.is_check { volume.try_out()? } else { volume.take_in()? };
    let mut keep = |is_atomic: bool| if is_atomic { Ok(()) } else { incoming.keep_before().map_err(FilesError::from) };
    let applied = apply_in((incoming.staged(), incoming.workspace()), options, (stream, Effort::new()), &mut keep);
    if let Err(FilesError::Torn(_)) = applied {
        incoming.leave_torn();
    }
    Ok((applied?, incoming.settle()?))
}

/// Applies a patch to a tree; `staged` is an empty directory of the same file system. `keep` is called before the first change, with whether
/// there is only one.
fn apply_in(
    (staged, tree): (BorrowedFd<'_>, BorrowedFd<'_>),
    options: Options,
    (stream, effort): (impl Read, Effort),
    keep: &mut dyn FnMut(bool) -> Result<(), FilesError>,
) -> Result<Report, FilesError> {
    let make = |name: &str| tree::make_directory(staged, name).map_err(|errno| FilesError::of("make", b"", errno));
    let stage = Stage { coming: make("coming")?, going: make("going")? };
    let patch = spool(staged, stream)?;
    let mut sections = parse::parse(&patch, options.strip)?;
    if options.is_reverse {
        sections.reverse();
        sections.iter_mut().for_each(section::Section::reverse);
    }
    let mut draft = Draft::new((&patch, options.is_reverse), tree, make("made")?, effort);
    for section in &sections {
        draft.take(section)?;
    }
    let taken = place::check(&mut draft)?;
    if draft.failure_count == 0 && !options.is_check {
        place::place(&mut draft, tree, &stage, taken, keep)?;
    }
    let Draft { mut files, mut failures, failure_count, .. } = draft;
    if options.is_reverse {
        files.reverse();
    }
    failures.sort_by_key(|failure| failure.patch_line);
    Ok(Report { files, failures, failure_count })
}

/// Puts the patch into a file.
fn spool(staged: BorrowedFd<'_>, mut stream: impl Read) -> Result<File, FilesError> {
    let system = |errno| FilesError::System(SystemError::new("take the patch in".to_owned(), errno));
    let mut file = tree::create(staged.as_fd(), "patch").map_err(system)?;
    match io::copy(&mut stream, &mut file) {
        Ok(_) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Err(system(Errno::CANCELED)),
        Err(error) => Err(system(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    }
}
