//! What a patch asks for and is not done, whatever its hunks say.

use super::failure::{Failure, Reason};
use super::section::{GitMode, Origin, Section};
use super::tree::Found;

pub(super) const NO_WAY: &str =
    "it is reached by a symbolic link, which is not followed, or lies below what is no directory";
pub(super) const NO_DATA: &str = "it is binary and the patch does not have its content: make it with --binary";
pub(super) const NO_IDS: &str =
    "the binary patch does not name the contents: make it with --binary, which writes an `index` line";
pub(super) const NO_TARGET: &str = "a symbolic link without a target that one can have";

/// Why a section is not applied to what is there.
pub(super) fn refusal(section: &Section, source: &Found, is_reverse: bool) -> Option<Failure> {
    let refuse = |reason, text: &str| Some(Failure::of(section, reason, text));
    let modes = [section.old_mode, section.new_mode];
    if modes.contains(&Some(GitMode::Other)) {
        return refuse(Reason::Unsupported, "it is a submodule, or of another kind that is no file");
    }
    if section.origin == Origin::Copied && is_reverse {
        return refuse(Reason::Unsupported, "a copy is not taken back: make the patch without looking for copies");
    }
    let is_link = |mode: GitMode| mode == GitMode::Symlink;
    if let (Some(there), Some(said)) = (source.mode(), section.old_mode.or(section.new_mode))
        && is_link(there) != is_link(said)
    {
        let text = if is_link(there) { "it is a symbolic link" } else { "it is no symbolic link" };
        return refuse(Reason::Kind, text);
    }
    if let [Some(old), Some(new)] = modes
        && section.old.is_some()
        && is_link(old) != is_link(new)
    {
        return refuse(Reason::Unsupported, "a file becomes a link, or the reverse, and is not deleted before");
    }
    if source.mode() == Some(GitMode::Symlink) && !section.is_git {
        return refuse(Reason::Kind, "it is a symbolic link, which is not followed");
    }
    None
}
