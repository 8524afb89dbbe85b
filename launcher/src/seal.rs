//! `--seal PATH…`: copies in memory that nobody can alter, held for as long as somebody wants to open them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, ftruncate, memfd_create, seek};
use rustix::io::Errno;

use crate::failure::{Doing, Failure};

/// What memory is mapped by, and what a hole is made of.
const ZERO_PAGE: [u8; 4096] = [0; 4096];
/// As much as stays in a core's cache between the read and the write, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Says the descriptors' numbers, and ends with standard input.
pub(crate) fn hold(paths: &[PathBuf]) -> Result<(), Failure> {
    let copies: Vec<OwnedFd> = paths
        .iter()
        .map(|path| sealed_copy(path).doing(|| format!("seal {}", path.display())))
        .collect::<Result<_, _>>()?;
    let numbers: Vec<String> = copies.iter().map(|copy| copy.as_raw_fd().to_string()).collect();
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", numbers.join(" ")).and_then(|()| stdout.flush()).doing(|| "standard output".into())?;
    io::copy(&mut io::stdin().take(u64::MAX), &mut io::sink()).doing(|| "standard input".into())?;
    Ok(())
}

/// Copies what is data; what is a hole stays one, and pages of zeros become one: a memory file that was mapped in huge
/// pages has many.
fn sealed_copy(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A device has no end and no holes.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let length = metadata.len();
    let copy = memfd_create("pyro-template", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&copy, length)?;
    let copy = File::from(copy);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut end = 0;
    loop {
        let start = match seek(&file, SeekFrom::Data(end)) {
            Ok(start) => start,
            // Behind the last data.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        end = seek(&file, SeekFrom::Hole(start))?;
        copy_range(&file, &copy, start..end, &mut buffer)?;
    }
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy.into())
}

fn copy_range(file: &File, copy: &File, range: Range<u64>, buffer: &mut [u8]) -> io::Result<()> {
    let mut offset = range.start;
    while offset < range.end {
        let left = usize::try_from(range.end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(&mut buffer[..left], offset)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        let mut position = offset;
        let pages: Vec<&[u8]> = buffer[..read].chunks(ZERO_PAGE.len()).collect();
        for run in pages.chunk_by(|one, other| is_zero(one) == is_zero(other)) {
            let length = run.iter().map(|page| page.len()).sum::<usize>();
            if !is_zero(run[0]) {
                let start = usize::try_from(position - offset).unwrap_or(usize::MAX);
                copy.write_all_at(&buffer[start..start + length], position)?;
            }
            position += length as u64;
        }
        offset = position;
    }
    Ok(())
}

fn is_zero(page: &[u8]) -> bool {
    page == &ZERO_PAGE[..page.len()]
}
