//! Between the agent's types and the contract's messages.

use std::fmt::Display;

use tonic::Status;

use crate::exec::attachment::{AttachError, Stream};
use crate::exec::command::Command;
use crate::exec::launch::LaunchFailure;
use crate::exec::outcome::{CommandEnd, Outcome};
use crate::exec::registry::{ReleaseError, StartError};
use crate::proto::{self, attach_response, exit};
use crate::reaper::ProcessEnd;

/// A request that is wrong in itself.
pub(super) fn invalid(reason: impl Display) -> Status {
    Status::invalid_argument(reason.to_string())
}

/// The guest failed at what it was asked.
pub(super) fn internal(error: impl Display) -> Status {
    Status::internal(error.to_string())
}

pub(super) fn start_error(error: &StartError) -> Status {
    let text = error.to_string();
    match error {
        StartError::AlreadyExists(_) => Status::already_exists(text),
        StartError::TooMany | StartError::System(_) => Status::resource_exhausted(text),
    }
}

pub(super) fn release_error(error: &ReleaseError) -> Status {
    match error {
        ReleaseError::Lingering(_) => Status::deadline_exceeded(error.to_string()),
        ReleaseError::System(_) => Status::internal(error.to_string()),
    }
}

pub(super) fn attach_error(error: AttachError) -> Status {
    match error {
        AttachError::OutOfRange(..) => Status::out_of_range(error.to_string()),
        AttachError::Released => Status::not_found(error.to_string()),
    }
}

pub(super) fn stream(stream: Stream) -> proto::Stream {
    match stream {
        Stream::Stdout => proto::Stream::Stdout,
        Stream::Stderr => proto::Stream::Stderr,
    }
}

pub(super) fn end_response(end: &CommandEnd) -> proto::AttachResponse {
    proto::AttachResponse { event: Some(attach_response::Event::Exit(exit(end))) }
}

pub(super) fn command(command: &Command) -> proto::Command {
    proto::Command {
        exec_id: command.id.to_string(),
        pid: command.pid(),
        running: command.end().is_none(),
        stdout_bytes: command.stdout.produced(),
        stderr_bytes: command.stderr.produced(),
        exit: command.end().map(exit),
        stdout_start: command.stdout.start(),
        stderr_start: command.stderr.start(),
        note: command.note.clone(),
    }
}

fn exit(end: &CommandEnd) -> proto::Exit {
    let outcome = match &end.outcome {
        Outcome::Ended(ProcessEnd::Code(code)) => exit::Outcome::Code(*code),
        Outcome::Ended(ProcessEnd::Signal(signal)) => exit::Outcome::Signal(*signal),
        Outcome::TimedOut => exit::Outcome::TimedOut(true),
        Outcome::NotStarted(LaunchFailure { shell_code, errno, message }) => {
            let (shell_code, errno, message) = (*shell_code, errno.raw_os_error(), message.clone());
            exit::Outcome::StartFailure(proto::StartFailure { shell_code, errno, message })
        }
    };
    // 2^64 ms are 584 million years.
    let duration_ms = u64::try_from(end.duration.as_millis()).unwrap_or(u64::MAX);
    proto::Exit { outcome: Some(outcome), duration_ms, out_of_memory: end.out_of_memory }
}
