//! Attach: a command's output and end as a stream, acknowledged by the host as it goes; on request its start and its release too,
//! so that a host needs one call for all of a command.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{AgentService, messages};
use crate::console;
use crate::exec::attachment::{AttachError, Attachment, Event, Stream};
use crate::exec::command::Command;
use crate::proto;

/// Messages taken out of the log ahead of HTTP/2 flow control.
const MESSAGES_AHEAD: usize = 1;

/// What one message says.
pub(super) enum Answer {
    /// The command that the call was to start is there.
    Started(proto::StartResponse),
    /// Something of the command.
    Event(Event),
}

pub(super) type Answers = mpsc::Receiver<Result<Answer, Status>>;
type Sender = mpsc::Sender<Result<Answer, Status>>;

impl AgentService {
    pub(super) async fn attach_to_command(
        &self,
        mut requests: Streaming<proto::AttachRequest>,
    ) -> Result<Answers, Status> {
        let mut first = requests.message().await?.ok_or_else(|| messages::invalid("a first message is missing"))?;
        let after_end = first.after_end();
        let started = match first.start.take() {
            Some(start) if start.exec_id != first.exec_id => {
                return Err(messages::invalid("start.exec_id: expected the message's own"));
            }
            Some(start) => Some(self.start_command(start).await?),
            None => None,
        };
        let command = self.command(&first.exec_id)?;
        let attachment = Attachment::new(Arc::clone(&command), first.stdout_offset, first.stderr_offset)
            .skipping_dropped(first.skip_dropped);
        let (answers, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let service = self.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = follow(started, attachment, &answers) => ended,
                () = acknowledge(&command, requests, &answers) => false,
                () = answers.closed() => false,
            };
            // The stream ends with it, and the end is on its way before what is left costs the guest time.
            drop(answers);
            if ended {
                service.settle(&command, after_end).await;
            }
        });
        Ok(receiver)
    }

    async fn settle(&self, command: &Command, after_end: proto::AfterEnd) {
        let settled = match after_end {
            proto::AfterEnd::Unspecified => Ok(()),
            proto::AfterEnd::Kill => command.kill().map_err(|error| error.to_string()),
            proto::AfterEnd::Release => self.shared.registry.release(command).await.map_err(|error| error.to_string()),
        };
        // Nobody waits for it; a command that lingers is still known.
        if let Err(error) = settled {
            console::log(error);
        }
    }
}

/// Sends events up to the command's end; whether that was given.
async fn follow(started: Option<proto::StartResponse>, mut attachment: Attachment, answers: &Sender) -> bool {
    if let Some(started) = started
        && answers.send(Ok(Answer::Started(started))).await.is_err()
    {
        return false;
    }
    loop {
        let event = attachment.next().await;
        let more = matches!(event, Ok(Event::Output { .. }));
        let ended = matches!(event, Ok(Event::End(_)));
        let given = answers.send(event.map(Answer::Event).map_err(messages::attach_error)).await.is_ok();
        if !given || !more {
            return given && ended;
        }
    }
}

/// Applies acknowledgements. A host that sends no more of them still gets the rest of what is kept.
async fn acknowledge(command: &Command, mut requests: Streaming<proto::AttachRequest>, answers: &Sender) {
    while let Ok(Some(request)) = requests.message().await {
        let stdout = command.stdout.acknowledge(request.stdout_offset).map_err(|range| (Stream::Stdout, range));
        let stderr = command.stderr.acknowledge(request.stderr_offset).map_err(|range| (Stream::Stderr, range));
        if let Err((stream, range)) = stdout.and(stderr) {
            // The host is gone if this cannot be sent.
            let _ = answers.send(Err(messages::attach_error(AttachError::OutOfRange(stream, range)))).await;
            return;
        }
    }
    std::future::pending().await
}
