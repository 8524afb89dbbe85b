//! virtio-serial ports as streams.
//!
//! A port is a character device that stays open for the life of the guest while hosts come and go
//! (drivers/char/virtio_console.c): without a host, reads give 0, writes EAGAIN, and poll reports EPOLLHUP until one
//! connects. Every change of that state wakes the port's pollers, so an edge-triggered epoll neither spins nor misses it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::system_error::{Doing, SystemError};
use crate::watched::{Watched, watch_lent, watch_readable};

/// What the driver takes in one write, in bytes; smaller writes cost as much as this one.
const PORT_WRITE_BYTES: usize = 32 << 10;

/// An open virtio-serial port.
pub struct SerialPort {
    descriptor: OwnedFd,
}

impl SerialPort {
    /// Opens the port's device node. A port can be open only once.
    ///
    /// # Errors
    /// What open(2) says, with the path.
    pub fn open(path: &Path) -> Result<Self, SystemError> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let descriptor = rustix::fs::open(path, flags, Mode::empty()).doing(|| format!("open {}", path.display()))?;
        Ok(Self { descriptor })
    }

    /// Waits for a host and gives the stream to it. The stream ends when that host leaves.
    ///
    /// # Errors
    /// An epoll failure (out of descriptors or memory).
    pub async fn accept(&self) -> io::Result<HostStream<'_>> {
        self.host_connected().await?;
        Ok(HostStream { port: watch_lent(self.descriptor.as_fd())? })
    }

    /// tokio takes EPOLLHUP for final and would spin on it, so a private epoll set waits, and tokio waits for that set.
    async fn host_connected(&self) -> io::Result<()> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&set, &self.descriptor, EventData::new_u64(0), edges)?;
        let set = watch_readable(set)?;
        let mut events = Vec::with_capacity(1);
        loop {
            let mut ready = set.readable().await?;
            events.clear();
            epoll::wait(&set, spare_capacity(&mut events), Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            match events.first().map(|event| event.flags) {
                Some(flags) if !flags.contains(EventFlags::HUP) => return Ok(()),
                Some(_still_no_host) => {}
                None => ready.clear_ready(),
            }
        }
    }
}

/// The stream between the agent and one host.
pub struct HostStream<'a> {
    port: Watched<BorrowedFd<'a>>,
}

impl HostStream<'_> {
    fn poll_write_once(&self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.port.poll_write_ready(context))?;
            let hung_up = guard.ready().is_write_closed();
            if let Ok(result) = guard.try_io(|port| Ok(rustix::io::write(port, data)?)) {
                return Poll::Ready(result);
            }
            // EAGAIN with the hang-up seen: there is no host that would make room.
            if hung_up {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }
}

impl AsyncRead for HostStream<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.port.poll_read_ready(context))?;
            let hung_up = guard.ready().is_read_closed();
            // SAFETY: read(2) only writes initialised bytes into the slice.
            let unfilled = unsafe { buffer.unfilled_mut() };
            match guard.try_io(|port| Ok(rustix::io::read(port, &mut *unfilled)?.0.len())) {
                Ok(Ok(count)) => {
                    // SAFETY: the kernel has just written `count` bytes there.
                    unsafe { buffer.assume_init(count) };
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // EAGAIN with the hang-up seen: a new host has connected since, and gets a stream of its own.
                Err(_) if hung_up => return Poll::Ready(Ok(())),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for HostStream<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_once(context, data)
    }

    /// Joins a frame header with the start of its payload, because the driver has no writev and each write costs a
    /// round to the host. What follows is written in place.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices = slices.iter().filter(|slice| !slice.is_empty());
        let Some(first) = slices.next() else { return Poll::Ready(Ok(0)) };
        if first.len() >= PORT_WRITE_BYTES {
            return self.poll_write_once(context, first);
        }
        let mut joined = Vec::with_capacity(PORT_WRITE_BYTES);
        joined.extend_from_slice(first);
        for slice in slices {
            let count = slice.len().min(PORT_WRITE_BYTES - joined.len());
            joined.extend_from_slice(&slice[..count]);
        }
        self.poll_write_once(context, &joined)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
