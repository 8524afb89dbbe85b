//! A pseudo-terminal in place of three pipes.

use rustix::io::Errno;
use rustix::process::Uid;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::pipes::StandardStreams;
use crate::watched::watch;

/// What a terminal's line discipline takes for the end of the input at the start of a line (VEOF, Ctrl-D).
pub(super) const END_OF_INPUT: &[u8] = &[0x04];

/// Opens a terminal of the given size for `owner`. The process gets its user side three times, the agent the other.
pub(super) fn open(size: Winsize, owner: Option<Uid>) -> Result<StandardStreams, Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let host = openpt(flags)?;
    unlockpt(&host)?;
    tcsetwinsize(&host, size)?;
    let user = ioctl_tiocgptpeer(&host, flags)?;
    rustix::fs::fchown(&user, owner, None)?;
    let again = || user.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let child = [again()?, again()?, user];
    let stdin = rustix::io::fcntl_dupfd_cloexec(&host, 0)?;
    let terminal = Some(rustix::io::fcntl_dupfd_cloexec(&host, 0)?);
    Ok(StandardStreams { child, stdin: Some(watch(stdin)?), stdout: watch(host)?, stderr: None, terminal })
}
