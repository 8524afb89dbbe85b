//! PID 1 of a pyro guest: `/init` of the initramfs that the host packs.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyro_agent::alone;
use pyro_agent::boot::cmdline::{self, ChannelKind};
use pyro_agent::boot::devices::{DeviceEvents, Drives, port_by_name};
use pyro_agent::boot::{filesystems, loopback, modules};
use pyro_agent::channel::ports;
use pyro_agent::channel::serial::SerialPort;
use pyro_agent::channel::serve_stream;
use pyro_agent::channel::vsock::VsockListener;
use pyro_agent::console;
use pyro_agent::exec::group::ControlGroups;
use pyro_agent::exec::registry::Registry;
use pyro_agent::guest::BootedGuest;
use pyro_agent::kernel_files::KernelFiles;
use pyro_agent::reaper;
use pyro_agent::service::AgentService;
use pyro_agent::system_error::{Doing, SystemError};

fn main() {
    console::end_machine_on_panic();
    let error = match run() {
        Ok(()) => "all channels are closed".into(),
        Err(error) => error,
    };
    console::fatal(error);
}

/// The agent's life. It only returns when the guest cannot go on.
fn run() -> Result<(), Box<dyn Error>> {
    filesystems::mount_for_agent()?;
    let parameters = cmdline::parse(&fs::read_to_string("/proc/cmdline").doing(|| "read /proc/cmdline")?)?;
    pyro_agent::boot::limits::prepare()?;
    loopback::up()?;
    let devices = DeviceEvents::listen()?;
    modules::load_all(Path::new("/modules"))?;
    let kernel = Arc::new(KernelFiles::open()?);
    let channels = Channels::find(parameters.channel, &devices)?;
    let drives = if parameters.drives.is_empty() { Drives::BySerial } else { Drives::InOrder(parameters.drives) };
    let guest = BootedGuest::new(parameters.rootfs_type, devices, drives, Arc::clone(&kernel));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "start the runtime")?;
    runtime.block_on(async {
        let groups = ControlGroups::mount()?;
        let memory_stalls = groups.memory_stalls()?;
        let service = AgentService::new(Box::new(guest), Registry::new(Box::new(groups), kernel));
        tokio::select! {
            ended = channels.serve(&service) => ended,
            ended = reaper::run() => ended,
            ended = memory_stalls.relieve() => ended,
            alone = alone::too_long(&service) => {
                service.write_all();
                console::end_machine(format_args!("no host for {} s", alone.as_secs()))
            }
        }
    })?;
    Ok(())
}

/// The machine's channels, before they are open.
enum Channels {
    Serial { control: PathBuf, bulk: PathBuf },
    Vsock,
}

impl Channels {
    fn find(kind: ChannelKind, devices: &DeviceEvents) -> Result<Self, SystemError> {
        match kind {
            ChannelKind::Serial => Ok(Self::Serial {
                control: find_port(devices, "pyro.control")?,
                bulk: find_port(devices, "pyro.bulk")?,
            }),
            ChannelKind::Vsock => Ok(Self::Vsock),
        }
    }

    /// Serves both until one of them cannot go on.
    async fn serve(&self, service: &AgentService) -> Result<(), SystemError> {
        match self {
            Self::Serial { control, bulk } => {
                tokio::select! {
                    ended = serve_port(control, service, Told::OfHosts) => ended,
                    ended = serve_port(bulk, service, Told::Nothing) => ended,
                }
            }
            Self::Vsock => ports::serve(VsockListener::bind, service).await.map(|_| ()).doing(|| "serve vsock ports"),
        }
    }
}

fn find_port(devices: &DeviceEvents, name: &str) -> Result<PathBuf, SystemError> {
    devices.wait_for(&format!("serial port {name}"), || port_by_name(name))
}

/// Serves one host after the other; the port's stream goes on from each to the next.
async fn serve_port(path: &Path, service: &AgentService, told: Told) -> Result<(), SystemError> {
    let port = SerialPort::open(path)?;
    if let Told::OfHosts = told {
        service.hosts().watch_port(port.duplicate().doing(|| format!("duplicate {}", path.display()))?);
    }
    serve_stream(port, service).await.doing(|| format!("serve {}", path.display()))
}

/// What a port tells beside its bytes. Every host opens the channel `control`, not every one the other.
enum Told {
    OfHosts,
    Nothing,
}
