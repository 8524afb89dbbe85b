//! cgroup v2: a process cannot leave its group by forking, and one write kills them all.
//!
//! The hierarchy is mounted for the agent alone (fsmount(2) without move_mount(2)): it has no path in the guest, so
//! nothing there finds, changes or leaves it by accident.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{Pid, Signal, kill_process};

use super::memory_stall::MemoryStalls;
use super::{ProcessGroup, ProcessGroups};
use crate::exec::id::ExecId;
use crate::system_error::{Doing, SystemError};

/// Most that is read of one control file, in bytes: `cgroup.procs` of a group with some 100,000 processes.
const CONTROL_FILE_LIMIT_BYTES: u64 = 1 << 20;
/// How deep groups that a command's processes made inside their own are followed when it is removed.
const MAX_DEPTH: usize = 32;

/// The group above those of all commands.
const COMMANDS: &str = "commands";
/// Memory that commands cannot have, in bytes: what the kernel and the agent need to stay responsive. Without it a command
/// that eats all memory brings the guest to a crawl long before the kernel's global OOM killer acts.
const RESERVED_MEMORY_BYTES: u64 = 128 << 20;

/// The private hierarchy.
pub struct ControlGroups {
    commands: OwnedFd,
    starved: Arc<Starved>,
}

/// Names of the groups that were ended because all commands stood still for want of memory.
#[derive(Default)]
pub(super) struct Starved(Mutex<BTreeSet<String>>);

impl Starved {
    /// A panic while it was held cannot have left it half-changed: BTreeSet's own calls are all that happens to it.
    pub(super) fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlGroups {
    /// Mounts cgroup v2 for the agent alone and enables the controllers that are there.
    ///
    /// # Errors
    /// The step the kernel refused.
    pub fn mount() -> Result<Self, SystemError> {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC).doing(|| "open cgroup2")?;
        fsconfig_create(&context).doing(|| "create cgroup2")?;
        let flags =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing(|| "mount cgroup2")?;
        match mkdirat(&root, COMMANDS, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| "create control group commands"),
        }
        let commands = open_directory(root.as_fd(), COMMANDS).doing(|| "open control group commands")?;
        for group in [root.as_fd(), commands.as_fd()] {
            for controller in ["+memory", "+pids"] {
                // Not there, or in use by cgroup v1: killing works without them, only memory is then not watched over.
                let _ = write(group, "cgroup.subtree_control", controller);
            }
        }
        // Only there with the memory controller.
        let _ = write(commands.as_fd(), "memory.max", &memory_for_commands().to_string());
        Ok(Self { commands, starved: Arc::default() })
    }

    /// What ends a command when all of them stand still for want of memory; it must be polled.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn memory_stalls(&self) -> Result<MemoryStalls, SystemError> {
        let commands = self.commands.try_clone().doing(|| "duplicate descriptor")?;
        MemoryStalls::watch(commands, Arc::clone(&self.starved))
    }
}

impl ProcessGroups for ControlGroups {
    fn create(&self, id: &ExecId) -> Result<Box<dyn ProcessGroup>, SystemError> {
        let name = id.as_str().to_owned();
        mkdirat(&self.commands, &name, Mode::from_raw_mode(0o755)).doing(|| format!("create control group {name}"))?;
        let directory = open_directory(self.commands.as_fd(), &name).doing(|| format!("open control group {name}"))?;
        let parent = self.commands.try_clone().doing(|| "duplicate descriptor")?;
        Ok(Box::new(ControlGroup { parent, name, directory, starved: Arc::clone(&self.starved) }))
    }
}

/// The control group of one command.
pub struct ControlGroup {
    parent: OwnedFd,
    name: String,
    directory: OwnedFd,
    starved: Arc<Starved>,
}

impl ProcessGroup for ControlGroup {
    fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        Some(self.directory.as_fd())
    }

    fn adopt(&self, _leader: Pid) {}

    fn kill(&self) -> Result<(), SystemError> {
        kill(self.directory.as_fd()).doing(|| format!("kill control group {}", self.name))
    }

    fn out_of_memory(&self) -> bool {
        if self.starved.names().contains(&self.name) {
            return true;
        }
        let events = read(self.directory.as_fd(), "memory.events").unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    fn remove(&self) -> Result<bool, SystemError> {
        match remove_tree(self.parent.as_fd(), &self.name, MAX_DEPTH) {
            Ok(()) | Err(Errno::NOENT) => {
                self.starved.names().remove(&self.name);
                Ok(true)
            }
            Err(Errno::BUSY) => Ok(false),
            Err(errno) => Err(errno).doing(|| format!("remove control group {}", self.name)),
        }
    }
}

/// Sends SIGKILL to every process of a group.
pub(super) fn kill(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    match write(directory, "cgroup.kill", "1") {
        Err(Errno::NOENT) => kill_frozen(directory),
        result => result,
    }
}

/// For kernels before 5.14: nothing forks while frozen, so one pass reaches everything; SIGKILL also ends the frozen.
fn kill_frozen(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    write(directory, "cgroup.freeze", "1")?;
    let processes = read(directory, "cgroup.procs")?;
    for pid in processes.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    write(directory, "cgroup.freeze", "0")
}

fn memory_for_commands() -> u64 {
    let system = rustix::system::sysinfo();
    let total = u64::from(system.mem_unit) * system.totalram;
    total.saturating_sub(RESERVED_MEMORY_BYTES).max(total / 2)
}

/// Groups can only be removed from the innermost out.
fn remove_tree(parent: BorrowedFd<'_>, name: &str, depth: usize) -> Result<(), Errno> {
    let directory = open_directory(parent, name)?;
    for entry in Dir::read_from(&directory)?.filter_map(Result::ok) {
        let inner = entry.file_name().to_string_lossy();
        if entry.file_type() == FileType::Directory && inner != "." && inner != ".." && depth > 0 {
            remove_tree(directory.as_fd(), &inner, depth - 1)?;
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn write(directory: BorrowedFd<'_>, name: &str, text: &str) -> Result<(), Errno> {
    let file = openat(directory, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(file).write_all(text.as_bytes()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

pub(super) fn read(directory: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    let file = openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    File::from(file)
        .take(CONTROL_FILE_LIMIT_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(text)
}
