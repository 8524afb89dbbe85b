//! What git says about a file in front of its hunks.

use super::name;
use super::parse::damaged;
use super::section::{Body, GitMode, Origin, Section};
use crate::files::FilesError;

/// Git's name of an empty content.
const EMPTY_ID: &[u8] = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// What stands behind a `diff --git` line.
#[derive(Default)]
pub(super) struct Header {
    line: u64,
    pub(super) strip: u32,
    names: [Option<Vec<u8>>; 2],
    modes: [Option<GitMode>; 2],
    pub(super) is_new: bool,
    pub(super) is_deleted: bool,
    origin: Option<Origin>,
    ids: Option<[Vec<u8>; 2]>,
}

impl Header {
    /// Of the `diff --git` line of this number; so many parts are taken off names.
    pub(super) fn new(line: u64, strip: u32) -> Self {
        Self { line, strip, ..Self::default() }
    }

    /// Takes a line; false: it is none of the header's.
    pub(super) fn take(&mut self, text: &[u8], number: u64) -> Result<bool, FilesError> {
        let mode = |digits: &[u8]| {
            let parsed = GitMode::parse(digits);
            parsed.map(Some).ok_or_else(|| damaged(number, "expected the mode of a file, in octal digits"))
        };
        if let Some(rest) = text.strip_prefix(b"old mode ") {
            self.modes[0] = mode(rest)?;
        } else if let Some(rest) = text.strip_prefix(b"new mode ") {
            self.modes[1] = mode(rest)?;
        } else if let Some(rest) = text.strip_prefix(b"new file mode ") {
            (self.is_new, self.modes[1]) = (true, mode(rest)?);
        } else if let Some(rest) = text.strip_prefix(b"deleted file mode ") {
            (self.is_deleted, self.modes[0]) = (true, mode(rest)?);
        } else if let Some(rest) = text.strip_prefix(b"index ") {
            self.index(rest, number)?;
        } else if let Some((index, origin, rest)) = moved(text) {
            let name = name::whole(rest).ok_or_else(|| damaged(number, "no name of a file"))?;
            self.origin = Some(origin);
            // These are written without the `a/` and `b/`.
            let name = name::without_first(&name, self.strip.saturating_sub(1)).map(<[u8]>::to_vec);
            self.name(index, name.ok_or_else(|| damaged(number, "no name of a file"))?, number)?;
        } else {
            return Ok(text.starts_with(b"similarity index ") || text.starts_with(b"dissimilarity index "));
        }
        Ok(true)
    }

    fn index(&mut self, text: &[u8], number: u64) -> Result<(), FilesError> {
        let mut parts = text.splitn(2, |byte| *byte == b' ');
        let ids = parts.next().unwrap_or_default();
        let dots = memchr::memmem::find(ids, b"..").ok_or_else(|| damaged(number, "expected two names of contents"))?;
        let pair = [&ids[..dots], &ids[dots + 2..]];
        if !pair.iter().all(|id| !id.is_empty() && id.iter().all(u8::is_ascii_hexdigit)) {
            return Err(damaged(number, "expected two names of contents"));
        }
        self.ids = Some(pair.map(<[u8]>::to_ascii_lowercase));
        // Of a file that stays as it is in this: what kind it is.
        if let Some(mode) = parts.next() {
            let mode = GitMode::parse(mode).ok_or_else(|| damaged(number, "expected the mode of a file"))?;
            self.modes[0].get_or_insert(mode);
        }
        Ok(())
    }

    pub(super) fn name(&mut self, index: usize, name: Vec<u8>, number: u64) -> Result<(), FilesError> {
        match &self.names[index] {
            Some(known) if *known != name => Err(damaged(number, "another name than before, for the same file")),
            _ => {
                self.names[index] = Some(name);
                Ok(())
            }
        }
    }

    pub(super) fn finish(self, pair: Option<Vec<u8>>, body: Body) -> Result<Section, FilesError> {
        let Self { line, strip, names, modes, is_new, is_deleted, origin, ids } = self;
        let nameless = || damaged(line, &format!("no name is left without its first {strip} parts (see strip)"));
        let [old, new] = names;
        // Of a file that keeps its name, or has only one, either will do.
        let either = if origin.is_some() { None } else { pair.or_else(|| old.clone()).or_else(|| new.clone()) };
        let old = old.or_else(|| either.clone()).ok_or_else(nameless)?;
        let new = new.or(either).ok_or_else(nameless)?;
        if origin.is_none() && old != new {
            return Err(damaged(line, "two names for one file, and it is neither renamed nor copied"));
        }
        if is_new && is_deleted {
            return Err(damaged(line, "a file that is made and deleted at once"));
        }
        let changes_mode = modes[1].is_some() && modes[0] != modes[1];
        if matches!(body, Body::Same) {
            let is_cut = ids.as_ref().is_some_and(|[from, to]| {
                let is_empty = |id: &[u8]| EMPTY_ID.starts_with(id) || id.iter().all(|digit| *digit == b'0');
                from != to && !(is_empty(from) && is_empty(to))
            });
            if is_cut || !(is_new || is_deleted || changes_mode || origin.is_some()) {
                return Err(damaged(line, "a file is named, and what becomes of it is missing"));
            }
        }
        Ok(Section {
            line,
            old: (!is_new).then_some(old),
            new: (!is_deleted).then_some(new),
            origin: origin.unwrap_or(Origin::Itself),
            old_mode: modes[0],
            new_mode: modes[1],
            ids,
            body,
            is_git: true,
            may_be: [false; 2],
        })
    }
}

/// The line of a file with a new name: which of both, how, and what.
fn moved(text: &[u8]) -> Option<(usize, Origin, &[u8])> {
    let marks: [(&[u8], usize, Origin); 6] = [
        (b"rename from ", 0, Origin::Renamed),
        (b"rename old ", 0, Origin::Renamed),
        (b"rename to ", 1, Origin::Renamed),
        (b"rename new ", 1, Origin::Renamed),
        (b"copy from ", 0, Origin::Copied),
        (b"copy to ", 1, Origin::Copied),
    ];
    marks.into_iter().find_map(|(mark, index, origin)| text.strip_prefix(mark).map(|rest| (index, origin, rest)))
}
