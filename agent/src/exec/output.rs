//! One output stream of a command: its log, and who waits for it.

use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::Notify;

use super::output_log::{OutOfRange, OutputLog};

/// An output stream.
#[derive(Default)]
pub struct Output {
    state: Mutex<State>,
    acknowledged: Notify,
}

#[derive(Default)]
struct State {
    log: OutputLog,
    complete: bool,
}

impl Output {
    /// The stream of a command that never waits for its readers: its last bytes are kept ([`OutputLog::dropping`]).
    pub fn dropping(keep_bytes: usize) -> Self {
        let state = State { log: OutputLog::dropping(keep_bytes), complete: false };
        Self { state: Mutex::new(state), acknowledged: Notify::new() }
    }

    /// Bytes produced so far.
    pub fn produced(&self) -> u64 {
        self.state().log.end()
    }

    /// Offset of the first byte that is kept.
    pub fn start(&self) -> u64 {
        self.state().log.start()
    }

    /// Bytes from `offset` on; none: everything up to the stream's end was read before.
    ///
    /// # Errors
    /// The bytes are no longer, or were never, there.
    pub fn read(&self, offset: u64) -> Result<Option<Bytes>, OutOfRange> {
        let mut state = self.state();
        let bytes = state.log.read(offset)?;
        Ok(if bytes.is_empty() && state.complete { None } else { Some(bytes) })
    }

    /// Forgets everything before `offset`, which may let the command go on. What is kept for readers who come later stays.
    ///
    /// # Errors
    /// So much was never produced.
    pub fn acknowledge(&self, offset: u64) -> Result<(), OutOfRange> {
        let mut state = self.state();
        if !state.log.drops() {
            state.log.acknowledge(offset)?;
        }
        drop(state);
        self.acknowledged.notify_one();
        Ok(())
    }

    /// Waits until the log takes more.
    pub(super) async fn room(&self) {
        while self.is_full() {
            self.acknowledged.notified().await;
        }
    }

    fn is_full(&self) -> bool {
        let state = self.state();
        !state.log.drops() && state.log.room() == 0
    }

    /// Appends what `read` gives ([`OutputLog::fill`]).
    pub(super) fn fill<R>(&self, read: R) -> Result<usize, Errno>
    where
        R: FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, Errno>,
    {
        self.state().log.fill(read)
    }

    /// Says that nothing more will come.
    pub(super) fn complete(&self) {
        self.state().complete = true;
    }

    /// A panic while it was held ends the machine, or the test.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
