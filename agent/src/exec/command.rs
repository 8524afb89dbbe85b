//! One command from its start to its release.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::sync::watch;

use super::group::ProcessGroup;
use super::id::ExecId;
use super::launch::LaunchFailure;
use super::outcome::CommandEnd;
use super::output::Output;
use super::request::ExecRequest;
use super::stdin::Stdin;
use crate::system_error::{Doing, SystemError};

/// A command the agent knows, running or ended.
pub struct Command {
    /// The host's name for it.
    pub id: ExecId,
    /// Its standard output, or all output of its terminal.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// Its standard input; none when it was started without.
    pub stdin: Option<Stdin>,
    /// What the host wants to be told of it.
    pub note: Bytes,
    /// The agent's side of its terminal; none: it has three pipes.
    terminal: Option<OwnedFd>,
    /// All of its processes.
    pub(super) group: Box<dyn ProcessGroup>,
    started: OnceLock<Result<Pid, LaunchFailure>>,
    end: OnceLock<CommandEnd>,
    changed: watch::Sender<()>,
    released: watch::Sender<bool>,
}

/// What a new command is made of, beside its request.
pub(super) struct Parts {
    pub(super) group: Box<dyn ProcessGroup>,
    pub(super) stdin: Option<Stdin>,
    pub(super) terminal: Option<OwnedFd>,
}

impl Command {
    pub(super) fn new(request: &ExecRequest, parts: Parts) -> Arc<Self> {
        let Parts { group, stdin, terminal } = parts;
        let output = || request.keep_bytes.map_or_else(Output::default, Output::dropping);
        Arc::new(Self {
            id: request.id.clone(),
            stdout: output(),
            stderr: output(),
            stdin,
            note: request.note.clone(),
            terminal,
            group,
            started: OnceLock::new(),
            end: OnceLock::new(),
            changed: watch::Sender::new(()),
            released: watch::Sender::new(false),
        })
    }

    /// Process id of the running program; 0 while it is not one yet, or when it could not be started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let pid = self.started.get().and_then(|started| started.as_ref().ok());
        pid.map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
    }

    /// Its end, once its first process has ended.
    #[must_use]
    pub fn end(&self) -> Option<&CommandEnd> {
        self.end.get()
    }

    /// Waits until the program runs or could not be started.
    pub async fn started(&self) {
        self.until(|command| command.started.get().map(|_| ())).await;
    }

    /// Waits for the end of its first process.
    pub async fn ended(&self) {
        self.until(|command| command.end.get().map(|_| ())).await;
    }

    /// Waits for its release.
    pub async fn released(&self) {
        // The sender lives in this command, so the wait only ends by the value.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }

    /// Sees a change whenever output came or the command ended.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Sends a signal to its process group; false when its first process has ended. Its id may then be another's, so what
    /// it left in the background gets none: release ends that.
    ///
    /// # Errors
    /// What kill(2) says.
    pub fn signal(&self, signal: Signal) -> Result<bool, SystemError> {
        let Some(Ok(leader)) = self.started.get() else { return Ok(false) };
        if self.end.get().is_some() {
            return Ok(false);
        }
        match kill_process_group(*leader, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno).doing(|| format!("signal {}", self.id)),
        }
    }

    /// Changes the size of its terminal; false when it has none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn resize(&self, size: Winsize) -> Result<bool, SystemError> {
        let Some(terminal) = &self.terminal else { return Ok(false) };
        tcsetwinsize(terminal, size).doing(|| format!("resize the terminal of {}", self.id))?;
        Ok(true)
    }

    /// Ends every process of it, and waits for nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&self) -> Result<(), SystemError> {
        self.group.kill()
    }

    pub(super) fn announce(&self) {
        self.changed.send_replace(());
    }

    pub(super) fn announce_start(&self, started: Result<Pid, LaunchFailure>) {
        // Its supervision, which is one task, is the only caller.
        let _ = self.started.set(started);
        self.announce();
    }

    pub(super) fn announce_end(&self, end: CommandEnd) {
        // Its supervision, which is one task, is the only caller.
        let _ = self.end.set(end);
        self.announce();
    }

    pub(super) fn announce_release(&self) {
        self.released.send_replace(true);
        self.announce();
    }

    pub(super) fn is_released(&self) -> bool {
        *self.released.borrow()
    }

    async fn until<T>(&self, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changes = self.changes();
        loop {
            if let Some(value) = found(self) {
                return value;
            }
            // The sender lives in `self`, so this only returns with a change.
            let _ = changes.changed().await;
        }
    }
}
