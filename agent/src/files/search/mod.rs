//! Searching text, with ripgrep's own parts and its rules: what git ignores, what is hidden and what is binary is left out.

mod rules;
mod walk;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use ignore::overrides::OverrideBuilder;
use rules::Rules;
use walk::{Entry, Files};

use super::{FilesError, checked};
use crate::volume::Volume;

/// Longest line that is given, in bytes.
const MAX_TEXT_BYTES: usize = 2000;
/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most memory for one line: a longer one is not looked through.
const HEAP_BYTES: usize = 16 << 20;
/// Most memory for a regular expression.
const REGEX_BYTES: usize = 16 << 20;
/// After so long what was found is all that is given.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What is looked for, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// A regular expression, or a text.
    pub(crate) pattern: String,
    /// A file or directory.
    pub(crate) path: Vec<u8>,
    /// Files that are wanted, as in a .gitignore; with `!` those that are not.
    pub(crate) globs: Vec<String>,
    /// Upper and lower case are the same.
    pub(crate) ignore_case: bool,
    /// `pattern` is a text.
    pub(crate) fixed: bool,
    /// Also what git ignores and what is hidden.
    pub(crate) all: bool,
    /// Lines around a match that are given too.
    pub(crate) before: usize,
    /// As `before`.
    pub(crate) after: usize,
    /// Matching lines at most.
    pub(crate) limit: usize,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// From the workspace.
    pub(crate) path: Vec<u8>,
    /// From 1.
    pub(crate) number: u64,
    /// Without its end.
    pub(crate) text: Vec<u8>,
    /// It is only near a match.
    pub(crate) is_context: bool,
    /// There is more of it.
    pub(crate) is_cut: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// File by file, in the order of their paths.
    pub(crate) lines: Vec<Line>,
    /// There is more.
    pub(crate) more: bool,
    /// Files that were looked through.
    pub(crate) files: u64,
    /// Files that were not, to their end: they are binary.
    pub(crate) binary: u64,
    matches: usize,
    bytes: usize,
}

/// Searches files of the workspace.
///
/// # Errors
/// [`FilesError::Invalid`] for a pattern or glob that is none; a directory that cannot be read; else as [`FilesError`].
pub(crate) fn search(volume: &Volume, search: &Search) -> Result<Found, FilesError> {
    search_in(volume.workspace_directory()?.as_fd(), search)
}

fn search_in(workspace: BorrowedFd<'_>, search: &Search) -> Result<Found, FilesError> {
    let path = checked(&search.path)?;
    let invalid = |error: &dyn std::fmt::Display| FilesError::Invalid(format!("{}: {error}", search.pattern));
    let matcher = RegexMatcherBuilder::new()
        .case_insensitive(search.ignore_case)
        .fixed_strings(search.fixed)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .line_terminator(Some(b'\n'))
        .build(&search.pattern)
        .map_err(|error| invalid(&error))?;
    let mut wanted = OverrideBuilder::new("");
    for glob in &search.globs {
        wanted.add(glob).map_err(|error| FilesError::Invalid(error.to_string()))?;
    }
    let wanted = wanted.build().map_err(|error| FilesError::Invalid(error.to_string()))?;
    let mut files = Files::new(workspace, path, Rules::new(&wanted, search.all))?;
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .line_number(true)
        .before_context(search.before)
        .after_context(search.after)
        .heap_limit(Some(HEAP_BYTES))
        .build();
    let mut found = Found::default();
    let until = Instant::now() + TIME_LIMIT;
    while let Some(Entry { path, file }) = files.next()? {
        if Instant::now() > until || found.more && file.is_some() {
            found.more = true;
            break;
        }
        if let Some(file) = file {
            search_file(&mut searcher, &matcher, &file, Collector { path, search, found: &mut found });
        }
    }
    Ok(found)
}

fn search_file(searcher: &mut Searcher, matcher: &RegexMatcher, file: &File, mut collector: Collector<'_>) {
    collector.found.files += 1;
    if searcher.search_file(matcher, file, &mut collector).is_err() {
        // A line that is longer than what there is memory for, or a file that cannot be read.
        collector.found.binary += 1;
    }
}

struct Collector<'a> {
    path: &'a [u8],
    search: &'a Search,
    found: &'a mut Found,
}

impl Collector<'_> {
    /// Whether more is wanted.
    fn take(&mut self, number: Option<u64>, text: &[u8], is_context: bool) -> bool {
        let found = &mut *self.found;
        if found.bytes >= MAX_ANSWER_BYTES || !is_context && found.matches == self.search.limit {
            found.more = true;
            return false;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let kept = &text[..text.len().min(MAX_TEXT_BYTES)];
        found.matches += usize::from(!is_context);
        found.bytes += self.path.len() + kept.len();
        found.lines.push(Line {
            path: self.path.to_vec(),
            number: number.unwrap_or(0),
            text: kept.to_vec(),
            is_context,
            is_cut: kept.len() < text.len(),
        });
        true
    }
}

impl Sink for Collector<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        Ok(self.take(found.line_number(), found.bytes(), false))
    }

    fn context(&mut self, _searcher: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
        Ok(self.take(context.line_number(), context.bytes(), true))
    }

    fn finish(&mut self, _searcher: &Searcher, finish: &SinkFinish) -> Result<(), io::Error> {
        self.found.binary += u64::from(finish.binary_byte_offset().is_some());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
