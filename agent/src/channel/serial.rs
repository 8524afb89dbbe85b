//! virtio-serial ports as streams.
//!
//! A port is a character device that stays open for the life of the guest while hosts come and go
//! (drivers/char/virtio_console.c). Without a host, read(2) gives 0, write(2) EAGAIN, and poll(2) reports EPOLLHUP. What
//! makes it delicate:
//!
//! - A change of hosts is told by the control queue, bytes come by the data queue, and the two are not ordered: a new
//!   host's greeting can be read while the guest still counts the old one as gone, and the answer must then wait.
//! - A host that leaves and one that comes in quick succession are not told apart from no change at all.
//!
//! So the bytes alone say where one host ends and the next begins (`greeting`, `frames`), and the port is one stream that
//! never ends. That the host is gone is only a reason to give up its HTTP/2 connection early.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HostStream;
use crate::system_error::{Doing, SystemError};
use crate::watched::{Watched, watch_readable};

/// What the driver takes in one write, in bytes; smaller writes cost as much as this one.
const PORT_WRITE_BYTES: usize = 32 << 10;

/// An open virtio-serial port. To be polled by one task only.
pub struct SerialPort {
    descriptor: OwnedFd,
    /// An epoll set of its own with the port in it, edge-triggered: every change of the port wakes it, and it is silent
    /// until the next one. tokio's own set takes EPOLLHUP for final and would spin on it.
    changes: Watched,
    host_gone: bool,
}

impl SerialPort {
    /// Opens the port's device node. A port can be open only once.
    ///
    /// # Errors
    /// What open(2) or epoll(7) says, with the path.
    pub fn open(path: &Path) -> Result<Self, SystemError> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let descriptor = rustix::fs::open(path, flags, Mode::empty()).doing(|| format!("open {}", path.display()))?;
        let changes = watch_changes(&descriptor).doing(|| format!("watch {}", path.display()))?;
        Ok(Self { descriptor, changes, host_gone: false })
    }

    /// Tries until the port lets it, again after every change. The order matters: what changes after a try is seen.
    fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&OwnedFd) -> Result<Option<T>, Errno>,
    ) -> Poll<io::Result<T>> {
        loop {
            match attempt(&self.descriptor) {
                Ok(Some(done)) => return Poll::Ready(Ok(done)),
                Ok(None) | Err(Errno::AGAIN) => ready!(self.poll_change(context))?,
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Waits for the next change and notes whether there is a host now.
    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(1);
        loop {
            let mut ready = ready!(self.changes.poll_read_ready(context))?;
            epoll::wait(self.changes.get_ref(), spare_capacity(&mut events), Some(&NO_WAIT))?;
            if let Some(flags) = events.first().map(|event| event.flags) {
                self.host_gone = flags.contains(EventFlags::HUP);
                return Poll::Ready(Ok(()));
            }
            ready.clear_ready();
        }
    }
}

fn watch_changes(port: &OwnedFd) -> Result<Watched, Errno> {
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, port, EventData::new_u64(0), EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
    watch_readable(set)
}

impl HostStream for SerialPort {
    fn host_gone(&self) -> bool {
        self.host_gone
    }
}

impl AsyncRead for SerialPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: read(2) only writes initialised bytes into the slice.
        let unfilled = unsafe { buffer.unfilled_mut() };
        let count = ready!(self.poll_until(context, |port| {
            let count = rustix::io::read(port, &mut *unfilled)?.0.len();
            // 0 is no end, only no host.
            Ok((count > 0).then_some(count))
        }))?;
        // SAFETY: the kernel has just written `count` bytes there.
        unsafe { buffer.assume_init(count) };
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SerialPort {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_until(context, |port| rustix::io::write(port, data).map(Some))
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
            return self.poll_write(context, first);
        }
        let mut joined = Vec::with_capacity(PORT_WRITE_BYTES);
        joined.extend_from_slice(first);
        for slice in slices {
            let count = slice.len().min(PORT_WRITE_BYTES - joined.len());
            joined.extend_from_slice(&slice[..count]);
        }
        self.poll_write(context, &joined)
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
