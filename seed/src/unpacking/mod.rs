//! Making on the host what a guest's stream has: in a fresh place beside the target, and then one rename.
//!
//! Whatever the stream says, nothing is made outside the fresh place: a name is one part of a path that is followed by descriptors, links are
//! made as text, and what is there already is never opened. Everything belongs to whoever runs this, and has no setuid bit.
//!
//! The fresh place is locked as long as it is being filled. What a maker that was killed has left there is not locked, and may be removed: it is a
//! part of what was to be made, or what was to be replaced and is.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pyro_seed::fill::{FillError, Filled, Policy, fill};
use pyro_seed::names::names;
use pyro_seed::removal;
use pyro_seed::report::Report;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, fchmod, flock, fsync, mkdirat, openat, renameat_with,
    statat, syncfs,
};
use rustix::io::Errno;

use crate::twins::twin;

/// What is made, and where.
pub(crate) struct Order<'a> {
    /// An absolute path whose parent is there.
    pub(crate) target: &'a [u8],
    /// Name beside the target that is not taken.
    pub(crate) fresh: &'a [u8],
    /// The stream's one entry, which becomes the target; none: the target is a directory with all entries.
    pub(crate) only: Option<&'a [u8]>,
    /// Whether something may be there, which this takes the place of.
    pub(crate) overwrite: bool,
    /// What a new directory of several entries does not grant (umask(2)).
    pub(crate) umask: u32,
}

/// Why it was not made. What was there is as it was.
pub(crate) enum Problem {
    /// The guest's stream breaks its format, or is another one than was asked for.
    Hostile(String),
    /// The target is there.
    Exists,
    /// The file system takes the name of the first path for that of the second one.
    Twins(Vec<u8>, Vec<u8>),
    /// The system refused something about this path.
    System(Vec<u8>, Errno),
}

impl From<FillError> for Problem {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Stream(error) => Self::Hostile(error.to_string()),
            // A name that comes twice, or lies below what is no directory.
            FillError::System(path, Errno::EXIST | Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {
                Self::Hostile(format!("{} has no place of its own", pyro_seed::report::printable(&path)))
            }
            FillError::System(path, errno) => Self::System(path, errno),
        }
    }
}

/// Makes it.
pub(crate) fn unpack(stream: impl Read, order: &Order<'_>, report: &mut Report) -> Result<Filled, Problem> {
    rustix::process::umask(Mode::empty());
    let Order { target, fresh, overwrite, .. } = *order;
    let slash = target.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (parent, name) = (&target[..slash.max(1)], c_name(&target[slash + 1..])?);
    let system = |errno| Problem::System(target.to_vec(), errno);
    let parent = openat(CWD, Path::new(OsStr::from_bytes(parent)), directory_flags(), Mode::empty()).map_err(system)?;
    if !overwrite && statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Problem::Exists);
    }
    let fresh = Fresh::make(&parent, c_name(fresh)?).map_err(system)?;
    let mut told = |totals| report.progress(totals);
    let filled = fill(stream, fresh.directory.as_fd(), Policy::harmless(0), &mut told);
    let filled = filled.map_err(|error| refused(error, fresh.directory.as_fd()))?;
    // Before it is where it is looked for, it is on the disk.
    syncfs(&fresh.directory).map_err(system)?;
    match order.only {
        Some(only) => {
            let only = c_name(only)?;
            if names(fresh.directory.as_fd()).map_err(system)? != [only.clone()] {
                return Err(Problem::Hostile("the guest gave something else than it was asked for".to_owned()));
            }
            place((fresh.directory.as_fd(), &only), (parent.as_fd(), &name), overwrite)?;
        }
        None => {
            fchmod(&fresh.directory, Mode::from_raw_mode(0o777 & !order.umask)).map_err(system)?;
            place((parent.as_fd(), &fresh.name), (parent.as_fd(), &name), overwrite)?;
        }
    }
    fsync(&parent).map_err(system)?;
    Ok(filled)
}

/// Why what the stream has was not made in the fresh place.
fn refused(error: FillError, fresh: BorrowedFd<'_>) -> Problem {
    let FillError::System(path, Errno::EXIST) = error else { return error.into() };
    match twin(fresh, &path) {
        Some(there) => Problem::Twins(path, there),
        None => FillError::System(path, Errno::EXIST).into(),
    }
}

/// A directory of our own beside the target; with whatever is in it in the end it is gone.
struct Fresh<'a> {
    parent: &'a OwnedFd,
    name: CString,
    directory: OwnedFd,
}

impl<'a> Fresh<'a> {
    fn make(parent: &'a OwnedFd, name: CString) -> Result<Self, Errno> {
        mkdirat(parent, &name, Mode::RWXU)?;
        let directory = openat(parent, &name, directory_flags() | OFlags::NOFOLLOW, Mode::empty())?;
        // A file system without locks: then `discard` gets none either, and leaves it alone.
        let _ = flock(&directory, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { parent, name, directory })
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        // What cannot be removed is left for a person to see.
        let _ = removal::remove(self.parent.as_fd(), &self.name);
    }
}

/// What became of what was to be discarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// There is none, or no longer.
    Gone,
    /// Somebody is making something of it.
    InUse,
}

/// Removes the fresh place that a maker has left in `directory`.
pub(crate) fn discard(directory: &[u8], fresh: &[u8]) -> Result<Discarded, Problem> {
    let name = c_name(fresh)?;
    let system = |errno| Problem::System(fresh.to_vec(), errno);
    let parent =
        openat(CWD, Path::new(OsStr::from_bytes(directory)), directory_flags(), Mode::empty()).map_err(system)?;
    let left = match openat(&parent, &name, directory_flags() | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(left) => left,
        // What is no directory is none of ours.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Discarded::Gone),
        Err(errno) => return Err(system(errno)),
    };
    match flock(&left, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Discarded::InUse),
        Err(errno) => return Err(system(errno)),
    }
    removal::remove(parent.as_fd(), &name).map_err(system)?;
    Ok(Discarded::Gone)
}

/// The one step that shows: the new one is there, and the old one, if there was one, in its place.
fn place(
    (from, old_name): (BorrowedFd<'_>, &CString),
    (to, new_name): (BorrowedFd<'_>, &CString),
    overwrite: bool,
) -> Result<(), Problem> {
    let rename = |flags| renameat_with(from, old_name, to, new_name, flags);
    match rename(RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if overwrite => rename(RenameFlags::EXCHANGE),
        Err(Errno::EXIST) => return Err(Problem::Exists),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| Problem::System(new_name.as_bytes().to_vec(), errno))
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn c_name(name: &[u8]) -> Result<CString, Problem> {
    match CString::new(name) {
        Ok(c_name) if pyro_seed::stream::is_plain(name) && !name.contains(&b'/') => Ok(c_name),
        _ => Err(Problem::System(name.to_vec(), Errno::INVAL)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    use proptest::prelude::*;
    use pyro_seed::stream::{Meta, Writer};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pyro-unpack-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("beside")).unwrap();
        path
    }

    fn order<'a>(target: &'a Path, only: Option<&'a [u8]>, overwrite: bool) -> Order<'a> {
        Order { target: target.as_os_str().as_bytes(), fresh: b".fresh", only, overwrite, umask: 0o027 }
    }

    fn made(stream: &[u8], order: &Order<'_>) -> Result<Filled, Problem> {
        unpack(stream, order, &mut Report::silent())
    }

    fn written(write: impl FnOnce(&mut Writer<&mut Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        write(&mut writer);
        writer.end().unwrap();
        bytes
    }

    fn file(writer: &mut Writer<&mut Vec<u8>>, path: &[u8], mode: u32, content: &[u8]) {
        let meta = Meta { mode, uid: 4242, seconds: 7, nanoseconds: 5, ..Meta::default() };
        writer.file(path, &meta, content.len() as u64).unwrap();
        writer.chunk(0, content).unwrap();
        writer.end_file().unwrap();
    }

    fn listing(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_comes_whole_without_its_setuid_bit_and_its_owner() {
        let root = scratch("file");
        let stream = written(|writer| file(writer, b"name", 0o4755, b"content"));
        let filled = made(&stream, &order(&root.join("target"), Some(b"name"), false));
        assert_eq!(filled.ok().map(|filled| filled.lowered), Some(1));
        let meta = fs::metadata(root.join("target")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o755, 7, 5));
        assert_ne!(meta.uid(), 4242);
        assert_eq!(listing(&root), ["beside", "target"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_there_is_only_replaced_when_asked_and_a_link_is_not_followed() {
        let root = scratch("overwrite");
        let target = root.join("target");
        symlink(root.join("beside"), &target).unwrap();
        let stream = written(|writer| {
            writer.directory(b"d").unwrap();
            file(writer, b"d/f", 0o644, b"new");
            writer.finished(b"d", &Meta { mode: 0o500, ..Meta::default() }).unwrap();
        });
        assert!(matches!(made(&stream, &order(&target, Some(b"d"), false)), Err(Problem::Exists)));
        assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
        assert!(made(&stream, &order(&target, Some(b"d"), true)).is_ok());
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "new");
        assert!(listing(&root.join("beside")).is_empty());
        // And over a directory.
        let stream = written(|writer| file(writer, b"f", 0o600, b"file"));
        assert!(made(&stream, &order(&target, Some(b"f"), true)).is_ok());
        assert_eq!(fs::read_to_string(&target).unwrap(), "file");
        assert_eq!(listing(&root), ["beside", "target"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn hostile_streams_leave_nothing_and_reach_nothing() {
        let root = scratch("hostile");
        let outside = root.join("beside");
        let link = |writer: &mut Writer<&mut Vec<u8>>| {
            writer.symlink(b"d", &Meta::default(), outside.as_os_str().as_bytes()).unwrap();
        };
        let streams = [
            written(|writer| {
                link(writer);
                file(writer, b"d/f", 0o644, b"through a link");
            }),
            written(|writer| {
                link(writer);
                writer.directory(b"d").unwrap();
            }),
            written(|writer| {
                link(writer);
                writer.finished(b"d", &Meta { mode: 0o777, ..Meta::default() }).unwrap();
            }),
            written(|writer| {
                link(writer);
                writer.link(b"e", b"d/x").unwrap();
            }),
            written(|writer| {
                file(writer, b"d", 0o644, b"one");
                file(writer, b"d", 0o644, b"two");
            }),
            written(|writer| file(writer, b"../beside/f", 0o644, b"up")),
            written(|writer| file(writer, b"/tmp/pyro-unpack-absolute", 0o644, b"away")),
            written(|writer| writer.link(b"d", b"../beside").unwrap()),
            written(|writer| {
                file(writer, b"d", 0o644, b"one");
                file(writer, b"more", 0o644, b"than was asked for");
            }),
            written(|writer| file(writer, b"other", 0o644, b"than was asked for")),
            written(|_| ()),
            Vec::new(),
        ];
        for (number, stream) in streams.iter().enumerate() {
            let found = made(stream, &order(&root.join("target"), Some(b"d"), false));
            assert!(matches!(found, Err(Problem::Hostile(_))), "stream {number}");
            assert_eq!(listing(&root), ["beside"], "stream {number}");
            assert!(listing(&outside).is_empty(), "stream {number}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_a_killed_maker_left_is_removed_and_what_is_being_made_is_not() {
        let root = scratch("discard");
        let root_bytes = root.as_os_str().as_bytes();
        assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::Gone));
        fs::create_dir_all(root.join(".fresh/d/e")).unwrap();
        fs::write(root.join(".fresh/d/f"), "part").unwrap();
        symlink(root.join("beside"), root.join(".fresh/link")).unwrap();
        let maker = fs::File::open(root.join(".fresh")).unwrap();
        flock(&maker, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::InUse));
        assert!(root.join(".fresh/d/f").exists());
        drop(maker);
        assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::Gone));
        // What has the name and is no directory is none of ours.
        fs::write(root.join(".file"), "mine").unwrap();
        symlink(root.join("beside"), root.join(".link")).unwrap();
        for name in [&b".file"[..], b".link"] {
            assert_eq!(discard(root_bytes, name).ok(), Some(Discarded::Gone));
        }
        for name in [&b"../beside"[..], b"..", b""] {
            assert!(discard(root_bytes, name).is_err());
        }
        assert_eq!(listing(&root), [".file", ".link", "beside"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_directory_of_several_has_what_the_umask_leaves() {
        let root = scratch("umask");
        let stream = written(|writer| {
            file(writer, b"a", 0o666, b"as it was");
            file(writer, b"b", 0o600, b"as it was");
        });
        assert!(made(&stream, &order(&root.join("target"), None, false)).is_ok());
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("target"), mode("target/a"), mode("target/b")), (0o750, 0o666, 0o600));
        fs::remove_dir_all(root).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_cut_or_altered_stream_leaves_the_old_target_or_a_whole_new_one(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
            name in prop::collection::vec(any::<u8>().prop_filter("of a name", |byte| !matches!(byte, 0 | b'/')), 1..20)
                .prop_filter("a name", |name| !matches!(name.as_slice(), b"." | b"..")),
        ) {
            let root = scratch("random");
            let target = root.join("target");
            fs::write(&target, "old").unwrap();
            let mut stream = written(|writer| file(writer, &name, 0o644, b"new content"));
            let index = at.index(stream.len());
            if cut { stream.truncate(index) } else { stream[index] = byte }
            let done = made(&stream, &order(&target, Some(&name), true));
            if done.is_err() {
                prop_assert_eq!(fs::read_to_string(&target).unwrap(), "old");
            }
            prop_assert_eq!(listing(&root), ["beside", "target"]);
            fs::remove_dir_all(&root).unwrap();
        }
    }
}
