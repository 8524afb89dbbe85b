//! Why a patch does not apply.

use super::section::Section;

/// Failures that are kept, the others are counted; of one file no more are looked for.
pub(super) const MAX_FAILURES: usize = 200;
/// Longest part of a line that is told of, in bytes.
const LINE_BYTES: usize = 200;

/// What is wrong, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The lines that a hunk expects are not there.
    NoMatch,
    /// Two hunks, or two files of the patch, are in each other's way.
    Overlap,
    /// There is no such file.
    Missing,
    /// There is one already.
    Exists,
    /// The name leads elsewhere.
    Path,
    /// What is there is of another kind.
    Kind,
    /// The content is another one than the patch was made of, or than it should become.
    Content,
    /// It is too large.
    Limit,
    /// The patch says something that is not done.
    Unsupported,
}

/// One thing for which a patch does not apply.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The file, from the workspace.
    pub(crate) path: Vec<u8>,
    pub(crate) reason: Reason,
    /// Of the file's hunks, from 1.
    pub(crate) hunk: Option<u32>,
    /// Of the hunk or the file in the patch, from 1.
    pub(crate) patch_line: u64,
    /// The line in the file that is not as expected, from 1.
    pub(crate) line: Option<u64>,
    /// What should be there, and what is: without its newline, and cut.
    pub(crate) expected: Option<Vec<u8>>,
    pub(crate) found: Option<Vec<u8>>,
    /// For a person.
    pub(crate) text: String,
}

impl Failure {
    pub(super) fn new(section: &Section, reason: Reason, patch_line: u64, text: String) -> Self {
        let path = section.path().to_vec();
        Self { path, reason, hunk: None, patch_line, line: None, expected: None, found: None, text }
    }

    /// Of a file as a whole.
    pub(super) fn of(section: &Section, reason: Reason, text: impl Into<String>) -> Self {
        Self::new(section, reason, section.line, text.into())
    }
}

/// A line for a message.
pub(super) fn cut(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line[..line.len().min(LINE_BYTES)].to_vec()
}
