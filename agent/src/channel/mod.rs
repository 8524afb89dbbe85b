//! Channels: duplex byte streams to the host, each opened by a greeting and then carrying HTTP/2.
//!
//! `serial` makes streams out of virtio-serial ports. A driver with another transport (vsock) only has to make streams
//! too and hand each to [`serve_stream`].

mod frames;
mod http2;
mod link;
pub mod serial;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::service::AgentService;
use link::Link;

/// Serves one stream until it ends: greeting, HTTP/2, and the greeting again when HTTP/2 ends before the stream does.
///
/// # Errors
/// The stream's own read or write error. A broken HTTP/2 connection is not one: the next greeting mends it.
pub async fn serve_stream<S>(stream: S, service: &AgentService) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut link = Link::new(stream);
    while link.greet().await? {
        http2::serve(link.http2(), service).await;
        if link.ended() {
            break;
        }
    }
    Ok(())
}
