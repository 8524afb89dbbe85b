//! Putting what was made where it belongs, all of it or nothing: new and changed files by the steps of a push, after what goes away was
//! put aside.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_seed::places::Places;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown, mkdirat, openat, renameat_with,
    statat,
};
use rustix::io::Errno;

use super::draft::{Draft, State};
use super::failure::{Failure, Reason};
use super::tree::{identity, nearest, parent_of};
use crate::files::{FilesError, Plan};
use crate::volume::for_each_entry;

/// Of directories that lead to what is made.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// What goes away, in this order: files, then the directories that nothing is left in, the inner ones first.
pub(super) type Taken = Vec<Vec<u8>>;

/// Finds what stands in the way of what was made, and what goes away.
pub(super) fn check(draft: &mut Draft<'_>) -> Result<Taken, FilesError> {
    let made: Vec<(Vec<u8>, bool)> = draft
        .states
        .iter()
        .filter_map(|(path, state)| match state {
            State::Made { is_new, .. } => Some((path.clone(), *is_new)),
            State::Gone => None,
        })
        .collect();
    let needed: BTreeSet<Vec<u8>> = made.iter().flat_map(|(path, _)| above(path)).collect();
    let taken = taken(draft, &needed)?;
    let emptied: BTreeSet<&[u8]> = taken.iter().map(Vec::as_slice).collect();
    for (path, is_new) in &made {
        if let Some((reason, text)) = obstacle(draft, path, *is_new, &emptied)? {
            let failure = Failure {
                path: path.clone(),
                reason,
                hunk: None,
                patch_line: draft.lines.get(path).copied().unwrap_or(0),
                line: None,
                expected: None,
                found: None,
                text,
            };
            draft.fail(failure);
        }
    }
    Ok(taken)
}

/// The paths of the directories that a path is in, the nearest first, without the workspace.
fn above(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let first = Some(parent_of(path)).filter(|parent| !parent.is_empty());
    std::iter::successors(first, |at| Some(parent_of(at)).filter(|parent| !parent.is_empty())).map(<[u8]>::to_vec)
}

/// Why a file cannot be where it belongs.
fn obstacle(
    draft: &mut Draft<'_>,
    path: &[u8],
    is_new: bool,
    emptied: &BTreeSet<&[u8]>,
) -> Result<Option<(Reason, String)>, FilesError> {
    let system = |errno| FilesError::of("look at", path, errno);
    let mut ways: Vec<Vec<u8>> = above(path).collect();
    ways.reverse();
    for way in &ways {
        match draft.states.get(way) {
            Some(State::Made { .. }) => {
                return Ok(Some((
                    Reason::Overlap,
                    "the patch makes a file or link of a directory that it is in".to_owned(),
                )));
            }
            // What it was is gone: nothing is below.
            Some(State::Gone) => return Ok(None),
            None => {}
        }
        match kind(&mut draft.tree, way).map_err(system)? {
            None => return Ok(None),
            Some(FileType::Directory) => {}
            Some(FileType::Symlink) => {
                return Ok(Some((Reason::Path, "it is reached by a symbolic link, which is not followed".to_owned())));
            }
            Some(_) => return Ok(Some((Reason::Path, "it lies below what is no directory".to_owned()))),
        }
    }
    Ok(match kind(&mut draft.tree, path).map_err(system)? {
        Some(FileType::Directory) if !emptied.contains(path) => {
            Some((Reason::Kind, "it is a directory, in which something stays".to_owned()))
        }
        Some(FileType::Directory) | None => None,
        Some(_) if is_new && !draft.is_removed(path) => {
            Some((Reason::Exists, "the patch makes it, and it is there already".to_owned()))
        }
        Some(_) => None,
    })
}

fn kind(tree: &mut Places<'_>, path: &[u8]) -> Result<Option<FileType>, Errno> {
    let found = tree.parent(path).and_then(|(parent, name)| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW));
    match found {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn taken(draft: &mut Draft<'_>, needed: &BTreeSet<Vec<u8>>) -> Result<Taken, FilesError> {
    let mut files = Vec::new();
    let gone: Vec<Vec<u8>> = draft
        .states
        .iter()
        .filter(|(path, state)| matches!(state, State::Gone) && draft.sources.contains_key(*path))
        .map(|(path, _)| path.clone())
        .collect();
    let mut directories: BTreeSet<Vec<u8>> = BTreeSet::new();
    for path in gone {
        directories.extend(above(&path));
        files.push(path);
    }
    let leaving: BTreeSet<Vec<u8>> = files.iter().cloned().collect();
    let mut emptied: BTreeSet<Vec<u8>> = BTreeSet::new();
    for directory in directories.into_iter().rev() {
        if !needed.contains(&directory) && is_emptied(draft, &directory, &leaving, &emptied)? {
            emptied.insert(directory);
        }
    }
    files.extend(emptied.into_iter().rev());
    Ok(files)
}

/// Whether all that is in a directory goes away.
fn is_emptied(
    draft: &mut Draft<'_>,
    directory: &[u8],
    leaving: &BTreeSet<Vec<u8>>,
    emptied: &BTreeSet<Vec<u8>>,
) -> Result<bool, FilesError> {
    let system = |errno| FilesError::of("read", directory, errno);
    let open = draft.tree.directory(directory).map_err(system)?;
    let mut is_emptied = true;
    for_each_entry(open, &mut |_, name, _| {
        let path = [directory, b"/", name.to_bytes()].concat();
        is_emptied = leaving.contains(&path) || emptied.contains(&path);
        Ok(is_emptied)
    })
    .map_err(system)?;
    Ok(is_emptied)
}

/// Where a change is staged.
pub(super) struct Stage {
    /// What comes, as a tree.
    pub(super) coming: OwnedFd,
    /// What goes, by numbers.
    pub(super) going: OwnedFd,
}

/// Puts everything in its place. `keep` is called when all is prepared, with whether it happens in one step.
pub(super) fn place(
    draft: &mut Draft<'_>,
    tree: BorrowedFd<'_>,
    stage: &Stage,
    taken: Taken,
    keep: &mut dyn FnMut(bool) -> Result<(), FilesError>,
) -> Result<(), FilesError> {
    arrange(draft, stage.coming.as_fd())?;
    let plan = Plan::replacing(stage.coming.as_fd(), tree, taken)?;
    for (path, before) in &draft.sources {
        let found = draft.tree.parent(path).and_then(|(parent, name)| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW));
        if found.map(|stat| identity(&stat)) != Ok(*before) {
            return Err(FilesError::Conflict(format!("{} was changed meanwhile", pyro_seed::report::printable(path))));
        }
    }
    keep(plan.is_atomic())?;
    plan.apply((stage.coming.as_fd(), tree), stage.going.as_fd(), &mut |_| Ok(()))
}

/// Makes a tree of what was made, with the directories that lead to each: like those that are there, and new ones like the one they are in.
fn arrange(draft: &mut Draft<'_>, coming: BorrowedFd<'_>) -> Result<(), FilesError> {
    let mut staged = Places::new(coming);
    let mut there: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (path, state) in &draft.states {
        let State::Made { number, .. } = state else { continue };
        let system = |errno| FilesError::of("make", path, errno);
        let mut ways: Vec<Vec<u8>> = above(path).collect();
        ways.reverse();
        for way in ways {
            if there.contains(&way) {
                continue;
            }
            let like = nearest(&mut draft.tree, &way).map_err(system)?;
            make_directory(&mut staged, &way, &like).map_err(system)?;
            there.insert(way);
        }
        let (holder, name) = staged.parent(path).map_err(system)?;
        renameat_with(&draft.made, number.to_string(), holder, name, RenameFlags::NOREPLACE).map_err(system)?;
    }
    Ok(())
}

fn make_directory(staged: &mut Places<'_>, path: &[u8], like: &Stat) -> Result<(), Errno> {
    let (holder, name) = staged.parent(path)?;
    // Paths are checked: they have no NUL.
    let name = CString::new(name).unwrap_or_default();
    mkdirat(holder, &name, DIRECTORY_MODE)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(holder, &name, flags, Mode::empty())?;
    fchown(&made, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    fchmod(&made, DIRECTORY_MODE)
}
