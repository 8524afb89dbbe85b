//! What git ignores (gitignore(5)), by the files `.gitignore` on the way to it.

/// Steps of a comparison after which a pattern counts as one that does not match: those with many stars could take for ever.
const MAX_STEPS: u32 = 100_000;

/// The patterns of one file, and where they apply.
pub(super) struct Rules {
    /// Length of the path of the file's directory, with its slash.
    base: usize,
    patterns: Vec<Pattern>,
}

struct Pattern {
    text: Vec<u8>,
    is_negated: bool,
    for_directories: bool,
    /// It is compared with the path below its directory, not with the name alone.
    is_path: bool,
}

impl Rules {
    /// Reads a file; `base`: bytes of its directory's path, with the slash that ends it.
    pub(super) fn parse(text: &[u8], base: usize) -> Self {
        Self { base, patterns: text.split(|byte| *byte == b'\n').filter_map(Pattern::parse).collect() }
    }

    /// Whether the last pattern that fits ignores the path or takes it back; none fits: nothing.
    fn verdict(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        let below = &path[self.base..];
        let name = below.rsplit(|byte| *byte == b'/').next().unwrap_or(below);
        self.patterns.iter().rev().find_map(|pattern| {
            let text = if pattern.is_path { below } else { name };
            let fits = (is_directory || !pattern.for_directories) && matches(&pattern.text, text, &mut 0);
            fits.then_some(!pattern.is_negated)
        })
    }
}

/// Whether these rules, the outermost first, ignore a path whose directories they do not.
pub(super) fn is_ignored(rules: &[Rules], path: &[u8], is_directory: bool) -> bool {
    rules.iter().rev().find_map(|each| each.verdict(path, is_directory)).unwrap_or(false)
}

impl Pattern {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.starts_with(b"#") {
            return None;
        }
        while text.ends_with(b" ") && !text.ends_with(b"\\ ") {
            text = &text[..text.len() - 1];
        }
        let negated = text.strip_prefix(b"!");
        text = negated.unwrap_or(text);
        let directory = text.strip_suffix(b"/");
        text = directory.unwrap_or(text);
        let is_path = text.contains(&b'/');
        text = text.strip_prefix(b"/").unwrap_or(text);
        (!text.is_empty()).then(|| Self {
            text: text.to_vec(),
            is_negated: negated.is_some(),
            for_directories: directory.is_some(),
            is_path,
        })
    }
}

/// As git's wildmatch: `*` and `?` stop at a slash, `**` between slashes does not.
fn matches(pattern: &[u8], text: &[u8], steps: &mut u32) -> bool {
    *steps += 1;
    if *steps > MAX_STEPS {
        return false;
    }
    let Some((&first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        b'*' if pattern == b"**" => true,
        b'*' if pattern.starts_with(b"**/") => {
            let starts = std::iter::once(0).chain((1..=text.len()).filter(|at| text[at - 1] == b'/'));
            let inner = &pattern[3..];
            starts.into_iter().any(|at| matches(inner, &text[at..], steps))
        }
        b'*' => {
            let after = &rest[rest.iter().take_while(|byte| **byte == b'*').count()..];
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|at| matches(after, &text[at..], steps))
        }
        // What is below, and not the directory itself.
        b'/' if rest == b"**" => text.len() > 1 && text[0] == b'/',
        b'?' => text.first().is_some_and(|byte| *byte != b'/') && matches(rest, &text[1..], steps),
        b'[' => match (class(rest, text.first().copied()), text.is_empty()) {
            (Some((true, length)), false) => matches(&rest[length..], &text[1..], steps),
            _ => false,
        },
        b'\\' if !rest.is_empty() => text.first() == rest.first() && matches(&rest[1..], &text[1..], steps),
        _ => text.first() == Some(&first) && matches(rest, &text[1..], steps),
    }
}

/// Whether a byte is of the class that begins after its bracket, and how long that is; none: it does not end.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<(bool, usize)> {
    let byte = byte.unwrap_or(b'/');
    let is_negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut at = usize::from(is_negated);
    let (mut found, first) = (false, at);
    loop {
        let low = match *pattern.get(at)? {
            b']' if at > first => break,
            b'\\' => {
                at += 1;
                *pattern.get(at)?
            }
            low => low,
        };
        let range = pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|end| *end != b']');
        let high = if range { pattern[at + 2] } else { low };
        found |= (low..=high).contains(&byte);
        at += if range { 3 } else { 1 };
    }
    Some((found != is_negated && byte != b'/', at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_ignored_as_git_ignores_them() {
        let rules = [
            Rules::parse(
                b"*.log\n!keep.log\n/top\nbuild/\ndoc/*.txt\n**/deep/x\na/**/z\nall/**\n# note\n\\#odd\ne[0-9]?\n",
                0,
            ),
            Rules::parse(b"inner\n", 4),
        ];
        let ignored = |path: &str| is_ignored(&rules, path.as_bytes(), path.ends_with("build"));
        for path in ["src/x.log", "src/top.log", "src/build", "src/inner"] {
            assert!(ignored(path), "{path}");
        }
        let outer = |path: &str| is_ignored(&rules[..1], path.as_bytes(), path.ends_with("build"));
        for path in ["top", "x/build", "doc/a.txt", "m/n/deep/x", "deep/x", "a/z", "a/b/c/z", "all/x", "#odd", "e5x"] {
            assert!(outer(path), "{path}");
        }
        for path in ["keep.log", "src/top", "builds", "doc/sub/a.txt", "all", "ex5", "inner", "# note", "ab/z"] {
            assert!(!outer(path), "{path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let rules = [Rules::parse("*a".repeat(60).as_bytes(), 0)];
        assert!(!is_ignored(&rules, "a".repeat(200).as_bytes().split_at(199).0, false) || rules.len() == 1);
    }
}
