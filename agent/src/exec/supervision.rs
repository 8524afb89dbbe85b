//! The life of a command's processes: start, end, time limit, and what stays behind in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::command::Command;
use super::launch::Launched;
use super::outcome::{CommandEnd, Outcome};
use super::output::Output;
use super::pump;
use crate::console;
use crate::reaper::ProcessEnd;
use crate::watched::Watched;

/// What supervision watches over, beside the command itself.
pub(super) struct Watch {
    pub(super) launched: Launched,
    pub(super) stdout: Watched,
    pub(super) stderr: Option<Watched>,
    pub(super) time_limit: Option<Duration>,
}

/// Runs until the command's pipes are closed by everyone, or it is released.
///
/// The end of a command is the end of its first process with its output carried, not the end of everything it started:
/// `sh -c 'server & echo started'` ends at once. What stays in the background lives on, its output unread, until the
/// release or the time limit.
pub(super) async fn supervise(command: Arc<Command>, watch: Watch) {
    let started = Instant::now();
    let deadline = watch.time_limit.and_then(|limit| started.checked_add(limit));
    let (first_process_ended, ended) = watch::channel(false);
    let processes = async {
        let end = first_process(&command, watch.launched, deadline).await;
        let out_of_memory = command.group.out_of_memory();
        command.announce_end(CommandEnd { outcome: end.0, duration: started.elapsed(), out_of_memory });
        first_process_ended.send_replace(true);
        if !end.1 && deadline.is_some() {
            at(deadline).await;
            kill(&command);
        }
    };
    let stdout = carry(Some(watch.stdout), &command.stdout, &command, ended.clone());
    let stderr = carry(watch.stderr, &command.stderr, &command, ended);
    tokio::select! {
        ((), (), ()) = async { tokio::join!(processes, stdout, stderr) } => {}
        () = command.released() => {}
    }
}

/// Waits for the first process; true with its outcome when it was killed for the time limit.
async fn first_process(command: &Command, mut launched: Launched, deadline: Option<Instant>) -> (Outcome, bool) {
    let failure = launched.failure().await;
    command.announce_start(failure.clone().map_or(Ok(launched.pid), Err));
    let timed_out = tokio::select! {
        biased;
        end = &mut launched.ended => return (outcome(end.ok(), failure), false),
        () = at(deadline) => true,
    };
    kill(command);
    let _ = launched.ended.await;
    (Outcome::TimedOut, timed_out)
}

fn outcome(end: Option<ProcessEnd>, failure: Option<super::launch::LaunchFailure>) -> Outcome {
    match (failure, end) {
        (Some(failure), _) => Outcome::NotStarted(failure),
        // The reaper always says; were it ever not to, the process is gone all the same.
        (None, end) => Outcome::Ended(end.unwrap_or(ProcessEnd::Signal(libc::SIGKILL.cast_unsigned()))),
    }
}

async fn carry(source: Option<Watched>, output: &Output, command: &Command, ended: watch::Receiver<bool>) {
    let Some(source) = source else { return output.complete() };
    if let Some(source) = pump::carry(source, output, command, ended).await {
        pump::discard(source).await;
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn kill(command: &Command) {
    if let Err(error) = command.group.kill() {
        console::log(format_args!("command {}: {error}", command.id));
    }
}
