//! The bounded memory of one output stream: bytes stay, addressed by their offset in the stream, until the host
//! acknowledges them.

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use rustix::io::Errno;

/// Unacknowledged bytes kept per stream. A stream that has as many is not read any further, so its writer blocks.
pub const LOG_LIMIT_BYTES: usize = 4 << 20;
/// Bytes allocated, and read from a pipe, at once. Pieces of this size also leave as one message.
pub const PIECE_BYTES: usize = 512 << 10;
/// Least that a log which drops keeps, in bytes.
pub const MIN_KEEP_BYTES: usize = 256 << 10;
/// Least free room in the current piece for it to be read into again, in bytes.
const MIN_READ_BYTES: usize = 64 << 10;
/// Bytes dropped at least, when there is no room in a log that drops: a piece is not copied for each read.
const MIN_DROP_BYTES: usize = 128 << 10;
/// What a piece counts beside its bytes, in bytes, so that a million one-byte pieces are bounded too.
const PIECE_OVERHEAD_BYTES: usize = 64;

/// Bytes of a stream from the first unacknowledged one to the last one produced; of a log that drops, from the first that
/// there was room for.
#[derive(Debug)]
pub struct OutputLog {
    /// Most that is kept, in bytes.
    limit: usize,
    /// Whether what is new takes the place of the oldest.
    drops: bool,
    /// Closed pieces with the stream offset of their first byte, contiguous.
    pieces: VecDeque<(u64, Bytes)>,
    /// The piece being read into; it follows `pieces`. It holds no memory when everything is acknowledged.
    tail: BytesMut,
    /// Offset of the first byte kept.
    start: u64,
    /// Offset after the last byte.
    end: u64,
}

impl Default for OutputLog {
    fn default() -> Self {
        Self::new(LOG_LIMIT_BYTES, false)
    }
}

/// Bytes that were asked for have been acknowledged or dropped, or do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// What was asked for.
    pub offset: u64,
    /// First offset kept.
    pub start: u64,
    /// Offset after the last byte produced.
    pub end: u64,
}

impl OutputLog {
    fn new(limit: usize, drops: bool) -> Self {
        Self { limit, drops, pieces: VecDeque::new(), tail: BytesMut::new(), start: 0, end: 0 }
    }

    /// A log of the last bytes: it is never full, the oldest make room. At least [`MIN_KEEP_BYTES`] are kept, and at most
    /// [`LOG_LIMIT_BYTES`].
    #[must_use]
    pub fn dropping(keep_bytes: usize) -> Self {
        Self::new(keep_bytes.clamp(MIN_KEEP_BYTES, LOG_LIMIT_BYTES), true)
    }

    /// Whether a writer never waits.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.drops
    }

    /// Bytes produced so far, whether acknowledged or not.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Offset of the first byte kept.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Room for more, in bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        let held = self.pieces.len() * PIECE_OVERHEAD_BYTES + (self.end - self.start) as usize;
        self.limit.saturating_sub(held)
    }

    /// Appends what `read` puts at the start of the slice it is given, and returns how many bytes that were. The slice is
    /// never longer than [`OutputLog::room`]; 0 with room left is the end of the source.
    ///
    /// # Errors
    /// What `read` failed with; nothing is appended then.
    pub fn fill<R>(&mut self, read: R) -> Result<usize, Errno>
    where
        R: FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, Errno>,
    {
        self.make_room();
        let room = self.room();
        if self.tail.capacity() - self.tail.len() < MIN_READ_BYTES {
            self.close_tail();
            self.tail = BytesMut::with_capacity(PIECE_BYTES);
        }
        let spare = self.tail.spare_capacity_mut();
        let limit = spare.len().min(room);
        let count = read(&mut spare[..limit])?;
        assert!(count <= limit, "a read cannot give more than was asked for");
        // SAFETY: `read` has initialised `count` bytes after the current end, and they are within the capacity.
        unsafe { self.tail.set_len(self.tail.len() + count) };
        self.end += count as u64;
        Ok(count)
    }

    /// Bytes from `offset` on, without copying: those of one piece, so at most [`PIECE_BYTES`]. Empty at the end.
    ///
    /// # Errors
    /// The offset is outside of what is kept.
    pub fn read(&mut self, offset: u64) -> Result<Bytes, OutOfRange> {
        if offset < self.start || offset > self.end {
            return Err(OutOfRange { offset, start: self.start, end: self.end });
        }
        let in_tail = offset >= self.end - self.tail.len() as u64;
        if in_tail {
            self.close_tail();
        }
        let after = self.pieces.partition_point(|(first, _)| *first <= offset);
        let Some((first, bytes)) = after.checked_sub(1).and_then(|index| self.pieces.get(index)) else {
            return Ok(Bytes::new());
        };
        // A piece is at most PIECE_BYTES long; at the end of the log this is past the last one.
        Ok(bytes.slice(bytes.len().min((offset - first) as usize)..))
    }

    /// Forgets everything before `offset`. An offset that is already forgotten changes nothing.
    ///
    /// # Errors
    /// The offset is beyond what was produced.
    pub fn acknowledge(&mut self, offset: u64) -> Result<(), OutOfRange> {
        if offset > self.end {
            return Err(OutOfRange { offset, start: self.start, end: self.end });
        }
        if offset <= self.start {
            return Ok(());
        }
        if offset > self.end - self.tail.len() as u64 {
            self.close_tail();
        }
        while let Some((first, bytes)) = self.pieces.front_mut() {
            let forgotten = (offset - *first) as usize;
            if forgotten < bytes.len() {
                bytes.advance(forgotten);
                *first = offset;
                break;
            }
            self.pieces.pop_front();
            if self.pieces.front().is_none_or(|(first, _)| *first >= offset) {
                break;
            }
        }
        self.start = offset;
        if self.start == self.end {
            self.tail = BytesMut::new();
        }
        Ok(())
    }

    /// Drops the oldest bytes of a log that drops, until a read of some size has room.
    fn make_room(&mut self) {
        while self.drops && self.room() < MIN_READ_BYTES && self.start < self.end {
            let offset = self.end.min(self.start + MIN_DROP_BYTES as u64);
            let forgotten = self.acknowledge(offset);
            debug_assert!(forgotten.is_ok(), "the offset is within the log");
        }
    }

    /// Makes the bytes of the tail a piece; the rest of its allocation stays the tail.
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let first = self.end - self.tail.len() as u64;
            self.pieces.push_back((first, self.tail.split().freeze()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn append(log: &mut OutputLog, data: &[u8]) -> usize {
        log.fill(|slice| {
            let count = data.len().min(slice.len());
            for (to, from) in slice.iter_mut().zip(&data[..count]) {
                to.write(*from);
            }
            Ok(count)
        })
        .expect("this source does not fail")
    }

    fn read_all(log: &mut OutputLog, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = log.read(offset).expect("the offset is kept");
            if bytes.is_empty() {
                return all;
            }
            offset += bytes.len() as u64;
            all.extend_from_slice(&bytes);
        }
    }

    #[test]
    fn a_full_log_takes_nothing_until_bytes_are_acknowledged() {
        let mut log = OutputLog::default();
        let data = vec![7; PIECE_BYTES];
        while append(&mut log, &data) > 0 {}
        assert_eq!(log.room(), 0);
        let full = log.end();
        assert!(full as usize > LOG_LIMIT_BYTES - 2 * PIECE_BYTES);
        log.acknowledge(full / 2).unwrap();
        assert!(append(&mut log, &data) > 0);
        assert!(log.read(0).is_err());
    }

    #[test]
    fn one_byte_pieces_are_bounded_too() {
        let mut log = OutputLog::default();
        while append(&mut log, b"x") > 0 {
            let end = log.end();
            assert_eq!(log.read(end - 1).unwrap().as_ref(), b"x");
        }
        assert!(log.pieces.len() <= LOG_LIMIT_BYTES / PIECE_OVERHEAD_BYTES);
    }

    #[test]
    fn memory_goes_back_when_all_is_acknowledged() {
        let mut log = OutputLog::default();
        append(&mut log, b"done");
        log.acknowledge(4).unwrap();
        assert_eq!((log.pieces.len(), log.tail.capacity()), (0, 0));
    }

    #[test]
    fn a_log_that_drops_takes_everything_and_keeps_the_last_bytes() {
        for piece in [vec![7; PIECE_BYTES], vec![7; 1000], vec![7; 1]] {
            let mut log = OutputLog::dropping(MIN_KEEP_BYTES);
            for _ in 0..20_000.min(16 * MIN_KEEP_BYTES / piece.len()) {
                assert!(append(&mut log, &piece) > 0);
                // Whoever reads closes pieces, which count.
                let end = log.end();
                log.read(end).unwrap();
            }
            let start = log.start;
            let kept = read_all(&mut log, start).len();
            assert!(kept <= MIN_KEEP_BYTES && log.room() < MIN_KEEP_BYTES, "{kept} bytes are kept");
            assert!(log.pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= MIN_KEEP_BYTES);
        }
    }

    #[test]
    fn offsets_that_do_not_exist_are_refused() {
        let mut log = OutputLog::default();
        append(&mut log, b"abc");
        let beyond = OutOfRange { offset: 4, start: 0, end: 3 };
        assert_eq!((log.read(4), log.acknowledge(4)), (Err(beyond), Err(beyond)));
        assert_eq!(log.read(3).unwrap().len(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Read(prop::sample::Index),
        Acknowledge(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..5000).prop_map(Step::Append),
            proptest::collection::vec(any::<u8>(), 0..5).prop_map(Step::Append),
            any::<prop::sample::Index>().prop_map(Step::Read),
            any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_holds_exactly_what_was_produced_and_not_acknowledged(steps in steps()) {
            let (mut log, mut model, mut start) = (OutputLog::default(), Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Append(data) => {
                        let mut rest = &data[..];
                        while !rest.is_empty() {
                            rest = &rest[append(&mut log, rest)..];
                        }
                        model.extend_from_slice(&data);
                    }
                    Step::Read(index) => {
                        let offset = start + index.index(model.len() - start + 1);
                        prop_assert_eq!(read_all(&mut log, offset as u64), &model[offset..]);
                    }
                    Step::Acknowledge(index) => {
                        start += index.index(model.len() - start + 1);
                        log.acknowledge(start as u64).unwrap();
                        prop_assert!(start == 0 || log.read(start as u64 - 1).is_err());
                    }
                }
                prop_assert_eq!(log.end(), model.len() as u64);
            }
            prop_assert_eq!(read_all(&mut log, start as u64), &model[start..]);
        }
    }
}
