//! `--namespaces`

use std::fs;

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::Launch;
use crate::failure::{Doing, Failure};

/// Leaves the host's mounts, processes, network, System V objects and host name. Children are in the pid namespace, this
/// process is not. Root does so by itself; a plain user needs a user namespace, where it is itself and nobody else is.
pub(super) fn enter(launch: &mut Launch) -> Result<(), Failure> {
    if !launch.options.namespaces {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    let mut flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if user.is_root() {
        return unshare(flags);
    }
    flags |= UnshareFlags::NEWUSER;
    unshare(flags)?;
    // Denied for good: a group that takes a right away must not be left (user_namespaces(7)).
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{user} {user} 1", user = user.as_raw()))?;
    write("/proc/self/gid_map", &format!("{group} {group} 1", group = group.as_raw()))
}

fn unshare(flags: UnshareFlags) -> Result<(), Failure> {
    // SAFETY: descriptors stay shared; this process has one thread, so no other is surprised.
    unsafe { rustix::thread::unshare_unsafe(flags) }.doing(|| "namespaces".into())
}

fn write(path: &str, text: &str) -> Result<(), Failure> {
    fs::write(path, text).doing(|| format!("namespaces: {path}"))
}
