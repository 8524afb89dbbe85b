//! Stdin: feeds a command's standard input.

use tonic::{Status, Streaming};

use super::{AgentService, messages};
use crate::exec::command::Command;
use crate::exec::stdin::{Accepted, Gap, Stdin};
use crate::proto;

impl AgentService {
    pub(super) async fn feed_command(
        &self,
        mut requests: Streaming<proto::StdinRequest>,
    ) -> Result<proto::StdinResponse, Status> {
        let mut next = requests.message().await?;
        let exec_id = next.as_ref().map(|first| first.exec_id.clone());
        let command = self.command(&exec_id.ok_or_else(|| messages::invalid("a first message is missing"))?)?;
        let stdin = command.stdin.as_ref();
        let stdin = stdin.ok_or_else(|| Status::failed_precondition("the command was started without stdin"))?;
        let mut accepted = stdin.accepted().await;
        while let Some(request) = next {
            let end = request.end;
            accepted = feed(&command, stdin, request).await?;
            if accepted.closed || end {
                break;
            }
            next = requests.message().await?;
        }
        Ok(proto::StdinResponse { accepted_bytes: accepted.bytes, closed: accepted.closed })
    }
}

/// A command that has ended reads no more, though what it left in the background may hold its standard input open.
async fn feed(command: &Command, stdin: &Stdin, request: proto::StdinRequest) -> Result<Accepted, Status> {
    let fed = tokio::select! {
        biased;
        fed = stdin.feed(request.offset, request.data, request.end) => fed,
        () = command.ended() => Ok(Accepted { closed: true, ..stdin.accepted().await }),
    };
    fed.map_err(|Gap { offset, accepted }| {
        Status::out_of_range(format!(
            "stdin offset {offset} leaves a gap after the {accepted} bytes the command was given"
        ))
    })
}
