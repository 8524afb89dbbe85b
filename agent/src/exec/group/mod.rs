//! All processes of a command, whatever they fork: killed, counted and forgotten together.

mod control_group;
mod memory_stall;
mod session;

use std::os::fd::BorrowedFd;

use rustix::process::Pid;

pub use control_group::{ControlGroup, ControlGroups};
pub use memory_stall::MemoryStalls;
pub use session::{Session, Sessions};

use super::id::ExecId;
use crate::system_error::SystemError;

/// Makes a group for each command.
pub trait ProcessGroups: Send + Sync + 'static {
    /// A new, empty group.
    ///
    /// # Errors
    /// What the kernel refused.
    fn create(&self, id: &ExecId) -> Result<Box<dyn ProcessGroup>, SystemError>;
}

/// The processes of one command.
pub trait ProcessGroup: Send + Sync + 'static {
    /// The control group that clone3(2) shall start the first process in.
    fn birthplace(&self) -> Option<BorrowedFd<'_>>;

    /// Takes note of the first process, which leads a session and process group of its own.
    fn adopt(&self, leader: Pid);

    /// Sends SIGKILL to every process of the group.
    ///
    /// # Errors
    /// What the kernel refused. A group without processes is no error.
    fn kill(&self) -> Result<(), SystemError>;

    /// Whether a process of the group was ended for want of memory.
    fn out_of_memory(&self) -> bool;

    /// Removes the empty group; false while processes of it are still ending.
    ///
    /// # Errors
    /// What the kernel refused.
    fn remove(&self) -> Result<bool, SystemError>;
}
