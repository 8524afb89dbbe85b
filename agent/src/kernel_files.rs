//! `/proc`, `/sys` and two devices by descriptors that were opened before the user's root came over them: what its root user mounts,
//! unmounts or links there does not reach the agent.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::system_error::{Doing, SystemError};

/// Most that is read of one of these files, in bytes; those read here hold one short line.
const VALUE_LIMIT_BYTES: u64 = 4 << 10;

/// The directories and the devices, open.
pub struct KernelFiles {
    proc: OwnedFd,
    sys: OwnedFd,
    null: OwnedFd,
    random: OwnedFd,
}

impl KernelFiles {
    /// Opens them as they are now.
    ///
    /// # Errors
    /// What open(2) says, with the path.
    pub fn open() -> Result<Self, SystemError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = |path: &str| openat(CWD, path, flags, Mode::empty()).doing(|| format!("open {path}"));
        let device = |path: &str| {
            openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).doing(|| format!("open {path}"))
        };
        let (null, random) = (device("/dev/null")?, device("/dev/urandom")?);
        Ok(Self { proc: directory("/proc")?, sys: directory("/sys")?, null, random })
    }

    /// `/dev/null`, open for reading and writing.
    #[must_use]
    pub fn null(&self) -> BorrowedFd<'_> {
        self.null.as_fd()
    }

    /// `/dev/urandom`, open for reading and writing.
    #[must_use]
    pub fn random(&self) -> BorrowedFd<'_> {
        self.random.as_fd()
    }

    /// The `/proc` directory, for openat(2).
    #[must_use]
    pub fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The clock source the kernel uses now; empty when it does not say.
    #[must_use]
    pub fn clocksource(&self) -> String {
        read_value(self.sys.as_fd(), "devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default()
    }

    /// The kernel's own boot id; empty when it does not say.
    #[must_use]
    pub fn boot_id(&self) -> String {
        read_value(self.proc.as_fd(), "sys/kernel/random/boot_id").unwrap_or_default()
    }
}

fn read_value(directory: BorrowedFd<'_>, path: &str) -> Result<String, SystemError> {
    let file =
        openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(|| format!("open {path}"))?;
    let mut text = String::new();
    File::from(file).take(VALUE_LIMIT_BYTES).read_to_string(&mut text).doing(|| format!("read {path}"))?;
    Ok(text.trim_end().to_owned())
}
