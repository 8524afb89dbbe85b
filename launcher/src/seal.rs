//! `--seal PATH…`: copies in memory that nobody can alter, held for as long as somebody wants to open them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, ftruncate, memfd_create, seek, sendfile};
use rustix::io::Errno;

use crate::failure::{Doing, Failure};

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

/// Copies what is data; what is a hole stays one.
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
    let mut end = 0;
    loop {
        let start = match seek(&file, SeekFrom::Data(end)) {
            Ok(start) => start,
            // Behind the last data.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        end = seek(&file, SeekFrom::Hole(start))?;
        seek(&copy, SeekFrom::Start(start))?;
        copy_range(&file, &copy, start, end)?;
    }
    // The offset is that of whoever inherits this very descriptor.
    seek(&copy, SeekFrom::Start(0))?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy)
}

fn copy_range(file: &File, copy: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let mut offset = start;
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        if sendfile(copy, file, Some(&mut offset), left)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
    }
    Ok(())
}
