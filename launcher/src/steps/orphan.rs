//! A program with a monitor does not outlive it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::Launch;
use crate::failure::{Doing, Failure};

/// Asks the kernel to kill this process with its parent; last, because a change of user takes the wish back.
pub(super) fn forbid(launch: &mut Launch) -> Result<(), Failure> {
    if launch.options.monitor.is_none() {
        return Ok(());
    }
    tie().doing(|| "end with the monitor".into())
}

/// The wish holds from now on; a monitor that is gone already shows in the pipe that it read from.
fn tie() -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let stdout = rustix::stdio::stdout();
    let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if pipe[0].revents().contains(PollFlags::ERR) {
        return Err(std::io::Error::new(std::io::ErrorKind::BrokenPipe, "it is gone"));
    }
    Ok(())
}
