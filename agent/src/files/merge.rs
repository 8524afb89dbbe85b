//! Putting a staged tree over the workspace's, so that all of it is there or nothing is.
//!
//! Every step is a rename within one file system: what is new is moved, what takes the place of something is exchanged with it, so that the
//! old one is kept in the staging place until all is done, and so is what only goes away. Steps are planned first, which finds conflicts before
//! anything is changed, and are taken back in their order when one fails.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use pyro_seed::names::names;
use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, fstat, renameat_with, statat};
use rustix::io::Errno;

use super::directories::{dress, open};
use super::{FilesError, shown};

/// One change of the workspace's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing is there.
    Move,
    /// A file or link takes the place of a file, link or anything else that is no directory.
    Replace,
    /// A directory that is there gets the attributes of the staged one.
    Dress,
    /// What is there is put aside under this number; a directory only when it is empty.
    Take(usize),
}

/// One change, and the path that is changed.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    kind: Kind,
    path: Vec<u8>,
    /// Of `Dress`: how the staged one is before anything is moved out of it, which moves its time.
    like: Option<Stat>,
}

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    /// Directories whose times a change of what is in them moves.
    touched: Vec<(Vec<u8>, Stat)>,
    /// What is not there any more when the rest is done.
    taken: BTreeSet<Vec<u8>>,
}

impl Plan {
    /// What puts `staged` over `target`. The first `implied` levels only lead there: such a directory stays as it is.
    ///
    /// # Errors
    /// A conflict; what the file system says.
    pub(crate) fn make(staged: BorrowedFd<'_>, target: BorrowedFd<'_>, implied: usize) -> Result<Self, FilesError> {
        let mut plan = Self::default();
        plan.look(&mut Vec::new(), (staged, target), implied)?;
        Ok(plan)
    }

    /// What takes away what is at these paths, in their order, and then puts `staged` over `target`. All directories of it only lead to files.
    ///
    /// # Errors
    /// As `make`.
    pub(crate) fn replacing(
        staged: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        taken: Vec<Vec<u8>>,
    ) -> Result<Self, FilesError> {
        let mut plan = Self { taken: taken.iter().cloned().collect(), ..Self::default() };
        let mut places = Places::new(target);
        for (number, path) in taken.into_iter().enumerate() {
            let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |slash| &path[..slash]);
            if plan.touched.last().is_none_or(|(last, _)| last != parent) {
                let stat = places.directory(parent).and_then(fstat);
                let stat = stat.map_err(|errno| FilesError::of("look at", parent, errno))?;
                plan.touched.push((parent.to_vec(), stat));
            }
            plan.steps.push(Step { kind: Kind::Take(number), path, like: None });
        }
        plan.look(&mut Vec::new(), (staged, target), usize::MAX)?;
        Ok(plan)
    }

    /// Whether it happens as one step of the file system.
    pub(crate) fn is_atomic(&self) -> bool {
        self.steps.len() <= 1
    }

    /// Files and links that take the place of others.
    pub(crate) fn replaced(&self) -> u64 {
        self.steps.iter().filter(|step| step.kind == Kind::Replace).count() as u64
    }

    fn look(
        &mut self,
        path: &mut Vec<u8>,
        (staged, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        implied: usize,
    ) -> Result<(), FilesError> {
        let before = fstat(target).map_err(|errno| FilesError::of("look at", path, errno))?;
        self.touched.push((path.clone(), before));
        let length = path.len();
        for name in names(staged).map_err(|errno| FilesError::of("read the staged", path, errno))? {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            self.entry(path, (staged, target), &name, implied)?;
        }
        path.truncate(length);
        Ok(())
    }

    fn entry(
        &mut self,
        path: &mut Vec<u8>,
        (staged, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        name: &CStr,
        implied: usize,
    ) -> Result<(), FilesError> {
        let system = |what: &str, errno| FilesError::of(what, path, errno);
        let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
        let new =
            statat(staged, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| system("look at the staged", errno))?;
        let old = match statat(target, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(old) if !self.taken.contains(path) => kind(&old),
            Ok(_) | Err(Errno::NOENT) => {
                self.steps.push(Step { kind: Kind::Move, path: path.clone(), like: None });
                return Ok(());
            }
            Err(errno) => return Err(system("look at", errno)),
        };
        match (kind(&new) == FileType::Directory, old == FileType::Directory) {
            (false, false) => self.steps.push(Step { kind: Kind::Replace, path: path.clone(), like: None }),
            (false, true) => {
                return Err(FilesError::Conflict(format!(
                    "{} is a directory in the workspace, and would become a file",
                    shown(path)
                )));
            }
            (true, false) => {
                let what = if old == FileType::Symlink { "a symbolic link" } else { "a file" };
                return Err(FilesError::Conflict(format!(
                    "{} is {what} in the workspace, and would become a directory",
                    shown(path)
                )));
            }
            (true, true) => {
                let inner = (open(staged, name), open(target, name));
                let (Ok(staged), Ok(target)) = inner else {
                    let errno = inner.0.err().or(inner.1.err()).unwrap_or(Errno::IO);
                    return Err(system("open", errno));
                };
                self.look(path, (staged.as_fd(), target.as_fd()), implied.saturating_sub(1))?;
                if implied == 0 {
                    self.steps.push(Step { kind: Kind::Dress, path: path.clone(), like: Some(new) });
                }
            }
        }
        Ok(())
    }

    /// Does it: puts what is in `staged` into `target`, and what goes away into `aside`. When a step fails those before it are taken back, the
    /// last one first. `before_each` is asked before each step.
    ///
    /// # Errors
    /// The step that failed; [`FilesError::Torn`] when one of those before it could not be taken back either.
    pub(crate) fn apply(
        &self,
        (staged, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        aside: BorrowedFd<'_>,
        before_each: &mut dyn FnMut(usize) -> Result<(), Errno>,
    ) -> Result<(), FilesError> {
        let mut merge = Merge { staged: Places::new(staged), target: Places::new(target), aside, done: Vec::new() };
        for (number, step) in self.steps.iter().enumerate() {
            let taken = before_each(number).and_then(|()| merge.take(step));
            if let Err(errno) = taken {
                let why = match errno {
                    Errno::EXIST | Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NOTEMPTY => {
                        FilesError::Conflict(format!("{} was changed in the workspace meanwhile", shown(&step.path)))
                    }
                    errno => FilesError::of("change", &step.path, errno),
                };
                return Err(merge.take_back(&self.touched, why));
            }
        }
        Ok(())
    }
}

struct Merge<'t> {
    staged: Places<'t>,
    target: Places<'t>,
    aside: BorrowedFd<'t>,
    /// What was done, with what a directory was before.
    done: Vec<(Step, Option<Stat>)>,
}

impl Merge<'_> {
    fn take(&mut self, step: &Step) -> Result<(), Errno> {
        let Step { kind, path, like } = step;
        let before = match kind {
            Kind::Move => {
                self.rename(path, RenameFlags::NOREPLACE)?;
                None
            }
            Kind::Replace => {
                self.rename(path, RenameFlags::EXCHANGE)?;
                None
            }
            Kind::Dress => {
                let directory = self.target.directory(path)?;
                let before = fstat(directory)?;
                like.as_ref().map_or(Ok(()), |like| dress(directory, like))?;
                Some(before)
            }
            Kind::Take(number) => {
                let (parent, name) = self.target.parent(path)?;
                renameat_with(parent, name, self.aside, aside_name(*number), RenameFlags::NOREPLACE)?;
                None
            }
        };
        self.done.push((step.clone(), before));
        // Somebody may have put a directory there since it was looked at: it is not to be lost with what was staged.
        if *kind == Kind::Replace && self.is_directory(path)? {
            return Err(Errno::ISDIR);
        }
        match kind {
            Kind::Take(number) => self.refuse_filled(&aside_name(*number)),
            _ => Ok(()),
        }
    }

    /// Somebody may have put something into a directory that was empty.
    fn refuse_filled(&self, name: &CStr) -> Result<(), Errno> {
        match open(self.aside, name) {
            Ok(directory) if !names(directory.as_fd())?.is_empty() => Err(Errno::NOTEMPTY),
            Ok(_) | Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn is_directory(&mut self, path: &[u8]) -> Result<bool, Errno> {
        let (parent, name) = self.staged.parent(path)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    fn rename(&mut self, path: &[u8], flags: RenameFlags) -> Result<(), Errno> {
        let (from, name) = self.staged.parent(path)?;
        let (to, _) = self.target.parent(path)?;
        renameat_with(from, name, to, name, flags)
    }

    /// What it was before; `why` it had to be.
    fn take_back(mut self, touched: &[(Vec<u8>, Stat)], why: FilesError) -> FilesError {
        for (step, before) in std::mem::take(&mut self.done).iter().rev() {
            if let Err(errno) = self.undo(step, before.as_ref()) {
                return FilesError::Torn(format!("{why}; {} could not be taken back: {errno}", shown(&step.path)));
            }
        }
        for (path, before) in touched {
            // Only its times moved.
            let _ = self.target.directory(path).and_then(|directory| dress(directory, before));
        }
        why
    }

    fn undo(&mut self, step: &Step, before: Option<&Stat>) -> Result<(), Errno> {
        let Step { kind, path, .. } = step;
        match kind {
            Kind::Replace => self.rename(path, RenameFlags::EXCHANGE),
            Kind::Move => {
                let (to, name) = self.staged.parent(path)?;
                let (from, _) = self.target.parent(path)?;
                renameat_with(from, name, to, name, RenameFlags::NOREPLACE)
            }
            Kind::Take(number) => {
                let (parent, name) = self.target.parent(path)?;
                renameat_with(self.aside, aside_name(*number), parent, name, RenameFlags::NOREPLACE)
            }
            Kind::Dress => before.map_or(Ok(()), |before| dress(self.target.directory(path)?, before)),
        }
    }
}

fn aside_name(number: usize) -> CString {
    // Digits have no NUL.
    CString::new(number.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pyro-merge-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("staged")).unwrap();
        fs::create_dir_all(path.join("target")).unwrap();
        path
    }

    /// Every path with its mode, its time and what it has.
    fn look(root: &Path) -> BTreeMap<PathBuf, (u32, i64, String)> {
        let mut found = BTreeMap::new();
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_symlink() {
                    fs::read_link(&path).unwrap().to_string_lossy().into_owned()
                } else if meta.is_dir() {
                    left.push(path.clone());
                    "directory".to_owned()
                } else {
                    fs::read_to_string(&path).unwrap()
                };
                found.insert(path.strip_prefix(root).unwrap().to_owned(), (meta.mode(), meta.mtime_nsec(), content));
            }
        }
        found
    }

    fn merge(root: &Path, fail_at: Option<usize>) -> Result<usize, FilesError> {
        let (staged, target) = (File::open(root.join("staged")).unwrap(), File::open(root.join("target")).unwrap());
        let plan = Plan::make(staged.as_fd(), target.as_fd(), 0)?;
        let mut fault = |number| if Some(number) == fail_at { Err(Errno::NOSPC) } else { Ok(()) };
        plan.apply((staged.as_fd(), target.as_fd()), staged.as_fd(), &mut fault)?;
        Ok(plan.steps.len())
    }

    fn example(root: &Path) {
        let (staged, target) = (root.join("staged"), root.join("target"));
        for path in [staged.join("both/inner"), staged.join("new/deep"), target.join("both/inner"), target.join("old")]
        {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(staged.join("both/file"), "new").unwrap();
        fs::write(staged.join("both/inner/more"), "more").unwrap();
        fs::write(staged.join("new/deep/file"), "deep").unwrap();
        fs::write(staged.join("link"), "a file now").unwrap();
        symlink("elsewhere", staged.join("file")).unwrap();
        let both = File::open(staged.join("both")).unwrap();
        both.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(7, 5)).unwrap();
        fs::set_permissions(staged.join("both"), Permissions::from_mode(0o710)).unwrap();
        fs::write(target.join("both/file"), "old").unwrap();
        fs::write(target.join("both/stays"), "stays").unwrap();
        fs::write(target.join("file"), "a link soon").unwrap();
        symlink("/etc", target.join("link")).unwrap();
    }

    #[test]
    fn a_tree_is_put_over_another_and_what_is_not_in_it_stays() {
        let root = scratch("over");
        example(&root);
        merge(&root, None).unwrap();
        let found = look(&root.join("target"));
        let content = |path: &str| found.get(Path::new(path)).map(|(_, _, content)| content.as_str());
        for (path, expected) in [
            ("both/file", "new"),
            ("both/stays", "stays"),
            ("both/inner/more", "more"),
            ("new/deep/file", "deep"),
            ("link", "a file now"),
            ("file", "elsewhere"),
            ("old", "directory"),
        ] {
            assert_eq!(content(path), Some(expected), "{path}");
        }
        let (mode, nanoseconds, _) = &found[Path::new("both")];
        assert_eq!((mode & 0o7777, *nanoseconds), (0o710, 5), "as the staged one was before it was emptied");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn whichever_step_fails_the_tree_is_as_it_was() {
        let root = scratch("fault");
        for at in 0.. {
            fs::remove_dir_all(&root).unwrap();
            fs::create_dir_all(root.join("staged")).unwrap();
            fs::create_dir_all(root.join("target")).unwrap();
            example(&root);
            let before = look(&root.join("target"));
            match merge(&root, Some(at)) {
                Ok(steps) => {
                    assert_eq!(steps, at, "every step was failed once");
                    break;
                }
                Err(error) => assert!(matches!(error, FilesError::System(_)), "{error}"),
            }
            assert_eq!(look(&root.join("target")), before, "after step {at}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_file_never_takes_the_place_of_a_directory_nor_the_reverse_and_no_link_is_followed() {
        for (name, staged, target) in [
            ("file-over-directory", "f:x", "d:x"),
            ("directory-over-file", "d:x", "f:x"),
            ("directory-over-link", "d:x", "l:x"),
        ] {
            let root = scratch(name);
            let outside = root.join("outside");
            fs::create_dir(&outside).unwrap();
            for (side, what) in [("staged", staged), ("target", target)] {
                let path = root.join(side).join("x");
                match what {
                    "f:x" => fs::write(&path, side).unwrap(),
                    "l:x" => symlink(&outside, &path).unwrap(),
                    _ => {
                        fs::create_dir(&path).unwrap();
                        fs::write(path.join("inside"), side).unwrap();
                    }
                }
            }
            fs::write(root.join("staged/a"), "would be first").unwrap();
            let before = look(&root.join("target"));
            assert!(matches!(merge(&root, None), Err(FilesError::Conflict(_))), "{name}");
            assert_eq!(look(&root.join("target")), before, "{name}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
            fs::remove_dir_all(root).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn names_of_any_bytes_are_merged_or_taken_back(
            names in prop::collection::btree_set(prop::collection::vec(any::<u8>().prop_filter("a name", |byte| !matches!(byte, 0 | b'/')), 1..8), 1..8),
            fail_at in 0..16_usize,
        ) {
            use std::os::unix::ffi::OsStrExt;
            let root = scratch("names");
            for (index, name) in names.iter().filter(|name| !matches!(name.as_slice(), b"." | b"..")).enumerate() {
                let name = std::ffi::OsStr::from_bytes(name);
                if index % 2 == 0 { fs::write(root.join("target").join(name), "old").unwrap(); }
                fs::write(root.join("staged").join(name), "new").unwrap();
            }
            let before = look(&root.join("target"));
            let wanted = look(&root.join("staged"));
            match merge(&root, Some(fail_at)) {
                Ok(_) => prop_assert_eq!(look(&root.join("target")), wanted),
                Err(_) => prop_assert_eq!(look(&root.join("target")), before),
            }
            fs::remove_dir_all(root).unwrap();
        }
    }
}
