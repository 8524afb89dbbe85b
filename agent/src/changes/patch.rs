//! Changes as a patch that git takes.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::readlinkat;
use rustix::io::Errno;

use super::binary::write_literal;
use super::change::{Carried, Change, Kind, Side, Status};
use super::content::{FileReader, open, read_whole};
use super::hunks::{self, LineCount};
use super::{quote, sha1};
use pyro_seed::places::Places;

/// Git's name for no content.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Writes patches of two trees.
pub(super) struct Patcher<'t> {
    from: Places<'t>,
    to: Places<'t>,
    include_binary: bool,
}

impl<'t> Patcher<'t> {
    pub(super) fn new(from: BorrowedFd<'t>, to: BorrowedFd<'t>, include_binary: bool) -> Self {
        Self { from: Places::new(from), to: Places::new(to), include_binary }
    }

    /// Whether the content of this change, or its mode, is in the patch.
    pub(super) fn has(&self, change: &Change) -> bool {
        match change.carried {
            Carried::Text => true,
            Carried::Binary | Carried::Huge => self.include_binary || change.renamed.is_some(),
            Carried::Never => false,
        }
    }

    /// Writes one change; how many lines of text it has.
    pub(super) fn write(&mut self, change: &Change, out: &mut dyn Write) -> io::Result<LineCount> {
        let mut count = LineCount::default();
        if self.has(change) {
            match (change.status(), &change.renamed) {
                // The path that it has now says so.
                (Status::Deleted, Some(_)) => {}
                (_, Some(old)) => write_rename(change, old, out)?,
                (Status::TypeChanged, None) => {
                    for half in [Change { to: None, ..change.clone() }, Change { from: None, ..change.clone() }] {
                        if half.from.or(half.to).is_some_and(|side| side.is_blob()) {
                            let part = self.write_one(&half, out)?;
                            count.added += part.added;
                            count.removed += part.removed;
                        }
                    }
                }
                (_, None) => count = self.write_one(change, out)?,
            }
        }
        self.write_remark(change, out)?;
        Ok(count)
    }

    /// What git does not take, as a line that it passes over.
    fn write_remark(&self, change: &Change, out: &mut dyn Write) -> io::Result<()> {
        let mut words: Vec<String> = change.lost.words().map(str::to_owned).collect();
        if !self.has(change) && matches!(change.carried, Carried::Binary | Carried::Huge) {
            let size = |side: Option<Side>| side.map_or(0, |side| side.size);
            let kind = if change.carried == Carried::Binary { "binary" } else { "large" };
            words.push(format!("{kind}, {} to {} bytes", size(change.from), size(change.to)));
        }
        if words.is_empty() {
            return Ok(());
        }
        out.write_all(b"# pyro: not in this patch: ")?;
        out.write_all(&quote::quoted(&change.path))?;
        writeln!(out, ": {}", words.join("; "))
    }

    fn write_one(&mut self, change: &Change, out: &mut dyn Write) -> io::Result<LineCount> {
        write_head(&change.path, &change.path, out)?;
        let (from, to) = (change.from, change.to);
        match (from, to) {
            (None, Some(to)) => writeln!(out, "new file mode {}", to.git_mode())?,
            (Some(from), None) => writeln!(out, "deleted file mode {}", from.git_mode())?,
            (Some(from), Some(to)) => {
                write_modes(from, to, out)?;
                if !change.has_other_content {
                    return Ok(LineCount::default());
                }
            }
            (None, None) => {}
        }
        if change.carried == Carried::Text {
            self.write_text(change, out)
        } else {
            self.write_binary(change, out).map(|()| LineCount::default())
        }
    }

    fn write_text(&mut self, change: &Change, out: &mut dyn Write) -> io::Result<LineCount> {
        let old = blob(&mut self.from, &change.path, change.from)?;
        let new = blob(&mut self.to, &change.path, change.to)?;
        write_index(change, &name_of(old.as_deref()), &name_of(new.as_deref()), out)?;
        let (old, new) = (old.as_deref(), new.as_deref());
        if old.unwrap_or_default() == new.unwrap_or_default() {
            return Ok(LineCount::default());
        }
        for (mark, side, is_there) in [("--- ", b"a/", old.is_some()), ("+++ ", b"b/", new.is_some())] {
            out.write_all(mark.as_bytes())?;
            if is_there {
                out.write_all(&quote::name(&[side, change.path.as_slice()].concat()))?;
                // Otherwise what follows a blank may be taken for a date.
                if change.path.contains(&b' ') && quote::name(&change.path) == change.path {
                    out.write_all(b"\t")?;
                }
            } else {
                out.write_all(b"/dev/null")?;
            }
            out.write_all(b"\n")?;
        }
        hunks::write(old.unwrap_or_default(), new.unwrap_or_default(), out)
    }

    fn write_binary(&mut self, change: &Change, out: &mut dyn Write) -> io::Result<()> {
        let old = digest(&mut self.from, &change.path, change.from)?;
        let new = digest(&mut self.to, &change.path, change.to)?;
        write_index(change, &old, &new, out)?;
        out.write_all(b"GIT binary patch\n")?;
        write_content(&mut self.to, &change.path, change.to, out)?;
        write_content(&mut self.from, &change.path, change.from, out)
    }
}

fn write_head(old: &[u8], new: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"diff --git ")?;
    out.write_all(&quote::name(&[b"a/", old].concat()))?;
    out.write_all(b" ")?;
    out.write_all(&quote::name(&[b"b/", new].concat()))?;
    out.write_all(b"\n")
}

fn write_modes(from: Side, to: Side, out: &mut dyn Write) -> io::Result<()> {
    if from.git_mode() == to.git_mode() {
        return Ok(());
    }
    write!(out, "old mode {}\nnew mode {}\n", from.git_mode(), to.git_mode())
}

fn write_rename(change: &Change, old: &[u8], out: &mut dyn Write) -> io::Result<()> {
    write_head(old, &change.path, out)?;
    if let (Some(from), Some(to)) = (change.renamed_from, change.to) {
        write_modes(from, to, out)?;
    }
    out.write_all(b"similarity index 100%\nrename from ")?;
    out.write_all(&quote::name(old))?;
    out.write_all(b"\nrename to ")?;
    out.write_all(&quote::name(&change.path))?;
    out.write_all(b"\n")
}

/// Both contents' names; the mode too where nothing else says it.
fn write_index(change: &Change, old: &str, new: &str, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "index {old}..{new}")?;
    match (change.from, change.to) {
        (Some(from), Some(to)) if from.git_mode() == to.git_mode() => writeln!(out, " {}", to.git_mode()),
        _ => out.write_all(b"\n"),
    }
}

fn name_of(content: Option<&[u8]>) -> String {
    content.map_or_else(|| NOTHING.to_owned(), sha1::blob_name)
}

/// All of a file, or of a link's target, as git has it.
fn blob(places: &mut Places<'_>, path: &[u8], side: Option<Side>) -> Result<Option<Vec<u8>>, Errno> {
    let Some(side) = side else { return Ok(None) };
    let (holder, name) = places.parent(path)?;
    match side.kind {
        Kind::Symlink => readlinkat(holder, name, Vec::new()).map(|target| Some(target.into_bytes())),
        _ => read_whole(open(holder, name)?, side.size).map(Some),
    }
}

/// The name that git has for a content, which is not in memory at once.
pub(super) fn digest(places: &mut Places<'_>, path: &[u8], side: Option<Side>) -> io::Result<String> {
    let Some(side) = side else { return Ok(NOTHING.to_owned()) };
    if side.kind == Kind::Symlink {
        return Ok(name_of(blob(places, path, Some(side))?.as_deref()));
    }
    let (holder, name) = places.parent(path)?;
    let mut digest = Digest(sha1::blob(side.size));
    io::copy(&mut FileReader::new(open(holder, name)?), &mut digest)?;
    Ok(sha1::hex(&digest.0.finish()))
}

fn write_content(places: &mut Places<'_>, path: &[u8], side: Option<Side>, out: &mut dyn Write) -> io::Result<()> {
    let Some(side) = side else { return write_literal(io::empty(), 0, out) };
    if side.kind == Kind::Symlink {
        let target = blob(places, path, Some(side))?.unwrap_or_default();
        return write_literal(&target[..], target.len() as u64, out);
    }
    let (holder, name) = places.parent(path)?;
    write_literal(FileReader::new(open(holder, name)?), side.size, out)
}

struct Digest(sha1::Sha1);

impl Write for Digest {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.add(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
