//! Why a launch did not happen: one line, one exit status.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

/// The command line is wrong (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
/// The system refused a step (EX_OSERR).
const SYSTEM: u8 = 71;
/// The lock is held by another process (EX_TEMPFAIL).
const LOCKED: u8 = 75;
/// The program was found but cannot be executed, as a shell exits.
const NOT_EXECUTABLE: u8 = 126;
/// The program was not found, as a shell exits.
const NOT_FOUND: u8 = 127;

/// A launch that did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: u8,
    what: String,
    reason: String,
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { status: USAGE, what: what.into(), reason: reason.into() }
    }

    pub(crate) fn locked(path: impl Display) -> Self {
        Self { status: LOCKED, what: format!("lock {path}"), reason: "held by another process".into() }
    }

    pub(crate) fn not_found(what: String, error: &io::Error) -> Self {
        Self { status: NOT_FOUND, what, reason: reason(error) }
    }

    pub(crate) fn not_executable(what: String, error: &io::Error) -> Self {
        Self { status: NOT_EXECUTABLE, what, reason: reason(error) }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

/// The system's text without Rust's "(os error 2)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Adds to an error what was being done.
pub(crate) trait Doing<T> {
    /// Names the step and its object.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure { status: SYSTEM, what: what(), reason: reason(&error.into()) })
    }
}

/// The standard error the launcher was started with.
pub(crate) struct Complaints {
    descriptor: OwnedFd,
}

impl Complaints {
    /// Keeps it, above the standard streams and closed by exec.
    pub(crate) fn open() -> Result<Self, Failure> {
        const FIRST: RawFd = 3;
        let stderr = rustix::stdio::stderr();
        let descriptor = rustix::io::fcntl_dupfd_cloexec(stderr, FIRST).doing(|| "standard error".into())?;
        Ok(Self { descriptor })
    }

    /// Its number.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Says it in one line. There is no one else to tell when that fails.
    pub(crate) fn tell(&self, failure: &Failure) {
        let line = format!("pyro-launch: {}: {}\n", failure.what, failure.reason);
        let _ = rustix::io::write(&self.descriptor, line.as_bytes());
    }
}
