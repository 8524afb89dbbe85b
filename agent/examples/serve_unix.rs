//! Serves the agent on a Unix socket, with greeting, on the machine it is started on: for tests of the host side without
//! a virtual machine.
//!
//! ```text
//! serve_unix SOCKET [WORKSPACE]
//! ```
//!
//! With WORKSPACE the guest counts as configured and commands start there; without, Configure is to be called first (and
//! changes nothing of the machine). Commands run as the caller. As root, with a cgroup v2 hierarchy that can be mounted,
//! each gets a control group as in a guest; otherwise its process group is all that can be killed. Prints `listening` when
//! it is ready.

use std::error::Error;
use std::sync::Arc;

use pyro_agent::channel::serve_stream;
use pyro_agent::console;
use pyro_agent::exec::group::{ControlGroups, ProcessGroups, Sessions};
use pyro_agent::exec::registry::Registry;
use pyro_agent::guest::BorrowedGuest;
use pyro_agent::kernel_files::KernelFiles;
use pyro_agent::reaper;
use pyro_agent::service::AgentService;
use tokio::net::UnixListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().ok_or("usage: serve_unix SOCKET [WORKSPACE]")?;
    let kernel = Arc::new(KernelFiles::open()?);
    let registry = Registry::new(process_groups(), Arc::clone(&kernel));
    let mut service = AgentService::new(Box::new(BorrowedGuest::new(kernel)), registry);
    if let Some(workspace) = arguments.next() {
        service = service.configured(&workspace);
    }
    let listener = UnixListener::bind(&socket)?;
    tokio::spawn(async { reaper::run().await.unwrap_or_else(|error| console::fatal(error)) });
    println!("listening");
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move { serve_stream(stream, &service).await });
    }
}

fn process_groups() -> Box<dyn ProcessGroups> {
    match ControlGroups::mount() {
        Ok(groups) => Box::new(groups),
        Err(error) => {
            console::log(format_args!("process groups only: {error}"));
            Box::new(Sessions)
        }
    }
}
