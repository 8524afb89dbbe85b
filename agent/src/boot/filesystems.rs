//! The kernel's own file systems, mounted where the agent works and once more in the user's root.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, symlink};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::system_error::{Doing, SystemError};

/// One file system to mount.
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: Option<&'static CStr>,
}

const NO_SUID_DEV: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const NO_SUID_DEV_EXEC: MountFlags = NO_SUID_DEV.union(MountFlags::NOEXEC);
const NO_SUID_EXEC: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

const PROC: Mount = Mount { kind: "proc", target: "/proc", flags: NO_SUID_DEV_EXEC, options: None };
const SYS: Mount = Mount { kind: "sysfs", target: "/sys", flags: NO_SUID_DEV_EXEC, options: None };
const DEV: Mount = Mount { kind: "devtmpfs", target: "/dev", flags: MountFlags::NOSUID, options: Some(c"mode=0755") };

/// What a user's root gets on top: the flags and modes that systemd uses.
const USER_MOUNTS: [Mount; 3] = [
    Mount { kind: "devpts", target: "/dev/pts", flags: NO_SUID_EXEC, options: Some(c"gid=5,mode=0620,ptmxmode=0666") },
    Mount { kind: "tmpfs", target: "/dev/shm", flags: NO_SUID_DEV, options: Some(c"mode=1777") },
    Mount { kind: "tmpfs", target: "/run", flags: NO_SUID_DEV, options: Some(c"mode=0755") },
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
    [PROC, SYS, DEV].iter().try_for_each(mount_one)
}

/// Mounts everything a program expects under the current root, which is the user's by now.
///
/// # Errors
/// The mount, directory or link that failed.
pub fn mount_for_user() -> Result<(), SystemError> {
    [PROC, SYS, DEV].iter().chain(&USER_MOUNTS).try_for_each(mount_one)?;
    for (target, link) in DEVICE_LINKS {
        match symlink(target, link) {
            // devtmpfs is one instance for the whole machine: a template may have linked already.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| format!("link {link}")),
        }
    }
    ensure_directory(Path::new("/tmp"))?;
    rustix::fs::chmod("/tmp", Mode::from_raw_mode(0o1777)).doing(|| "chmod /tmp")
}

fn mount_one(mounting: &Mount) -> Result<(), SystemError> {
    let Mount { kind, target, flags, options } = *mounting;
    ensure_directory(Path::new(target))?;
    mount(kind, target, kind, flags, options).doing(|| format!("mount {kind} on {target}"))
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
