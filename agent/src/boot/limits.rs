//! What the kernel grants PID 1, raised to what an agent of many commands needs.

use std::fs;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::system_error::{Doing, SystemError};

/// Descriptors the agent may have open, and the hard limit that commands start with (systemd's default for both).
const OPEN_FILES: u64 = 512 << 10;
/// Never chosen by the OOM killer (proc_pid_oom_score_adj(5)); the kernel would panic without PID 1.
const OOM_SCORE_ADJ_NEVER: &str = "-1000";

/// Freed memory the agent keeps for its next output, and the least allocation the kernel is asked for by itself, in bytes.
/// By default every piece of output would be mapped, faulted in and unmapped again, which costs more than filling it.
const KEPT_MEMORY_BYTES: libc::c_int = 8 << 20;

/// Raises the limit of open files and leaves the OOM killer's list.
///
/// # Errors
/// What the kernel refused.
pub fn prepare() -> Result<(), SystemError> {
    setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) })
        .doing(|| "raise the limit of open files")?;
    // SAFETY: mallopt only sets parameters of the allocator; nothing else runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_MEMORY_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_MEMORY_BYTES);
    }
    fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ_NEVER).doing(|| "write /proc/self/oom_score_adj")
}
