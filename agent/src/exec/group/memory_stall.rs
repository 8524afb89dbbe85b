//! Commands that hardly get on for want of memory while the kernel still finds something to take from them.
//!
//! Under a limit the OOM killer acts only when reclaim makes no progress at all, several rounds long (mm/memcontrol.c,
//! `try_charge_memcg`). A guest of 256 MiB was seen to go on so for a minute and more, its vCPU busy, 10 of 112 MiB still pages
//! of files: 85 % of the time some command waited for memory, 37 % all of them. The kernel measures that as pressure stall
//! information (Documentation/accounting/psi.rst).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use tokio::io::Interest;

use super::control_group::{Starved, kill, open_directory, read};
use crate::console;
use crate::system_error::{Doing, SystemError};
use crate::watched::{Watched, watch_priority};

/// When to look closer: some command waited for memory in 6 of any 10 s (in µs; 10 s is the longest the kernel looks back).
/// "full" says less: a command that is made to give its own pages back counts as running between one and the next.
const TRIGGER: &str = "some 6000000 10000000";
/// Commands with more than this part of their limit in pages of files, an eighth, have something to give back: they wait
/// for a disk, not for memory, and must not be ended for what they write.
const FILE_PAGES_DIVISOR: u64 = 8;

/// Notices that commands stand still for want of memory, and ends the one that has most.
pub struct MemoryStalls {
    commands: OwnedFd,
    starved: Arc<Starved>,
    /// None where the kernel keeps no such account.
    trigger: Option<Watched>,
}

impl MemoryStalls {
    /// Sets the trigger on the group above those of all commands.
    ///
    /// # Errors
    /// What the kernel refused, but for not keeping the account.
    pub(super) fn watch(commands: OwnedFd, starved: Arc<Starved>) -> Result<Self, SystemError> {
        let trigger = match set_trigger(commands.as_fd()) {
            Ok(descriptor) => Some(watch_priority(descriptor).doing(|| "watch memory.pressure")?),
            Err(Errno::NOENT | Errno::OPNOTSUPP) => {
                console::log(
                    "memory pressure: this kernel keeps no account of it, so only its OOM killer looks after memory",
                );
                None
            }
            Err(errno) => return Err(errno).doing(|| "set a trigger on memory.pressure"),
        };
        Ok(Self { commands, starved, trigger })
    }

    /// Ends a command each time that they stand still, for as long as it is polled.
    ///
    /// # Errors
    /// The trigger cannot be waited for.
    pub async fn relieve(&self) -> Result<(), SystemError> {
        let Some(trigger) = &self.trigger else { return std::future::pending().await };
        loop {
            trigger.ready(Interest::PRIORITY).await.doing(|| "wait for memory.pressure")?.clear_ready();
            if has_enough_to_give(self.commands.as_fd()) {
                continue;
            }
            if let Err(errno) = self.end_largest() {
                console::log(format_args!("memory pressure: no command was ended: {errno}"));
            }
        }
    }

    /// Passes over those that were ended for this already and are still going.
    fn end_largest(&self) -> Result<(), Errno> {
        let mut largest: Option<(u64, String, OwnedFd)> = None;
        for entry in Dir::read_from(&self.commands)?.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_group = entry.file_type() == FileType::Directory && name != "." && name != "..";
            if !is_group || self.starved.names().contains(&name) {
                continue;
            }
            // One that is being removed has none.
            let Ok(group) = open_directory(self.commands.as_fd(), &name) else { continue };
            let bytes = held_bytes(group.as_fd());
            if largest.as_ref().is_none_or(|(most, ..)| bytes > *most) {
                largest = Some((bytes, name, group));
            }
        }
        let Some((bytes, name, group)) = largest else { return Ok(()) };
        console::log(format_args!("memory pressure: command {name}, which holds {bytes} bytes, is ended"));
        self.starved.names().insert(name);
        kill(group.as_fd())
    }
}

/// Memory that only the end of its processes gives back, in bytes. 0 without the memory controller.
fn held_bytes(group: BorrowedFd<'_>) -> u64 {
    counted(group, &["anon ", "shmem "])
}

/// Whether the kernel can take pages of files from the commands without taking those that they run from.
fn has_enough_to_give(commands: BorrowedFd<'_>) -> bool {
    let limit = read(commands, "memory.max").ok().and_then(|bytes| bytes.trim().parse::<u64>().ok());
    // Without a limit of their own it is the whole guest's memory, and the kernel's killer looks after that.
    limit.is_none_or(|limit| counted(commands, &["active_file ", "inactive_file "]) > limit / FILE_PAGES_DIVISOR)
}

/// The sum of some counters of memory.stat, each with the space behind its name, in bytes.
fn counted(group: BorrowedFd<'_>, counters: &[&str]) -> u64 {
    let text = read(group, "memory.stat").unwrap_or_default();
    let wanted = text.lines().filter_map(|line| counters.iter().find_map(|counter| line.strip_prefix(counter)));
    wanted.filter_map(|bytes| bytes.parse::<u64>().ok()).sum()
}

/// The trigger lasts as long as the descriptor.
fn set_trigger(commands: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let file = openat(commands, "memory.pressure", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, TRIGGER.as_bytes())?;
    Ok(file)
}
