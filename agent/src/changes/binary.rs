//! Contents as git's binary patches have them: deflated, in base 85, 52 bytes to a line.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Of git's base85.c: digits that need no escape anywhere.
pub(crate) const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const LINE_BYTES: usize = 52;

/// Writes one content of `size` bytes.
pub(super) fn write_literal(mut content: impl Read, size: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "literal {size}")?;
    let mut encoder = ZlibEncoder::new(Digits { line: Vec::with_capacity(LINE_BYTES), out }, Compression::default());
    io::copy(&mut content, &mut encoder)?;
    encoder.finish()?.finish()
}

struct Digits<'o> {
    line: Vec<u8>,
    out: &'o mut dyn Write,
}

impl Digits<'_> {
    fn end_line(&mut self) -> io::Result<()> {
        let length = self.line.len();
        let mark = if length <= 26 { b'A' + (length - 1) as u8 } else { b'a' + (length - 27) as u8 };
        let mut text = vec![mark];
        self.line.resize(length.next_multiple_of(4), 0);
        for group in self.line.chunks_exact(4) {
            let mut number = u32::from_be_bytes([group[0], group[1], group[2], group[3]]);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(number % 85) as usize];
                number /= 85;
            }
            text.extend(digits);
        }
        text.push(b'\n');
        self.line.clear();
        self.out.write_all(&text)
    }

    /// The last line, and the empty one that ends a content.
    fn finish(mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.out.write_all(b"\n")
    }
}

impl Write for Digits<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(LINE_BYTES - self.line.len());
        self.line.extend(&data[..taken]);
        if self.line.len() == LINE_BYTES {
            self.end_line()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_length_in_front_and_five_digits_for_four_bytes() {
        let mut text = Vec::new();
        let bytes: Vec<u8> = (0..=255).collect();
        write_literal(&bytes[..], 256, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> =
            text.strip_prefix("literal 256\n").unwrap().strip_suffix("\n\n").unwrap().lines().collect();
        let (last, full) = lines.split_last().unwrap();
        assert!(full.iter().all(|line| line.starts_with('z') && line.len() == 66), "{text}");
        let length =
            last.bytes().next().map(|mark| if mark < b'a' { mark - b'A' + 1 } else { mark - b'a' + 27 }).unwrap();
        assert_eq!(last.len(), 1 + usize::from(length).div_ceil(4) * 5);
    }
}
