//! A guest where there is no virtual machine: commands run, nothing of the machine is touched. For tests, and for the
//! host side's tests through `examples/serve_unix.rs`.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Configuration, Fresh, Guest};
use crate::kernel_files::KernelFiles;
use crate::seed::{Progress, SeedError, Totals};
use crate::system_error::SystemError;
use crate::volume::{State, Volume};

/// A machine that belongs to someone else.
pub struct BorrowedGuest {
    kernel: Arc<KernelFiles>,
}

impl BorrowedGuest {
    /// Stands in for a booted machine.
    #[must_use]
    pub fn new(kernel: Arc<KernelFiles>) -> Self {
        Self { kernel }
    }
}

impl Guest for BorrowedGuest {
    fn prepare(&self, _workspace: Option<&Path>) -> Result<(), SystemError> {
        Ok(())
    }

    fn configure(&self, _configuration: &Configuration) -> Result<(), SystemError> {
        Ok(())
    }

    fn volume(&self) -> Option<Arc<Volume>> {
        None
    }

    fn grow_volume(&self, _drive_bytes: u64) -> Result<State, SystemError> {
        Err(no_drives())
    }

    fn make_seed(&self, _fresh: &Fresh, _progress: &mut Progress<'_>) -> Result<Totals, SeedError> {
        Err(SeedError::System(no_drives()))
    }

    fn sprout(&self, _fresh: &Fresh) -> Result<(), SystemError> {
        Err(no_drives())
    }

    fn correct_clock(&self, _unix_time_ns: u64) -> Result<(), SystemError> {
        Ok(())
    }

    fn boot_id(&self) -> String {
        self.kernel.boot_id()
    }

    fn clocksource(&self) -> String {
        self.kernel.clocksource()
    }
}

fn no_drives() -> SystemError {
    SystemError::new("find drive seed".to_owned(), Errno::NODEV)
}
