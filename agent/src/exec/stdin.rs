//! A command's standard input, addressed by offset so that a repeated message never feeds a byte twice.

use bytes::Bytes;
use tokio::sync::Mutex;

use super::terminal::END_OF_INPUT;
use crate::watched::Watched;

/// The writing side of standard input. One message at a time is written; others wait.
pub struct Stdin {
    state: Mutex<State>,
    terminal: bool,
}

struct State {
    /// None: it was never open, has ended, or the command closed it.
    pipe: Option<Watched>,
    accepted: u64,
    closed: bool,
}

/// What the command was given so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Bytes in all.
    pub bytes: u64,
    /// Whether the command closed its standard input.
    pub closed: bool,
}

/// Bytes between what the command was given and what came are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Offset of what came.
    pub offset: u64,
    /// Bytes the command was given.
    pub accepted: u64,
}

impl Stdin {
    pub(super) fn new(pipe: Option<Watched>, terminal: bool) -> Self {
        Self { state: Mutex::new(State { pipe, accepted: 0, closed: false }), terminal }
    }

    /// Writes `data`, whose first byte is the `offset`-th of standard input, and ends it when `end`. Waits for as long as
    /// the command does not read. When the future is dropped, what was written is counted.
    ///
    /// # Errors
    /// `offset` is beyond what was written so far.
    pub async fn feed(&self, offset: u64, data: Bytes, end: bool) -> Result<Accepted, Gap> {
        let mut state = self.state.lock().await;
        let known = state.accepted.checked_sub(offset).ok_or(Gap { offset, accepted: state.accepted })?;
        let fresh = data.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
        state.write(fresh, true).await;
        if end {
            if self.terminal {
                state.write(END_OF_INPUT, false).await;
            }
            state.pipe = None;
        }
        Ok(Accepted { bytes: state.accepted, closed: state.closed })
    }

    /// What the command was given so far.
    pub async fn accepted(&self) -> Accepted {
        let state = self.state.lock().await;
        Accepted { bytes: state.accepted, closed: state.closed }
    }
}

impl State {
    async fn write(&mut self, mut data: &[u8], counted: bool) {
        while !data.is_empty() {
            let Some(pipe) = &self.pipe else {
                self.closed = true;
                return;
            };
            let written = match pipe.writable().await {
                Ok(mut ready) => ready.try_io(|pipe| Ok(rustix::io::write(pipe, data)?)),
                Err(error) => Ok(Err(error)),
            };
            match written {
                Ok(Ok(count)) => {
                    data = &data[count..];
                    self.accepted += if counted { count as u64 } else { 0 };
                }
                // EPIPE, and for a terminal EIO: nobody will read.
                Ok(Err(_)) => self.pipe = None,
                Err(_would_block) => {}
            }
        }
    }
}
