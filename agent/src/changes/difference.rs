//! What has become of one path: whether it is another one in the later tree, how a patch has that, and what none has.

use std::os::fd::BorrowedFd;

use pyro_seed::xattrs;
use rustix::fs::readlinkat;
use rustix::io::Errno;

use super::both::Both;
use super::change::{Carried, Change, Kind, Lost, Side};
use super::content::{self, PIECE_BYTES};
use crate::system_error::{Doing, SystemError};

/// A longer file is not compared by lines, in bytes: both sides and their lines are in memory at once.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Where git looks for NUL bytes (xdiff-interface.c), in bytes from a file's beginning.
const BINARY_BYTES: usize = 8000;

/// A path of both trees, of which at least one has it.
pub(super) struct Pair<'a> {
    /// From the trees' root.
    pub(super) path: &'a [u8],
    /// The path's last part.
    pub(super) name: &'a [u8],
    /// The directory that it is in.
    pub(super) holder: Both<BorrowedFd<'a>>,
    pub(super) sides: Both<Side>,
}

impl Pair<'_> {
    /// What has become of the path itself; of a directory that came or went only what is not in its names.
    pub(super) fn change(&self) -> Result<Option<Change>, SystemError> {
        let Both { from, to } = self.sides;
        let mut change = Change::new(self.path.to_vec(), from, to);
        if let Some(to) = &to {
            if self.has_other_xattrs().doing(|| self.doing("read attributes of"))? {
                change.lost.add(Lost::XATTRS);
            }
            change.lose(from.as_ref().filter(|from| from.kind == to.kind), to);
        } else if from.is_some_and(|from| from.kind == Kind::Special) {
            change.lost.add(Lost::SPECIAL_FILE);
        }
        if self.name.eq_ignore_ascii_case(b".git") {
            change.lost.add(Lost::NAME);
        }
        if let (Some(from), Some(to)) = (from, to)
            && from.kind == to.kind
        {
            change.has_other_content = self.has_other_content(&from, &to).doing(|| self.doing("compare"))?;
            if to.kind == Kind::Special && !change.has_other_content {
                change.lost = Lost::default();
                change.lose(Some(&from), &Side { kind: Kind::Directory, ..to });
            }
            if !change.has_other_content && !is_other_mode(&from, &to) && !change.lost.is_some() {
                return Ok(None);
            }
        }
        let blobs = [from, to].into_iter().flatten().filter(Side::is_blob).count();
        // Directories come and go with what is in them.
        if blobs == 0 && !change.lost.is_some() {
            return Ok(None);
        }
        change.carried = self.carried(&change).doing(|| self.doing("read"))?;
        Ok(Some(change))
    }

    fn has_other_xattrs(&self) -> Result<bool, Errno> {
        let attributes = |holder: Option<BorrowedFd<'_>>, side: Option<Side>| {
            holder
                .filter(|_| side.is_some())
                .map_or(Ok(Vec::new()), |holder| xattrs::of_entry(holder, self.name, |_| true))
        };
        let Self { holder, sides, .. } = self;
        Ok(attributes(holder.from, sides.from)? != attributes(holder.to, sides.to)?)
    }

    /// Whether a path that is of one kind in both has another content.
    fn has_other_content(&self, from: &Side, to: &Side) -> Result<bool, Errno> {
        let (Some(old), Some(new)) = (self.holder.from, self.holder.to) else { return Ok(true) };
        let target = |holder| readlinkat(holder, self.name, Vec::new());
        match to.kind {
            Kind::Directory => Ok(false),
            Kind::Special => Ok(from.device != to.device),
            Kind::Symlink => Ok(target(old)? != target(new)?),
            Kind::File if from.size != to.size => Ok(true),
            Kind::File => {
                let (old, new) = (content::open(old, self.name)?, content::open(new, self.name)?);
                content::is_same(old, new, to.size).map(|is_same| !is_same)
            }
        }
    }

    /// How a patch has it.
    fn carried(&self, change: &Change) -> Result<Carried, Errno> {
        if self.path.split(|byte| *byte == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
            return Ok(Carried::Never);
        }
        if let (Some(from), Some(to)) = (change.from, change.to)
            && from.kind == to.kind
            && !change.has_other_content
        {
            return Ok(if is_other_mode(&from, &to) { Carried::Text } else { Carried::Never });
        }
        let mut carried = Carried::Never;
        for (side, holder) in [(change.from, self.holder.from), (change.to, self.holder.to)] {
            let (Some(side), Some(holder)) = (side.filter(Side::is_blob), holder) else { continue };
            if carried == Carried::Never {
                carried = Carried::Text;
            }
            if side.kind == Kind::Symlink {
                continue;
            }
            if side.size > TEXT_BYTES_MAX {
                carried = Carried::Huge;
            } else if carried == Carried::Text && has_nul(holder, self.name, side.size)? {
                carried = Carried::Binary;
            }
        }
        Ok(carried)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} {}", super::quote::shown(self.path))
    }
}

/// Whether git sees another mode, of a path that is of one kind in both.
fn is_other_mode(from: &Side, to: &Side) -> bool {
    to.kind == Kind::File && from.git_mode() != to.git_mode()
}

fn has_nul(holder: BorrowedFd<'_>, name: &[u8], size: u64) -> Result<bool, Errno> {
    let mut start = vec![0; BINARY_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
    let filled = content::fill(content::open(holder, name)?, &mut start, 0)?;
    Ok(start[..filled].contains(&0))
}
