//! The host's side of a channel: greeting, then the generated client on hyper's HTTP/2.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pyro_agent::proto::agent_client::AgentClient;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tonic::body::Body;

/// The generated client on a greeted stream.
pub type Client = AgentClient<Connection>;

/// A nonce; tests need no fresh one.
pub const NONCE: &str = "0123456789abcdef0123456789abcdef";

/// Sends a greeting and skips everything up to its answer.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, nonce: &str) -> io::Result<()> {
    stream.write_all(format!("PYRO/1 {nonce}\n").as_bytes()).await?;
    let wanted = format!("PYRO-AGENT/1 {nonce}\n").into_bytes();
    let mut seen = Vec::new();
    while !seen.ends_with(&wanted) {
        seen.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Greets and starts HTTP/2 with windows like the real host's.
pub async fn connect<S>(mut stream: S, nonce: &str) -> io::Result<Client>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    greet(&mut stream, nonce).await?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let client = AgentClient::with_origin(Connection(sender), http::Uri::from_static("http://guest"));
    Ok(client.max_decoding_message_size(4 << 20))
}

/// hyper's request sender as the service that the generated client wants.
#[derive(Clone)]
pub struct Connection(SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
