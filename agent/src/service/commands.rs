//! Start, Signal, Resize, Kill, Release and List.

use rustix::process::Signal;
use tonic::Status;

use super::{AgentService, messages};
use crate::console;
use crate::exec::request::{ExecRequest, window_size};
use crate::proto;

/// Signals that may be sent by number: the standard ones (signal(7)).
const STANDARD_SIGNALS: std::ops::RangeInclusive<u32> = 1..=31;

impl AgentService {
    pub(super) async fn start_command(&self, request: proto::StartRequest) -> Result<proto::StartResponse, Status> {
        let Some(workspace) = self.shared.workspace.get() else {
            return Err(Status::failed_precondition("the guest is not configured"));
        };
        if let Err(error) = self.shared.guest.correct_clock(request.unix_time_ns) {
            console::log(error);
        }
        let request = ExecRequest::from_proto(request, workspace).map_err(messages::invalid)?;
        let command = self.shared.registry.start(&request).map_err(|error| messages::start_error(&error))?;
        command.started().await;
        Ok(proto::StartResponse { pid: command.pid() })
    }

    pub(super) fn signal_command(&self, request: &proto::SignalRequest) -> Result<proto::SignalResponse, Status> {
        let signal = i32::try_from(request.signal).ok().filter(|_| STANDARD_SIGNALS.contains(&request.signal));
        let signal =
            signal.and_then(Signal::from_named_raw).ok_or_else(|| messages::invalid("signal: expected 1 to 31"))?;
        let delivered = self.command(&request.exec_id)?.signal(signal).map_err(messages::internal)?;
        Ok(proto::SignalResponse { delivered })
    }

    pub(super) fn resize_terminal(&self, request: &proto::ResizeRequest) -> Result<proto::ResizeResponse, Status> {
        let size = request.terminal.as_ref().ok_or_else(|| messages::invalid("terminal: expected a size"))?;
        let size = window_size(size).map_err(messages::invalid)?;
        if self.command(&request.exec_id)?.resize(size).map_err(messages::internal)? {
            return Ok(proto::ResizeResponse {});
        }
        Err(Status::failed_precondition(format!("command {} has no terminal", request.exec_id)))
    }

    pub(super) fn kill_command(&self, request: &proto::KillRequest) -> Result<proto::KillResponse, Status> {
        self.command(&request.exec_id)?.kill().map_err(messages::internal)?;
        Ok(proto::KillResponse {})
    }

    /// The work goes on when the call is cancelled.
    pub(super) async fn release_command(
        &self,
        request: &proto::ReleaseRequest,
    ) -> Result<proto::ReleaseResponse, Status> {
        let command = self.command(&request.exec_id)?;
        let service = self.clone();
        let release = tokio::spawn(async move { service.shared.registry.release(&command).await });
        let released = release.await.map_err(messages::internal)?;
        released.map_err(|error| messages::release_error(&error))?;
        Ok(proto::ReleaseResponse {})
    }

    pub(super) fn list_commands(&self) -> proto::ListResponse {
        let commands = self.shared.registry.list().iter().map(|command| messages::command(command)).collect();
        proto::ListResponse { commands }
    }
}
