//! PID 1 of a pyro guest: `/init` of the initramfs that the host packs.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use pyro_agent::boot::cmdline::{self, ChannelKind};
use pyro_agent::boot::devices::{DeviceEvents, port_by_name};
use pyro_agent::boot::{filesystems, modules};
use pyro_agent::channel::serial::SerialPort;
use pyro_agent::channel::serve_stream;
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
    let devices = DeviceEvents::listen()?;
    modules::load_all(Path::new("/modules"))?;
    let ports = match parameters.channel {
        ChannelKind::Serial => [open_port(&devices, "pyro.control")?, open_port(&devices, "pyro.bulk")?],
    };
    let kernel = Arc::new(KernelFiles::open()?);
    let guest = BootedGuest::new(parameters.rootfs_type, devices, Arc::clone(&kernel));
    let service = AgentService::new(Box::new(guest), Registry::new(Box::new(ControlGroups::mount()?), kernel));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "start the runtime")?;
    runtime.block_on(async {
        let [control, bulk] = ports;
        let serving = async { tokio::try_join!(serve_port(&control, &service), serve_port(&bulk, &service)) };
        tokio::select! {
            ended = serving => ended.map(|_| ()),
            ended = reaper::run() => ended,
        }
    })?;
    Ok(())
}

fn open_port(devices: &DeviceEvents, name: &str) -> Result<SerialPort, SystemError> {
    let path = devices.wait_for(&format!("serial port {name}"), || port_by_name(name))?;
    SerialPort::open(&path)
}

/// Serves one host after the other.
async fn serve_port(port: &SerialPort, service: &AgentService) -> Result<(), SystemError> {
    loop {
        let stream = port.accept().await.doing(|| "wait for the host")?;
        if let Err(error) = serve_stream(stream, service).await {
            console::log(format_args!("channel: {error}"));
        }
    }
}
