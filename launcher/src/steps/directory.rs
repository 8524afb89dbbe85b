//! `--chdir DIR`

use super::Launch;
use crate::failure::{Doing, Failure};

/// Enters the working directory.
pub(super) fn enter(launch: &mut Launch) -> Result<(), Failure> {
    let Some(directory) = &launch.options.directory else { return Ok(()) };
    rustix::process::chdir(directory).doing(|| format!("chdir {}", directory.display()))
}
