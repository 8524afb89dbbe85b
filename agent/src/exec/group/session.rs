//! Process groups for where there is no cgroup v2 to use: tests on a borrowed machine.
//!
//! Honest about what it cannot do: a process that left the first one's process group (setsid, setpgid, a daemon) is not
//! killed, and nobody learns of the OOM killer. A guest never uses this.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{ProcessGroup, ProcessGroups};
use crate::exec::id::ExecId;
use crate::system_error::{Doing, SystemError};

/// Makes [`Session`]s.
pub struct Sessions;

impl ProcessGroups for Sessions {
    fn create(&self, _id: &ExecId) -> Result<Box<dyn ProcessGroup>, SystemError> {
        Ok(Box::new(Session::default()))
    }
}

/// The process group that a command's first process leads.
#[derive(Default)]
pub struct Session {
    leader: OnceLock<Pid>,
}

impl ProcessGroup for Session {
    fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn adopt(&self, leader: Pid) {
        // A group has one first process.
        let _ = self.leader.set(leader);
    }

    fn kill(&self) -> Result<(), SystemError> {
        let Some(leader) = self.leader.get() else { return Ok(()) };
        match kill_process_group(*leader, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno).doing(|| "kill process group"),
        }
    }

    fn out_of_memory(&self) -> bool {
        false
    }

    fn remove(&self) -> Result<bool, SystemError> {
        Ok(true)
    }
}
