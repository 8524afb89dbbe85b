//! The wall clock: it stands still while a machine is saved, and while its host sleeps.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::system_error::{Doing, SystemError};

/// Difference to the host's clock that is corrected, in nanoseconds. Smaller ones may be the message's time on the way,
/// and a clock that is set often goes backwards often.
const TOLERANCE_NS: u64 = 500_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Sets the wall clock.
pub(super) fn set(unix_time_ns: u64) -> Result<(), SystemError> {
    // Both parts are below 2^63: the divisor is 10^9.
    let time = Timespec {
        tv_sec: (unix_time_ns / NS_PER_SECOND).cast_signed(),
        tv_nsec: (unix_time_ns % NS_PER_SECOND).cast_signed(),
    };
    clock_settime(ClockId::Realtime, time).doing(|| "set the clock")
}

/// Sets the wall clock when it is off by more than [`TOLERANCE_NS`]. 0 means that the host did not say.
pub(super) fn correct(unix_time_ns: u64) -> Result<(), SystemError> {
    let now = clock_gettime(ClockId::Realtime);
    let now_ns = u64::try_from(now.tv_sec).unwrap_or(0) * NS_PER_SECOND + u64::try_from(now.tv_nsec).unwrap_or(0);
    if unix_time_ns == 0 || now_ns.abs_diff(unix_time_ns) <= TOLERANCE_NS { Ok(()) } else { set(unix_time_ns) }
}
