//! The machine the agent runs in: what a boot or a restore makes of it before commands run.

mod booted;
mod borrowed;
mod clock;
mod entropy;
mod identity;
mod rootfs;
mod user_root;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use booted::BootedGuest;
pub use borrowed::BorrowedGuest;

use crate::seed::{Progress, SeedError, Totals};
use crate::system_error::SystemError;
use crate::volume::{Setup, State, Volume};

/// What every clone of a template must be told (ConfigureRequest), already validated.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Random bytes of the host, at least [`Configuration::MIN_ENTROPY_BYTES`].
    pub entropy: Vec<u8>,
    /// Host wall clock, nanoseconds since the Unix epoch.
    pub unix_time_ns: u64,
    /// machine-id(5), 32 lower-case hexadecimal digits.
    pub machine_id: String,
    /// Host name, 1 to 64 characters.
    pub hostname: String,
    /// Default working directory, absolute.
    pub workspace: PathBuf,
    /// What is to be done with its volume; none: the machine keeps nothing.
    pub volume: Option<Setup>,
    /// How long it lives without a host; none: for ever.
    pub alone_limit: Option<Duration>,
}

/// What a clone must be told before it makes something that lasts.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// Random bytes of the host, at least [`Configuration::MIN_ENTROPY_BYTES`].
    pub entropy: Vec<u8>,
    /// Host wall clock, nanoseconds since the Unix epoch.
    pub unix_time_ns: u64,
}

impl Configuration {
    /// What one reseed of the kernel's generator needs, in bytes.
    pub const MIN_ENTROPY_BYTES: usize = 32;
}

/// What the service needs from the machine. `BootedGuest` is the one in a VM, `BorrowedGuest` stands in where there is
/// none.
pub trait Guest: Send + Sync + 'static {
    /// Does of what a machine needs all that is the same in every clone of a template: its root, and `workspace` in it. Safe
    /// to call twice.
    ///
    /// # Errors
    /// The step that failed; the guest is then unusable.
    fn prepare(&self, workspace: Option<&Path>) -> Result<(), SystemError>;

    /// Makes this machine itself and nobody's clone, after the rest of what `prepare` does.
    ///
    /// # Errors
    /// The step that failed; the guest is then unusable.
    fn configure(&self, configuration: &Configuration) -> Result<(), SystemError>;

    /// The volume that it was configured with.
    fn volume(&self) -> Option<Arc<Volume>>;

    /// Has its volume use a drive that has grown to so many bytes, or will have in a moment.
    ///
    /// # Errors
    /// ENODEV without a volume, ETIMEDOUT when the drive does not grow, what the file system says.
    fn grow_volume(&self, drive_bytes: u64) -> Result<State, SystemError>;

    /// Makes a seed on the drive `volume` of the stream on the drive `seed`. The guest is then of no other use.
    ///
    /// # Errors
    /// As [`crate::seed::make`]; on a guest without drives, that it has none.
    fn make_seed(&self, fresh: &Fresh, progress: &mut Progress<'_>) -> Result<Totals, SeedError>;

    /// Makes the first volume of the seed on the drive `seed` on the drive `volume`. The guest is then of no other use.
    ///
    /// # Errors
    /// The step that failed.
    fn sprout(&self, fresh: &Fresh) -> Result<(), SystemError>;

    /// Corrects the wall clock when it is visibly off (the host was suspended).
    ///
    /// # Errors
    /// What clock_settime(2) says.
    fn correct_clock(&self, unix_time_ns: u64) -> Result<(), SystemError>;

    /// The boot id that commands see; empty when there is none.
    fn boot_id(&self) -> String;

    /// The kernel's clock source; empty when unknown.
    fn clocksource(&self) -> String;
}
