//! MakeSeed and SproutVolume: the work of a machine that is nobody's.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{AgentService, deep, messages, volume};
use crate::guest::{Configuration, Fresh};
use crate::proto;
use crate::seed::{Phase, SeedError, Totals};

/// What is said while a seed is made.
pub(super) type Steps = ReceiverStream<Result<proto::MakeSeedResponse, Status>>;

/// Time between two steps that are said: the host takes a longer silence for the end.
const STEP_INTERVAL: Duration = Duration::from_millis(250);
/// Steps that wait for the host; more are not said.
const WAITING_STEPS: usize = 4;

impl AgentService {
    /// The work goes on when the call is cancelled: the machine is of no other use.
    pub(super) async fn grow_seed(&self, request: proto::MakeSeedRequest) -> Result<Steps, Status> {
        let fresh = fresh(request.entropy.into(), request.unix_time_ns)?;
        let _setup = self.shared.setup.lock().await;
        self.refuse_if_configured()?;
        let (sender, receiver) = mpsc::channel(WAITING_STEPS);
        let service = self.clone();
        let work = move || {
            let mut said = Instant::now();
            let done = service.shared.guest.make_seed(&fresh, &mut |phase, totals| {
                if said.elapsed() >= STEP_INTERVAL {
                    said = Instant::now();
                    // One that the host has not taken yet says nearly the same.
                    let _ = sender.try_send(Ok(step(phase, totals, false)));
                }
            });
            let last = done.map(|totals| step(Phase::Comparing, totals, true)).map_err(|error| failure(&error));
            let _ = sender.blocking_send(last);
        };
        deep::spawn(work)?;
        Ok(ReceiverStream::new(receiver))
    }

    pub(super) async fn sprout_seed(
        &self,
        request: proto::SproutVolumeRequest,
    ) -> Result<proto::SproutVolumeResponse, Status> {
        let fresh = fresh(request.entropy.into(), request.unix_time_ns)?;
        let _setup = self.shared.setup.lock().await;
        self.refuse_if_configured()?;
        let service = self.clone();
        let done = tokio::task::spawn_blocking(move || service.shared.guest.sprout(&fresh)).await;
        done.map_err(messages::internal)?.map_err(|error| volume::failure(&error))?;
        Ok(proto::SproutVolumeResponse {})
    }
}

fn fresh(entropy: Vec<u8>, unix_time_ns: u64) -> Result<Fresh, Status> {
    if entropy.len() < Configuration::MIN_ENTROPY_BYTES {
        let expected = format!("entropy: expected at least {} bytes", Configuration::MIN_ENTROPY_BYTES);
        return Err(messages::invalid(expected));
    }
    Ok(Fresh { entropy, unix_time_ns })
}

fn step(phase: Phase, totals: Totals, done: bool) -> proto::MakeSeedResponse {
    let Totals { entries, bytes } = totals;
    proto::MakeSeedResponse { entries, bytes, comparing: phase == Phase::Comparing, done }
}

fn failure(error: &SeedError) -> Status {
    match error {
        SeedError::System(error) => volume::failure(error),
        SeedError::Different(_) => Status::data_loss(error.to_string()),
    }
}
