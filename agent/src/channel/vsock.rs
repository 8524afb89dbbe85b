//! vsock sockets (vsock(7)) on which the host dials the agent.

use std::io::{self, IoSlice};
use std::mem::size_of;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, Shutdown, SocketAddrAny, SocketFlags, SocketType};
use rustix::net::{acceptfrom_with, bind, listen, shutdown, socket_with};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::HostStream;
use super::ports::HostListener;
use crate::watched::{Watched, watch};

/// Connections that may wait to be accepted: the host opens one per port.
const BACKLOG: i32 = 8;
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A listening vsock socket.
pub struct VsockListener {
    socket: Watched,
}

impl VsockListener {
    /// Listens on `port`, whatever the machine's own address is, now and after a restore.
    ///
    /// # Errors
    /// What socket(2), bind(2) or listen(2) says.
    pub fn bind(port: u32) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, FLAGS, None)?;
        bind(&socket, &VsockAddress::on_any(port))?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket: watch(socket)? })
    }
}

impl HostListener for VsockListener {
    type Stream = VsockStream;

    /// The next connection of the host; one of a process in this guest is dropped.
    async fn accept(&self) -> io::Result<VsockStream> {
        loop {
            let mut ready = self.socket.readable().await?;
            let accepted = match ready.try_io(|listener| Ok(acceptfrom_with(listener.get_ref(), FLAGS)?)) {
                Ok(accepted) => accepted,
                Err(_would_block) => continue,
            };
            match accepted {
                Ok((socket, Some(peer))) if cid_of(&peer) == Some(libc::VMADDR_CID_HOST) => {
                    return Ok(VsockStream { socket: watch(socket)? });
                }
                // One that was reset before it was accepted counts as little.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNRESET) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A connection to the host.
pub struct VsockStream {
    socket: Watched,
}

/// It ends with its host, and with a save of the machine.
impl HostStream for VsockStream {
    /// A connection that is reset with its transport has an error and nothing to read, which wakes no reader.
    async fn end(&mut self) {
        while let Ok(mut ready) = self.socket.ready(Interest::READABLE | Interest::ERROR).await {
            if ready.ready().is_error() {
                return;
            }
            let mut dropped = [0; 64];
            let read = ready.try_io(|socket| Ok(rustix::io::read(socket.get_ref(), &mut dropped)?));
            if matches!(read, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    }
}

impl AsyncRead for VsockStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(context))?;
            // SAFETY: read(2) only writes initialised bytes into the slice.
            let unfilled = unsafe { buffer.unfilled_mut() };
            let read = ready.try_io(|socket| Ok(rustix::io::read(socket.get_ref(), &mut *unfilled)?.0.len()));
            if let Ok(count) = read {
                let count = count?;
                // SAFETY: the kernel has just written `count` bytes there.
                unsafe { buffer.assume_init(count) };
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for VsockStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_write_ready(context))?;
            // No SIGPIPE comes of it: the agent ignores that, as every Rust program.
            if let Ok(written) = ready.try_io(|socket| Ok(rustix::io::writev(socket.get_ref(), slices)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(self.socket.get_ref(), Shutdown::Write)?))
    }
}

/// `struct sockaddr_vm` (linux/vm_sockets.h).
struct VsockAddress(libc::sockaddr_vm);

impl VsockAddress {
    fn on_any(port: u32) -> Self {
        // SAFETY: all of its fields are numbers, for which zero is a value.
        let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
        address.svm_family = AddressFamily::VSOCK.as_raw();
        address.svm_cid = libc::VMADDR_CID_ANY;
        address.svm_port = port;
        Self(address)
    }
}

// SAFETY: the pointer is to a whole sockaddr_vm that lives through the call, and the length is its size.
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        let length = u32::try_from(size_of::<libc::sockaddr_vm>()).unwrap_or(SocketAddrLen::MAX);
        call((&raw const self.0).cast(), length)
    }
}

/// The context identifier of a vsock address.
fn cid_of(address: &SocketAddrAny) -> Option<u32> {
    // SAFETY: what the kernel wrote is read only when it is a whole sockaddr_vm, and copied, so its alignment is no matter.
    unsafe {
        address.with_sockaddr(|pointer, length| {
            let whole = usize::try_from(length).is_ok_and(|bytes| bytes >= size_of::<libc::sockaddr_vm>());
            let is_vsock = whole && address.address_family() == AddressFamily::VSOCK;
            is_vsock.then(|| pointer.cast::<libc::sockaddr_vm>().read_unaligned().svm_cid)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vsock_address_says_who_it_is_and_any_other_does_not() {
        let mut host = VsockAddress::on_any(7);
        host.0.svm_cid = libc::VMADDR_CID_HOST;
        assert_eq!(cid_of(&host.as_any()), Some(2));
        let other = rustix::net::SocketAddrUnix::new("/nowhere").unwrap();
        assert_eq!(cid_of(&other.as_any()), None);
    }
}
