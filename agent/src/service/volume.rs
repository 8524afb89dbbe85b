//! CreateSnapshot, DeleteSnapshot, CountPins, GrowVolume, SyncVolume and FlattenVolume. The work is done beside the runtime's one thread, which a disk must not hold
//! up, and goes on when the call is cancelled.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tonic::Status;

use super::{AgentService, messages};
use crate::proto;
use crate::system_error::SystemError;
use crate::volume::{Pin, SnapshotId, State, TreeCount, Volume};

impl AgentService {
    pub(super) async fn keep_snapshot(
        &self,
        request: &proto::CreateSnapshotRequest,
    ) -> Result<proto::CreateSnapshotResponse, Status> {
        let id = SnapshotId::parse(&request.snapshot_id).map_err(messages::invalid)?;
        let (state, tree) = self.on_volume(move |volume| volume.create_snapshot(&id)).await?;
        Ok(proto::CreateSnapshotResponse { volume: Some(state_message(state)), tree: Some(tree_message(tree)) })
    }

    pub(super) async fn drop_snapshot(
        &self,
        request: &proto::DeleteSnapshotRequest,
    ) -> Result<proto::DeleteSnapshotResponse, Status> {
        let id = SnapshotId::parse(&request.snapshot_id).map_err(messages::invalid)?;
        let state = self.on_volume(move |volume| volume.delete_snapshot(&id)).await?;
        Ok(proto::DeleteSnapshotResponse { volume: Some(state_message(state)) })
    }

    pub(super) async fn weigh_snapshots(
        &self,
        request: proto::CountPinsRequest,
    ) -> Result<proto::CountPinsResponse, Status> {
        let ids: Result<Vec<_>, _> = request.snapshot_ids.iter().map(|id| SnapshotId::parse(id)).collect();
        let (ids, limit) = (ids.map_err(messages::invalid)?, Duration::from_millis(request.limit_ms.into()));
        let counted = self.on_volume(move |volume| volume.count_pins(&ids, limit)).await?;
        let complete = counted.is_some();
        Ok(proto::CountPinsResponse { pins: counted.into_iter().flatten().map(pin_message).collect(), complete })
    }

    pub(super) async fn flush_volume(
        &self,
        request: proto::SyncVolumeRequest,
    ) -> Result<proto::SyncVolumeResponse, Status> {
        let state = self.on_volume(move |volume| volume.flush(request.trim)).await?;
        Ok(proto::SyncVolumeResponse { volume: Some(state_message(state)) })
    }

    pub(super) async fn grow_file_system(
        &self,
        request: proto::GrowVolumeRequest,
    ) -> Result<proto::GrowVolumeResponse, Status> {
        self.volume()?;
        let shared = Arc::clone(&self.shared);
        let grown = tokio::task::spawn_blocking(move || shared.guest.grow_volume(request.drive_bytes)).await;
        let state = grown.map_err(messages::internal)?.map_err(|error| failure(&error))?;
        Ok(proto::GrowVolumeResponse { volume: Some(state_message(state)) })
    }

    pub(super) async fn take_seed_in(&self) -> Result<proto::FlattenVolumeResponse, Status> {
        let state = self.on_volume(Volume::flatten).await?;
        Ok(proto::FlattenVolumeResponse { volume: Some(state_message(state)) })
    }

    async fn on_volume<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Volume) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, Status> {
        let volume = self.volume()?;
        let done = tokio::task::spawn_blocking(move || work(&volume)).await;
        done.map_err(messages::internal)?.map_err(|error| failure(&error))
    }

    pub(super) fn volume(&self) -> Result<Arc<Volume>, Status> {
        self.shared
            .guest
            .volume()
            .ok_or_else(|| Status::failed_precondition("the guest was configured without a volume"))
    }
}

/// The state of a volume as a message.
pub(super) fn state_message(state: State) -> proto::VolumeState {
    let State { workspace_generation, total_bytes, used_bytes } = state;
    proto::VolumeState { workspace_generation, total_bytes, used_bytes }
}

fn pin_message(Pin { id, bytes }: Pin) -> proto::SnapshotPin {
    proto::SnapshotPin { snapshot_id: id.as_str().to_owned(), bytes }
}

fn tree_message(tree: TreeCount) -> proto::TreeCount {
    let TreeCount { entries, bytes, complete } = tree;
    proto::TreeCount { entries, bytes, complete }
}

pub(super) fn failure(error: &SystemError) -> Status {
    let text = error.to_string();
    match error.errno() {
        Errno::EXIST => Status::already_exists(text),
        Errno::NOENT => Status::not_found(text),
        Errno::NOSPC | Errno::DQUOT => Status::resource_exhausted(text),
        _ => Status::internal(text),
    }
}
