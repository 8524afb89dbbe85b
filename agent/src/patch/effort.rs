//! What a patch may cost: it is anybody's, and may name places that are far from where it belongs, as often as it has hunks.

/// Bytes that are looked through for hunks that are not where they say, and read again of files that the patch has read before. A file of the
/// largest size that is patched by lines can be looked through 256 times: under a minute on an emulated guest.
const MAX_BYTES: u64 = 4 << 30;

/// What is left of it. It is counted, not timed: the same patch is refused on every host.
#[derive(Debug)]
pub(super) struct Effort {
    left: u64,
}

/// It was too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spent;

impl Effort {
    pub(super) const fn new() -> Self {
        Self { left: MAX_BYTES }
    }

    /// So many bytes are about to be looked at.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Spent> {
        self.left = self.left.checked_sub(bytes).ok_or(Spent)?;
        Ok(())
    }
}

#[cfg(test)]
impl Effort {
    pub(super) fn of(left: u64) -> Self {
        Self { left }
    }

    pub(super) fn spent(&self) -> u64 {
        MAX_BYTES - self.left
    }
}
