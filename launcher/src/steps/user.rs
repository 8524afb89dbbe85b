//! `--user ID`

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{Launch, capabilities};
use crate::failure::{Doing, Failure};
use crate::options::Access;

/// The user's and other's bits of a mode (stat(2)).
const GROUP_READ_WRITE: u32 = 0o060;

/// Becomes the user, with the groups of the devices it is to use and no other. Only the launcher's one thread has to.
pub(super) fn become_it(launch: &mut Launch) -> Result<(), Failure> {
    let Some(number) = launch.options.user else { return Ok(()) };
    let groups = device_groups(launch)?;
    if launch.options.drop_capabilities {
        // It takes a capability to give up the bounding set; afterwards there is none.
        capabilities::drop_bounding_set().doing(|| "drop capabilities".into())?;
    }
    switch(number, &groups).doing(|| format!("become user {number}"))
}

pub(super) fn switch(number: u32, groups: &[Gid]) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    set_thread_groups(groups)?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}

/// Groups that may use a device; root's own is nobody's to have.
fn device_groups(launch: &Launch) -> Result<Vec<Gid>, Failure> {
    let devices = launch.options.contents.iter().filter(|content| content.access == Access::Device);
    let mut groups = Vec::new();
    for device in devices {
        let found = std::fs::metadata(&device.path).doing(|| format!("device {}", device.path.display()))?;
        if found.mode() & GROUP_READ_WRITE == GROUP_READ_WRITE && found.gid() != 0 {
            groups.push(Gid::from_raw(found.gid()));
        }
    }
    Ok(groups)
}
