//! `--rlimit NAME=VALUE`

use rustix::process::{Rlimit, setrlimit};

use super::Launch;
use crate::failure::{Doing, Failure};

/// Sets soft and hard limits.
pub(super) fn set(launch: &mut Launch) -> Result<(), Failure> {
    for limit in &launch.options.limits {
        let both = Rlimit { current: limit.value, maximum: limit.value };
        setrlimit(limit.resource, both).doing(|| format!("limit {}", limit.name))?;
    }
    Ok(())
}
