//! A command's standard streams: the ends its process gets and the ends the agent keeps.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Uid;

use super::request::ExecRequest;
use super::terminal;
use crate::kernel_files::KernelFiles;
use crate::system_error::{Doing, SystemError};
use crate::watched::{Watched, watch};

/// Size of a command's pipes, in bytes: what root may ask for (/proc/sys/fs/pipe-max-size), so that a command and the
/// agent take turns less often.
const PIPE_BYTES: usize = 1 << 20;
/// First descriptor that is not a standard stream.
const FIRST_FREE_DESCRIPTOR: i32 = 3;

/// Both sides of a command's standard streams.
pub(super) struct StandardStreams {
    /// Standard input, output and error of the process.
    pub(super) child: [OwnedFd; 3],
    /// Where the agent writes standard input; none: it is /dev/null.
    pub(super) stdin: Option<Watched>,
    /// Where the agent reads standard output.
    pub(super) stdout: Watched,
    /// Where the agent reads standard error; none: a terminal has one output.
    pub(super) stderr: Option<Watched>,
    /// Where the agent changes a terminal's size; none: there is no terminal.
    pub(super) terminal: Option<OwnedFd>,
}

impl StandardStreams {
    /// Opens what `request` asks for.
    pub(super) fn open(request: &ExecRequest, kernel: &KernelFiles) -> Result<Self, SystemError> {
        match request.terminal {
            Some(size) => terminal::open(size, owner(request)).doing(|| "open terminal"),
            None => Self::pipes(request, kernel).doing(|| "open pipes"),
        }
    }

    fn pipes(request: &ExecRequest, kernel: &KernelFiles) -> Result<Self, Errno> {
        let (stdin_child, stdin) = if request.stdin {
            let (reader, writer) = pipe(request)?;
            (reader, Some(watch(writer)?))
        } else {
            (fcntl_dupfd_cloexec(kernel.null(), FIRST_FREE_DESCRIPTOR)?, None)
        };
        let (stdout, stdout_child) = pipe(request)?;
        let (stderr, stderr_child) = pipe(request)?;
        Ok(Self {
            child: [stdin_child, stdout_child, stderr_child],
            stdin,
            stdout: watch(stdout)?,
            stderr: Some(watch(stderr)?),
            terminal: None,
        })
    }
}

/// The user the process becomes; none when the agent cannot give anything away.
fn owner(request: &ExecRequest) -> Option<Uid> {
    rustix::process::geteuid().is_root().then(|| Uid::from_raw(request.user.uid))
}

/// A pipe that belongs to the command's user, who may open `/dev/stdout`. Reader first.
fn pipe(request: &ExecRequest) -> Result<(OwnedFd, OwnedFd), Errno> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // Refused beyond a limit of pages per user; a smaller pipe is slower, not wrong.
    let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
    rustix::fs::fchown(&writer, owner(request), None)?;
    Ok((reader, writer))
}
