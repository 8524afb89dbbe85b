//! Files of the workspace, for the host: a tree put over it, trees taken out of it, and single files.
//!
//! A path is followed from the workspace's directory by descriptors, and never through a link: what a guest's processes plant there leads
//! nowhere else.

mod content;
mod directories;
mod list;
mod merge;
mod pull;
mod push;
mod search;

use std::fmt;
use std::io;

pub(crate) use content::{Change, copy_xattrs, read, write};
pub(crate) use list::{Listed, Listing, list};
pub(crate) use merge::Plan;
pub(crate) use pull::pull;
pub(crate) use push::push;
use pyro_seed::fill::FillError;
use pyro_seed::report::printable;
use pyro_seed::stream::is_plain;
use rustix::io::Errno;
pub(crate) use search::{Line, Search, search};

use crate::system_error::{Doing, SystemError};

/// Why something was not done with files. Nothing of the workspace is changed then, but for `Torn`.
#[derive(Debug)]
pub(crate) enum FilesError {
    /// The request is wrong in itself.
    Invalid(String),
    /// What is there stands in the way.
    Conflict(String),
    /// It was done in part; the next start takes it back.
    Torn(String),
    /// A step of the agent's own failed.
    System(SystemError),
}

impl FilesError {
    /// What was being done with a path when the kernel refused. A link on the way is a conflict.
    pub(crate) fn of(what: &str, path: &[u8], errno: Errno) -> Self {
        match errno {
            Errno::LOOP | Errno::NOTDIR => Self::Conflict(format!(
                "{} is reached by a symbolic link, which is not followed, or lies below what is no directory",
                shown(path)
            )),
            errno => Self::System(SystemError::new(format!("{what} {}", shown(path)), errno)),
        }
    }
}

impl From<SystemError> for FilesError {
    fn from(error: SystemError) -> Self {
        Self::System(error)
    }
}

impl From<FillError> for FilesError {
    fn from(error: FillError) -> Self {
        match error {
            FillError::System(path, errno) => Self::System(SystemError::new(format!("make {}", shown(&path)), errno)),
            FillError::Stream(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                Self::System(SystemError::new("read the tree's stream".to_owned(), Errno::CANCELED))
            }
            FillError::Stream(error) => Self::Invalid(format!("the tree's stream is damaged: {error}")),
        }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Conflict(text) | Self::Torn(text) => formatter.write_str(text),
            Self::System(error) => error.fmt(formatter),
        }
    }
}

/// A path from the workspace: plain, or empty for the workspace itself.
///
/// # Errors
/// It is neither.
pub(crate) fn checked(path: &[u8]) -> Result<&[u8], FilesError> {
    if path.is_empty() || is_plain(path) {
        return Ok(path);
    }
    Err(FilesError::Invalid(format!("{} is no path below the workspace", shown(path))))
}

/// A path for a message.
fn shown(path: &[u8]) -> String {
    if path.is_empty() { "the workspace".to_owned() } else { printable(path) }
}

/// The agent's own umask: what a file is made with is less these bits.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").doing(|| "read /proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Whatever is not known is set anew for each file.
    line.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken() {
        for path in [&b"/"[..], b"/etc", b"a/../b", b"..", b".", b"a//b", b"a/", b"a\0"] {
            assert!(matches!(checked(path), Err(FilesError::Invalid(_))), "{path:?}");
        }
        assert!(checked(b"").is_ok());
        assert!(checked(b"a/\xff\n..b").is_ok());
    }

    #[test]
    fn the_umask_is_known() {
        assert!(umask() <= 0o777);
    }
}
