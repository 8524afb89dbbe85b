//! Reading a patch: which files it is about, and where in it their contents are.
//!
//! What is not understood between files is passed over, as git and patch(1) do: a patch may come in a mail. What looks like a part of a
//! patch and is none is refused, since it would be lost in silence.

use std::fs::File;
use std::io;

use pyro_seed::report::printable;
use rustix::io::Errno;

use super::header::Header;
use super::hunk::Range;
use super::name;
use super::section::{Body, Origin, Packed, Section};
use super::spool::{Line, Lines, Position};
use crate::files::FilesError;
use crate::system_error::SystemError;

/// Longest line that says something about a file, in bytes: four names of the longest kind, each byte as an escape.
const HEADER_BYTES: usize = 256 << 10;
/// Files of one patch, and bytes of their names: they are in memory at once.
const MAX_SECTIONS: usize = 50_000;
const MAX_NAME_BYTES: usize = 16 << 20;

/// Finds the files of a patch. `strip`: parts that are taken off each name; none: 1, and 0 for names without a slash in a patch that is not
/// git's.
///
/// # Errors
/// [`FilesError::Invalid`] with the line for what is no patch.
pub(super) fn parse(file: &File, strip: Option<u32>) -> Result<Vec<Section>, FilesError> {
    let mut parser = Parser { lines: Lines::new(file), text: Vec::new(), strip, sections: Vec::new(), name_bytes: 0 };
    parser.all()?;
    if parser.sections.is_empty() {
        return Err(FilesError::Invalid("there is no patch in it: no file is named".to_owned()));
    }
    Ok(parser.sections)
}

/// What is wrong in a line.
pub(super) fn damaged(line: u64, what: &str) -> FilesError {
    FilesError::Invalid(format!("line {line} of the patch: {what}"))
}

pub(super) fn unread(error: &io::Error) -> FilesError {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    FilesError::System(SystemError::new("read the patch".to_owned(), errno))
}

struct Parser<'f> {
    lines: Lines<'f>,
    text: Vec<u8>,
    strip: Option<u32>,
    sections: Vec<Section>,
    name_bytes: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Option<Line>, FilesError> {
        self.lines.next(&mut self.text, HEADER_BYTES).map_err(|error| unread(&error))
    }

    fn all(&mut self) -> Result<(), FilesError> {
        let mut is_behind_hunk = false;
        loop {
            let begin = self.lines.position();
            let Some(line) = self.next()? else { return Ok(()) };
            let text = self.text.as_slice();
            if text.starts_with(b"diff --git ") {
                self.git(line)?;
            } else if text.starts_with(b"--- ") && self.is_plain_pair()? {
                self.plain(begin)?;
            } else if is_behind_hunk && is_left_over(&self.text) {
                return Err(damaged(line.number, "the hunk before has more lines than its @@ line says"));
            } else if self.text.starts_with(b"@@ -") && Range::parse(&self.text).is_some() {
                return Err(damaged(line.number, "a hunk, and no file is named before it"));
            } else if self.text == b"GIT binary patch" || is_without_data(&self.text) {
                return Err(damaged(line.number, "a binary file, and no `diff --git` line names it"));
            } else {
                is_behind_hunk = false;
                continue;
            }
            is_behind_hunk = matches!(self.sections.last(), Some(Section { body: Body::Text { .. }, .. }));
        }
    }

    /// Whether the next two lines are `+++` and a hunk's first one; they are read again.
    fn is_plain_pair(&mut self) -> Result<bool, FilesError> {
        let back = self.lines.position();
        let first = std::mem::take(&mut self.text);
        let is_pair = self.next()?.is_some()
            && self.text.starts_with(b"+++ ")
            && self.next()?.is_some()
            && self.text.starts_with(b"@@ -");
        self.text = first;
        self.lines.seek(back);
        Ok(is_pair)
    }

    fn plain(&mut self, begin: Position) -> Result<(), FilesError> {
        let names = self.pair(begin)?;
        let [(old, is_old_gone), (new, is_new_gone)] = &names;
        let has_slash = |name: &[u8]| name.contains(&b'/');
        let strip = self
            .strip
            .unwrap_or(u32::from((has_slash(old) && !name::is_null(old)) || (has_slash(new) && !name::is_null(new))));
        let line = begin.number;
        let strip_one = |raw: &[u8]| self.stripped(raw, strip, line);
        let (old, new) = match (name::is_null(old), name::is_null(new)) {
            (true, true) => return Err(damaged(line, "both names are /dev/null")),
            (true, false) => (None, Some(strip_one(new)?)),
            (false, true) => (Some(strip_one(old)?), None),
            (false, false) => {
                let (first, second) = (strip_one(old)?, strip_one(new)?);
                // As git: the longer one has something tacked on, such as .orig.
                let is_shorter = first.len() < second.len() && second.starts_with(&first);
                let name = if is_shorter { first } else { second };
                match (is_old_gone, is_new_gone) {
                    (true, _) => (None, Some(name)),
                    (_, true) => (Some(name), None),
                    _ => (Some(name.clone()), Some(name)),
                }
            }
        };
        let is_sure = old.is_none() || new.is_none();
        let (body, ranges) = self.hunks(line)?;
        let may_be =
            ranges.map_or(
                [false; 2],
                |range| {
                    if is_sure { [false; 2] } else { [range.old_lines == 0, range.new_lines == 0] }
                },
            );
        let plain = Section {
            line,
            old,
            new,
            origin: Origin::Itself,
            old_mode: None,
            new_mode: None,
            ids: None,
            body,
            is_git: false,
            may_be,
        };
        self.take(plain)
    }

    /// The names in a pair of lines, which begins at `begin`.
    fn pair(&mut self, begin: Position) -> Result<[(Vec<u8>, bool); 2], FilesError> {
        self.lines.seek(begin);
        let mut names = [const { (Vec::new(), false) }; 2];
        for (mark, name) in [b"--- ", b"+++ "].iter().zip(&mut names) {
            let line = self.next()?.ok_or_else(|| damaged(begin.number, "the patch ends behind a name"))?;
            let text = self.text.strip_prefix(*mark);
            let text = text.ok_or_else(|| damaged(line.number, "expected the new name of a file, behind +++"))?;
            let found = if line.is_whole { name::dated(text) } else { None };
            *name = found.ok_or_else(|| damaged(line.number, "no name of a file"))?;
        }
        Ok(names)
    }

    /// A name without the parts that are taken off; an absolute one leads elsewhere, whatever is taken off.
    fn stripped(&self, raw: &[u8], strip: u32, line: u64) -> Result<Vec<u8>, FilesError> {
        if raw.starts_with(b"/") {
            return Ok(raw.to_vec());
        }
        let shown = || format!("{} has no {strip} leading parts that could be taken off (see strip)", printable(raw));
        name::without_first(raw, strip).map(<[u8]>::to_vec).ok_or_else(|| damaged(line, &shown()))
    }

    /// Hunks, with the range of the only one.
    fn hunks(&mut self, line: u64) -> Result<(Body, Option<Range>), FilesError> {
        let at = self.lines.position();
        let (mut hunks, mut only) = (0, None);
        loop {
            let here = self.lines.position();
            let Some(head) = self.next()? else { break };
            if !self.text.starts_with(b"@@ -") {
                self.lines.seek(here);
                break;
            }
            let range = Range::parse(&self.text).ok_or_else(|| damaged(head.number, "not the @@ line of a hunk"))?;
            self.pass_hunk(range)?;
            hunks += 1;
            only = (hunks == 1).then_some(range);
        }
        if hunks == 0 {
            return Err(damaged(line, "a file is named, and nothing is said about it"));
        }
        Ok((Body::Text { at, hunks }, only))
    }

    fn pass_hunk(&mut self, range: Range) -> Result<(), FilesError> {
        let (mut old, mut new) = (range.old_lines, range.new_lines);
        while old > 0 || new > 0 {
            let line = self.lines.next(&mut self.text, 1).map_err(|error| unread(&error))?;
            let number = self.lines.position().number;
            let line = line.ok_or_else(|| damaged(number, "the patch ends in the middle of a hunk"))?;
            if !line.is_ended {
                return Err(damaged(
                    number - 1,
                    "the patch ends in the middle of a line: a newline is missing at its end",
                ));
            }
            let (less_old, less_new) = match self.text.first() {
                None | Some(b' ') => (1, 1),
                Some(b'-') => (1, 0),
                Some(b'+') => (0, 1),
                Some(b'\\') => (0, 0),
                _ => return Err(damaged(line.number, "expected a line of a hunk: behind a blank, + or -")),
            };
            let too_many = || damaged(line.number, "the hunk has other lines than its @@ line says");
            old = old.checked_sub(less_old).ok_or_else(too_many)?;
            new = new.checked_sub(less_new).ok_or_else(too_many)?;
        }
        let here = self.lines.position();
        if self.next()?.is_some() && !self.text.starts_with(b"\\") {
            self.lines.seek(here);
        }
        Ok(())
    }

    fn git(&mut self, first: Line) -> Result<(), FilesError> {
        let strip = self.strip.unwrap_or(1);
        let pair = first.is_whole.then(|| name::of_pair(&self.text[b"diff --git ".len()..], strip)).flatten();
        let mut header = Header::new(first.number, strip);
        let mut here;
        loop {
            here = self.lines.position();
            let Some(line) = self.next()? else { break };
            if !line.is_whole || !header.take(&self.text, line.number)? {
                break;
            }
        }
        self.lines.seek(here);
        let mut body = Body::Same;
        if self.next()?.is_some() {
            if self.text.starts_with(b"--- ") {
                self.git_pair(&mut header, here)?;
                body = self.hunks(here.number)?.0;
            } else if self.text == b"GIT binary patch" {
                body = self.binary()?;
            } else if is_without_data(&self.text) {
                body = Body::Missing;
            } else {
                self.lines.seek(here);
            }
        }
        let section = header.finish(pair, body)?;
        self.take(section)
    }

    fn git_pair(&mut self, header: &mut Header, begin: Position) -> Result<(), FilesError> {
        let [(old, _), (new, _)] = self.pair(begin)?;
        for (index, raw) in [old, new].iter().enumerate() {
            if name::is_null(raw) {
                *[&mut header.is_new, &mut header.is_deleted][index] = true;
            } else {
                let name = self.stripped(raw, header.strip, begin.number)?;
                header.name(index, name, begin.number)?;
            }
        }
        Ok(())
    }

    fn binary(&mut self) -> Result<Body, FilesError> {
        let number = self.lines.position().number;
        let forward = self.packed()?.ok_or_else(|| damaged(number, "a binary patch without data"))?;
        Ok(Body::Binary { forward, backward: self.packed()? })
    }

    /// A content, to the empty line behind it.
    fn packed(&mut self) -> Result<Option<Packed>, FilesError> {
        let here = self.lines.position();
        let is_there = self.next()?.is_some();
        let (digits, is_delta) = match (self.text.strip_prefix(b"literal "), self.text.strip_prefix(b"delta ")) {
            (Some(digits), _) if is_there => (digits, false),
            (_, Some(digits)) if is_there => (digits, true),
            _ => {
                self.lines.seek(here);
                return Ok(None);
            }
        };
        let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let size = size.ok_or_else(|| damaged(here.number, "expected the size of a content"))?;
        let at = self.lines.position();
        loop {
            let number = self.lines.position().number;
            let line = self.next()?.filter(|line| line.is_ended);
            let line = line.ok_or_else(|| damaged(number, "the patch ends in the middle of a binary content"))?;
            if self.text.is_empty() {
                return Ok(Some(Packed { at, size, is_delta }));
            }
            if !super::binary::is_line(&self.text) {
                return Err(damaged(line.number, "not a line of a binary content"));
            }
        }
    }

    fn take(&mut self, section: Section) -> Result<(), FilesError> {
        let bytes = |name: &Option<Vec<u8>>| name.as_ref().map_or(0, Vec::len);
        self.name_bytes += bytes(&section.old) + bytes(&section.new);
        if self.sections.len() == MAX_SECTIONS || self.name_bytes > MAX_NAME_BYTES {
            let what = format!("more than {MAX_SECTIONS} files or {MAX_NAME_BYTES} bytes of names: apply it in parts");
            return Err(damaged(section.line, &what));
        }
        self.sections.push(section);
        Ok(())
    }
}

/// Whether a line behind a hunk would have been one of it.
fn is_left_over(text: &[u8]) -> bool {
    match text.first() {
        Some(b' ' | b'+') => true,
        // The end of a mail, where its signature follows.
        Some(b'-') => !matches!(text, b"-- " | b"--" | b"---"),
        _ => false,
    }
}

/// Whether it says that a file differs, and not how.
fn is_without_data(text: &[u8]) -> bool {
    let is_said = text.starts_with(b"Binary files ") || text.starts_with(b"Files ");
    is_said && text.ends_with(b" differ") && memchr::memmem::find(text, b" and ").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::tests::spooled;

    fn sections(text: &str) -> Result<Vec<Section>, String> {
        parse(&spooled(text.as_bytes()), None).map_err(|error| error.to_string())
    }

    fn names(text: &str) -> Vec<[String; 2]> {
        let shown =
            |name: &Option<Vec<u8>>| name.as_deref().map_or("-".into(), |name| String::from_utf8_lossy(name).into());
        sections(text).unwrap().iter().map(|section| [shown(&section.old), shown(&section.new)]).collect()
    }

    #[test]
    fn files_are_found_in_whatever_form_they_are_named() {
        let plain = "--- a/x\t2026-11-24 00:24:35 +0000\n+++ b/x\t2026-11-24 00:24:36 +0000\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(names(plain), [["x", "x"]]);
        assert_eq!(names("--- x.orig\n+++ x\n@@ -1 +1 @@\n-a\n+b\n"), [["x", "x"]]);
        assert_eq!(names("--- x\n+++ x~\n@@ -1 +1 @@\n-a\n+b\n"), [["x", "x"]]);
        assert_eq!(names("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n"), [["-", "x"]]);
        assert_eq!(names("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"), [["x", "-"]]);
        let mail = "From 1\nSubject: x\n\n---\n x | 1 +\n\ndiff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n-- \n2.39.2\n";
        assert_eq!(names(mail), [["-", "x"]]);
        let moved = "diff --git a/x y b/z\nsimilarity index 100%\nrename from x y\nrename to z\n";
        assert_eq!(names(&format!("{plain}{moved}{mail}")), [["x", "x"], ["x y", "z"], ["-", "x"]]);
        let quoted = "diff --git \"a/\\377\" \"b/\\377\"\nold mode 100644\nnew mode 100755\n";
        assert_eq!(names(quoted), [["\u{fffd}", "\u{fffd}"]]);
    }

    #[test]
    fn what_is_no_patch_is_refused_with_its_line() {
        for (text, expected) in [
            ("", "no patch"),
            ("garbage\nof many lines\n", "no patch"),
            ("@@ -1 +1 @@\n-a\n+b\n", "line 1 of the patch: a hunk, and no file"),
            (
                "--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n+b\n",
                "line 6 of the patch: the patch ends in the middle of a hunk",
            ),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "line 5 of the patch: the patch ends in the middle of a line"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c\n", "line 6 of the patch: the hunk before has more lines"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n", "line 5 of the patch: the hunk has other lines"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\nb\n", "line 5 of the patch: expected a line of a hunk"),
            ("--- a/x\n+++ b/x\n@@ -1 +x @@\n-a\n+b\n", "line 3 of the patch: not the @@ line"),
            ("diff --git a/x b/x\nindex 1234567..89abcde 100644\n", "line 1 of the patch: a file is named"),
            ("diff --git a/x b/x\nindex 1234567..89abcde 100644\n--- a/x\n+++ b/x\n", "a file is named"),
            ("diff --git a/x b/y\nold mode 100644\nnew mode 100755\n", "line 1 of the patch: no name is left"),
            (
                "diff --git a/x b/x\nnew file mode 100644\nindex 0..1\nGIT binary patch\n",
                "line 5 of the patch: a binary",
            ),
            ("diff --git a/x b/x\nindex 0..1\nGIT binary patch\nliteral 5\nzcmV\n", "line 5 of the patch: not a line"),
            ("Binary files a/x and b/x differ\n", "line 1 of the patch: a binary file"),
        ] {
            let error = sections(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
