//! `pyro-seed list|pack DIRECTORY [-]`, `pyro-seed tar ARCHIVE`: reads what a workspace is to begin with.
//!
//! `list` writes what tells one state of it from another, `pack` the stream that a guest makes the tree of. With `-`,
//! standard input has the paths that are wanted, each with a NUL behind it. `tar` writes the stream of an archive that is not compressed. What happens is said on standard error (`report`).
//!
//! `pyro-seed unpack TARGET FRESH [+NAME] [--overwrite] [--umask=OCTAL]` makes of a stream on standard input what it has, and `pyro-seed archive` a
//! tar archive on standard output (`unpacking`). `pyro-seed discard DIRECTORY FRESH` removes what one that was killed has left there.
//!
//! Exit status: 64 the command line is wrong, 65 the source is no tree, 66 a part of it cannot be read, 71 the system refused
//! something, 73 the target is there, 74 the output cannot be written, 75 the source was changed meanwhile, or what is to be discarded is in use.

mod listing;
mod tar;
mod twins;
mod unpacking;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use pyro_seed::fill::Filled;
use pyro_seed::packing::Packing;
use pyro_seed::report::{Failure, Report};
use pyro_seed::selection::Selection;
use pyro_seed::stream::Totals;
use pyro_seed::walk::Walk;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use listing::Listing;
use unpacking::{Discarded, Order, Problem};

/// As much as the deepest tree takes, whose every level is a call: MAX_PATH_BYTES of names of one byte.
const STACK_BYTES: usize = 256 << 20;
const OUTPUT_BUFFER_BYTES: usize = 1 << 20;
const UNREADABLE: u8 = 66;
/// Whoever does not say what others may gives them nothing.
const PRIVATE_UMASK: u32 = 0o077;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(&arguments));
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(0))) => ExitCode::SUCCESS,
        Ok(Ok(Ok(_))) => ExitCode::from(UNREADABLE),
        Ok(Ok(Err(failure))) => ExitCode::from(failure.tell()),
        Ok(Err(_)) | Err(_) => ExitCode::from(71),
    }
}

/// Reads the source; how much of it could not be read.
fn run(arguments: &[OsString]) -> Result<u64, Failure> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let (list, directory, only) = match words.as_slice() {
        [b"tar", archive] => return pack_archive(archive),
        [b"archive"] => return write_archive(),
        [b"unpack", target, fresh, options @ ..] => return unpack(target, fresh, options),
        [b"discard", directory, fresh] => return discard(directory, fresh),
        [mode @ (b"list" | b"pack"), directory] => (*mode == b"list", *directory, false),
        [mode @ (b"list" | b"pack"), directory, b"-"] => (*mode == b"list", *directory, true),
        _ => return Err(Failure::Invalid("usage: pyro-seed list|pack DIRECTORY [-] | tar ARCHIVE".to_owned())),
    };
    raise_limit_of_files();
    let selection = if only { Some(read_selection()?) } else { None };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        openat(CWD, directory, flags, Mode::empty()).map_err(|errno| Failure::System(directory.into(), errno))?;
    let output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, standard_output());
    let selection = selection.as_ref();
    if list {
        let visitor = Listing { to: output, totals: Totals::default() };
        let mut walk = Walk { visitor, report: Report::default(), selection };
        walk.run(&root)?;
        walk.visitor.to.flush()?;
        Ok(told(&mut walk.report, walk.visitor.totals))
    } else {
        let mut walk = Walk { visitor: Packing::new(output, Some(directory))?, report: Report::default(), selection };
        walk.run(&root)?;
        let totals = walk.visitor.end()?;
        Ok(told(&mut walk.report, totals))
    }
}

fn pack_archive(path: &[u8]) -> Result<u64, Failure> {
    let archive = File::open(std::ffi::OsStr::from_bytes(path))?;
    let mut report = Report::default();
    let output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, standard_output());
    let totals = tar::pack(&archive, output, &mut report)?;
    Ok(told(&mut report, totals))
}

fn write_archive() -> Result<u64, Failure> {
    let input = BufReader::with_capacity(OUTPUT_BUFFER_BYTES, std::io::stdin());
    let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, standard_output());
    let filled = tar::write::convert(input, &mut output).map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Failure::Invalid(error.to_string()),
        _ => Failure::Output(error),
    })?;
    filled_report(&mut Report::default(), filled);
    Ok(0)
}

fn unpack(target: &[u8], fresh: &[u8], options: &[&[u8]]) -> Result<u64, Failure> {
    raise_limit_of_files();
    let only = options.iter().find_map(|option| option.strip_prefix(b"+"));
    let umask = options.iter().find_map(|option| option.strip_prefix(b"--umask="));
    let umask = umask.map_or(Ok(PRIVATE_UMASK), octal)?;
    let order = Order { target, fresh, only, overwrite: options.contains(&&b"--overwrite"[..]), umask };
    let input = BufReader::with_capacity(OUTPUT_BUFFER_BYTES, std::io::stdin());
    let mut report = Report::default();
    let filled = unpacking::unpack(input, &order, &mut report).map_err(|problem| failure(problem, target))?;
    filled_report(&mut report, filled);
    Ok(0)
}

fn discard(directory: &[u8], fresh: &[u8]) -> Result<u64, Failure> {
    raise_limit_of_files();
    match unpacking::discard(directory, fresh) {
        Ok(Discarded::Gone) => Ok(0),
        Ok(Discarded::InUse) => Err(Failure::Changed(fresh.into())),
        Err(problem) => Err(failure(problem, fresh)),
    }
}

fn failure(problem: Problem, target: &[u8]) -> Failure {
    match problem {
        Problem::Hostile(why) => Failure::Invalid(why),
        Problem::Exists => Failure::Exists(target.into()),
        Problem::Twins(path, there) => Failure::Twins(path, there),
        Problem::System(path, errno) => Failure::System(path, errno),
    }
}

fn octal(digits: &[u8]) -> Result<u32, Failure> {
    let value = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 8).ok());
    value.filter(|value| *value <= 0o777).ok_or_else(|| Failure::Invalid("a umask has octal digits".to_owned()))
}

fn filled_report(report: &mut Report, filled: Filled) {
    report.made(filled.links, filled.lowered);
    report.total(filled.totals);
}

fn told(report: &mut Report, totals: Totals) -> u64 {
    report.total(totals);
    report.unreadable
}

fn read_selection() -> Result<Selection, Failure> {
    let mut list = Vec::new();
    std::io::stdin().read_to_end(&mut list)?;
    Ok(Selection::parse(&list))
}

/// One descriptor is open for every level of a tree.
fn raise_limit_of_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Whoever may not open so many is told by the one that is too many.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn standard_output() -> File {
    // SAFETY: descriptor 1 is this process's standard output, which nothing else in it uses or closes.
    File::from(unsafe { OwnedFd::from_raw_fd(1) })
}
