//! Giving trees out: as they were at one moment, whatever is written meanwhile.

use std::ffi::CString;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use pyro_seed::packing::Packing;
use pyro_seed::places::Places;
use pyro_seed::report::{Failure, Report};
use pyro_seed::stream::is_plain;
use pyro_seed::walk::Walk;
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;

use super::{FilesError, checked};
use crate::system_error::SystemError;
use crate::volume::Volume;

/// What has no place in a stream.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    /// Sockets, fifos and devices.
    pub(crate) skipped: u64,
    /// The first of them.
    pub(crate) first_skipped: Vec<String>,
}

/// Writes what is at these paths to `output` as one stream, each under the name beside it.
///
/// # Errors
/// As [`FilesError`], mostly before anything is written.
pub(crate) fn pull(volume: &Volume, files: &[(Vec<u8>, Vec<u8>)], output: impl Write) -> Result<Pulled, FilesError> {
    for (path, name) in files {
        checked(path)?;
        if !is_plain(name) || name.contains(&b'/') {
            return Err(FilesError::Invalid("a name in the stream is none".to_owned()));
        }
    }
    let frozen = volume.freeze()?;
    let tree = frozen.tree();
    // Whoever names one that is not there is told before a part of the others is sent.
    for (path, _) in files {
        look(&mut Places::new(tree), path).map_err(|errno| FilesError::of("find", path, errno))?;
    }
    let visitor = Packing::new(output, None).map_err(|error| failed(Failure::Output(error)))?;
    let mut walk = Walk { visitor, report: Report::silent(), selection: None };
    for (path, name) in files {
        let mut places = Places::new(tree);
        let (parent, entry) = places.parent(path).map_err(|errno| FilesError::of("find", path, errno))?;
        let entry = CString::new(if path.is_empty() { b"." } else { entry }).unwrap_or_default();
        walk.entry_as(name, parent.as_fd(), &entry).map_err(failed)?;
    }
    let report = walk.report;
    if report.unreadable > 0 {
        return Err(FilesError::System(SystemError::new(report.lines().join(", "), Errno::IO)));
    }
    walk.visitor.end().map_err(|error| failed(Failure::Output(error)))?;
    let first_skipped = report.lines().iter().filter_map(|line| line.strip_prefix("skipped\t"));
    Ok(Pulled { skipped: report.skipped, first_skipped: first_skipped.map(|line| line.replace('\t', " ")).collect() })
}

fn look(places: &mut Places<'_>, path: &[u8]) -> Result<(), Errno> {
    let (parent, name) = places.parent(path)?;
    if !path.is_empty() {
        statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn failed(failure: Failure) -> FilesError {
    match failure {
        Failure::Changed(path) => FilesError::of("read", &path, Errno::STALE),
        Failure::System(path, errno) => FilesError::of("read", &path, errno),
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => {
            FilesError::System(SystemError::new("send the tree".to_owned(), Errno::CANCELED))
        }
        Failure::Output(error) => FilesError::System(SystemError::new(format!("send the tree ({error})"), Errno::IO)),
        Failure::Exists(path) | Failure::Twins(path, _) => FilesError::of("make", &path, Errno::EXIST),
        Failure::Invalid(why) => FilesError::Invalid(why),
    }
}
