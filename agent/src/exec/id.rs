//! The host's name for a command.

use std::fmt;
use std::str::FromStr;

/// Longest id, in bytes. It becomes a directory's name (its control group).
pub const MAX_ID_BYTES: usize = 64;

/// A valid exec id: 1 to [`MAX_ID_BYTES`] characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecId(String);

impl ExecId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that is no exec id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exec_id: expected 1 to {MAX_ID_BYTES} characters of [A-Za-z0-9_-]")
    }
}

impl FromStr for ExecId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(valid) {
            return Err(InvalidId);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_not_be_a_plain_directory_name_are_refused() {
        for text in ["", ".", "..", "a/b", "a.b", "a b", "é", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert_eq!(text.parse::<ExecId>(), Err(InvalidId), "{text:?}");
        }
        assert_eq!("run_1-B".parse::<ExecId>().unwrap().as_str(), "run_1-B");
    }
}
