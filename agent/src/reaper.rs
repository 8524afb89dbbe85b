//! Takes in every dead child: the commands' first processes, whose status someone waits for, and the orphans that the
//! kernel hands to PID 1, which nobody does.
//!
//! A process has one set of children, so this is one table per process, whoever runs it.

use std::collections::BTreeMap;
use std::num::NonZeroI32;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::system_error::{Doing, SystemError};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    /// exit(2) with this status, 0..255.
    Code(u32),
    /// Killed by this signal.
    Signal(u32),
}

static AWAITED: Mutex<BTreeMap<NonZeroI32, oneshot::Sender<ProcessEnd>>> = Mutex::new(BTreeMap::new());
static ROUNDS: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::Sender::new(()));

/// Every step below leaves the table whole, so a panic while it was held changes nothing.
fn awaited() -> MutexGuard<'static, BTreeMap<NonZeroI32, oneshot::Sender<ProcessEnd>>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a child with `fork` and gives what will receive its end. The table is locked meanwhile, so that a child which
/// ends at once is not taken for an orphan.
///
/// # Errors
/// What `fork` failed with.
pub fn spawn(fork: impl FnOnce() -> Result<Pid, Errno>) -> Result<(Pid, oneshot::Receiver<ProcessEnd>), Errno> {
    let mut awaited = awaited();
    let pid = fork()?;
    let (sender, receiver) = oneshot::channel();
    awaited.insert(pid.as_raw_nonzero(), sender);
    Ok((pid, receiver))
}

/// Sees a change after every round of reaping.
#[must_use]
pub fn rounds() -> watch::Receiver<()> {
    ROUNDS.subscribe()
}

/// Reaps for as long as it is polled. Where this process is not PID 1 it becomes the parent of its orphans
/// (PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// SIGCHLD cannot be listened to.
pub async fn run() -> Result<(), SystemError> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).doing(|| "become the reaper")?;
    let mut child_ended = signal(SignalKind::child()).doing(|| "listen to SIGCHLD")?;
    loop {
        reap();
        ROUNDS.send_replace(());
        if child_ended.recv().await.is_none() {
            return Ok(());
        }
    }
}

/// One SIGCHLD may stand for many children.
fn reap() {
    let mut awaited = awaited();
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if let (Some(sender), Some(end)) = (awaited.remove(&pid.as_raw_nonzero()), process_end(status)) {
            // A command that was released meanwhile waits no longer.
            let _ = sender.send(end);
        }
    }
}

fn process_end(status: WaitStatus) -> Option<ProcessEnd> {
    let code = status.exit_status().map(i32::cast_unsigned).map(ProcessEnd::Code);
    code.or_else(|| status.terminating_signal().map(i32::cast_unsigned).map(ProcessEnd::Signal))
}
