//! A machine that no host looks after any more ends itself, so that none stays for ever.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::{Instant, sleep};

use crate::service::AgentService;

/// How often is looked whether a host is there: seldom enough for an idle machine to cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whether a host is there. A serial port knows of its host; dialled connections are counted.
#[derive(Debug, Default)]
pub struct Hosts {
    port: OnceLock<OwnedFd>,
    connections: AtomicUsize,
}

/// A host that dialled, until it is dropped.
#[derive(Debug)]
pub struct Visit(Arc<Hosts>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hosts {
    /// Asks this virtio-serial port from now on.
    pub fn watch_port(&self, port: OwnedFd) {
        // There is one channel that every host opens.
        let _ = self.port.set(port);
    }

    /// Counts a host that dialled.
    #[must_use]
    pub fn arrived(self: &Arc<Self>) -> Visit {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Visit(Arc::clone(self))
    }

    /// Whether there is one now.
    #[must_use]
    pub fn any(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0 || self.port.get().is_some_and(has_host)
    }
}

/// A port without a host reports EPOLLHUP (drivers/char/virtio_console.c); one that cannot be asked counts as having one.
fn has_host(port: &OwnedFd) -> bool {
    const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(port, PollFlags::IN)];
    poll(&mut asked, Some(&NO_WAIT)).is_err() || !asked[0].revents().contains(PollFlags::HUP)
}

/// Waits until no host was there for as long as Configure allows, and gives that time. A machine that keeps something counts
/// only while no command runs in it.
pub async fn too_long(service: &AgentService) -> Duration {
    let mut since = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        match service.alone_limit() {
            Some(limit) if !service.hosts().any() && !service.is_working() => {
                if since.elapsed() >= limit {
                    return limit;
                }
            }
            _ => since = Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_host_is_there_while_it_is_connected() {
        let hosts = Arc::new(Hosts::default());
        assert!(!hosts.any());
        let visits = (hosts.arrived(), hosts.arrived());
        drop(visits.0);
        assert!(hosts.any());
        drop(visits.1);
        assert!(!hosts.any());
    }

    #[test]
    fn a_port_has_a_host_until_it_hangs_up() {
        let (mut host, port) = UnixStream::pair().unwrap();
        let hosts = Hosts::default();
        hosts.watch_port(port.into());
        host.write_all(b"waiting to be read").unwrap();
        assert!(hosts.any());
        drop(host);
        assert!(!hosts.any());
    }
}
