//! Channels: duplex byte streams to the host, each opened by a greeting and then carrying HTTP/2.
//!
//! `serial` makes streams of virtio-serial ports. `vsock` has ports that the host dials (`ports`), each connection a stream.
//! Whatever the transport, it gives a [`HostStream`] and hands it to [`serve_stream`].

mod frames;
mod http2;
mod link;
pub mod ports;
pub mod serial;
pub mod vsock;

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;

use crate::service::AgentService;
use link::Link;

/// A duplex byte stream to the host.
pub trait HostStream: AsyncRead + AsyncWrite + Unpin {
    /// Whether the host may have changed since this was last asked, in a stream that does not end with its host.
    fn take_host_change(&mut self) -> bool {
        false
    }

    /// Waits until the stream has ended, and drops what comes.
    fn end(&mut self) -> impl Future<Output = ()> {
        async {
            let mut dropped = [0; 64];
            while self.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// A socket ends with its host.
impl HostStream for UnixStream {}

/// Serves one stream until it ends: greeting, HTTP/2, and the greeting again when HTTP/2 ends before the stream does.
///
/// # Errors
/// The stream's own read or write error. A broken HTTP/2 connection is not one: the next greeting mends it.
pub async fn serve_stream(stream: impl HostStream, service: &AgentService) -> io::Result<()> {
    let mut link = Link::new(stream);
    while link.greet().await? {
        http2::serve(link.http2(), service).await;
        if link.ended() {
            break;
        }
    }
    Ok(())
}
