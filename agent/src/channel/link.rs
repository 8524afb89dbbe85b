//! One stream to the host across its phases: greeting, HTTP/2, greeting again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::HostStream;
use super::frames::{FrameBoundaries, GreetingInside};
use crate::greeting::{Event, Greeting, HOST_MARK, HTTP2_PREFACE, starts_with_host_line};

/// Bytes read from the stream at once while greeting.
const GREETING_READ_BYTES: usize = 4 << 10;

/// A stream and the bytes that were read from it for a phase that had not begun.
pub(super) struct Link<S> {
    stream: S,
    ahead: BytesMut,
    ended: bool,
}

impl<S: HostStream> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), ended: false }
    }

    /// Answers the host's lines until it starts HTTP/2 (true) or the stream ends (false).
    pub(super) async fn greet(&mut self) -> io::Result<bool> {
        let mut greeting = Greeting::default();
        loop {
            let (consumed, event) = greeting.feed(&self.ahead);
            self.ahead.advance(consumed);
            match event {
                Some(Event::Answer(line)) => {
                    self.stream.write_all(line.as_bytes()).await?;
                    self.stream.flush().await?;
                }
                Some(Event::Http2) => {
                    let rest = std::mem::take(&mut self.ahead);
                    self.ahead.extend_from_slice(HTTP2_PREFACE);
                    self.ahead.unsplit(rest);
                    return Ok(true);
                }
                None => {
                    self.ahead.reserve(GREETING_READ_BYTES);
                    if self.stream.read_buf(&mut self.ahead).await? == 0 {
                        self.ended = true;
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// The HTTP/2 connection that begins where [`Link::greet`] left the stream.
    pub(super) fn http2(&mut self) -> Http2Phase<'_, S> {
        Http2Phase { link: self, boundaries: FrameBoundaries::before_preface(), over: false }
    }

    /// Whether the stream itself has ended.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}

/// The bytes of one HTTP/2 connection. It ends with the stream, or where a new host's greeting begins.
pub(super) struct Http2Phase<'a, S> {
    link: &'a mut Link<S>,
    boundaries: FrameBoundaries,
    over: bool,
}

impl<S: HostStream> Http2Phase<'_, S> {
    /// Takes the bytes of a new host's greeting out of what was just read, and ends the connection there.
    fn take_greeting(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let read = &buffer.filled()[before..];
        // A greeting inside a frame is only believed right after the host may have changed, and where a read begins.
        let changed = self.link.stream.take_host_change() && starts_with_host_line(read);
        let inside = if changed { Some(GreetingInside { passed: 0, index: 0 }) } else { self.boundaries.follow(read) };
        let Some(GreetingInside { passed, index }) = inside else { return };
        let unread = self.link.ahead.split();
        self.link.ahead.extend_from_slice(&HOST_MARK[..passed]);
        self.link.ahead.extend_from_slice(&read[index..]);
        self.link.ahead.unsplit(unread);
        buffer.set_filled(before + index);
        self.over = true;
    }

    /// Nothing more is written once a new host has greeted: it would be met by old frames.
    fn writable(&mut self) -> io::Result<Pin<&mut S>> {
        if self.over { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(Pin::new(&mut self.link.stream)) }
    }
}

impl<S: HostStream> AsyncRead for Http2Phase<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if this.link.ahead.is_empty() {
            ready!(Pin::new(&mut this.link.stream).poll_read(context, buffer))?;
            this.link.ended = buffer.filled().len() == before;
            this.over = this.link.ended;
        } else {
            let count = this.link.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.link.ahead.split_to(count));
        }
        this.take_greeting(buffer, before);
        Poll::Ready(Ok(()))
    }
}

impl<S: HostStream> AsyncWrite for Http2Phase<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.writable()?.poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writable()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.link.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable()?.poll_flush(context)
    }

    /// Ends the connection but not the stream, which goes back to the greeting.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
