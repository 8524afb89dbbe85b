//! One failed step of the agent's own work: what it was doing, and the kernel's answer.

use std::ffi::CStr;
use std::fmt;
use std::io;

use rustix::io::Errno;

/// A failed system operation, printed as `what: reason`, for example `mount /dev/vda on /rootfs: No such device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemError {
    what: String,
    errno: Errno,
}

impl SystemError {
    /// A step that failed with this number.
    #[must_use]
    pub fn new(what: String, errno: Errno) -> Self {
        Self { what, errno }
    }

    /// The kernel error behind the failure.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, errno_text(self.errno))
    }
}

impl std::error::Error for SystemError {}

/// Adds to a kernel error what was being done, so that no bare "No such file or directory" reaches anyone.
pub trait Doing<T> {
    /// Names the operation and its object (`what` is only built when it failed).
    ///
    /// # Errors
    /// Passes the failure on, named.
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, SystemError>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, SystemError> {
        self.map_err(|errno| SystemError { what: what().into(), errno })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, SystemError> {
        self.map_err(|error| SystemError {
            what: what().into(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })
    }
}

/// The C library's text for an error number, without Rust's "(os error 2)".
#[must_use]
pub fn errno_text(errno: Errno) -> String {
    // SAFETY: strerror returns a NUL-terminated string that stays valid until the thread's next call of it; it is copied
    // before that.
    let text = unsafe { CStr::from_ptr(libc::strerror(errno.raw_os_error())) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_step_and_the_kernels_reason() {
        let failed: Result<(), Errno> = Err(Errno::NOENT);
        let error = failed.doing(|| "open /nowhere").unwrap_err();
        assert_eq!(error.to_string(), "open /nowhere: No such file or directory");
    }

    #[test]
    fn an_error_without_a_number_is_an_input_output_error() {
        let failed: io::Result<()> = Err(io::Error::other("made up"));
        assert_eq!(failed.doing(|| "read").unwrap_err().errno(), Errno::IO);
    }
}
