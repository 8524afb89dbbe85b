//! Where in a text a hunk fits.

use memchr::memmem::{Finder, FinderRev};

use super::effort::{Effort, Spent};
use super::hunk::Hunk;

/// Bytes that are looked through first on each side of where a hunk should be; then twice as many.
const FIRST_BYTES: usize = 4 << 10;

/// Where a hunk fits, as git finds it: at its line, otherwise as near as can be, and of two that are as near the later one. One for the first line
/// belongs at the beginning, and one without context behind it at the end. Nothing before `from` is taken.
///
/// # Errors
/// [`Spent`] when it is not at its line, and too much was looked through for this patch already.
pub(super) fn locate(
    content: &[u8],
    from: usize,
    hunk: &Hunk,
    expected: usize,
    effort: &mut Effort,
) -> Result<Option<usize>, Spent> {
    let old = hunk.old.as_slice();
    let is_open = !old.is_empty() && !old.ends_with(b"\n");
    let fits = |at: usize| {
        at >= from
            && (at == 0 || content[at - 1] == b'\n')
            && content[at..].starts_with(old)
            && (!is_open || at + old.len() == content.len())
    };
    if hunk.trailing == 0 || is_open {
        let at = content.len().checked_sub(old.len());
        return Ok(at.filter(|at| fits(*at) && (hunk.start > 1 || *at == 0)));
    }
    if hunk.start <= 1 {
        return Ok(fits(0).then_some(0));
    }
    if fits(expected) {
        return Ok(Some(expected));
    }
    nearest(content, from, old, expected, effort)
}

/// A match, and how many lines it is away.
type Match = Option<(usize, usize)>;

/// Looks on both sides of `expected` in growing steps, so that it costs as much as the hunk is away.
fn nearest(
    content: &[u8],
    from: usize,
    old: &[u8],
    expected: usize,
    effort: &mut Effort,
) -> Result<Option<usize>, Spent> {
    // With the end of the line before it, so that whatever is found begins a line.
    let wanted = [b"\n", old].concat();
    let (forward, backward) = (Finder::new(&wanted), FinderRev::new(&wanted));
    let (mut earlier, mut later): (Match, Match) = (None, None);
    // Beginnings of lines from `low` to `high` are looked at, `above` and `below` lines away.
    let (mut low, mut high) = (expected.max(from), expected.max(from));
    let (mut above, mut below) = (0, newlines(&content[expected..high]));
    let mut reach = FIRST_BYTES.max(old.len());
    let is_worth = |found: Match, away: usize| found.is_none_or(|(_, lines)| away <= lines);
    loop {
        let goes_down = later.is_none() && high < content.len() && is_worth(earlier, below);
        let goes_up = earlier.is_none() && low > from && is_worth(later, above);
        if !goes_down && !goes_up {
            break;
        }
        if goes_down {
            let end = high.saturating_add(reach).min(content.len());
            let begin = high.saturating_sub(1);
            let part = &content[begin..end.saturating_add(old.len()).min(content.len())];
            effort.take(part.len() as u64)?;
            later = forward
                .find(part)
                .map(|at| begin + at + 1)
                .map(|at| (at, below + newlines(&content[high..at.max(high)])));
            below += newlines(&content[high..end]);
            high = end;
        }
        if goes_up {
            let begin = low.saturating_sub(reach).max(from);
            // The first line has no line before it.
            let part =
                &content[begin.saturating_sub(1)..low.saturating_add(old.len()).saturating_sub(1).min(content.len())];
            effort.take(part.len() as u64)?;
            let found = backward.rfind(part).map(|at| begin.saturating_sub(1) + at + 1);
            let found = found.or_else(|| (begin == 0 && content.starts_with(old)).then_some(0));
            earlier = found.map(|at| (at, above + newlines(&content[at..low])));
            above += newlines(&content[begin..low]);
            low = begin;
        }
        reach = reach.saturating_mul(2);
    }
    Ok(match (earlier, later) {
        (Some((earlier, up)), Some((later, down))) => Some(if up < down { earlier } else { later }),
        (earlier, later) => earlier.or(later).map(|(at, _)| at),
    })
}

fn newlines(part: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', part).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERYTHING: u64 = u64::MAX;

    /// A hunk of these lines, which has some behind its change.
    fn hunk(old: &[u8], start: u64) -> Hunk {
        Hunk { old: old.to_vec(), start, trailing: 1, ..Hunk::default() }
    }

    /// Where the line of this number, from 1, begins.
    fn begin(content: &[u8], start: u64) -> usize {
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        lines.take(usize::try_from(start).unwrap() - 1).map(<[u8]>::len).sum()
    }

    /// The nearest of all lines at which it fits, the later one of two.
    fn by_trying(content: &[u8], from: usize, old: &[u8], expected: usize) -> Option<usize> {
        let away = |at: usize| newlines(&content[at.min(expected)..at.max(expected)]);
        let begins = (from..content.len()).filter(|at| *at == 0 || content[at - 1] == b'\n');
        let fits = begins.filter(|at| content[*at..].starts_with(old));
        fits.min_by_key(|at| (away(*at), *at < expected))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_nearest_place_is_found(
            lines in prop::collection::vec(0..3_usize, 0..4000), far in any::<bool>(),
            old in prop::collection::vec(0..3_usize, 1..12), start in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(),
        ) {
            // Short ones, empty ones, and ones that go beyond what is looked through at once.
            let long = "x".repeat(if far { 900 } else { 3 }) + "\n";
            let texts = ["a\n", "\n", long.as_str()];
            let content: Vec<u8> = lines.iter().flat_map(|line| texts[*line].bytes()).collect();
            let old: Vec<u8> = old.iter().flat_map(|line| texts[*line].bytes()).collect();
            let start = 2 + start.index(lines.len() + 2) as u64;
            let from = begin(&content, 1 + from.index(lines.len() + 1) as u64);
            let expected = begin(&content, start);
            let found = locate(&content, from, &hunk(&old, start), expected, &mut Effort::of(EVERYTHING));
            prop_assert_eq!(found, Ok(by_trying(&content, from, &old, expected)));
        }
    }

    /// Much of the same, as in data: every line is nearly what is looked for.
    fn repetitive(line: &str, mebibytes: usize) -> Vec<u8> {
        line.repeat((mebibytes << 20) / line.len()).into_bytes()
    }

    #[test]
    fn a_hunk_costs_what_it_is_away_however_large_the_file() {
        let cost = |mebibytes: usize| {
            let mut content = repetitive("same\n", mebibytes);
            let at = content.len() / 2 / 5 * 5;
            content.splice(at..at, b"here\n".iter().copied());
            let mut effort = Effort::new();
            let found = locate(&content, 0, &hunk(b"here\nsame\n", 2), at - 5000, &mut effort);
            assert_eq!(found, Ok(Some(at)));
            effort.spent()
        };
        assert_eq!(cost(1), cost(8));
        assert!(cost(1) < 20 * 5000, "{}", cost(1));
    }

    #[test]
    fn lines_that_nearly_match_cost_no_more_than_the_file_has() {
        for (line, old) in
            [("x\n", "\n"), ("\n", "\n\nx\n"), ("aaaaaaaaaaaaaaab\n", "aaaaaaaaaaaaaaac\n"), ("a\n", "a\na\nb\n")]
        {
            let content = repetitive(line, 4);
            let mut effort = Effort::new();
            let found =
                locate(&content, 0, &hunk(old.as_bytes(), 9), content.len() / 2 / line.len() * line.len(), &mut effort);
            assert_eq!(found, Ok(None), "{line:?}");
            assert!(effort.spent() < content.len() as u64 * 11 / 10, "{line:?}: {}", effort.spent());
        }
    }
}
