//! How a command ended.

use std::time::Duration;

use super::launch::LaunchFailure;
use crate::reaper::ProcessEnd;

/// The end of a command's first process, or why there never was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself or by someone's signal.
    Ended(ProcessEnd),
    /// The time limit passed and every process of the command was killed.
    TimedOut,
    /// It could not be started.
    NotStarted(LaunchFailure),
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// How.
    pub outcome: Outcome,
    /// From its start.
    pub duration: Duration,
    /// Whether the kernel's OOM killer ended a process of the command.
    pub out_of_memory: bool,
}
