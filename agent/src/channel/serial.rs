//! virtio-serial ports as streams.
//!
//! A port is a character device that stays open for the life of the guest while hosts come and go
//! (drivers/char/virtio_console.c). Without a host, read(2) gives 0, write(2) EAGAIN, and poll(2) reports EPOLLHUP. What
//! makes it delicate:
//!
//! - Changes of hosts come by the control queue, bytes by the data queue, and the two are not ordered. A new host's
//!   greeting can be read while the guest still counts the old one as connected, and EPOLLHUP seen when the new one's
//!   connection is already established. Under emulation that happens about once in 500 reconnects.
//! - A host that leaves and one that comes in quick succession may not be told apart from no change at all.
//!
//! So the bytes alone say where one host ends and the next begins (`greeting`, `frames`), and the port is one stream that
//! never ends; without a host, reads and writes wait. EPOLLHUP only makes a greeting credible where it could be payload.

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
    host_changed: bool,
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
        Ok(Self { descriptor, changes, host_changed: false })
    }

    /// The port's descriptor once more, to be asked for its host.
    ///
    /// # Errors
    /// What dup(2) says.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    /// Tries once; if the port is not ready, or there is no host, the task is woken by the port's next change.
    fn poll_once<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl FnOnce(&OwnedFd) -> Result<Option<T>, Errno>,
    ) -> Poll<io::Result<T>> {
        // Before the attempt, so that a change after it is not missed.
        self.note_changes(context)?;
        match attempt(&self.descriptor) {
            Ok(Some(done)) => Poll::Ready(Ok(done)),
            Ok(None) | Err(Errno::AGAIN) => Poll::Pending,
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }

    /// Takes in all changes so far and asks to be woken by the next one.
    fn note_changes(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(1);
        while let Poll::Ready(ready) = self.changes.poll_read_ready(context) {
            let mut ready = ready?;
            events.clear();
            epoll::wait(self.changes.get_ref(), spare_capacity(&mut events), Some(&NO_WAIT))?;
            match events.first().map(|event| event.flags) {
                Some(flags) => self.host_changed |= flags.contains(EventFlags::HUP),
                None => ready.clear_ready(),
            }
        }
        Ok(())
    }
}

fn watch_changes(port: &OwnedFd) -> Result<Watched, Errno> {
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, port, EventData::new_u64(0), EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
    watch_readable(set)
}

impl HostStream for SerialPort {
    fn take_host_change(&mut self) -> bool {
        std::mem::take(&mut self.host_changed)
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
        let count = ready!(self.poll_once(context, |port| {
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
        self.poll_once(context, |port| rustix::io::write(port, data).map(Some))
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
