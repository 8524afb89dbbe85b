//! Files called `.git`: that of a linked worktree or a submodule says where its repository is. One that lies in the source too is
//! named from the file itself in the copy, for the source's own place means nothing in a workspace.

/// Largest such file that is looked into: a word and a path.
pub(crate) const MAX_LINK_BYTES: u64 = 8 << 10;

const WORD: &[u8] = b"gitdir: ";

/// Where such a file leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// To another place in the source, by a path from where it is.
    Beside,
    /// To another place in the source, by that of the source: this is its content in the copy.
    Below(Vec<u8>),
    /// Out of the source, to this path.
    Away(Vec<u8>),
}

/// Where the file leads that is at `path` of the source, which itself is at `root`; none: its content is not such a file's.
pub(crate) fn read(path: &[u8], content: &[u8], root: &[u8]) -> Option<Link> {
    let mut target = content.strip_prefix(WORD)?;
    // As git reads it.
    while let [rest @ .., b'\n' | b'\r'] = target {
        target = rest;
    }
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let away = || Some(Link::Away(target.to_vec()));
    if !target.starts_with(b"/") {
        return if stays_inside(target, depth) { Some(Link::Beside) } else { away() };
    }
    let root = root.strip_suffix(b"/").unwrap_or(root);
    match target.strip_prefix(root).and_then(|rest| rest.strip_prefix(b"/")) {
        Some(inside) if stays_inside(inside, 0) => {
            Some(Link::Below([WORD, b"../".repeat(depth).as_slice(), inside, b"\n"].concat()))
        }
        _ => away(),
    }
}

/// Whether a path from a directory of this depth never leads above the root.
fn stays_inside(path: &[u8], mut depth: usize) -> bool {
    path.split(|byte| *byte == b'/').all(|part| match part {
        b"" | b"." => true,
        b".." => depth.checked_sub(1).is_some_and(|above| {
            depth = above;
            true
        }),
        _ => {
            depth += 1;
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_in_the_source_is_named_from_the_file() {
        let below = |path: &[u8], content: &[u8], root: &[u8]| read(path, content, root);
        let moved = |text: &[u8]| Some(Link::Below(text.to_vec()));
        let worktree = b"gitdir: /projects/src/main/.git/worktrees/tree\n";
        assert_eq!(below(b"tree/.git", worktree, b"/projects/src"), moved(b"gitdir: ../main/.git/worktrees/tree\n"));
        assert_eq!(below(b"a/b/.git", worktree, b"/projects/src/"), moved(b"gitdir: ../../main/.git/worktrees/tree\n"));
        assert_eq!(below(b".git", b"gitdir: /r/x", b"/r"), moved(b"gitdir: x\n"));
        assert_eq!(below(b"a/.git", b"gitdir: /x\r\n", b"/"), moved(b"gitdir: ../x\n"));
        assert_eq!(read(b"sub/.git", b"gitdir: ../.git/modules/sub\n", b"/r"), Some(Link::Beside));
        assert_eq!(read(b"a/b/.git", b"gitdir: ./../c//../d", b"/r"), Some(Link::Beside));
    }

    #[test]
    fn one_that_is_elsewhere_is_named() {
        for (path, content, root, target) in [
            (
                &b".git"[..],
                &b"gitdir: /r/other/.git/worktrees/a\n"[..],
                &b"/r/a"[..],
                &b"/r/other/.git/worktrees/a"[..],
            ),
            // A name that only begins alike.
            (b".git", b"gitdir: /r/ab/x", b"/r/a", b"/r/ab/x"),
            (b"sub/.git", b"gitdir: ../../x\n", b"/r", b"../../x"),
            (b"sub/.git", b"gitdir: /r/../x\n", b"/r", b"/r/../x"),
            (b".git", b"gitdir: a/../../a", b"/r", b"a/../../a"),
        ] {
            assert_eq!(read(path, content, root), Some(Link::Away(target.to_vec())));
        }
        for content in [&b""[..], b"gitdir:", b"ref: refs/heads/main\n", b" gitdir: /x"] {
            assert_eq!(read(b".git", content, b"/r"), None);
        }
    }
}
