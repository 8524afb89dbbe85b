//! Putting hunks into a text: where each belongs, and what is there instead.

use std::fs::File;

use memchr::memmem::{Finder, FinderRev};

use super::failure::{Failure, MAX_FAILURES, Reason, cut};
use super::hunk::{Hunk, Hunks, MAX_TEXT_BYTES};
use super::section::Section;
use super::spool::Position;
use crate::files::FilesError;

/// A hunk that is not where its numbers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Of the file's hunks, from 1.
    pub(crate) hunk: u32,
    /// The line that it begins at, from 1, in the file as it was before.
    pub(crate) line: u64,
    /// Lines further down than expected.
    pub(crate) offset: i64,
}

/// What came of a text.
#[derive(Debug, Default)]
pub(super) struct Patched {
    pub(super) content: Vec<u8>,
    pub(super) moved: Vec<Moved>,
    pub(super) added: u64,
    pub(super) removed: u64,
}

/// Applies the hunks of a section to `content`. Those that do not fit are told of in `failures`, each of them.
///
/// # Errors
/// As reading the patch.
pub(super) fn patch(
    file: &File,
    (section, is_reverse): (&Section, bool),
    (at, count): (Position, u32),
    content: &[u8],
    failures: &mut Vec<Failure>,
) -> Result<Patched, FilesError> {
    let mut hunks = Hunks::new(file, at, count, is_reverse);
    let mut patched = Patched::default();
    let mut cursor = Cursor { content, line: 0, byte: 0 };
    let (mut done, mut end, mut number) = (0, 0, 0);
    // Each costs a search: a patch of another file altogether is not looked through to its end.
    while failures.len() < MAX_FAILURES
        && let Some(hunk) = hunks.next()?
    {
        number += 1;
        let fail =
            |reason, text: String| Failure { hunk: Some(number), ..Failure::new(section, reason, hunk.line, text) };
        if hunk.is_too_large || patched.content.len() + hunk.new.len() + content.len() - done > 2 * MAX_TEXT_BYTES {
            failures.push(fail(Reason::Limit, too_large()));
            continue;
        }
        if hunk.first() < end {
            failures.push(fail(Reason::Overlap, "it begins before the hunk in front of it ends".to_owned()));
            continue;
        }
        end = hunk.first() + hunk.lines;
        let expected = cursor.go(hunk.first());
        let Some(found) = locate(content, done, &hunk, expected) else {
            failures.push(mismatch(content, &hunk, expected, fail));
            continue;
        };
        let offset = offset(content, expected, found) - cursor.missing(hunk.first());
        if offset != 0 {
            let line = hunk.first().saturating_add_signed(offset) + 1;
            patched.moved.push(Moved { hunk: number, line, offset });
        }
        patched.content.extend_from_slice(&content[done..found]);
        patched.content.extend_from_slice(&hunk.new);
        patched.added += hunk.added;
        patched.removed += hunk.removed;
        done = found + hunk.old.len();
    }
    patched.content.extend_from_slice(&content[done..]);
    if patched.content.len() > MAX_TEXT_BYTES {
        failures.push(Failure::new(section, Reason::Limit, section.line, too_large()));
    }
    Ok(patched)
}

/// Why a file is not patched by lines, and what to do.
pub(super) fn too_large() -> String {
    format!(
        "it has more than {MAX_TEXT_BYTES} bytes, before or after, which is what is patched by lines: send it whole by a sync push or a \
         binary patch"
    )
}

/// A line of a text and where it begins; lines are asked for in their order.
struct Cursor<'c> {
    content: &'c [u8],
    line: u64,
    byte: usize,
}

impl Cursor<'_> {
    /// Where this line, from 0, begins, or the end.
    fn go(&mut self, line: u64) -> usize {
        while self.line < line {
            match memchr::memchr(b'\n', &self.content[self.byte..]) {
                Some(length) => self.byte += length + 1,
                None => return self.content.len(),
            }
            self.line += 1;
        }
        self.byte
    }

    /// How many lines too few there were for this one to be there.
    fn missing(&self, line: u64) -> i64 {
        let last = u64::from(self.byte < self.content.len());
        i64::try_from(line.saturating_sub(self.line + last)).unwrap_or(i64::MAX)
    }
}

/// Where a hunk fits, as git finds it: at its line, otherwise as near as can be, and of two that are as near the later one. One for the first line
/// belongs at the beginning, and one without context behind it at the end.
fn locate(content: &[u8], from: usize, hunk: &Hunk, expected: usize) -> Option<usize> {
    let old = hunk.old.as_slice();
    let is_open = !old.is_empty() && !old.ends_with(b"\n");
    let fits = |at: usize| {
        at >= from
            && (at == 0 || content[at - 1] == b'\n')
            && content[at..].starts_with(old)
            && (!is_open || at + old.len() == content.len())
    };
    if hunk.trailing == 0 {
        let at = content.len().checked_sub(old.len())?;
        return (fits(at) && (hunk.start > 1 || at == 0)).then_some(at);
    }
    if hunk.start <= 1 {
        return fits(0).then_some(0);
    }
    if fits(expected) {
        return Some(expected);
    }
    let finder = Finder::new(old);
    let mut start = expected;
    let mut later = None;
    while let Some(found) = finder.find(&content[start..]) {
        if fits(start + found) {
            later = Some(start + found);
            break;
        }
        start += found + 1;
    }
    let finder = FinderRev::new(old);
    let mut end = (expected + old.len()).saturating_sub(1).min(content.len());
    let mut earlier = None;
    while let Some(found) = content.get(from..end).and_then(|part| finder.rfind(part)) {
        if fits(from + found) {
            earlier = Some(from + found);
            break;
        }
        end = from + found + old.len() - 1;
    }
    match (earlier, later) {
        (Some(earlier), Some(later)) => {
            let is_nearer = -offset(content, expected, earlier) < offset(content, expected, later);
            Some(if is_nearer { earlier } else { later })
        }
        (earlier, later) => earlier.or(later),
    }
}

/// Lines from one place to the other.
fn offset(content: &[u8], from: usize, to: usize) -> i64 {
    let count = |part: &[u8]| {
        // A last line without a newline is one too.
        let open = usize::from(!part.is_empty() && !part.ends_with(b"\n"));
        i64::try_from(memchr::memchr_iter(b'\n', part).count() + open).unwrap_or(i64::MAX)
    };
    if from <= to { count(&content[from..to]) } else { -count(&content[to..from]) }
}

/// The first line that is not what the hunk expects, where the hunk says that it belongs.
fn mismatch(content: &[u8], hunk: &Hunk, expected: usize, fail: impl Fn(Reason, String) -> Failure) -> Failure {
    let undone = Hunk { old: hunk.new.clone(), ..hunk.clone() };
    if hunk.added > 0
        && let Some(at) = locate(content, 0, &undone, expected)
    {
        let there = "what it would make is there already: was the patch applied before?".to_owned();
        let line = offset(content, 0, at).unsigned_abs() + 1;
        return Failure { line: Some(line), ..fail(Reason::NoMatch, there) };
    }
    let mut found = content[expected..].split_inclusive(|byte| *byte == b'\n');
    let mut line = hunk.first() + 1;
    for wanted in hunk.old.split_inclusive(|byte| *byte == b'\n') {
        let there = found.next();
        if there == Some(wanted) {
            line += 1;
            continue;
        }
        let text = match there {
            None => "the file ends before it".to_owned(),
            Some(there) if there.trim_ascii_end() == wanted.trim_ascii_end() => {
                "the line differs in the blanks or the newline at its end".to_owned()
            }
            Some(_) => "the line is another one, and the hunk fits nowhere else".to_owned(),
        };
        let failure = fail(Reason::NoMatch, text);
        return Failure { line: Some(line), expected: Some(cut(wanted)), found: there.map(cut), ..failure };
    }
    let text = if hunk.trailing == 0 {
        "it has no context behind its change, and belongs at the file's end, where other lines are"
    } else {
        "it is for the first line, and fits only further down"
    };
    Failure { line: Some(line), expected: None, found: found.next().map(cut), ..fail(Reason::NoMatch, text.to_owned()) }
}
