//! The gRPC service (proto/pyro/agent/v1/agent.proto): requests are checked and turned into calls on the guest and its
//! commands, results into messages. One file per kind of call.

mod attach;
mod commands;
mod compare;
mod deep;
mod files;
mod messages;
mod output_body;
mod patch;
mod routing;
mod seed;
mod setup;
mod stdin;
mod volume;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tonic::{Request, Response, Status, Streaming};

use crate::alone::Hosts;
use crate::console;
use crate::exec::command::Command;
use crate::exec::id::ExecId;
use crate::exec::registry::Registry;
use crate::guest::Guest;
use crate::proto;
use crate::proto::agent_server::Agent;

/// Largest request message, in bytes: a Start whose arguments and environment are as long as Linux takes, or a piece of
/// standard input.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// The service, shared by all channels.
#[derive(Clone)]
pub struct AgentService {
    shared: Arc<Shared>,
}

struct Shared {
    guest: Box<dyn Guest>,
    registry: Registry,
    /// The workspace path; set when Configure is answered.
    workspace: OnceLock<String>,
    /// How long the machine lives without a host; set when Configure is answered.
    alone_limit: OnceLock<Option<Duration>>,
    hosts: Arc<Hosts>,
    /// Held while the guest is prepared or configured.
    setup: tokio::sync::Mutex<()>,
}

impl AgentService {
    /// A service for this guest, not configured.
    #[must_use]
    pub fn new(guest: Box<dyn Guest>, registry: Registry) -> Self {
        let shared = Shared {
            guest,
            registry,
            workspace: OnceLock::new(),
            alone_limit: OnceLock::new(),
            hosts: Arc::default(),
            setup: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The same service on a guest that needs no Configure, with this default working directory.
    #[must_use]
    pub fn configured(self, workspace: &str) -> Self {
        // Nobody else has this service yet.
        let _ = self.shared.workspace.set(workspace.to_owned());
        self
    }

    /// The hosts of this machine.
    #[must_use]
    pub fn hosts(&self) -> &Arc<Hosts> {
        &self.shared.hosts
    }

    /// How long the machine lives without a host; none: for ever, as one that is not configured.
    pub(crate) fn alone_limit(&self) -> Option<Duration> {
        self.shared.alone_limit.get().copied().flatten()
    }

    /// Whether a command runs in a machine that keeps something.
    pub(crate) fn is_working(&self) -> bool {
        let running = || self.shared.registry.list().iter().any(|command| command.end().is_none());
        self.shared.guest.volume().is_some() && running()
    }

    /// Writes what the machine keeps, for its end.
    pub fn write_all(&self) {
        if let Some(Err(error)) = self.shared.guest.volume().map(|volume| volume.flush(false)) {
            console::log(error);
        }
    }

    fn command(&self, exec_id: &str) -> Result<Arc<Command>, Status> {
        let id: ExecId = exec_id.parse().map_err(messages::invalid)?;
        let found = self.shared.registry.find(&id);
        found.ok_or_else(|| Status::not_found(format!("command {id} is not known")))
    }
}

#[tonic::async_trait]
impl Agent for AgentService {
    type AttachStream = tokio_stream::Empty<Result<proto::AttachResponse, Status>>;

    async fn describe(
        &self,
        _request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeResponse>, Status> {
        Ok(Response::new(self.describe_guest()))
    }

    async fn configure(
        &self,
        request: Request<proto::ConfigureRequest>,
    ) -> Result<Response<proto::ConfigureResponse>, Status> {
        self.configure_guest(request.into_inner()).await.map(Response::new)
    }

    async fn prepare_template(
        &self,
        request: Request<proto::PrepareTemplateRequest>,
    ) -> Result<Response<proto::PrepareTemplateResponse>, Status> {
        self.warm_guest(request.into_inner()).await.map(Response::new)
    }

    async fn start(&self, request: Request<proto::StartRequest>) -> Result<Response<proto::StartResponse>, Status> {
        self.start_command(request.into_inner()).await.map(Response::new)
    }

    /// Never called: `routing` answers Attach itself, with a body that does not copy.
    async fn attach(
        &self,
        _request: Request<Streaming<proto::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("Attach is answered by the routing"))
    }

    async fn stdin(
        &self,
        request: Request<Streaming<proto::StdinRequest>>,
    ) -> Result<Response<proto::StdinResponse>, Status> {
        self.feed_command(request.into_inner()).await.map(Response::new)
    }

    async fn signal(&self, request: Request<proto::SignalRequest>) -> Result<Response<proto::SignalResponse>, Status> {
        self.signal_command(&request.into_inner()).map(Response::new)
    }

    async fn resize(&self, request: Request<proto::ResizeRequest>) -> Result<Response<proto::ResizeResponse>, Status> {
        self.resize_terminal(&request.into_inner()).map(Response::new)
    }

    async fn kill(&self, request: Request<proto::KillRequest>) -> Result<Response<proto::KillResponse>, Status> {
        self.kill_command(&request.into_inner()).map(Response::new)
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        self.release_command(&request.into_inner()).await.map(Response::new)
    }

    async fn list(&self, _request: Request<proto::ListRequest>) -> Result<Response<proto::ListResponse>, Status> {
        Ok(Response::new(self.list_commands()))
    }

    async fn create_snapshot(
        &self,
        request: Request<proto::CreateSnapshotRequest>,
    ) -> Result<Response<proto::CreateSnapshotResponse>, Status> {
        self.keep_snapshot(&request.into_inner()).await.map(Response::new)
    }

    async fn delete_snapshot(
        &self,
        request: Request<proto::DeleteSnapshotRequest>,
    ) -> Result<Response<proto::DeleteSnapshotResponse>, Status> {
        self.drop_snapshot(&request.into_inner()).await.map(Response::new)
    }

    async fn grow_volume(
        &self,
        request: Request<proto::GrowVolumeRequest>,
    ) -> Result<Response<proto::GrowVolumeResponse>, Status> {
        self.grow_file_system(request.into_inner()).await.map(Response::new)
    }

    async fn count_pins(
        &self,
        request: Request<proto::CountPinsRequest>,
    ) -> Result<Response<proto::CountPinsResponse>, Status> {
        self.weigh_snapshots(request.into_inner()).await.map(Response::new)
    }

    async fn sync_volume(
        &self,
        request: Request<proto::SyncVolumeRequest>,
    ) -> Result<Response<proto::SyncVolumeResponse>, Status> {
        self.flush_volume(request.into_inner()).await.map(Response::new)
    }

    async fn flatten_volume(
        &self,
        _request: Request<proto::FlattenVolumeRequest>,
    ) -> Result<Response<proto::FlattenVolumeResponse>, Status> {
        self.take_seed_in().await.map(Response::new)
    }

    type MakeSeedStream = seed::Steps;

    async fn make_seed(
        &self,
        request: Request<proto::MakeSeedRequest>,
    ) -> Result<Response<Self::MakeSeedStream>, Status> {
        self.grow_seed(request.into_inner()).await.map(Response::new)
    }

    async fn sprout_volume(
        &self,
        request: Request<proto::SproutVolumeRequest>,
    ) -> Result<Response<proto::SproutVolumeResponse>, Status> {
        self.sprout_seed(request.into_inner()).await.map(Response::new)
    }

    type CompareStream = compare::Events;

    async fn compare(&self, request: Request<proto::CompareRequest>) -> Result<Response<Self::CompareStream>, Status> {
        self.compare_trees(&request.into_inner()).map(Response::new)
    }

    async fn push(
        &self,
        request: Request<Streaming<proto::PushRequest>>,
    ) -> Result<Response<proto::PushResponse>, Status> {
        self.push_tree(request.into_inner()).await.map(Response::new)
    }

    type PullStream = files::Pieces;

    async fn pull(&self, request: Request<proto::PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        self.pull_trees(request.into_inner()).map(Response::new)
    }

    async fn list_files(
        &self,
        request: Request<proto::ListFilesRequest>,
    ) -> Result<Response<proto::ListFilesResponse>, Status> {
        self.list_directory(request.into_inner()).await.map(Response::new)
    }

    async fn read_file(
        &self,
        request: Request<proto::ReadFileRequest>,
    ) -> Result<Response<proto::ReadFileResponse>, Status> {
        self.read_range(request.into_inner()).await.map(Response::new)
    }

    async fn write_file(
        &self,
        request: Request<proto::WriteFileRequest>,
    ) -> Result<Response<proto::WriteFileResponse>, Status> {
        self.write_whole(request.into_inner()).await.map(Response::new)
    }

    async fn search_files(
        &self,
        request: Request<proto::SearchFilesRequest>,
    ) -> Result<Response<proto::SearchFilesResponse>, Status> {
        self.search_text(request.into_inner()).await.map(Response::new)
    }

    async fn apply_patch(
        &self,
        request: Request<Streaming<proto::ApplyPatchRequest>>,
    ) -> Result<Response<proto::ApplyPatchResponse>, Status> {
        self.apply_whole_patch(request.into_inner()).await.map(Response::new)
    }
}
