//! Turning a stream into a tar archive (POSIX.1-2017 pax), whatever its names are: what a header has no room for stands in an extended one.
//!
//! A directory's entry comes after what is in it, as in the stream. Holes are written as zeros: an archive has to say where they are before
//! the first byte of a file, and a stream says it when it comes to them.

use std::io::{self, Read, Write};

use pyro_seed::fill::Filled;
use pyro_seed::stream::{Entry, MAX_CHUNK_BYTES, Meta, Reader};

use super::header::BLOCK_BYTES;

const BLOCK: usize = BLOCK_BYTES as usize;
/// Largest number in the octal digits of a size or time (11), and of an owner (7).
const MAX_LARGE: u64 = (1 << 33) - 1;
const MAX_SMALL: u64 = (1 << 21) - 1;
const NAME_BYTES: usize = 100;
/// Largest file of an archive, in bytes: its holes are written, and a guest can say that a file is as long as it likes.
const MAX_FILE_BYTES: u64 = 1 << 40;
/// Bits of a mode that come out: nothing runs as somebody else.
const MODE_BITS: u32 = 0o777;

/// Writes the stream as an archive; how much it was.
pub(crate) fn convert(stream: impl Read, output: &mut impl Write) -> io::Result<Filled> {
    let mut reader = Reader::new(stream)?;
    let mut filled = Filled::default();
    let mut buffer = Vec::with_capacity(MAX_CHUNK_BYTES);
    loop {
        let entry = reader.next()?;
        if let Entry::File { meta, .. } | Entry::Finished { meta, .. } = &entry {
            filled.lowered += u64::from(meta.mode & !MODE_BITS != 0);
        }
        match entry {
            Entry::File { size, .. } if size > MAX_FILE_BYTES => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a file is longer than an archive is to have"));
            }
            Entry::File { path, meta, size } => {
                Member { kind: b'0', path: &path, meta: &meta, size, link: b"" }.write(output)?;
                let mut end = 0;
                while let Some(offset) = reader.chunk(&mut buffer)? {
                    zeros(output, offset - end)?;
                    output.write_all(&buffer)?;
                    end = offset + buffer.len() as u64;
                }
                zeros(output, size - end)?;
                pad(output, size)?;
            }
            Entry::Symlink { path, meta, target } => {
                Member { kind: b'2', path: &path, meta: &meta, size: 0, link: &target }.write(output)?;
            }
            Entry::Link { path, target } => {
                filled.links += 1;
                Member { kind: b'1', path: &path, meta: &Meta::default(), size: 0, link: &target }.write(output)?;
            }
            Entry::Finished { path, .. } if path.is_empty() => {}
            Entry::Finished { path, meta } => {
                let path = [&path[..], b"/"].concat();
                Member { kind: b'5', path: &path, meta: &meta, size: 0, link: b"" }.write(output)?;
            }
            Entry::Directory { .. } => {}
            Entry::End(totals) => {
                zeros(output, 2 * BLOCK_BYTES)?;
                output.flush()?;
                return Ok(Filled { totals, ..filled });
            }
        }
    }
}

struct Member<'a> {
    kind: u8,
    path: &'a [u8],
    meta: &'a Meta,
    size: u64,
    link: &'a [u8],
}

impl Member<'_> {
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let records = self.records();
        if !records.is_empty() {
            let meta = Meta { mode: 0o644, ..Meta::default() };
            let extended = Member { kind: b'x', path: b"pyro.pax", meta: &meta, size: records.len() as u64, link: b"" };
            output.write_all(&extended.header())?;
            output.write_all(&records)?;
            pad(output, extended.size)?;
        }
        output.write_all(&self.header())
    }

    /// What the header has no room for.
    fn records(&self) -> Vec<u8> {
        let Self { path, meta, size, link, .. } = *self;
        let mut records = Vec::new();
        let is_binary = [path, link].iter().any(|text| text.len() > NAME_BYTES && std::str::from_utf8(text).is_err());
        if is_binary {
            record(&mut records, "hdrcharset", b"BINARY");
        }
        if path.len() > NAME_BYTES {
            record(&mut records, "path", path);
        }
        if link.len() > NAME_BYTES {
            record(&mut records, "linkpath", link);
        }
        if size > MAX_LARGE {
            record(&mut records, "size", size.to_string().as_bytes());
        }
        for (name, id) in [("uid", meta.uid), ("gid", meta.gid)] {
            if u64::from(id) > MAX_SMALL {
                record(&mut records, name, id.to_string().as_bytes());
            }
        }
        let in_header = u64::try_from(meta.seconds).is_ok_and(|seconds| seconds <= MAX_LARGE);
        if !in_header || meta.nanoseconds != 0 {
            record(&mut records, "mtime", time(meta).as_bytes());
        }
        records
    }

    fn header(&self) -> [u8; BLOCK] {
        let Self { kind, path, meta, size, link } = *self;
        let mut block = [0; BLOCK];
        let cut = |text: &[u8]| text[..text.len().min(NAME_BYTES)].to_vec();
        block[..path.len().min(NAME_BYTES)].copy_from_slice(&cut(path));
        octal(&mut block[100..108], u64::from(meta.mode & MODE_BITS));
        octal(&mut block[108..116], u64::from(meta.uid).min(MAX_SMALL));
        octal(&mut block[116..124], u64::from(meta.gid).min(MAX_SMALL));
        octal(&mut block[124..136], size.min(MAX_LARGE));
        octal(&mut block[136..148], u64::try_from(meta.seconds).unwrap_or(0).min(MAX_LARGE));
        block[148..156].fill(b' ');
        block[156] = kind;
        block[157..157 + link.len().min(NAME_BYTES)].copy_from_slice(&cut(link));
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Digits up to the field's last byte, which is a NUL.
fn octal(field: &mut [u8], number: u64) {
    let digits = format!("{number:0width$o}", width = field.len() - 1);
    field[..digits.len()].copy_from_slice(digits.as_bytes());
}

/// `LENGTH NAME=VALUE\n`, whose length counts itself.
fn record(records: &mut Vec<u8>, name: &str, value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {name}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Decimal seconds: what is before a second's fraction counts down below zero.
fn time(meta: &Meta) -> String {
    let nanoseconds = i128::from(meta.seconds) * 1_000_000_000 + i128::from(meta.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let absolute = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", absolute / 1_000_000_000, absolute % 1_000_000_000)
}

fn pad(output: &mut impl Write, size: u64) -> io::Result<()> {
    zeros(output, size.next_multiple_of(BLOCK_BYTES) - size)
}

fn zeros(output: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(count), output).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pyro_seed::report::Report;
    use pyro_seed::stream::Writer;

    use super::*;

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = any::<u8>().prop_filter("of a name", |byte| !matches!(byte, 0 | b'/'));
        prop::collection::vec(byte, 1..200).prop_filter("a name", |name| !matches!(name.as_slice(), b"." | b".."))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        /// What is written as an archive is read as the same tree by the reader of archives, which other programs' archives are read by too.
        #[test]
        fn an_archive_has_what_the_stream_had(
            name in name(), target in name(), content in prop::collection::vec(any::<u8>(), 0..2000),
            seconds in -5_000_000_000_i64..20_000_000_000, nanoseconds in 0..1_000_000_000_u32, uid in any::<u32>(), mode in 0..0o1000_u32,
        ) {
            let meta = Meta { mode, uid, gid: uid / 3, seconds, nanoseconds, xattrs: Vec::new() };
            let mut stream = Vec::new();
            let mut writer = Writer::new(&mut stream).unwrap();
            writer.directory(b"d").unwrap();
            let path = [b"d/", &name[..]].concat();
            writer.file(&path, &meta, content.len() as u64).unwrap();
            if !content.is_empty() { writer.chunk(0, &content).unwrap(); }
            writer.end_file().unwrap();
            writer.finished(b"d", &meta).unwrap();
            writer.symlink(b"s", &meta, &target).unwrap();
            writer.finished(b"", &Meta::default()).unwrap();
            writer.end().unwrap();
            let mut archive = Vec::new();
            convert(&stream[..], &mut archive).unwrap();
            let place = std::env::temp_dir().join(format!("pyro-tar-write-{}", std::process::id()));
            std::fs::write(&place, &archive).unwrap();
            let mut read = Vec::new();
            super::super::pack(&std::fs::File::open(&place).unwrap(), &mut read, &mut Report::silent()).unwrap();
            std::fs::remove_file(&place).unwrap();
            prop_assert!(read == stream);
        }
    }
}
