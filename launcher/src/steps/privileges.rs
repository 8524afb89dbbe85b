//! `--no-new-privileges`

use super::Launch;
use crate::failure::{Doing, Failure};

/// Sets no_new_privs (prctl(2)): set-user-id programs and file capabilities give nothing from here on.
pub(super) fn freeze(launch: &mut Launch) -> Result<(), Failure> {
    if launch.options.no_new_privileges {
        rustix::thread::set_no_new_privs(true).doing(|| "no new privileges".into())?;
    }
    Ok(())
}
