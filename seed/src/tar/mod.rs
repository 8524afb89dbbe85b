//! Turning a tar archive into a stream: ustar, pax, GNU's long names and all of GNU's forms of sparse files.
//!
//! All headers are read before anything is written: what has no plain place in a tree, and what is not whole, refuses the
//! archive as a whole. Nothing is unpacked on the host; a name only ever becomes a name in the stream.

mod cursor;
mod header;
mod number;
mod pax;
mod reading;
mod sparse;
mod tree;
pub(crate) mod write;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use pyro_seed::report::{Failure, Report};
use pyro_seed::stream::Totals;

use reading::read;

/// Why an archive is none that can be taken.
type Refusal = String;

/// Reads an archive and writes what it has to `output` as a stream.
pub(crate) fn pack(archive: &File, output: impl Write, report: &mut Report) -> Result<Totals, Failure> {
    let identity = |file: &File| file.metadata().map(|meta| (meta.len(), meta.ctime(), meta.ctime_nsec()));
    let before = identity(archive)?;
    let tree = read(archive, before.0, report).map_err(Failure::Invalid)?;
    let totals = tree.write(archive, output, report)?;
    if identity(archive)? == before { Ok(totals) } else { Err(Failure::Changed(Vec::new())) }
}

#[cfg(test)]
mod tests;
