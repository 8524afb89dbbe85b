//! `--drop-capabilities`

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::Launch;
use crate::failure::{Doing, Failure};

/// More than there are capabilities; the kernel says where they end.
const CAPABILITIES_MAX: libc::c_ulong = 64;

/// Gives up every capability in every set.
pub(super) fn drop_all(launch: &mut Launch) -> Result<(), Failure> {
    if launch.options.drop_capabilities {
        give_up().doing(|| "drop capabilities".into())?;
    }
    Ok(())
}

pub(super) fn give_up() -> io::Result<()> {
    drop_bounding_set()?;
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// What no exec can give back. Without CAP_SETPCAP it stays as it is, and only no_new_privs keeps it from being used:
/// a plain user outside a user namespace, or one whose set is given up already.
pub(super) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..CAPABILITIES_MAX {
        // SAFETY: takes a number and no memory.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
            continue;
        }
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EINVAL | libc::EPERM) => Ok(()),
            _ => Err(error),
        };
    }
    Ok(())
}
