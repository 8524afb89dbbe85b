//! What the workspace becomes: every file of the patch is made beside it, and what stands in the way of any is told of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_seed::places::Places;
use rustix::fs::{AtFlags, Gid, Stat, Uid, chownat, symlinkat};
use rustix::io::Errno;

use super::binary::{Base, unpack};
use super::effort::{Effort, Spent};
use super::failure::{Failure, MAX_FAILURES, Reason};
use super::hunk::MAX_TEXT_BYTES;
use super::parse::unread;
use super::refusal::{NO_DATA, NO_IDS, NO_TARGET, NO_WAY, refusal};
use super::section::{Body, GitMode, Origin, Packed, Section};
use super::text::{self, MAX_MOVED, Moved, TOO_OFTEN, too_large};
use super::tree::{self, Found, MAX_TARGET_BYTES, identity, look, look_at};
use super::{name, tree::parent_of};
use crate::files::FilesError;

/// What a path becomes.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Nothing is there.
    Gone,
    /// What was made under this number.
    Made {
        number: usize,
        /// Nothing was there for the patch: it did not change what is.
        is_new: bool,
    },
}

/// What the patch does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Added,
    Modified,
    Deleted,
    Renamed,
    Copied,
}

/// A file of the patch.
#[derive(Debug, Clone)]
pub(crate) struct PatchedFile {
    /// From the workspace.
    pub(crate) path: Vec<u8>,
    /// The file that it was, or is a copy of.
    pub(crate) from: Option<Vec<u8>>,
    pub(crate) done: Done,
    pub(crate) added: u64,
    pub(crate) removed: u64,
    /// Hunks that are not where their numbers say.
    pub(crate) moved: Vec<Moved>,
}

/// The workspace as it would be.
pub(super) struct Draft<'t> {
    patch: &'t File,
    is_reverse: bool,
    pub(super) tree: Places<'t>,
    /// Where files are made, under their numbers.
    pub(super) made: OwnedFd,
    pub(super) states: BTreeMap<Vec<u8>, State>,
    /// What of the workspace it was made from.
    pub(super) sources: BTreeMap<Vec<u8>, (u64, i64, i64, u64)>,
    /// Paths that the patch takes away, whatever comes there.
    removed: BTreeSet<Vec<u8>>,
    /// Where the patch says it of a path.
    pub(super) lines: BTreeMap<Vec<u8>, u64>,
    number: usize,
    effort: Effort,
    /// Hunks that are remembered for not being at their lines.
    moved: usize,
    pub(super) files: Vec<PatchedFile>,
    pub(super) failures: Vec<Failure>,
    pub(super) failure_count: u64,
}

/// What a file is made of.
enum Content {
    Same,
    Bytes(Vec<u8>),
    Packed(Packed),
}

impl<'t> Draft<'t> {
    pub(super) fn new(
        (patch, is_reverse): (&'t File, bool),
        tree: BorrowedFd<'t>,
        made: OwnedFd,
        effort: Effort,
    ) -> Self {
        Self {
            patch,
            is_reverse,
            tree: Places::new(tree),
            made,
            states: BTreeMap::new(),
            sources: BTreeMap::new(),
            removed: BTreeSet::new(),
            lines: BTreeMap::new(),
            number: 0,
            effort,
            moved: 0,
            files: Vec::new(),
            failures: Vec::new(),
            failure_count: 0,
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure_count += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(failure);
        }
    }

    /// Makes what a section says.
    pub(super) fn take(&mut self, section: &Section) -> Result<(), FilesError> {
        for path in [&section.old, &section.new].into_iter().flatten() {
            if let Some(why) = name::refusal(path) {
                let failure = Failure::of(section, Reason::Path, format!("the name {why}"));
                self.fail(Failure { path: path.clone(), ..failure });
                return Ok(());
            }
        }
        let is_read =
            section.old.as_ref().is_some_and(|path| self.sources.contains_key(path) || self.states.contains_key(path));
        let Some((source, is_in_tree)) = self.source(section)? else { return Ok(()) };
        if let Some(failure) = refusal(section, &source, self.is_reverse) {
            self.fail(failure);
            return Ok(());
        }
        if is_read && section.origin != Origin::Copied && self.effort.take(source.size()) == Err(Spent) {
            self.fail(Failure::of(section, Reason::Limit, TOO_OFTEN));
            return Ok(());
        }
        let mut file = PatchedFile {
            path: section.path().to_vec(),
            from: section.old.clone().filter(|_| section.origin != Origin::Itself),
            done: done(section, &source),
            added: 0,
            removed: 0,
            moved: Vec::new(),
        };
        let Some(content) = self.content(section, &source, &mut file)? else { return Ok(()) };
        let made = match &section.new {
            None => self.remove(section, &source, &content)?.then_some(None),
            Some(path) => self.make(section, path, (&source, content))?.map(Some),
        };
        if let Some(made) = made {
            self.note(section, (matches!(source, Found::Nothing), is_in_tree), made);
            self.files.push(file);
        }
        Ok(())
    }

    /// What the section's file is now, and whether that is what the workspace has; none: that was told of.
    fn source(&mut self, section: &Section) -> Result<Option<(Found, bool)>, FilesError> {
        let Some(path) = &section.old else { return Ok(Some((Found::Nothing, false))) };
        let system = |errno| FilesError::of("read", path, errno);
        let mut state = self.states.get(path).copied();
        // Renames and copies of one diff are all made at once, of what was there before it; but several diffs may be in one patch.
        let is_of_before = match (section.origin, state) {
            (Origin::Itself, _) | (_, None) => false,
            (Origin::Renamed, state) => matches!(state, Some(State::Made { is_new: true, .. })),
            (Origin::Copied, _) => true,
        };
        if is_of_before && look(&mut self.tree, path).map_err(system)?.stat().is_some() {
            state = None;
        }
        let found = match state {
            Some(State::Gone) => Found::Nothing,
            Some(State::Made { number, .. }) => {
                look_at(self.made.as_fd(), number.to_string().as_bytes()).map_err(system)?
            }
            None => match look(&mut self.tree, path).map_err(system)? {
                // What stands in the way goes away.
                Found::NoWay if self.is_below_other(path) => Found::Nothing,
                found => {
                    if let Some(stat) = found.stat() {
                        self.sources.insert(path.clone(), identity(stat));
                    }
                    found
                }
            },
        };
        let failure = match &found {
            Found::File { .. } | Found::Link { .. } => return Ok(Some((found, state.is_none()))),
            Found::Nothing if section.may_be[0] => return Ok(Some((found, false))),
            Found::Nothing => Failure::of(section, Reason::Missing, "there is no such file"),
            Found::Other(what) => Failure::of(section, Reason::Kind, format!("it is {what}")),
            Found::NoWay => Failure::of(section, Reason::Path, NO_WAY),
        };
        self.fail(Failure { path: path.clone(), ..failure });
        Ok(None)
    }

    /// Whether it lies below what the patch changes.
    fn is_below_other(&self, path: &[u8]) -> bool {
        let mut at = parent_of(path);
        while !at.is_empty() {
            if self.states.contains_key(at) {
                return true;
            }
            at = parent_of(at);
        }
        false
    }

    /// What the section's content becomes; none: it does not apply, which was told of.
    fn content(
        &mut self,
        section: &Section,
        source: &Found,
        file: &mut PatchedFile,
    ) -> Result<Option<Content>, FilesError> {
        let refused = |draft: &mut Self, reason, text: String| {
            draft.fail(Failure::of(section, reason, text));
            Ok(None)
        };
        match section.body {
            Body::Same => Ok(Some(Content::Same)),
            Body::Missing => refused(self, Reason::Unsupported, NO_DATA.to_owned()),
            Body::Text { at, hunks } => {
                if source.size() > MAX_TEXT_BYTES as u64 {
                    return refused(self, Reason::Limit, too_large());
                }
                let read = source.read(MAX_TEXT_BYTES + 1);
                let content = read.map_err(|error| system("read", section.path(), &error))?;
                let mut failures = Vec::new();
                let into = (&mut failures, &mut self.effort);
                let done = text::patch(self.patch, (section, self.is_reverse), (at, hunks), &content, into)?;
                let fits = failures.is_empty();
                failures.into_iter().for_each(|failure| self.fail(failure));
                (file.added, file.removed, file.moved) = (done.added, done.removed, done.moved);
                file.moved.truncate(MAX_MOVED.saturating_sub(self.moved));
                self.moved += file.moved.len();
                Ok(fits.then_some(Content::Bytes(done.content)))
            }
            Body::Binary { forward, backward } => {
                let Some([old, _]) = &section.ids else { return refused(self, Reason::Content, NO_IDS.to_owned()) };
                let id = source.id().map_err(|error| system("read", section.path(), &error))?;
                let is_new = is_zero(old) && matches!(source, Found::Nothing);
                if !is_new && !id.as_bytes().starts_with(old) {
                    let failure = Failure::of(section, Reason::Content, "the binary patch was made of another content");
                    self.fail(Failure { expected: Some(old.clone()), found: Some(id.into_bytes()), ..failure });
                    return Ok(None);
                }
                match if self.is_reverse { backward } else { Some(forward) } {
                    Some(packed) => Ok(Some(Content::Packed(packed))),
                    None => refused(self, Reason::Unsupported, "the binary patch has only one direction".to_owned()),
                }
            }
        }
    }

    /// Whether the file may be taken away: nothing of it is left.
    fn remove(&mut self, section: &Section, source: &Found, content: &Content) -> Result<bool, FilesError> {
        let left = match content {
            Content::Same => source.size(),
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Packed(packed) => packed.size,
        };
        if left > 0 {
            let text = "it is to be deleted, and has more in it than the patch takes away";
            self.fail(Failure::of(section, Reason::Content, text));
        }
        Ok(left == 0)
    }

    /// Makes a file or link; its number, or none where that was told of.
    fn make(
        &mut self,
        section: &Section,
        path: &[u8],
        (source, content): (&Found, Content),
    ) -> Result<Option<usize>, FilesError> {
        let number = self.number;
        self.number += 1;
        let holder =
            tree::nearest(&mut self.tree, parent_of(path)).map_err(|errno| FilesError::of("make", path, errno))?;
        let mode = section.new_mode.or_else(|| source.mode()).unwrap_or(GitMode::File { is_executable: false });
        let made = if mode == GitMode::Symlink {
            self.make_link(section, (source, content), &holder, number)?
        } else {
            let executable = section.new_mode.map(|mode| mode == GitMode::File { is_executable: true });
            self.make_file(section, (source, content), (&holder, executable), number)?
        };
        Ok(made.then_some(number))
    }

    fn make_file(
        &mut self,
        section: &Section,
        (source, content): (&Found, Content),
        (holder, executable): (&Stat, Option<bool>),
        number: usize,
    ) -> Result<bool, FilesError> {
        let path = section.path();
        let errno = |errno| FilesError::of("make", path, errno);
        let mut file = tree::create(self.made.as_fd(), &number.to_string()).map_err(errno)?;
        match content {
            Content::Same => tree::copy(source, &file).map_err(|error| system("make", path, &error))?,
            Content::Bytes(bytes) => file.write_all(&bytes).map_err(|error| system("make", path, &error))?,
            Content::Packed(packed) => {
                let base = match source {
                    Found::File { file, .. } => Base::File(file, source.size()),
                    Found::Link { target, .. } => Base::Bytes(target),
                    _ => Base::Bytes(&[]),
                };
                let unpacked = unpack(self.patch, &packed, base, &mut file);
                if !self.is_as_named(section, &packed, unpacked, &file)? {
                    return Ok(false);
                }
            }
        }
        tree::dress(&file, source, holder, executable).map_err(errno)?;
        Ok(true)
    }

    /// Whether a content that was unpacked is the one that the patch names.
    fn is_as_named(
        &mut self,
        section: &Section,
        packed: &Packed,
        unpacked: std::io::Result<u64>,
        file: &File,
    ) -> Result<bool, FilesError> {
        let size = match unpacked {
            Ok(size) => size,
            Err(error) if is_of_patch(error.kind()) => {
                let text = format!("the binary patch is damaged: {error}");
                self.fail(Failure::new(section, Reason::Content, packed.at.number, text));
                return Ok(false);
            }
            Err(error) => return Err(system("make", section.path(), &error)),
        };
        let id = tree::id_of(file, size).map_err(|error| system("read", section.path(), &error))?;
        let wanted = section.ids.as_ref().map(|[_, new]| new.clone()).unwrap_or_default();
        if id.as_bytes().starts_with(&wanted) {
            return Ok(true);
        }
        let text = "the binary patch is damaged: it makes another content than it names";
        let failure = Failure::new(section, Reason::Content, packed.at.number, text.to_owned());
        self.fail(Failure { expected: Some(wanted), found: Some(id.into_bytes()), ..failure });
        Ok(false)
    }

    fn make_link(
        &mut self,
        section: &Section,
        (source, content): (&Found, Content),
        holder: &Stat,
        number: usize,
    ) -> Result<bool, FilesError> {
        let path = section.path();
        let target = match content {
            Content::Same => source.read(MAX_TARGET_BYTES + 1).map_err(|error| system("read", path, &error))?,
            Content::Bytes(bytes) => bytes,
            Content::Packed(packed) => {
                let mut target = Vec::new();
                let base = source.read(MAX_TARGET_BYTES).map_err(|error| system("read", path, &error))?;
                let is_long = packed.size > 2 * MAX_TARGET_BYTES as u64;
                if is_long || unpack(self.patch, &packed, Base::Bytes(&base), &mut target).is_err() {
                    self.fail(Failure::new(section, Reason::Content, packed.at.number, NO_TARGET.to_owned()));
                    return Ok(false);
                }
                target
            }
        };
        if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
            self.fail(Failure::of(section, Reason::Content, NO_TARGET));
            return Ok(false);
        }
        let errno = |errno| FilesError::of("make", path, errno);
        let name = number.to_string();
        symlinkat(target.as_slice(), &self.made, name.as_str()).map_err(errno)?;
        let owner = source.stat().unwrap_or(holder);
        let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        chownat(&self.made, name.as_str(), Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(errno)?;
        Ok(true)
    }

    /// Notes what became of the section's paths.
    fn note(&mut self, section: &Section, (was_nothing, is_in_tree): (bool, bool), made: Option<usize>) {
        if let (Some(old), Origin::Itself | Origin::Renamed) = (&section.old, section.origin)
            && section.old != section.new
        {
            self.removed.insert(old.clone());
            // What another section has put there is not what is renamed.
            if !(is_in_tree && self.states.contains_key(old)) {
                self.states.insert(old.clone(), State::Gone);
            }
        }
        let (Some(path), Some(number)) = (&section.new, made) else { return };
        self.lines.insert(path.clone(), section.line);
        let is_new = was_nothing || section.old != section.new;
        let state = match self.states.get(path) {
            Some(State::Made { .. }) if is_new => {
                self.fail(Failure::of(section, Reason::Overlap, "another part of the patch makes it too"));
                return;
            }
            // Changed twice: what it was before decides.
            Some(State::Made { is_new: was_new, .. }) => State::Made { number, is_new: *was_new },
            _ => State::Made { number, is_new },
        };
        self.states.insert(path.clone(), state);
    }

    /// Whether the patch takes away what is at this path.
    pub(super) fn is_removed(&self, path: &[u8]) -> bool {
        self.removed.contains(path)
    }
}

fn done(section: &Section, source: &Found) -> Done {
    match (&section.old, &section.new, section.origin) {
        (_, None, _) => Done::Deleted,
        (None, ..) => Done::Added,
        (_, _, Origin::Renamed) => Done::Renamed,
        (_, _, Origin::Copied) => Done::Copied,
        _ if matches!(source, Found::Nothing) => Done::Added,
        _ => Done::Modified,
    }
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|digit| *digit == b'0')
}

fn is_of_patch(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

fn system(what: &str, path: &[u8], error: &std::io::Error) -> FilesError {
    match Errno::from_io_error(error) {
        Some(errno) => FilesError::of(what, path, errno),
        None => unread(error),
    }
}
