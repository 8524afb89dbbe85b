//! What differs between two texts, as the hunks of a unified diff.

use std::io::{self, Write};
use std::ops::Range;

use super::lines::{self, Lines};

/// Lines that are the same around a change, as diff(1) and git have it.
const CONTEXT_LINES: usize = 3;
const NO_NEWLINE: &[u8] = b"\n\\ No newline at end of file\n";

/// Lines that were added and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCount {
    /// Only in the later text.
    pub added: u64,
    /// Only in the earlier one.
    pub removed: u64,
}

/// Writes the hunks; none when the texts are the same.
pub(super) fn write(from: &[u8], to: &[u8], out: &mut dyn Write) -> io::Result<LineCount> {
    let (old, new) = lines::split(from, to);
    let (removed, added) = lines::compare(&old, &new);
    let count = |changed: &[bool]| changed.iter().filter(|changed| **changed).count() as u64;
    for hunk in hunks(&removed, &added) {
        write_hunk(&hunk, (&old, &removed), (&new, &added), out)?;
    }
    Ok(LineCount { added: count(&added), removed: count(&removed) })
}

/// Lines of both texts that are shown together.
struct Hunk {
    old: Range<usize>,
    new: Range<usize>,
}

fn hunks(removed: &[bool], added: &[bool]) -> Vec<Hunk> {
    let mut found: Vec<Hunk> = Vec::new();
    let (mut old, mut new) = (0, 0);
    while old < removed.len() || new < added.len() {
        let before = (old, new);
        old += removed[old..].iter().take_while(|changed| **changed).count();
        new += added[new..].iter().take_while(|changed| **changed).count();
        if before == (old, new) {
            (old, new) = (old + 1, new + 1);
            continue;
        }
        let lead = before.0.min(before.1).min(CONTEXT_LINES);
        let tail = (removed.len() - old).min(added.len() - new).min(CONTEXT_LINES);
        let next = Hunk { old: before.0 - lead..old + tail, new: before.1 - lead..new + tail };
        match found.last_mut() {
            Some(last) if next.old.start <= last.old.end => {
                (last.old.end, last.new.end) = (next.old.end, next.new.end);
            }
            _ => found.push(next),
        }
    }
    found
}

fn write_hunk(
    hunk: &Hunk,
    (old, removed): (&Lines<'_>, &[bool]),
    (new, added): (&Lines<'_>, &[bool]),
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "@@ -{} +{} @@", range(&hunk.old), range(&hunk.new))?;
    let (mut left, mut right) = (hunk.old.start, hunk.new.start);
    while left < hunk.old.end || right < hunk.new.end {
        if left < hunk.old.end && removed[left] {
            line(b'-', old.texts[left], out)?;
            left += 1;
        } else if right < hunk.new.end && added[right] {
            line(b'+', new.texts[right], out)?;
            right += 1;
        } else {
            line(b' ', old.texts[left], out)?;
            (left, right) = (left + 1, right + 1);
        }
    }
    Ok(())
}

/// The first line's number, from 1, and how many; of none, the number of the line before.
fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        count => format!("{},{count}", lines.start + 1),
    }
}

fn line(mark: u8, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[mark])?;
    out.write_all(text)?;
    if text.ends_with(b"\n") { Ok(()) } else { out.write_all(NO_NEWLINE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunks_of(from: &str, to: &str) -> String {
        let mut text = Vec::new();
        write(from.as_bytes(), to.as_bytes(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn hunks_are_those_of_a_unified_diff() {
        assert_eq!(hunks_of("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(hunks_of("a\nb", ""), "@@ -1,2 +0,0 @@\n-a\n-b\n\\ No newline at end of file\n");
        assert_eq!(
            hunks_of("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        assert_eq!(hunks_of("same\n", "same\n"), "");
        assert_eq!(hunks_of("a\r\nb\r\n", "a\r\nb\n"), "@@ -1,2 +1,2 @@\n a\r\n-b\r\n+b\n");
    }

    #[test]
    fn changes_that_are_near_share_a_hunk_and_others_do_not() {
        let old: String = (0..40).map(|at| format!("{at}\n")).collect();
        let far = old.replace("\n5\n", "\nfive\n").replace("\n30\n", "\nthirty\n");
        assert_eq!(hunks_of(&old, &far).matches("@@ -").count(), 2);
        let near = old.replace("\n5\n", "\nfive\n").replace("\n11\n", "\neleven\n");
        assert_eq!(hunks_of(&old, &near).matches("@@ -").count(), 1);
    }
}
