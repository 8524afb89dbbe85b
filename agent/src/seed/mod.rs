//! Seeds: what workspaces begin with. A machine that is nobody's gets a tree as a stream on its drive `seed` and makes a btrfs of
//! it on its drive `volume`, which is then shared, read-only, by all workspaces that begin like this; another one makes the
//! first volume on top of it, which is copied for each of them.

mod compare;
mod superblock;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::path::Path;

use pyro_seed::fill::{FillError, Policy, fill};
pub use pyro_seed::stream::Totals;
use rustix::io::Errno;

use crate::system_error::{Doing, SystemError};
use crate::volume::Nursery;

/// What is read of a drive at once, in bytes.
const READ_BYTES: usize = 1 << 20;

/// Why there is no seed.
#[derive(Debug)]
pub enum SeedError {
    /// A step of the agent's own failed.
    System(SystemError),
    /// What lies on the disk is not what was to be there: the path, and what differs.
    Different(String),
}

impl From<SystemError> for SeedError {
    fn from(error: SystemError) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for SeedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(formatter),
            Self::Different(what) => write!(formatter, "the seed differs from its source: {what}"),
        }
    }
}

/// What is being done with a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its files are written.
    Filling,
    /// They are compared with the stream.
    Comparing,
}

/// Told how far it is.
pub type Progress<'a> = dyn FnMut(Phase, Totals) + 'a;

/// Makes a seed on `volume`, an empty btrfs, of the stream on `stream`: filled, written, and compared. What is compared may still
/// lie in memory; that the disk has the same is what the file system's checksums then tell, which is ten times quicker here
/// than reading every file again.
///
/// # Errors
/// The step that failed, or what differs. The volume is then of no use.
pub fn make(stream: &Path, volume: &Path, progress: &mut Progress<'_>) -> Result<Totals, SeedError> {
    let nursery = Nursery::make(volume)?;
    // Modes are the stream's, and this machine is nobody's.
    rustix::process::umask(rustix::fs::Mode::empty());
    let filling = &mut |totals| progress(Phase::Filling, totals);
    fill(open(stream)?, nursery.tree()?.as_fd(), Policy::whole(0), filling).map_err(fill_error)?;
    nursery.seal()?;
    let compared = &mut |totals| progress(Phase::Comparing, totals);
    let totals = compare::compare(open(stream)?, nursery.tree()?.as_fd(), compared)?;
    let damaged = nursery.scrub()?;
    if damaged > 0 {
        return Err(SeedError::Different(format!("{damaged} blocks on the disk are not what was written")));
    }
    nursery.close()?;
    superblock::mark_as_seed(volume)?;
    Ok(totals)
}

fn open(stream: &Path) -> Result<BufReader<File>, SystemError> {
    let file = File::open(stream).doing(|| format!("open {}", stream.display()))?;
    Ok(BufReader::with_capacity(READ_BYTES, file))
}

/// Reading the stream failed, or it breaks its format.
fn stream_error(error: io::Error) -> SeedError {
    if error.kind() == io::ErrorKind::InvalidData || error.kind() == io::ErrorKind::UnexpectedEof {
        return SeedError::Different(format!("the stream is damaged: {error}"));
    }
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    SeedError::System(SystemError::new("read the seed's stream".to_owned(), errno))
}

fn fill_error(error: FillError) -> SeedError {
    match error {
        FillError::Stream(error) => stream_error(error),
        FillError::System(path, errno) => SeedError::System(SystemError::new(format!("make {}", shown(&path)), errno)),
    }
}

/// A path for a message.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use pyro_seed::stream::{Meta, Writer};

    use super::*;

    /// A directory of the test's own.
    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("pyro-seed-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn make_tree(stream: &[u8], root: &File) -> Result<pyro_seed::fill::Filled, FillError> {
        fill(stream, root.as_fd(), Policy::whole(0o777), &mut |_| ())
    }

    fn stream() -> Vec<u8> {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let meta = |mode| Meta { mode, uid, gid, seconds: 5, nanoseconds: 123_456_789, ..Meta::default() };
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        writer.directory(b"d").unwrap();
        let xattrs = vec![(b"user.note".to_vec(), vec![0, 255])];
        writer.file(b"d/sparse", &Meta { xattrs, ..meta(0o640) }, 1 << 20).unwrap();
        writer.chunk(512 << 10, &[7; 4096]).unwrap();
        writer.end_file().unwrap();
        writer.symlink(b"d/s", &meta(0o777), b"../../nowhere").unwrap();
        writer.finished(b"d", &meta(0o750)).unwrap();
        writer.link(b"hard", b"d/sparse").unwrap();
        writer.finished(b"", &meta(0o700)).unwrap();
        writer.end().unwrap();
        bytes
    }

    #[test]
    fn what_was_filled_is_the_same_and_each_difference_is_found() {
        let root = scratch("differences");
        let directory = File::open(&root).unwrap();
        let totals = make_tree(&stream(), &directory).unwrap().totals;
        assert_eq!(totals, Totals { entries: 4, bytes: 1 << 20 });
        let look = || compare::compare(&stream()[..], directory.as_fd(), &mut |_| ());
        assert_eq!(look().unwrap(), totals);
        let file = root.join("d/sparse");
        assert!(fs::metadata(&file).unwrap().blocks() < 64, "the hole is one");
        assert_eq!(fs::metadata(root.join("d")).unwrap().mtime_nsec(), 123_456_789);

        type Spoil<'a> = (&'a str, Box<dyn Fn() + 'a>);
        let attribute = |value: &[u8]| {
            rustix::fs::setxattr(&file, "user.note", value, rustix::fs::XattrFlags::empty()).unwrap();
        };
        let spoils: [Spoil<'_>; 7] = [
            ("attribute", Box::new(|| attribute(b"other"))),
            (
                "one more attribute",
                Box::new(|| rustix::fs::setxattr(&file, "user.b", b"", rustix::fs::XattrFlags::empty()).unwrap()),
            ),
            ("mode", Box::new(|| fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap())),
            ("content", Box::new(|| fs::write(&file, vec![0; 1 << 20]).unwrap())),
            ("names", Box::new(|| fs::write(root.join("more"), "").unwrap())),
            (
                "target",
                Box::new(|| {
                    fs::remove_file(root.join("d/s")).unwrap();
                    symlink("elsewhere", root.join("d/s")).unwrap();
                }),
            ),
            (
                "link",
                Box::new(|| {
                    fs::remove_file(root.join("hard")).unwrap();
                    fs::copy(&file, root.join("hard")).unwrap();
                }),
            ),
        ];
        for (name, spoil) in &spoils {
            fs::remove_dir_all(&root).unwrap();
            fs::create_dir(&root).unwrap();
            let directory = File::open(&root).unwrap();
            make_tree(&stream(), &directory).unwrap();
            spoil();
            let found = compare::compare(&stream()[..], directory.as_fd(), &mut |_| ());
            assert!(matches!(found, Err(SeedError::Different(_))), "{name}: {found:?}");
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn nothing_is_written_through_a_link_that_came_before() {
        let root = scratch("links");
        let outside = scratch("outside");
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        writer.symlink(b"d", &Meta::default(), outside.to_str().unwrap().as_bytes()).unwrap();
        writer.file(b"d/f", &Meta::default(), 0).unwrap();
        writer.end_file().unwrap();
        writer.end().unwrap();
        let directory = File::open(&root).unwrap();
        assert!(make_tree(&bytes, &directory).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        fs::remove_dir_all(root).unwrap();
        fs::remove_dir_all(outside).unwrap();
    }
}
