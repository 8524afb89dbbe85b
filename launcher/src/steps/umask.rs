//! `--umask MODE`

use rustix::fs::Mode;

use super::Launch;
use crate::failure::Failure;

/// Sets the file mode mask, before any file is made.
pub(super) fn set(launch: &mut Launch) -> Result<(), Failure> {
    if let Some(mode) = launch.options.umask {
        rustix::process::umask(Mode::from_raw_mode(mode));
    }
    Ok(())
}
