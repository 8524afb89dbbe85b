//! A system call that waits, ended by a signal: flock(2) takes no time limit.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Between the first signal and the next: one that comes right before the call would be missed.
const AGAIN: Duration = Duration::from_millis(20);

/// Interrupts whatever waits in this process from then on, again and again, until it is dropped.
pub(super) struct Alarm;

impl Alarm {
    /// The first signal comes `after` that long, which is more than nothing.
    pub(super) fn set(after: Duration) -> io::Result<Self> {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: all-zero bytes are a valid action, without flags: the call is not begun again. Its handler touches nothing. What is
        // passed lives as long as the calls. The signal may have been blocked by whoever started this process.
        unsafe {
            let action = action.assume_init_mut();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            let mut set = MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM);
            if libc::sigaction(libc::SIGALRM, action, std::ptr::null_mut()) != 0
                || libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) != 0
            {
                return Err(io::Error::last_os_error());
            }
        }
        start_timer(after, AGAIN)?;
        Ok(Self)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // A timer outlives an exec. Stopping it has no way to fail.
        let _ = start_timer(Duration::ZERO, Duration::ZERO);
        // SAFETY: the signal's own disposition, for the program.
        unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    }
}

/// Nothing after no time: it is stopped.
fn start_timer(after: Duration, again: Duration) -> io::Result<()> {
    let timer = libc::itimerval { it_interval: time(again), it_value: time(after) };
    // SAFETY: the value lives as long as the call.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn time(of: Duration) -> libc::timeval {
    let seconds = libc::time_t::try_from(of.as_secs()).unwrap_or(libc::time_t::MAX);
    libc::timeval { tv_sec: seconds, tv_usec: of.subsec_micros().into() }
}

extern "C" fn nothing(_: libc::c_int) {}
