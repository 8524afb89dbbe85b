//! What a patch says about one file.

use super::spool::Position;

/// Git's mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GitMode {
    /// 100644, or 100755.
    File { is_executable: bool },
    /// 120000.
    Symlink,
    /// 160000 and whatever else there is.
    Other,
}

impl GitMode {
    /// Of octal digits.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(digits.trim_ascii()).ok()?;
        let mode = u32::from_str_radix(text, 8).ok()?;
        Some(match mode & 0o170_000 {
            0o100_000 => Self::File { is_executable: mode & 0o100 != 0 },
            0o120_000 => Self::Symlink,
            _ => Self::Other,
        })
    }
}

/// Where the file of a section that has an old and a new name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its own earlier content.
    Itself,
    /// A file that is not there any more.
    Renamed,
    /// A file that stays.
    Copied,
}

/// A content in a binary patch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    /// Its first line of digits.
    pub(super) at: Position,
    /// Bytes of what is packed.
    pub(super) size: u64,
    /// It is made from what was there before.
    pub(super) is_delta: bool,
}

/// What becomes of the content.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// It stays.
    Same,
    /// Hunks, the first of which is there.
    Text { at: Position, hunks: u32 },
    /// Another one, and the one before.
    Binary { forward: Packed, backward: Option<Packed> },
    /// It differs, and the patch does not say how.
    Missing,
}

/// What a patch says about one file.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Where it begins.
    pub(super) line: u64,
    /// From the workspace; none: it is made.
    pub(super) old: Option<Vec<u8>>,
    /// None: it is deleted.
    pub(super) new: Option<Vec<u8>>,
    pub(super) origin: Origin,
    pub(super) old_mode: Option<GitMode>,
    pub(super) new_mode: Option<GitMode>,
    /// Git's names of the contents, or the beginnings of them.
    pub(super) ids: Option<[Vec<u8>; 2]>,
    pub(super) body: Body,
    /// Whether git wrote it: then modes and names say all.
    pub(super) is_git: bool,
    /// Nothing is said about whether it is there before, or after, and there are no lines of it.
    pub(super) may_be: [bool; 2],
}

impl Section {
    /// The file, by the name that it has last.
    pub(super) fn path(&self) -> &[u8] {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or_default()
    }

    /// The same the other way round.
    pub(super) fn reverse(&mut self) {
        std::mem::swap(&mut self.old, &mut self.new);
        std::mem::swap(&mut self.old_mode, &mut self.new_mode);
        self.may_be.reverse();
        if let Some(ids) = &mut self.ids {
            ids.reverse();
        }
    }
}
