//! `--await PID START`: ends when a process does that is no child of whoever waits for it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::failure::{Doing, Failure};

/// Bytes of standard input that are dropped at once; nobody sends any.
const PIECE_BYTES: usize = 64;

/// Returns when the process has ended, at once when it has already; or with standard input, whose end says that nobody waits.
pub(crate) fn until_end(pid: i32, start_ticks: u64) -> Result<(), Failure> {
    let watched = identify(pid, start_ticks).doing(|| format!("await {pid}"))?;
    let Some(process) = watched else { return Ok(()) };
    let stdin = rustix::stdio::stdin();
    loop {
        let mut events = [PollFd::new(&process, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| "poll".into()),
        }
        let (ended, said) = (!events[0].revents().is_empty(), !events[1].revents().is_empty());
        if ended || (said && !matches!(rustix::io::read(stdin, &mut [0; PIECE_BYTES]), Ok(1..))) {
            return Ok(());
        }
    }
}

/// The process that began then, if it is there. It is held before it is looked at, so that its number cannot pass to another.
fn identify(pid: i32, start_ticks: u64) -> io::Result<Option<OwnedFd>> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok((started(pid) == Some(start_ticks)).then_some(process))
}

/// Field 22 of proc_pid_stat(5), counted from after the name, which may hold anything.
fn started(pid: Pid) -> Option<u64> {
    const START_TIME: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START_TIME)?.parse().ok()
}
