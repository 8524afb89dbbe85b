//! Attach: a command's output and end as a stream, acknowledged by the host as it goes.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{AgentService, messages};
use crate::exec::attachment::{AttachError, Attachment, Event, Stream};
use crate::exec::command::Command;
use crate::proto;

/// Messages taken out of the log ahead of HTTP/2 flow control.
const MESSAGES_AHEAD: usize = 1;

type Events = mpsc::Sender<Result<Event, Status>>;

impl AgentService {
    pub(super) async fn attach_to_command(
        &self,
        mut requests: Streaming<proto::AttachRequest>,
    ) -> Result<mpsc::Receiver<Result<Event, Status>>, Status> {
        let first = requests.message().await?.ok_or_else(|| messages::invalid("a first message is missing"))?;
        let command = self.command(&first.exec_id)?;
        let attachment = Attachment::new(Arc::clone(&command), first.stdout_offset, first.stderr_offset)
            .skipping_dropped(first.skip_dropped);
        let (events, receiver) = mpsc::channel(MESSAGES_AHEAD);
        tokio::spawn(async move {
            tokio::select! {
                () = follow(attachment, &events) => {}
                () = acknowledge(&command, requests, &events) => {}
                () = events.closed() => {}
            }
        });
        Ok(receiver)
    }
}

/// Sends events up to the command's end.
async fn follow(mut attachment: Attachment, events: &Events) {
    loop {
        let event = attachment.next().await;
        let last = !matches!(event, Ok(Event::Output { .. }));
        if events.send(event.map_err(messages::attach_error)).await.is_err() || last {
            return;
        }
    }
}

/// Applies acknowledgements. A host that sends no more of them still gets the rest of what is kept.
async fn acknowledge(command: &Command, mut requests: Streaming<proto::AttachRequest>, events: &Events) {
    while let Ok(Some(request)) = requests.message().await {
        let stdout = command.stdout.acknowledge(request.stdout_offset).map_err(|range| (Stream::Stdout, range));
        let stderr = command.stderr.acknowledge(request.stderr_offset).map_err(|range| (Stream::Stderr, range));
        if let Err((stream, range)) = stdout.and(stderr) {
            // The host is gone if this cannot be sent.
            let _ = events.send(Err(messages::attach_error(AttachError::OutOfRange(stream, range)))).await;
            return;
        }
    }
    std::future::pending().await
}
