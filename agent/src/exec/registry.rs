//! The commands the agent knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::command::{Command, Parts};
use super::group::ProcessGroups;
use super::id::ExecId;
use super::launch::{Surroundings, launch};
use super::pipes::StandardStreams;
use super::request::ExecRequest;
use super::stdin::Stdin;
use super::supervision::{Watch, supervise};
use crate::kernel_files::KernelFiles;
use crate::reaper;
use crate::system_error::SystemError;

/// Most commands that are known at once, ended ones included until they are released.
pub const MAX_COMMANDS: usize = 1024;
/// How long killed processes may take to be gone.
const RELEASE_DEADLINE: Duration = Duration::from_secs(10);

/// All commands, by id.
pub struct Registry {
    groups: Box<dyn ProcessGroups>,
    kernel: Arc<KernelFiles>,
    commands: Mutex<BTreeMap<ExecId, Arc<Command>>>,
}

/// Why a command was not accepted.
#[derive(Debug)]
pub enum StartError {
    /// The id is known.
    AlreadyExists(ExecId),
    /// [`MAX_COMMANDS`] are known.
    TooMany,
    /// The machine has no room for it.
    System(SystemError),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists(id) => write!(formatter, "command {id} is already known"),
            Self::TooMany => write!(formatter, "{MAX_COMMANDS} commands are known, which is the limit: release some"),
            Self::System(error) => error.fmt(formatter),
        }
    }
}

/// Why a command was not released.
#[derive(Debug)]
pub enum ReleaseError {
    /// Its processes were killed but are not gone after [`RELEASE_DEADLINE`].
    Lingering(ExecId),
    /// The kernel refused.
    System(SystemError),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lingering(id) => {
                write!(
                    formatter,
                    "processes of command {id} are not gone {} s after SIGKILL",
                    RELEASE_DEADLINE.as_secs()
                )
            }
            Self::System(error) => error.fmt(formatter),
        }
    }
}

impl Registry {
    /// Knows no command yet.
    #[must_use]
    pub fn new(groups: Box<dyn ProcessGroups>, kernel: Arc<KernelFiles>) -> Self {
        Self { groups, kernel, commands: Mutex::default() }
    }

    /// Starts a command. It then runs whether or not anyone waits.
    ///
    /// # Errors
    /// It was not accepted, and no process exists. That the program could not be executed is the command's outcome.
    pub fn start(&self, request: &ExecRequest) -> Result<Arc<Command>, StartError> {
        let mut commands = self.commands();
        if commands.contains_key(&request.id) {
            return Err(StartError::AlreadyExists(request.id.clone()));
        }
        if commands.len() >= MAX_COMMANDS {
            return Err(StartError::TooMany);
        }
        let command = self.launch(request).map_err(StartError::System)?;
        commands.insert(request.id.clone(), Arc::clone(&command));
        Ok(command)
    }

    fn launch(&self, request: &ExecRequest) -> Result<Arc<Command>, SystemError> {
        let StandardStreams { child, stdin, stdout, stderr, terminal } = StandardStreams::open(request, &self.kernel)?;
        let group = self.groups.create(&request.id)?;
        let surroundings = Surroundings { group: group.as_ref(), kernel: &self.kernel, stdio: child };
        let launched = match launch(request, &surroundings) {
            Ok(launched) => launched,
            Err(error) => {
                // Nothing was started in it. What failed first is what matters.
                let _ = group.remove();
                return Err(error);
            }
        };
        let stdin = request.stdin.then(|| Stdin::new(stdin, request.terminal.is_some()));
        let command = Command::new(request, Parts { group, stdin, terminal });
        let watch = Watch { launched, stdout, stderr, time_limit: request.time_limit };
        tokio::spawn(supervise(Arc::clone(&command), watch));
        Ok(command)
    }

    /// The command with this id.
    #[must_use]
    pub fn find(&self, id: &ExecId) -> Option<Arc<Command>> {
        self.commands().get(id).cloned()
    }

    /// All commands, in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Command>> {
        self.commands().values().cloned().collect()
    }

    /// Kills every process of the command, waits until they are gone and forgets it.
    ///
    /// # Errors
    /// They are not gone; the command stays known and can be released again.
    pub async fn release(&self, command: &Command) -> Result<(), ReleaseError> {
        command.announce_release();
        command.group.kill().map_err(ReleaseError::System)?;
        let gone = timeout(RELEASE_DEADLINE, async {
            let mut rounds = reaper::rounds();
            while !command.group.remove()? {
                // The sender is static.
                let _ = rounds.changed().await;
            }
            Ok(())
        });
        match gone.await {
            Ok(result) => result.map_err(ReleaseError::System)?,
            Err(_) => return Err(ReleaseError::Lingering(command.id.clone())),
        }
        self.commands().remove(&command.id);
        Ok(())
    }

    /// A panic while it was held cannot have left it half-changed: BTreeMap's own calls are all that happens to it.
    fn commands(&self) -> MutexGuard<'_, BTreeMap<ExecId, Arc<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
