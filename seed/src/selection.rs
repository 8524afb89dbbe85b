//! The part of a directory that is wanted, when it is not all.

use std::collections::BTreeSet;

/// Paths from the source's root, with all that is below them and all directories on the way.
#[derive(Debug, Default)]
pub struct Selection {
    paths: BTreeSet<Vec<u8>>,
    on_the_way: BTreeSet<Vec<u8>>,
}

impl Selection {
    /// Reads paths that each end with a NUL, as `git ls-files -z` gives them; a directory may end with a slash.
    #[must_use]
    pub fn parse(list: &[u8]) -> Self {
        let mut selection = Self::default();
        for path in list.split(|byte| *byte == 0) {
            let path = path.strip_suffix(b"/").unwrap_or(path);
            if path.is_empty() {
                continue;
            }
            for (index, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                selection.on_the_way.insert(path[..index].to_vec());
            }
            selection.paths.insert(path.to_vec());
        }
        selection
    }

    /// Whether a path is wanted, or on the way to one that is.
    #[must_use]
    pub fn has(&self, path: &[u8]) -> bool {
        self.on_the_way.contains(path) || self.is_below(path)
    }

    fn is_below(&self, path: &[u8]) -> bool {
        let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| &path[..index]);
        self.paths.contains(path) || parents.into_iter().any(|parent| self.paths.contains(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_had_with_what_is_below_and_above() {
        let selection = Selection::parse(b"a/b/c\0sub/\0\xff\0");
        for path in [&b"a"[..], b"a/b", b"a/b/c", b"sub", b"sub/x/y", b"\xff"] {
            assert!(selection.has(path), "{path:?}");
        }
        for path in [&b"a/c"[..], b"a/b/d", b"subway", b"b"] {
            assert!(!selection.has(path), "{path:?}");
        }
    }
}
