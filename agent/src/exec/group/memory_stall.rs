//! Commands that hardly get on for want of memory while the kernel still finds something to take from them.
//!
//! Under a limit the OOM killer acts only when reclaim makes no progress at all, several rounds long (mm/memcontrol.c,
//! `try_charge_memcg`). Pages of the running programs are always something: read again, taken again. A guest of 256 MiB was
//! seen to go on so for two minutes. Its pressure stall information tells little of that (85 % "some" and 37 % "full" in
//! one run, too little for any trigger in others), for most of it is work and not waiting. What tells it apart is what it
//! does (docs/decisions/0016): the limit is hit again and again, hardly anything is left that could be given back, and what
//! was given back is wanted again at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use tokio::io::Interest;

use super::control_group::{Starved, kill, open_directory, read};
use crate::console;
use crate::system_error::{Doing, SystemError};
use crate::watched::{Watched, watch_priority};

/// How often commands at their limit are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks in a row that must find them so before one is ended.
const LOOKS: u32 = 8;
/// With more than this to give back, in bytes, commands wait for a disk and not for memory: programs alone need as much.
const ROOM_BYTES_MAX: u64 = 16 << 20;
/// Pages of files that were read again since the look before, at least: a fraction of what the slowest machine reads.
const PAGES_READ_AGAIN_MIN: u64 = 32;

/// Notices that commands stand still for want of memory, and ends the one that has most.
pub struct MemoryStalls {
    commands: OwnedFd,
    starved: Arc<Starved>,
    /// Its `memory.events`, which says when the limit was hit. None without the memory controller.
    events: Option<Watched>,
}

impl MemoryStalls {
    /// Watches the group above those of all commands.
    ///
    /// # Errors
    /// What the kernel refused, but for having no memory controller.
    pub(super) fn watch(commands: OwnedFd, starved: Arc<Starved>) -> Result<Self, SystemError> {
        let events = match openat(&commands, "memory.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(descriptor) => Some(watch_priority(descriptor).doing(|| "watch memory.events")?),
            Err(Errno::NOENT) => {
                console::log("memory: this kernel keeps no account of commands, so only its OOM killer looks after it");
                None
            }
            Err(errno) => return Err(errno).doing(|| "open memory.events"),
        };
        Ok(Self { commands, starved, events })
    }

    /// Ends a command each time that they stand still, for as long as it is polled.
    ///
    /// # Errors
    /// The events cannot be waited for or read.
    pub async fn relieve(&self) -> Result<(), SystemError> {
        let Some(events) = &self.events else { return std::future::pending().await };
        loop {
            // Read through the watched descriptor, which tells of the next change from here on.
            let mut before = self.account(events).doing(|| "read memory.events")?;
            events.ready(Interest::PRIORITY).await.doing(|| "wait for memory.events")?.clear_ready();
            let mut looks = 0;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let now = self.account(events).doing(|| "read memory.events")?;
                if now.limit_hits == before.limit_hits {
                    break;
                }
                looks = if now.hardly_gets_on_since(&before) { looks + 1 } else { 0 };
                before = now;
                if looks == LOOKS {
                    self.end_largest();
                    looks = 0;
                }
            }
        }
    }

    fn account(&self, events: &Watched) -> Result<Account, Errno> {
        let mut text = [0; EVENTS_LIMIT_BYTES];
        let length = rustix::io::pread(events, &mut text, 0)?;
        let events = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        let stat = read(self.commands.as_fd(), "memory.stat").unwrap_or_default();
        let limit = read(self.commands.as_fd(), "memory.max").unwrap_or_default();
        Ok(Account::of(&events, &stat, &limit))
    }

    fn end_largest(&self) {
        if let Err(errno) = self.try_end_largest() {
            console::log(format_args!("memory: no command was ended: {errno}"));
        }
    }

    /// Passes over those that were ended for this already and are still going.
    fn try_end_largest(&self) -> Result<(), Errno> {
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
        console::log(format_args!("memory: command {name}, which holds {bytes} bytes, is ended"));
        self.starved.names().insert(name);
        kill(group.as_fd())
    }
}

/// Seven counters of at most 20 digits with their names.
const EVENTS_LIMIT_BYTES: usize = 512;

/// What the kernel says of the commands' memory at one moment (Documentation/admin-guide/cgroup-v2.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    /// Times that they were at their limit and had to give something back first.
    limit_hits: u64,
    /// Of their limit, what they hold for good: memory of their own and the kernel's for them. There is no swap.
    room_bytes: u64,
    /// Pages of files that were read again soon after they had been given back.
    pages_read_again: u64,
}

impl Account {
    fn of(events: &str, stat: &str, limit: &str) -> Self {
        let held = counted(stat, &["anon ", "shmem ", "kernel "]);
        // Without a limit of their own it is the whole guest's memory, and the kernel's killer looks after that.
        let limit = limit.trim().parse().unwrap_or(u64::MAX);
        Self {
            limit_hits: counted(events, &["max "]),
            room_bytes: limit.saturating_sub(held),
            pages_read_again: counted(stat, &["workingset_refault_file "]),
        }
    }

    fn hardly_gets_on_since(&self, before: &Self) -> bool {
        let read_again = self.pages_read_again.saturating_sub(before.pages_read_again);
        self.room_bytes <= ROOM_BYTES_MAX && read_again >= PAGES_READ_AGAIN_MIN
    }
}

/// Memory that only the end of its processes gives back, in bytes. 0 without the memory controller.
fn held_bytes(group: BorrowedFd<'_>) -> u64 {
    counted(&read(group, "memory.stat").unwrap_or_default(), &["anon ", "shmem "])
}

/// The sum of some counters, each with the space behind its name.
fn counted(text: &str, counters: &[&str]) -> u64 {
    let wanted = text.lines().filter_map(|line| counters.iter().find_map(|counter| line.strip_prefix(counter)));
    wanted.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: &str = "117440512\n";

    fn account(hits: u64, anon: u64, refaults: u64) -> Account {
        let stat = format!(
            "anon {anon}\nfile 5000000\nkernel 1000000\nshmem 0\nworkingset_refault_anon 9\nworkingset_refault_file {refaults}\n"
        );
        Account::of(&format!("low 0\nhigh 0\nmax {hits}\noom 0\noom_kill 0\n"), &stat, LIMIT)
    }

    #[test]
    fn the_kernels_counters_are_read() {
        let expected = Account { limit_hits: 7, room_bytes: 117_440_512 - 101_000_000, pages_read_again: 300 };
        assert_eq!(account(7, 100_000_000, 300), expected);
    }

    #[test]
    fn full_of_its_own_memory_and_reading_its_program_again_is_no_getting_on() {
        assert!(account(2, 108_000_000, 1300).hardly_gets_on_since(&account(1, 107_000_000, 1000)));
    }

    #[test]
    fn a_command_with_pages_to_give_or_that_reads_every_page_once_gets_on() {
        assert!(!account(2, 50_000_000, 90_000).hardly_gets_on_since(&account(1, 50_000_000, 0)), "a cache to give");
        assert!(!account(2, 108_000_000, 1010).hardly_gets_on_since(&account(1, 108_000_000, 1000)), "reads on");
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let stat = "anon 1\nworkingset_refault_file 1000\n";
        let account = Account::of("max 1\n", stat, "max\n");
        assert!(!account.hardly_gets_on_since(&Account { pages_read_again: 0, ..account }));
    }
}
