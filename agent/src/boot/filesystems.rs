//! The kernel's own file systems, mounted where the agent works and once more in the user's root.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, symlink};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    move_mount,
};

use crate::system_error::{Doing, SystemError};

/// One file system to mount.
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountAttrFlags,
    options: &'static [(&'static str, &'static str)],
}

const NO_SUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NO_SUID_DEV: MountAttrFlags = NO_SUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
const NO_SUID_EXEC: MountAttrFlags = NO_SUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const NO_SUID_DEV_EXEC: MountAttrFlags = NO_SUID_DEV.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

const PROC: Mount = Mount { kind: "proc", target: "/proc", flags: NO_SUID_DEV_EXEC, options: &[] };
const SYS: Mount = Mount { kind: "sysfs", target: "/sys", flags: NO_SUID_DEV_EXEC, options: &[] };
const DEV: Mount = Mount { kind: "devtmpfs", target: "/dev", flags: NO_SUID, options: &[("mode", "0755")] };

/// What a user's root has: the flags and modes that systemd uses. Each after the one that it is mounted in.
const USER_MOUNTS: [Mount; 6] = [
    PROC,
    SYS,
    DEV,
    Mount {
        kind: "devpts",
        target: "/dev/pts",
        flags: NO_SUID_EXEC,
        options: &[("gid", "5"), ("mode", "0620"), ("ptmxmode", "0666")],
    },
    Mount { kind: "tmpfs", target: "/dev/shm", flags: NO_SUID_DEV, options: &[("mode", "1777")] },
    Mount { kind: "tmpfs", target: "/run", flags: NO_SUID_DEV, options: &[("mode", "0755")] },
];

/// Links that programs expect in `/dev` and that devtmpfs leaves to udev.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mounts proc, sysfs and devtmpfs in the initramfs.
///
/// They stay mounted under the user's root: they are unreachable there, but the kernel lets a user namespace mount a proc
/// of its own only while some proc without anything mounted over it exists (`mount_too_revealing` in fs/namespace.c), and
/// the user's has a boot_id of ours.
///
/// # Errors
/// The mount that failed.
pub fn mount_for_agent() -> Result<(), SystemError> {
    [PROC, SYS, DEV].iter().try_for_each(|mount| attach(mount, &make(mount)?))
}

/// Mounts the file systems of a user's root, which is this process's, with all that a program expects besides.
///
/// # Errors
/// The mount, directory or link that failed.
pub fn mount_for_user() -> Result<(), SystemError> {
    USER_MOUNTS.iter().try_for_each(|mount| attach(mount, &make(mount)?))?;
    for (target, link) in DEVICE_LINKS {
        match symlink(target, link) {
            // An image may bring its own where devtmpfs leaves them to udev.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| format!("link {link}")),
        }
    }
    make_temporary_directory()
}

/// Makes `/tmp`, everybody's, in the user's root, which is this process's.
///
/// # Errors
/// What mkdir(2) or chmod(2) says.
pub fn make_temporary_directory() -> Result<(), SystemError> {
    ensure_directory(Path::new("/tmp"))?;
    rustix::fs::chmod("/tmp", Mode::from_raw_mode(0o1777)).doing(|| "chmod /tmp")
}

fn make(mount: &Mount) -> Result<OwnedFd, SystemError> {
    let Mount { kind, flags, options, .. } = *mount;
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", kind)?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
    };
    make().doing(|| format!("make file system {kind}"))
}

fn attach(mount: &Mount, made: &OwnedFd) -> Result<(), SystemError> {
    let Mount { kind, target, .. } = *mount;
    ensure_directory(Path::new(target))?;
    move_mount(made, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .doing(|| format!("mount {kind} on {target}"))
}

/// Makes a directory and its parents unless they are there.
///
/// # Errors
/// What mkdir(2) says, with the path.
pub fn ensure_directory(path: &Path) -> Result<(), SystemError> {
    match std::fs::create_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Errno::NOTDIR),
        result => return result.doing(|| format!("mkdir {}", path.display())),
    }
    .doing(|| format!("mkdir {}", path.display()))
}
