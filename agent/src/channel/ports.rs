//! Numbered ports on which the host dials the agent, each connection a stream of its own (vsock).
//!
//! A VMM that saves its machine resets every connection in it when the machine runs again, some time after the vCPUs do: a
//! host that dials in between is connected, and then silently is not. So a host that is about to save dials [`HOLD_PORT`].
//! While that connection lives nobody listens on the others; it dies by the very reset, and only then does the agent listen
//! again. Who is connected after a restore stays connected.

use std::convert::Infallible;
use std::future::Future;
use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

use super::{HostStream, serve_stream};
use crate::service::AgentService;

/// Port of the channel `control`.
pub const CONTROL_PORT: u32 = 1024;
/// Port of the channel `bulk`.
pub const BULK_PORT: u32 = 1025;
/// Port that keeps the others closed while a connection to it lives.
pub const HOLD_PORT: u32 = 1026;

/// What the agent says on [`HOLD_PORT`] once the other ports are closed.
pub const HELD: &[u8] = b"HELD\n";

/// Something that hosts dial.
pub trait HostListener {
    /// What a host gets.
    type Stream: HostStream;

    /// The next host.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// A listener on this host, for tests.
impl HostListener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// Serves both channels, except while a host holds them.
///
/// # Errors
/// What `bind` or a listener says; a connection's own errors end that connection.
pub async fn serve<L: HostListener>(
    bind: impl Fn(u32) -> io::Result<L>,
    service: &AgentService,
) -> io::Result<Infallible> {
    let hold = bind(HOLD_PORT)?;
    loop {
        let (control, bulk) = (bind(CONTROL_PORT)?, bind(BULK_PORT)?);
        let held = tokio::select! {
            ended = serve_port(&control, service) => return ended,
            ended = serve_port(&bulk, service) => return ended,
            held = hold.accept() => held?,
        };
        drop((control, bulk));
        stay_closed(held).await;
    }
}

/// Serves one host after the other. One that comes while another is served takes its place: a host dials again only when
/// it has given the first connection up.
async fn serve_port<L: HostListener>(listener: &L, service: &AgentService) -> io::Result<Infallible> {
    let mut stream = listener.accept().await?;
    loop {
        stream = tokio::select! {
            newer = listener.accept() => newer?,
            // Whatever ended it, the next one may be fine.
            _ = serve_visit(stream, service) => listener.accept().await?,
        };
    }
}

async fn serve_visit(stream: impl HostStream, service: &AgentService) -> io::Result<()> {
    let _visit = service.hosts().arrived();
    serve_stream(stream, service).await
}

/// Says that the channels are closed, and waits for the end of the host that wanted it, or of the time before a restore.
async fn stay_closed(mut held: impl HostStream) {
    if held.write_all(HELD).await.is_ok() && held.flush().await.is_ok() {
        held.end().await;
    }
}
