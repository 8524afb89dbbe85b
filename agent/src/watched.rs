//! Descriptors that the runtime waits for.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor whose readiness can be awaited.
pub(crate) type Watched = AsyncFd<OwnedFd>;

/// Makes a descriptor non-blocking and awaitable in both directions.
pub(crate) fn watch(descriptor: OwnedFd) -> Result<Watched, Errno> {
    let flags = rustix::fs::fcntl_getfl(&descriptor)?;
    rustix::fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
    register(descriptor, Interest::READABLE | Interest::WRITABLE)
}

/// Makes a descriptor that can only become readable (an epoll set) awaitable.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> Result<Watched, Errno> {
    register(descriptor, Interest::READABLE)
}

/// Makes a descriptor that tells of events as exceptional conditions (EPOLLPRI) awaitable.
pub(crate) fn watch_priority(descriptor: OwnedFd) -> Result<Watched, Errno> {
    register(descriptor, Interest::PRIORITY)
}

fn register(descriptor: OwnedFd, interest: Interest) -> Result<Watched, Errno> {
    // SAFETY: an OwnedFd always gives the same descriptor, which stays open for as long as it lives, and it lives in the
    // registration.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    registered.map_err(|error| Errno::from_io_error(&error.into()).unwrap_or(Errno::IO))
}
