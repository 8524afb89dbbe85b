//! One path that is not the same in two trees.

use rustix::fs::{FileType, Stat};

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A device, a pipe or a socket.
    Special,
}

/// A path in one of the trees.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// What it is.
    pub kind: Kind,
    /// Permission bits (`st_mode & 07777`).
    pub mode: u32,
    /// Bytes of a file, or of a link's target.
    pub size: u64,
    pub(super) owner: (u32, u32),
    pub(super) links: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Side {
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Directory => Kind::Directory,
            _ => Kind::Special,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            size: stat.st_size.cast_unsigned(),
            owner: (stat.st_uid, stat.st_gid),
            links: stat.st_nlink,
            device: stat.st_rdev,
            inode: stat.st_ino,
        }
    }

    /// Whether git has a blob of it.
    pub(super) fn is_blob(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::Symlink)
    }

    /// Git knows of a file's mode only whether its owner may execute it.
    pub(super) fn git_mode(&self) -> &'static str {
        match self.kind {
            Kind::Symlink => "120000",
            _ if self.mode & 0o100 != 0 => "100755",
            _ => "100644",
        }
    }

    /// Whether git makes a file of this mode, with one umask or the other.
    fn has_usual_mode(&self) -> bool {
        matches!(self.mode, 0o644 | 0o755 | 0o664 | 0o775)
    }
}

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is only in the later tree.
    Added,
    /// It is in both, and of the same kind.
    Modified,
    /// It is only in the earlier tree.
    Deleted,
    /// It is of another kind.
    TypeChanged,
}

/// How a patch has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As text, which also a mode, a link and a new name are.
    Text,
    /// As a binary patch, if that is asked for: a file with NUL bytes.
    Binary,
    /// The same: a file too long for a comparison by lines.
    Huge,
    /// Not at all.
    Never,
}

/// What is different and that git has no words for. Each is one bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost(u8);

impl Lost {
    /// Another owner or group.
    pub const OWNER: Self = Self(1);
    /// A mode that git does not make.
    pub const MODE: Self = Self(2);
    /// Extended attributes.
    pub const XATTRS: Self = Self(4);
    /// Further names of the same file.
    pub const HARD_LINK: Self = Self(8);
    /// A directory without anything in it.
    pub const EMPTY_DIRECTORY: Self = Self(16);
    /// A device, a pipe or a socket.
    pub const SPECIAL_FILE: Self = Self(32);
    /// A name that git refuses.
    pub const NAME: Self = Self(64);

    /// All of them, with their words.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::OWNER, "owner"),
        (Self::MODE, "mode"),
        (Self::XATTRS, "extended attributes"),
        (Self::HARD_LINK, "hard link"),
        (Self::EMPTY_DIRECTORY, "empty directory"),
        (Self::SPECIAL_FILE, "special file"),
        (Self::NAME, "name"),
    ];

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is something.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// What it is, in words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(each, _)| self.has(*each)).map(|(_, word)| word)
    }
}

/// A path that is not the same in both trees.
#[derive(Debug, Clone)]
pub struct Change {
    /// From the trees' root, without a slash in front.
    pub path: Vec<u8>,
    /// As it was.
    pub from: Option<Side>,
    /// As it is.
    pub to: Option<Side>,
    /// Whether the content is another one, of a path that is in both.
    pub(super) has_other_content: bool,
    /// How a patch has it.
    pub carried: Carried,
    /// What no patch of git's has.
    pub lost: Lost,
    /// The deleted path whose content it has, or the added path that has its content.
    pub renamed: Option<Vec<u8>>,
    /// What that was, of an added path.
    pub(super) renamed_from: Option<Side>,
}

impl Change {
    pub(super) fn new(path: Vec<u8>, from: Option<Side>, to: Option<Side>) -> Self {
        let (carried, lost) = (Carried::Never, Lost::default());
        Self { path, from, to, has_other_content: false, carried, lost, renamed: None, renamed_from: None }
    }

    /// What has become of the path.
    #[must_use]
    pub fn status(&self) -> Status {
        match (&self.from, &self.to) {
            (None, _) => Status::Added,
            (_, None) => Status::Deleted,
            (Some(from), Some(to)) if from.kind == to.kind => Status::Modified,
            _ => Status::TypeChanged,
        }
    }

    /// Notes what git does not know of a change of a path's attributes.
    pub(super) fn lose(&mut self, from: Option<&Side>, to: &Side) {
        if to.kind == Kind::Special {
            self.lost.add(Lost::SPECIAL_FILE);
        }
        if to.kind == Kind::File && to.links > 1 && from.is_none_or(|from| from.inode != to.inode) {
            self.lost.add(Lost::HARD_LINK);
        }
        if from.is_some_and(|from| from.owner != to.owner) {
            self.lost.add(Lost::OWNER);
        }
        let is_same_mode = from.is_some_and(|from| from.mode == to.mode);
        let is_usual = to.has_usual_mode() && from.is_none_or(Side::has_usual_mode);
        match to.kind {
            Kind::File if !is_same_mode && !is_usual => self.lost.add(Lost::MODE),
            Kind::Directory | Kind::Special if from.is_some() && !is_same_mode => self.lost.add(Lost::MODE),
            _ => {}
        }
    }
}
