//! Serves gRPC over one established connection, with limits chosen for throughput on few, trusted-to-be-one-host links.

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frames::MAX_FRAME_BYTES;
use crate::service::AgentService;

/// Unread request bytes the agent lets the host have in flight on one call.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for all calls of one connection together.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Response bytes buffered per call before its command's ring has to hold them.
const SEND_BUFFER_BYTES: usize = 2 << 20;
/// Calls at once on one connection: every command may have an Attach and a Stdin open, and there are short calls.
const MAX_CONCURRENT_CALLS: u32 = 4096;

/// Serves until the connection ends, for whatever reason: the channel returns to its greeting, commands are unaffected.
pub(super) async fn serve<S>(stream: S, service: &AgentService)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_CALLS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.routed()));
    // Its error says only how the host went away, which the host knows better.
    let _ = connection.await;
}
