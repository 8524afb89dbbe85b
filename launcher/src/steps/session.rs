//! `--new-session`

use super::Launch;
use crate::failure::{Doing, Failure};

/// Leaves the terminal and process group of whoever started the launcher.
pub(super) fn begin(launch: &mut Launch) -> Result<(), Failure> {
    if launch.options.new_session {
        rustix::process::setsid().doing(|| "new session".into())?;
    }
    Ok(())
}
