//! What the host wants of a volume before anything runs on it, and what it calls a volume's trees.

use super::layout::SNAPSHOTS;

/// Longest id of a snapshot, in bytes. It is a directory's name.
const MAX_ID_BYTES: usize = 64;
/// The snapshot that every volume has.
pub(super) const BASELINE: &str = "baseline";

/// What the host wants of a volume before anything runs on it (VolumeSetup), already validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// The snapshots that the host knows.
    pub snapshots: Vec<SnapshotId>,
    /// What the workspace becomes a copy of; none: it stays as it is.
    pub reset_to: Option<Source>,
    /// Whether it was sprouted from the seed that is on the drive `seed`.
    pub seeded: bool,
    /// Least size of its drive, in bytes, which may have grown just now.
    pub drive_bytes: u64,
}

/// What a workspace can be a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The workspace as it was made.
    Baseline,
    /// A snapshot.
    Snapshot(SnapshotId),
}

impl Source {
    /// Checks a snapshot's id, or `baseline`.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == BASELINE { Ok(Self::Baseline) } else { SnapshotId::parse(text).map(Self::Snapshot) }
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Baseline => BASELINE.to_owned(),
            Self::Snapshot(id) => id.path(),
        }
    }
}

/// The host's name for a snapshot: 1 to [`MAX_ID_BYTES`] characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotId(String);

impl SnapshotId {
    /// Checks an id.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(valid) {
            return Err(format!("snapshot_id: expected 1 to {MAX_ID_BYTES} characters of [A-Za-z0-9_-]"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", SNAPSHOTS, self.0)
    }

    /// As the host gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_not_be_a_plain_directory_name_are_refused() {
        for text in ["", ".", "..", "a/b", "a.b", "a b", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(SnapshotId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(SnapshotId::parse("a_1-B").unwrap().path(), "snapshots/a_1-B");
        assert_eq!(Source::Baseline.path(), "baseline");
    }
}
