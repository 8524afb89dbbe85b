//! Describe, PrepareTemplate and Configure: from a booted guest to one that is somebody's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tonic::Status;

use super::{AgentService, messages, volume};
use crate::exec::command::Command;
use crate::exec::launch::LaunchFailure;
use crate::exec::outcome::{CommandEnd, Outcome};
use crate::exec::request::ExecRequest;
use crate::guest::Configuration;
use crate::proto;
use crate::reaper::ProcessEnd;
use crate::volume::{Setup, SnapshotId, Source};

/// Id of the warming command, free again when PrepareTemplate is answered.
const WARM_ID: &str = "pyro-warm";
const WARM_USER: &str = "root";
/// Longest that the warming command may take, in milliseconds.
const WARM_LIMIT_MS: u64 = 60_000;
/// Digits of a machine-id.
const MACHINE_ID_DIGITS: usize = 32;
/// Longest host name (HOST_NAME_MAX of Linux), in bytes.
const MAX_HOSTNAME_BYTES: usize = 64;

impl AgentService {
    pub(super) fn describe_guest(&self) -> proto::DescribeResponse {
        proto::DescribeResponse {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
            configured: self.shared.workspace.get().is_some(),
            boot_id: self.shared.guest.boot_id(),
            clocksource: self.shared.guest.clocksource(),
        }
    }

    /// The work goes on when the call is cancelled: a guest that is half-configured is of no use to anyone.
    pub(super) async fn configure_guest(
        &self,
        request: proto::ConfigureRequest,
    ) -> Result<proto::ConfigureResponse, Status> {
        let configuration = configuration(request).map_err(messages::invalid)?;
        let _setup = self.shared.setup.lock().await;
        self.refuse_if_configured()?;
        let configured = self.shared.guest.configure(&configuration);
        configured.map_err(|error| match error.errno() {
            Errno::NOSPC if configuration.volume.is_some() => Status::resource_exhausted(error.to_string()),
            _ => messages::internal(error),
        })?;
        // Only set here, under the lock, after the check above.
        let _ = self.shared.workspace.set(configuration.workspace.to_string_lossy().into_owned());
        let _ = self.shared.alone_limit.set(configuration.alone_limit);
        let volume = self.shared.guest.volume();
        let state = volume.map(|mounted| mounted.state()).transpose().map_err(messages::internal)?;
        Ok(proto::ConfigureResponse { boot_id: self.shared.guest.boot_id(), volume: state.map(volume::state_message) })
    }

    pub(super) async fn warm_guest(
        &self,
        request: proto::PrepareTemplateRequest,
    ) -> Result<proto::PrepareTemplateResponse, Status> {
        let service = self.clone();
        // A task of its own: a template that is half prepared is of no use to anyone.
        let preparation = tokio::spawn(async move { service.prepare_and_warm(request).await });
        preparation.await.map_err(messages::internal)??;
        Ok(proto::PrepareTemplateResponse {})
    }

    async fn prepare_and_warm(&self, request: proto::PrepareTemplateRequest) -> Result<(), Status> {
        let proto::PrepareTemplateRequest { warm_argv, workspace_path } = request;
        let workspace = if workspace_path.is_empty() { None } else { Some(workspace(workspace_path)) };
        let workspace = workspace.transpose().map_err(messages::invalid)?;
        let _setup = self.shared.setup.lock().await;
        self.refuse_if_configured()?;
        self.shared.guest.prepare(workspace.as_deref()).map_err(messages::internal)?;
        if warm_argv.is_empty() { Ok(()) } else { self.warm(warm_argv).await }
    }

    async fn warm(&self, argv: Vec<String>) -> Result<(), Status> {
        let argv = argv.into_iter().map(Bytes::from).collect();
        let start = proto::StartRequest {
            exec_id: WARM_ID.to_owned(),
            argv,
            // By name, as commands come: the table of users is read then.
            user: WARM_USER.to_owned(),
            time_limit_ms: WARM_LIMIT_MS,
            ..Default::default()
        };
        let request = ExecRequest::from_proto(start, "/").map_err(messages::invalid)?;
        let registry = &self.shared.registry;
        let command = registry.start(&request).map_err(|error| messages::start_error(&error))?;
        command.ended().await;
        registry.release(&command).await.map_err(|error| messages::release_error(&error))?;
        warmed(&command)
    }

    pub(super) fn refuse_if_configured(&self) -> Result<(), Status> {
        match self.shared.workspace.get() {
            Some(_) => Err(Status::failed_precondition("the guest is configured")),
            None => Ok(()),
        }
    }
}

/// A warming command that fails warms something else than was meant, so the template would be a surprise later.
fn warmed(command: &Arc<Command>) -> Result<(), Status> {
    let reason = match command.end() {
        Some(CommandEnd { outcome: Outcome::Ended(ProcessEnd::Code(0)), .. }) => return Ok(()),
        Some(CommandEnd { outcome: Outcome::NotStarted(LaunchFailure { message, .. }), .. }) => message.clone(),
        Some(CommandEnd { outcome: Outcome::Ended(ProcessEnd::Code(code)), .. }) => format!("exit status {code}"),
        Some(CommandEnd { outcome: Outcome::Ended(ProcessEnd::Signal(signal)), .. }) => format!("signal {signal}"),
        Some(CommandEnd { outcome: Outcome::TimedOut, .. }) | None => format!("not done within {WARM_LIMIT_MS} ms"),
    };
    Err(Status::aborted(format!("warm_argv: {reason}")))
}

fn configuration(request: proto::ConfigureRequest) -> Result<Configuration, String> {
    let proto::ConfigureRequest {
        entropy,
        unix_time_ns,
        machine_id,
        hostname,
        workspace_path,
        volume,
        alone_limit_seconds,
    } = request;
    if entropy.len() < Configuration::MIN_ENTROPY_BYTES {
        return Err(format!("entropy: expected at least {} bytes", Configuration::MIN_ENTROPY_BYTES));
    }
    let is_hexadecimal = machine_id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if machine_id.len() != MACHINE_ID_DIGITS || !is_hexadecimal {
        return Err(format!("machine_id: expected {MACHINE_ID_DIGITS} lower-case hexadecimal digits"));
    }
    let in_hostname = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if hostname.is_empty() || hostname.len() > MAX_HOSTNAME_BYTES || !hostname.bytes().all(in_hostname) {
        return Err(format!("hostname: expected 1 to {MAX_HOSTNAME_BYTES} characters of [A-Za-z0-9.-]"));
    }
    let workspace = workspace(workspace_path)?;
    let volume = volume.map(|setup| volume_setup(&setup)).transpose()?;
    let alone_limit = (alone_limit_seconds > 0).then(|| Duration::from_secs(alone_limit_seconds.into()));
    Ok(Configuration { entropy: entropy.into(), unix_time_ns, machine_id, hostname, workspace, volume, alone_limit })
}

fn volume_setup(setup: &proto::VolumeSetup) -> Result<Setup, String> {
    let snapshots = setup.snapshot_ids.iter().map(|id| SnapshotId::parse(id)).collect::<Result<_, _>>()?;
    let reset_to = match setup.reset_to.as_str() {
        "" => None,
        "baseline" => Some(Source::Baseline),
        id => Some(Source::Snapshot(SnapshotId::parse(id)?)),
    };
    Ok(Setup { snapshots, reset_to, seeded: setup.seeded, drive_bytes: setup.drive_bytes })
}

fn workspace(path: String) -> Result<PathBuf, String> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path.into())
    } else {
        Err("workspace_path: expected an absolute path".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> proto::ConfigureRequest {
        proto::ConfigureRequest {
            entropy: Bytes::from(vec![1; 32]),
            unix_time_ns: 1,
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            hostname: "pyro".into(),
            workspace_path: "/workspace".into(),
            volume: Some(proto::VolumeSetup {
                snapshot_ids: vec!["a".into()],
                reset_to: "baseline".into(),
                seeded: true,
                drive_bytes: 5,
            }),
            alone_limit_seconds: 60,
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert!(configuration(valid()).is_ok());
        type Spoil = fn(&mut proto::ConfigureRequest);
        let wrong: [(&str, Spoil); 5] = [
            ("snapshot_id", |request| {
                request.volume = Some(proto::VolumeSetup { reset_to: "../a".into(), ..Default::default() })
            }),
            ("entropy", |request| request.entropy.truncate(31)),
            ("machine_id", |request| request.machine_id = "A".repeat(32)),
            ("hostname", |request| request.hostname = "a\nb".into()),
            ("workspace_path", |request| request.workspace_path = "workspace".into()),
        ];
        for (field, spoil) in wrong {
            let mut request = valid();
            spoil(&mut request);
            assert!(configuration(request).unwrap_err().starts_with(field), "{field}");
        }
    }
}
