//! What a launch does, in order. A new step is a file here and a line in [`ALL`].

mod capabilities;
mod descriptors;
mod directory;
mod limits;
mod lock;
mod log;
mod monitor;
mod mounts;
mod namespaces;
mod orphan;
mod privileges;
mod root;
mod session;
mod stdio;
mod umask;
mod user;

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};

use crate::failure::Failure;
use crate::options::Options;

/// The options, and what the steps so far have opened for the program.
pub(crate) struct Launch {
    options: Options,
    /// The launcher's own way to say what failed; exec closes it.
    complaints: RawFd,
    lock: Option<OwnedFd>,
    /// Where the monitor writes.
    log: Option<OwnedFd>,
}

/// One step.
type Step = fn(&mut Launch) -> Result<(), Failure>;

/// The steps. Files are opened before the working directory changes and before limits could forbid it; what reduces
/// privileges comes last. From [`monitor::split`] on it is the program's process that goes on.
pub(crate) const ALL: [Step; 15] = [
    umask::set,
    lock::acquire,
    stdio::redirect,
    log::open,
    descriptors::close_others,
    session::begin,
    namespaces::enter,
    monitor::split,
    root::build,
    directory::enter,
    limits::set,
    user::become_it,
    capabilities::drop_all,
    privileges::freeze,
    orphan::forbid,
];

impl Launch {
    pub(crate) fn new(options: Options, complaints: RawFd) -> Self {
        Self { options, complaints, lock: None, log: None }
    }

    /// The program and its arguments. The lock stays open: it is the program's now.
    pub(crate) fn into_command(self) -> (OsString, Vec<OsString>) {
        std::mem::forget(self.lock);
        (self.options.program, self.options.arguments)
    }
}
