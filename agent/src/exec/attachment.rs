//! One reader of a command's output.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::command::Command;
use super::outcome::CommandEnd;
use super::output_log::OutOfRange;

/// One of a command's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Event {
    /// Bytes of a stream, the first of them at `offset`.
    Output {
        /// Which stream.
        stream: Stream,
        /// Offset of the first byte.
        offset: u64,
        /// At least one byte.
        data: Bytes,
    },
    /// The end, after all output.
    End(CommandEnd),
}

/// Why a reader cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachError {
    /// The bytes it wants are not there.
    OutOfRange(Stream, OutOfRange),
    /// The command was released.
    Released,
}

impl fmt::Display for AttachError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(stream, OutOfRange { offset, start, end }) => {
                let name = if *stream == Stream::Stdout { "stdout" } else { "stderr" };
                write!(formatter, "{name} offset {offset} is outside of what is kept, {start} to {end}")
            }
            Self::Released => formatter.write_str("the command was released"),
        }
    }
}

/// A reader at its place in both streams. Several may read the same command.
pub struct Attachment {
    command: Arc<Command>,
    stdout: u64,
    stderr: u64,
    changes: watch::Receiver<()>,
    stderr_first: bool,
    skip_dropped: bool,
}

impl Attachment {
    /// Starts reading at these offsets.
    #[must_use]
    pub fn new(command: Arc<Command>, stdout: u64, stderr: u64) -> Self {
        let changes = command.changes();
        Self { command, stdout, stderr, changes, stderr_first: false, skip_dropped: false }
    }

    /// As it is, but where bytes at its place were dropped it goes on at the first that are kept.
    #[must_use]
    pub fn skipping_dropped(self, skip_dropped: bool) -> Self {
        Self { skip_dropped, ..self }
    }

    /// Waits for the next event. After [`Event::End`] there is none.
    ///
    /// # Errors
    /// The reader's place is gone.
    pub async fn next(&mut self) -> Result<Event, AttachError> {
        loop {
            // Marked as seen before looking, so that nothing between looking and waiting is missed.
            self.changes.borrow_and_update();
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            // The sender lives in the command that this attachment holds.
            let _ = self.changes.changed().await;
        }
    }

    /// Streams take turns, so that a flood on one does not hide a word on the other.
    fn poll(&mut self) -> Result<Option<Event>, AttachError> {
        if self.command.is_released() {
            return Err(AttachError::Released);
        }
        let order = if self.stderr_first { [Stream::Stderr, Stream::Stdout] } else { [Stream::Stdout, Stream::Stderr] };
        let mut complete = true;
        for stream in order {
            let (output, position) = match stream {
                Stream::Stdout => (&self.command.stdout, &mut self.stdout),
                Stream::Stderr => (&self.command.stderr, &mut self.stderr),
            };
            let read = match output.read(*position) {
                Err(OutOfRange { start, .. }) if self.skip_dropped && *position < start => {
                    *position = start;
                    output.read(start)
                }
                read => read,
            };
            let data = read.map_err(|range| AttachError::OutOfRange(stream, range))?;
            complete &= data.is_none();
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                let offset = *position;
                *position += data.len() as u64;
                self.stderr_first = stream == Stream::Stdout;
                return Ok(Some(Event::Output { stream, offset, data }));
            }
        }
        Ok(self.command.end().filter(|_| complete).cloned().map(Event::End))
    }
}
