//! What a patch finds in the workspace, and what it makes beside it. No link is followed on the way to a file, nor at its end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::section::GitMode;
use crate::changes::sha1;
use crate::files::copy_xattrs;

/// Read at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Longest target of a link (PATH_MAX, with its NUL).
pub(super) const MAX_TARGET_BYTES: usize = 4095;

/// What is at a path.
pub(super) enum Found {
    Nothing,
    File {
        file: File,
        stat: Stat,
    },
    Link {
        target: Vec<u8>,
        stat: Stat,
    },
    /// What it is, in words.
    Other(&'static str),
    /// The way there leads through a link, or what is no directory.
    NoWay,
}

/// Looks at a path of a tree.
pub(super) fn look(places: &mut Places<'_>, path: &[u8]) -> Result<Found, Errno> {
    let (parent, name) = match places.parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Found::NoWay),
        Err(errno) => return Err(errno),
    };
    look_at(parent, name)
}

/// Looks at a name in a directory.
pub(super) fn look_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Found, Errno> {
    let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(errno) => return Err(errno),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = readlinkat(parent, name, Vec::new())?.into_bytes();
            Ok(Found::Link { target, stat })
        }
        // A fifo or a device is not even opened.
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = File::from(openat(parent, name, flags, Mode::empty())?);
            let stat = fstat(&file)?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            Ok(if is_file { Found::File { file, stat } } else { Found::Other("no regular file") })
        }
        FileType::Directory => Ok(Found::Other("a directory")),
        FileType::Fifo => Ok(Found::Other("a fifo")),
        FileType::Socket => Ok(Found::Other("a socket")),
        _ => Ok(Found::Other("a device")),
    }
}

impl Found {
    pub(super) fn stat(&self) -> Option<&Stat> {
        match self {
            Self::File { stat, .. } | Self::Link { stat, .. } => Some(stat),
            _ => None,
        }
    }

    /// Bytes of its content.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File { stat, .. } => stat.st_size.cast_unsigned(),
            Self::Link { target, .. } => target.len() as u64,
            _ => 0,
        }
    }

    /// All of its content, of up to `limit` bytes.
    pub(super) fn read(&self, limit: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::File { file, .. } => {
                let mut content = Vec::new();
                reader(file).take(limit as u64).read_to_end(&mut content)?;
                Ok(content)
            }
            Self::Link { target, .. } => Ok(target.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// Git's name for its content.
    pub(super) fn id(&self) -> io::Result<String> {
        match self {
            Self::File { file, stat } => id_of(file, stat.st_size.cast_unsigned()),
            Self::Link { target, .. } => Ok(sha1::blob_name(target)),
            _ => Ok("0".repeat(40)),
        }
    }

    pub(super) fn mode(&self) -> Option<GitMode> {
        match self {
            Self::File { stat, .. } => Some(GitMode::File { is_executable: stat.st_mode & 0o100 != 0 }),
            Self::Link { .. } => Some(GitMode::Symlink),
            _ => None,
        }
    }
}

/// A file from its beginning, wherever it was read before.
fn reader(file: &File) -> impl Read + '_ {
    struct Reader<'f>(&'f File, u64);
    impl Read for Reader<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = std::os::unix::fs::FileExt::read_at(self.0, into, self.1)?;
            self.1 += count as u64;
            Ok(count)
        }
    }
    Reader(file, 0)
}

/// Git's name for the content of a file of so many bytes.
pub(super) fn id_of(file: &File, size: u64) -> io::Result<String> {
    let mut digest = sha1::blob(size);
    let mut piece = vec![0; PIECE_BYTES];
    let mut reader = reader(file);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(sha1::hex(&digest.finish())),
            Ok(count) => digest.add(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What every change of a file moves.
pub(super) fn identity(stat: &Stat) -> (u64, i64, i64, u64) {
    (stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec)
}

/// The directory that is there and would have this path, or the nearest one above it: what is new belongs to its owner.
pub(super) fn nearest(places: &mut Places<'_>, path: &[u8]) -> Result<Stat, Errno> {
    let mut at = path;
    loop {
        match places.directory(at) {
            Ok(directory) => return fstat(directory),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) if !at.is_empty() => at = parent_of(at),
            Err(errno) => return Err(errno),
        }
    }
}

/// The path of the directory that a path is in.
pub(super) fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |slash| &path[..slash])
}

/// Makes a file of this name, empty and its maker's until `dress`.
pub(super) fn create(directory: BorrowedFd<'_>, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// Gives a file what the one before it had, or what a new one has; executable or not as git says.
pub(super) fn dress(file: &File, like: &Found, holder: &Stat, executable: Option<bool>) -> Result<(), Errno> {
    let owner = like.stat().unwrap_or(holder);
    fchown(file, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)))?;
    let mut mode = match like {
        Found::File { stat, .. } => stat.st_mode & 0o7777,
        _ => 0o644,
    };
    match executable {
        // Whoever may read it.
        Some(true) if mode & 0o100 == 0 => mode |= (mode & 0o444) >> 2,
        Some(false) if mode & 0o100 != 0 => mode &= !0o111,
        _ => {}
    }
    fchmod(file, Mode::from_raw_mode(mode))?;
    match like {
        Found::File { file: old, .. } => copy_xattrs(old.as_fd(), file.as_fd()),
        _ => Ok(()),
    }
}

/// Copies a content; where the file system can, without its bytes.
pub(super) fn copy(from: &Found, to: &File) -> io::Result<()> {
    match from {
        Found::File { file, .. } => match rustix::fs::ioctl_ficlone(to, file) {
            Ok(()) => Ok(()),
            Err(_) => io::copy(&mut reader(file), &mut &*to).map(drop),
        },
        Found::Link { target, .. } => (&*to).write_all(target),
        _ => Ok(()),
    }
}

/// Makes a directory of the agent's own and opens it.
pub(super) fn make_directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}
