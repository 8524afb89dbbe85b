//! Descriptors that the runtime waits for.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor whose readiness can be awaited.
pub(crate) type Watched<D = OwnedFd> = AsyncFd<D>;

/// Makes a descriptor non-blocking and awaitable in both directions.
pub(crate) fn watch(descriptor: OwnedFd) -> Result<Watched, Errno> {
    let flags = rustix::fs::fcntl_getfl(&descriptor)?;
    rustix::fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
    register(descriptor, Interest::READABLE | Interest::WRITABLE)
}

/// Makes a descriptor that is already non-blocking awaitable for as long as it is lent.
pub(crate) fn watch_lent(descriptor: BorrowedFd<'_>) -> Result<Watched<BorrowedFd<'_>>, Errno> {
    register(descriptor, Interest::READABLE | Interest::WRITABLE)
}

/// Makes a descriptor that can only become readable (an epoll set) awaitable.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> Result<Watched, Errno> {
    register(descriptor, Interest::READABLE)
}

/// Private, because its promise holds for the standard library's descriptor types and for nothing else.
fn register<D: AsRawFd>(descriptor: D, interest: Interest) -> Result<Watched<D>, Errno> {
    // SAFETY: OwnedFd and BorrowedFd always give the same descriptor, which stays open for as long as they live, and they
    // live in the registration.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    registered.map_err(|error| Errno::from_io_error(&error.into()).unwrap_or(Errno::IO))
}
