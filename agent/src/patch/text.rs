//! Putting hunks into a text: where each belongs, and what is there instead.

use std::fs::File;

use super::effort::{Effort, Spent};
use super::failure::{Failure, MAX_FAILURES, Reason, cut};
use super::hunk::{Hunk, Hunks, MAX_TEXT_BYTES};
use super::locate::locate;
use super::section::Section;
use super::spool::Position;
use crate::files::FilesError;

/// Hunks of a patch that are remembered for not being where their numbers say: more are in no answer.
pub(super) const MAX_MOVED: usize = 50_000;
/// Why a hunk is not looked for.
const TOO_FAR: &str = "it is not at its line, and this patch has had too much looked through for where its hunks belong: make it anew of the \
                       files as they are, or apply it in parts";
/// Why a file is not read once more.
pub(super) const TOO_OFTEN: &str =
    "this patch changes its files too often, and each time reads them whole: apply it in parts";

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
    (failures, effort): (&mut Vec<Failure>, &mut Effort),
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
        let found = match locate(content, done, &hunk, expected, effort) {
            Ok(Some(found)) => found,
            Ok(None) => {
                failures.push(mismatch((content, &hunk, expected), effort, fail));
                continue;
            }
            Err(Spent) => {
                failures.push(fail(Reason::Limit, TOO_FAR.to_owned()));
                continue;
            }
        };
        let offset = offset(content, expected, found) - cursor.missing(hunk.first());
        if offset != 0 && patched.moved.len() < MAX_MOVED {
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
fn mismatch(
    (content, hunk, expected): (&[u8], &Hunk, usize),
    effort: &mut Effort,
    fail: impl Fn(Reason, String) -> Failure,
) -> Failure {
    let undone = Hunk { old: hunk.new.clone(), ..hunk.clone() };
    if hunk.added > 0
        && let Ok(Some(at)) = locate(content, 0, &undone, expected, effort)
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
