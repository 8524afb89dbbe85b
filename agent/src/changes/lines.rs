//! Which lines of two texts are the same: Myers' algorithm in linear space ("An O(ND) Difference Algorithm", 1986).

use std::collections::HashMap;

/// Edits between two stretches after which no shorter way is looked for: all of both then counts as changed, which is as right
/// and longer. Time grows with its square.
const MAX_EDITS: usize = 2048;

/// A text as its lines, each with its newline, and a number for each that equal ones share.
pub(super) struct Lines<'t> {
    pub(super) texts: Vec<&'t [u8]>,
    numbers: Vec<u32>,
}

/// The lines of two texts.
pub(super) fn split<'t>(from: &'t [u8], to: &'t [u8]) -> (Lines<'t>, Lines<'t>) {
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    let mut number = |text: &'t [u8]| {
        let texts: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let numbers = texts
            .iter()
            .map(|line| {
                let next = known.len() as u32;
                *known.entry(line).or_insert(next)
            })
            .collect();
        Lines { texts, numbers }
    };
    (number(from), number(to))
}

/// Which lines are only in the one, and which only in the other.
pub(super) fn compare(from: &Lines<'_>, to: &Lines<'_>) -> (Vec<bool>, Vec<bool>) {
    let mut removed = vec![false; from.numbers.len()];
    let mut added = vec![false; to.numbers.len()];
    let mut stretches = vec![(0..from.numbers.len(), 0..to.numbers.len())];
    while let Some((mut old, mut new)) = stretches.pop() {
        while !old.is_empty() && !new.is_empty() && from.numbers[old.start] == to.numbers[new.start] {
            (old.start, new.start) = (old.start + 1, new.start + 1);
        }
        while !old.is_empty() && !new.is_empty() && from.numbers[old.end - 1] == to.numbers[new.end - 1] {
            (old.end, new.end) = (old.end - 1, new.end - 1);
        }
        let middle = if old.is_empty() || new.is_empty() {
            None
        } else {
            middle(&from.numbers[old.clone()], &to.numbers[new.clone()])
        };
        if let Some((left, right)) = middle {
            let (left, right) = (old.start + left, new.start + right);
            stretches.push((old.start..left, new.start..right));
            stretches.push((left..old.end, right..new.end));
        } else {
            removed[old].fill(true);
            added[new].fill(true);
        }
    }
    (removed, added)
}

/// Furthest places on the diagonals from `-reach` to `reach`.
struct Furthest {
    places: Vec<usize>,
    reach: isize,
}

impl Furthest {
    fn new(reach: usize) -> Self {
        Self { places: vec![0; 2 * reach + 3], reach: reach as isize + 1 }
    }

    fn at(&mut self, diagonal: isize) -> &mut usize {
        &mut self.places[(diagonal + self.reach) as usize]
    }

    /// Where a path of `edits` edits on this diagonal begins its last run of equal lines.
    fn step(&mut self, diagonal: isize, edits: isize) -> usize {
        let (below, above) = (*self.at(diagonal - 1), *self.at(diagonal + 1));
        if diagonal == -edits || (diagonal != edits && below < above) { above } else { below + 1 }
    }
}

/// A place that a shortest way goes through, neither its beginning nor its end; none: there is none within the limit.
fn middle(old: &[u32], new: &[u32]) -> Option<(usize, usize)> {
    let (height, width) = (old.len(), new.len());
    let delta = height as isize - width as isize;
    let reach = (height + width).div_ceil(2).min(MAX_EDITS);
    let (mut forward, mut backward) = (Furthest::new(reach), Furthest::new(reach));
    let inner = |x: usize, y: usize| {
        (x <= height && y <= width && (x, y) != (0, 0) && (x, y) != (height, width)).then_some((x, y))
    };
    for edits in 0..=reach as isize {
        for diagonal in (-edits..=edits).step_by(2) {
            let start = forward.step(diagonal, edits);
            let at_new = |x: usize| (x as isize - diagonal) as usize;
            let mut x = start;
            while x < height && at_new(x) < width && old[x] == new[at_new(x)] {
                x += 1;
            }
            *forward.at(diagonal) = x;
            let opposite = delta - diagonal;
            if delta % 2 != 0 && opposite.abs() < edits && x + *backward.at(opposite) >= height {
                return inner(start, at_new(start));
            }
        }
        for diagonal in (-edits..=edits).step_by(2) {
            let start = backward.step(diagonal, edits);
            let at_new = |x: usize| (x as isize - diagonal) as usize;
            let mut x = start;
            while x < height && at_new(x) < width && old[height - 1 - x] == new[width - 1 - at_new(x)] {
                x += 1;
            }
            *backward.at(diagonal) = x;
            let opposite = delta - diagonal;
            if delta % 2 == 0 && opposite.abs() <= edits && x + *forward.at(opposite) >= height {
                let (x, y) = (height.checked_sub(x)?, width.checked_sub(at_new(x))?);
                return inner(x, y);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Length of the longest common subsequence, the slow and plain way.
    fn common(old: &[&[u8]], new: &[&[u8]]) -> usize {
        let mut row = vec![0; new.len() + 1];
        for line in old {
            let mut diagonal = 0;
            for (at, other) in new.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if line == other { diagonal + 1 } else { above.max(row[at]) };
                diagonal = above;
            }
        }
        row[new.len()]
    }

    proptest! {
        #[test]
        fn what_is_not_changed_is_the_longest_that_both_have(
            old in prop::collection::vec(0..5_u8, 0..40),
            new in prop::collection::vec(0..5_u8, 0..40),
        ) {
            let text = |lines: &[u8]| lines.iter().flat_map(|line| [b'a' + line, b'\n']).collect::<Vec<u8>>();
            let (old, new) = (text(&old), text(&new));
            let (from, to) = split(&old, &new);
            let (removed, added) = compare(&from, &to);
            let left = |lines: &Lines<'_>, gone: &[bool]| -> Vec<Vec<u8>> {
                lines.texts.iter().zip(gone).filter(|(_, gone)| !**gone).map(|(line, _)| line.to_vec()).collect()
            };
            let kept = left(&from, &removed);
            prop_assert_eq!(&kept, &left(&to, &added));
            prop_assert_eq!(kept.len(), common(&from.texts, &to.texts));
        }
    }

    #[test]
    fn texts_that_have_nothing_in_common_are_soon_given_up() {
        let text = |word: &str| (0..100_000).map(|at| format!("{word}{at}\n")).collect::<String>().into_bytes();
        let (old, new) = (text("a"), text("b"));
        let (from, to) = split(&old, &new);
        let (removed, added) = compare(&from, &to);
        assert!(removed.iter().chain(&added).all(|changed| *changed));
    }
}
