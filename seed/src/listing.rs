//! What tells one state of a source from another, without reading a file: names, kinds and the times that every change moves.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use pyro_seed::report::{Failure, Report};
use pyro_seed::stream::Totals;
use pyro_seed::walk::{Found, Visitor};
use rustix::fs::Stat;

/// Writes one record for each entry, for a digest of them all.
pub(crate) struct Listing<W: Write> {
    pub(crate) to: W,
    pub(crate) totals: Totals,
}

impl<W: Write> Listing<W> {
    fn record(&mut self, path: &[u8], stat: &Stat) -> Result<(), Failure> {
        let numbers = [
            stat.st_dev,
            stat.st_ino,
            u64::from(stat.st_mode),
            u64::from(stat.st_uid),
            u64::from(stat.st_gid),
            stat.st_size.cast_unsigned(),
            stat.st_mtime.cast_unsigned(),
            stat.st_mtime_nsec,
            // Moves with every change of content and attributes, and cannot be set.
            stat.st_ctime.cast_unsigned(),
            stat.st_ctime_nsec,
        ];
        let mut write = || -> io::Result<()> {
            self.to.write_all(path)?;
            self.to.write_all(&[0])?;
            numbers.iter().try_for_each(|number| self.to.write_all(&number.to_le_bytes()))
        };
        Ok(write()?)
    }
}

impl<W: Write> Visitor for Listing<W> {
    fn directory(&mut self, found: &Found<'_>, _report: &mut Report) -> Result<(), Failure> {
        self.totals.entries += 1;
        self.record(found.path, found.stat)
    }

    fn leaf(&mut self, found: &Found<'_>, _report: &mut Report) -> Result<(), Failure> {
        self.totals.entries += 1;
        self.totals.bytes += found.stat.st_size.cast_unsigned();
        self.record(found.path, found.stat)
    }

    fn finished(&mut self, path: &[u8], _: BorrowedFd<'_>, stat: &Stat, _: &mut Report) -> Result<(), Failure> {
        // Those below were told when they began.
        if path.is_empty() { self.record(path, stat) } else { Ok(()) }
    }

    fn totals(&self) -> Totals {
        self.totals
    }
}
