//! Contents as git's binary patches have them: in base 85, deflated, and some made from what was there before.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

use flate2::read::ZlibDecoder;

use super::section::Packed;
use super::spool::Lines;
use crate::changes::BASE_85;

/// Longest line of digits: a mark of its length, and five digits for each four of at most 52 bytes.
const LINE_BYTES: usize = 66;
/// Copied at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Whether a line has the form of one with digits.
pub(super) fn is_line(text: &[u8]) -> bool {
    text.first().and_then(|mark| length(*mark)).is_some_and(|bytes| text.len() == 1 + bytes.div_ceil(4) * 5)
}

fn length(mark: u8) -> Option<usize> {
    match mark {
        b'A'..=b'Z' => Some(usize::from(mark - b'A') + 1),
        b'a'..=b'z' => Some(usize::from(mark - b'a') + 27),
        _ => None,
    }
}

/// Writes what a content is: itself, or made from the `base`; how many bytes it has. An error of kind `InvalidData` is the patch's.
pub(super) fn unpack(patch: &File, packed: &Packed, base: Base<'_>, out: &mut dyn Write) -> io::Result<u64> {
    let digits =
        Digits { lines: Lines::from(patch, packed.at), text: Vec::new(), bytes: Vec::new(), at: 0, is_over: false };
    let mut data = BufReader::new(ZlibDecoder::new(digits).take(packed.size));
    let size = if packed.is_delta { apply(&mut data, base, out)? } else { io::copy(&mut data, out)? };
    let mut inflated = data.into_inner();
    if inflated.limit() > 0 {
        return Err(invalid("it has fewer bytes than it says"));
    }
    inflated.set_limit(1);
    if inflated.read(&mut [0])? > 0 {
        return Err(invalid("it has more bytes than it says"));
    }
    Ok(size)
}

/// What was there before.
#[derive(Clone, Copy)]
pub(super) enum Base<'b> {
    Bytes(&'b [u8]),
    File(&'b File, u64),
}

impl Base<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    fn copy(&self, mut offset: u64, mut size: u64, out: &mut dyn Write) -> io::Result<()> {
        if offset.checked_add(size).is_none_or(|end| end > self.size()) {
            return Err(invalid("it copies more than was there before"));
        }
        match self {
            Self::Bytes(bytes) => {
                // Both are in it.
                let (from, length) = (offset as usize, size as usize);
                out.write_all(&bytes[from..from + length])
            }
            Self::File(file, _) => {
                let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
                while size > 0 {
                    let length = piece.len().min(usize::try_from(size).unwrap_or(PIECE_BYTES));
                    file.read_exact_at(&mut piece[..length], offset)?;
                    out.write_all(&piece[..length])?;
                    (offset, size) = (offset + length as u64, size - length as u64);
                }
                Ok(())
            }
        }
    }
}

/// Does what a delta says (git's patch-delta.c): the sizes before and after, then copies and new bytes.
fn apply(delta: &mut impl Read, base: Base<'_>, out: &mut dyn Write) -> io::Result<u64> {
    if number(delta)? != base.size() {
        return Err(invalid("it is made from a content of another size"));
    }
    let size = number(delta)?;
    let mut made = 0_u64;
    while let Some(code) = byte(delta)? {
        let length = if code & 0x80 == 0 {
            let mut piece = [0; 127];
            let piece = &mut piece[..usize::from(code)];
            delta.read_exact(piece)?;
            if code == 0 {
                return Err(invalid("it says something that is not known"));
            }
            out.write_all(piece)?;
            u64::from(code)
        } else {
            let mut part = |first: u32, count: u32| -> io::Result<u64> {
                let mut value = 0;
                for index in 0..count {
                    if code & (1 << (first + index)) != 0 {
                        let byte = byte(delta)?.ok_or_else(|| invalid("it ends too early"))?;
                        value |= u64::from(byte) << (8 * index);
                    }
                }
                Ok(value)
            };
            let offset = part(0, 4)?;
            let length = Some(part(4, 3)?).filter(|length| *length > 0).unwrap_or(0x1_0000);
            if made + length > size {
                return Err(invalid("it makes more bytes than it says"));
            }
            base.copy(offset, length, out)?;
            length
        };
        made += length;
    }
    if made == size { Ok(size) } else { Err(invalid("it makes another number of bytes than it says")) }
}

fn byte(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = byte(from)?.ok_or_else(|| invalid("it ends too early"))?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(invalid("it has a number that is too large"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The bytes of lines of digits, to the empty one.
struct Digits<'f> {
    lines: Lines<'f>,
    text: Vec<u8>,
    bytes: Vec<u8>,
    at: usize,
    is_over: bool,
}

/// What each digit counts; of what is none, more than there are.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut digit = 0;
    while digit < BASE_85.len() {
        values[BASE_85[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

impl Digits<'_> {
    fn fill(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.at = 0;
        let is_there = self.lines.next(&mut self.text, LINE_BYTES)?.is_some();
        let Some((mark, digits)) = self.text.split_first().filter(|_| is_there) else {
            self.is_over = true;
            return Ok(());
        };
        let length = length(*mark).filter(|_| is_line(&self.text)).ok_or_else(|| invalid("a line is damaged"))?;
        for group in digits.chunks_exact(5) {
            let value = group.iter().try_fold(0_u32, |value, digit| {
                let digit = Some(VALUES[usize::from(*digit)]).filter(|digit| *digit < 85)?;
                value.checked_mul(85)?.checked_add(u32::from(digit))
            });
            self.bytes.extend(value.ok_or_else(|| invalid("a digit is none"))?.to_be_bytes());
        }
        self.bytes.truncate(length);
        Ok(())
    }
}

impl Read for Digits<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() && !self.is_over {
            self.fill()?;
        }
        let count = into.len().min(self.bytes.len() - self.at);
        into[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
