//! Ports that the host dials, with Unix sockets in the place of vsock's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use pyro_agent::channel::ports::{BULK_PORT, CONTROL_PORT, HELD, HOLD_PORT, serve};
use pyro_agent::exec::group::Sessions;
use pyro_agent::proto::DescribeRequest;
use support::connection::Client;
use support::{NONCE, agent, connect, greet};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// A directory with a socket for each port that is listened on.
struct Ports(PathBuf);

impl Ports {
    /// An agent that serves ports in a directory of this test.
    fn serve(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pyro-ports-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let service = agent(Box::new(Sessions));
        let place = directory.clone();
        tokio::spawn(async move {
            let bind = |port: u32| {
                let path = place.join(port.to_string());
                // A closed Unix socket keeps its name, which a vsock port does not have.
                let _ = std::fs::remove_file(&path);
                UnixListener::bind(path)
            };
            serve(bind, &service).await
        });
        Self(directory)
    }

    /// Dials until somebody listens.
    async fn dial(&self, port: u32) -> UnixStream {
        let dialled = async {
            loop {
                if let Ok(stream) = self.dial_once(port).await {
                    return stream;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, dialled).await.unwrap()
    }

    async fn dial_once(&self, port: u32) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.0.join(port.to_string())).await
    }

    async fn client(&self, port: u32) -> Client {
        connect(self.dial(port).await, NONCE).await.unwrap()
    }

    /// Has the ports closed, and waits until they are.
    async fn hold(&self) -> UnixStream {
        let mut hold = self.dial(HOLD_PORT).await;
        let mut said = vec![0; HELD.len()];
        timeout(DEADLINE, hold.read_exact(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, HELD);
        hold
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn both_channels_are_served() {
    let ports = Ports::serve("both");
    for port in [CONTROL_PORT, BULK_PORT] {
        ports.client(port).await.describe(DescribeRequest {}).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_dials_again_takes_the_place_of_the_first() {
    let ports = Ports::serve("again");
    let mut first = ports.dial(CONTROL_PORT).await;
    greet(&mut first, NONCE).await.unwrap();
    ports.client(CONTROL_PORT).await.describe(DescribeRequest {}).await.unwrap();
    assert_eq!(timeout(DEADLINE, first.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn while_a_host_holds_them_the_ports_are_closed_and_their_connections_too() {
    let ports = Ports::serve("hold");
    let mut connected = ports.dial(CONTROL_PORT).await;
    greet(&mut connected, NONCE).await.unwrap();
    let hold = ports.hold().await;
    assert_eq!(timeout(DEADLINE, connected.read(&mut [0])).await.unwrap().unwrap(), 0);
    for port in [CONTROL_PORT, BULK_PORT] {
        ports.dial_once(port).await.unwrap_err();
    }
    drop(hold);
    ports.client(CONTROL_PORT).await.describe(DescribeRequest {}).await.unwrap();
    // And once more: a saved machine may be saved again.
    drop(ports.hold().await);
    ports.client(BULK_PORT).await.describe(DescribeRequest {}).await.unwrap();
}
