//! Hunks: their lines, and where in a file they belong.

use std::fs::File;

use super::parse::{damaged, unread};
use super::spool::{Lines, Position};
use crate::files::FilesError;

/// Largest file that is patched by lines, before and after, in bytes: both are in memory with a hunk.
pub(super) const MAX_TEXT_BYTES: usize = 16 << 20;

/// What a `@@` line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// From 1; of no lines the one before them.
    pub(super) old_start: u64,
    pub(super) old_lines: u64,
    pub(super) new_start: u64,
    pub(super) new_lines: u64,
}

impl Range {
    /// `@@ -1,2 +3,4 @@`, whatever is behind it.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"@@ -")?;
        let ((old_start, old_lines), rest) = pair(rest)?;
        let ((new_start, new_lines), rest) = pair(rest.strip_prefix(b" +")?)?;
        rest.starts_with(b" @@").then_some(Self { old_start, old_lines, new_start, new_lines })
    }
}

fn pair(text: &[u8]) -> Option<((u64, u64), &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        Some(rest) => number(rest).map(|(lines, rest)| ((start, lines), rest)),
        None => Some(((start, 1), rest)),
    }
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // No file has more lines.
    let digits = std::str::from_utf8(&text[..length]).ok().filter(|digits| digits.len() <= 15)?;
    Some((digits.parse().ok()?, &text[length..]))
}

/// A hunk with what it takes away and what it puts there.
#[derive(Debug, Clone, Default)]
pub(super) struct Hunk {
    /// Of its `@@` line in the patch.
    pub(super) line: u64,
    /// As in a range, of the side that is there before.
    pub(super) start: u64,
    /// Lines of it.
    pub(super) lines: u64,
    /// These lines.
    pub(super) old: Vec<u8>,
    /// Those that take their place.
    pub(super) new: Vec<u8>,
    /// Context behind the last change.
    pub(super) trailing: u64,
    pub(super) added: u64,
    pub(super) removed: u64,
    /// There is more of it than fits into a file, and it is not here.
    pub(super) is_too_large: bool,
}

impl Hunk {
    /// The number, from 0, of the line in the file that it begins with.
    pub(super) fn first(&self) -> u64 {
        if self.lines == 0 { self.start } else { self.start.saturating_sub(1) }
    }
}

/// Reads the hunks of a file one after the other.
pub(super) struct Hunks<'f> {
    lines: Lines<'f>,
    text: Vec<u8>,
    left: u32,
    is_reverse: bool,
}

impl<'f> Hunks<'f> {
    pub(super) fn new(file: &'f File, at: Position, hunks: u32, is_reverse: bool) -> Self {
        Self { lines: Lines::from(file, at), text: Vec::new(), left: hunks, is_reverse }
    }

    /// The next one. They were passed over once, so that their counts are right.
    pub(super) fn next(&mut self) -> Result<Option<Hunk>, FilesError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let head = self.lines.position().number;
        let changed = || damaged(head, "the patch was changed meanwhile");
        self.lines.next(&mut self.text, MAX_TEXT_BYTES).map_err(|error| unread(&error))?;
        let range = Range::parse(&self.text).ok_or_else(changed)?;
        let mut hunk = Hunk { line: head, ..Hunk::default() };
        let sides = [(range.old_start, range.old_lines), (range.new_start, range.new_lines)];
        (hunk.start, hunk.lines) = sides[usize::from(self.is_reverse)];
        let mut reader = Reader { hunk, is_ended: [false; 2], last: b' ' };
        let (mut old, mut new) = (range.old_lines, range.new_lines);
        loop {
            let here = self.lines.position();
            let line = self.lines.next(&mut self.text, MAX_TEXT_BYTES).map_err(|error| unread(&error))?;
            let is_mark = line.is_some() && self.text.starts_with(b"\\");
            if !is_mark && old == 0 && new == 0 {
                self.lines.seek(here);
                return Ok(Some(reader.hunk));
            }
            let line = line.ok_or_else(changed)?;
            let mark = match self.text.first() {
                Some(b'-') if self.is_reverse => b'+',
                Some(b'+') if self.is_reverse => b'-',
                mark => mark.copied().unwrap_or(b' '),
            };
            match self.text.first() {
                Some(b'+') => new = new.checked_sub(1).ok_or_else(changed)?,
                Some(b'-') => old = old.checked_sub(1).ok_or_else(changed)?,
                Some(b'\\') => {}
                _ => {
                    (old, new) = (old.checked_sub(1).ok_or_else(changed)?, new.checked_sub(1).ok_or_else(changed)?);
                }
            }
            reader.take(mark, self.text.get(1..).unwrap_or_default(), (line.number, line.is_whole))?;
        }
    }
}

struct Reader {
    hunk: Hunk,
    /// The old and the new side have had a line without an end.
    is_ended: [bool; 2],
    last: u8,
}

impl Reader {
    fn take(&mut self, mark: u8, text: &[u8], (number, is_whole): (u64, bool)) -> Result<(), FilesError> {
        let hunk = &mut self.hunk;
        let sides = |mark: u8| [mark != b'+', mark != b'-'];
        if mark == b'\\' {
            for (index, side) in [&mut hunk.old, &mut hunk.new].into_iter().enumerate() {
                if sides(self.last)[index] && !self.is_ended[index] {
                    side.pop();
                    self.is_ended[index] = true;
                }
            }
            return Ok(());
        }
        self.last = mark;
        hunk.is_too_large |= !is_whole || hunk.old.len().max(hunk.new.len()) + text.len() > MAX_TEXT_BYTES;
        match mark {
            b'+' => hunk.added += 1,
            b'-' => hunk.removed += 1,
            _ => {}
        }
        hunk.trailing = if mark == b' ' { hunk.trailing + 1 } else { 0 };
        for (index, side) in [&mut hunk.old, &mut hunk.new].into_iter().enumerate() {
            if !sides(mark)[index] {
                continue;
            }
            if self.is_ended[index] {
                return Err(damaged(number, "a line behind the one without a newline, which is the last one"));
            }
            if !hunk.is_too_large {
                side.extend_from_slice(text);
                side.push(b'\n');
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::tests::spooled;

    #[test]
    fn ranges_are_those_of_a_unified_diff() {
        let of = |text: &str| {
            Range::parse(text.as_bytes())
                .map(|range| [range.old_start, range.old_lines, range.new_start, range.new_lines])
        };
        assert_eq!(of("@@ -1,2 +3,4 @@ fn x() {"), Some([1, 2, 3, 4]));
        assert_eq!(of("@@ -1 +0,0 @@"), Some([1, 1, 0, 0]));
        for text in ["@@ -1,2 +3,4", "@@ -a +1 @@", "@@ -1 1 @@", "@@ -1, +1 @@", "@@ -99999999999999999999 +1 @@"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_hunk_has_both_sides_and_the_other_ones_in_reverse() {
        let file = spooled(b"@@ -3,2 +3,3 @@\n a\n-b\n+c\n+d\n\\ No newline at end of file\n@@ -9 +10 @@\n-x\n+y\n");
        let mut lines = Lines::new(&file);
        let mut hunks = Hunks::new(&file, lines.position(), 2, false);
        let first = hunks.next().unwrap().unwrap();
        assert_eq!((first.old.as_slice(), first.new.as_slice()), (&b"a\nb\n"[..], &b"a\nc\nd"[..]));
        assert_eq!((first.added, first.removed, first.trailing), (2, 1, 0));
        assert_eq!(hunks.next().unwrap().unwrap().new, b"y\n");
        assert!(hunks.next().unwrap().is_none());
        lines.next(&mut Vec::new(), 1).unwrap();
        let reverse = Hunks::new(&file, Lines::new(&file).position(), 1, true).next().unwrap().unwrap();
        assert_eq!((reverse.old.as_slice(), reverse.new.as_slice()), (&b"a\nc\nd"[..], &b"a\nb\n"[..]));
        assert_eq!((reverse.added, reverse.removed, reverse.lines), (1, 2, 3));
    }
}
