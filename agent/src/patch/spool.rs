//! A patch that lies in a file, line by line: no more of it is in memory than a line, and of that no more than is wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Read at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    offset: u64,
    /// Its number, from 1.
    pub(super) number: u64,
}

/// What is known of a line besides its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// It was not longer than what was wanted of it.
    pub(super) is_whole: bool,
    /// A newline is behind it.
    pub(super) is_ended: bool,
}

/// Lines of a file, from any of them on.
pub(super) struct Lines<'f> {
    file: &'f File,
    piece: Vec<u8>,
    filled: usize,
    at: usize,
    /// Of the piece in the file.
    offset: u64,
    number: u64,
}

impl<'f> Lines<'f> {
    pub(super) fn new(file: &'f File) -> Self {
        Self { file, piece: vec![0; PIECE_BYTES], filled: 0, at: 0, offset: 0, number: 1 }
    }

    /// From `position` on.
    pub(super) fn from(file: &'f File, position: Position) -> Self {
        let mut lines = Self::new(file);
        lines.seek(position);
        lines
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> Position {
        Position { offset: self.offset + self.at as u64, number: self.number }
    }

    pub(super) fn seek(&mut self, position: Position) {
        let within = position.offset.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok());
        match within {
            Some(at) if at <= self.filled => self.at = at,
            _ => (self.offset, self.filled, self.at) = (position.offset, 0, 0),
        }
        self.number = position.number;
    }

    /// Puts up to `limit` bytes of the next line into `text`, without its newline; none at the end of the file.
    pub(super) fn next(&mut self, text: &mut Vec<u8>, limit: usize) -> io::Result<Option<Line>> {
        text.clear();
        let mut line = Line { number: self.number, is_whole: true, is_ended: false };
        let mut is_there = false;
        while !line.is_ended {
            if self.at == self.filled && !self.fill()? {
                break;
            }
            is_there = true;
            let piece = &self.piece[self.at..self.filled];
            let end = memchr::memchr(b'\n', piece);
            let length = end.unwrap_or(piece.len());
            let kept = length.min(limit - text.len());
            text.extend_from_slice(&piece[..kept]);
            line.is_whole &= kept == length;
            line.is_ended = end.is_some();
            self.at += length + usize::from(line.is_ended);
        }
        if !is_there {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(line))
    }

    /// Whether there is more.
    fn fill(&mut self) -> io::Result<bool> {
        self.offset += self.filled as u64;
        (self.filled, self.at) = (0, 0);
        self.filled = loop {
            match self.file.read_at(&mut self.piece, self.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.filled > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::tests::spooled;

    #[test]
    fn lines_come_one_after_the_other_also_again_and_cut() {
        let long = "x".repeat(3 * PIECE_BYTES);
        let file = spooled(format!("one\n\n{long}\nlast").as_bytes());
        let mut lines = Lines::new(&file);
        let mut text = Vec::new();
        let mut read = |lines: &mut Lines<'_>| {
            let line = lines.next(&mut text, 10).unwrap();
            line.map(|line| (line.number, text.clone(), line.is_whole, line.is_ended))
        };
        assert_eq!(read(&mut lines), Some((1, b"one".to_vec(), true, true)));
        let second = lines.position();
        assert_eq!(read(&mut lines), Some((2, Vec::new(), true, true)));
        assert_eq!(read(&mut lines), Some((3, b"xxxxxxxxxx".to_vec(), false, true)));
        assert_eq!(read(&mut lines), Some((4, b"last".to_vec(), true, false)));
        assert_eq!(read(&mut lines), None);
        lines.seek(second);
        assert_eq!(read(&mut lines), Some((2, Vec::new(), true, true)));
    }
}
