//! Between fork and exec. Nothing here allocates, locks or panics: the process may be the copy of one thread of many.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe};

use super::failure::Step;

/// File mode mask that commands start with, as a login has it.
const UMASK: u32 = 0o022;
/// Soft limit of open files that commands start with: programs that use select(2) break above it.
const OPEN_FILES: u64 = 1024;
/// Highest signal number.
const MAX_SIGNAL: libc::c_int = 64;
/// Exit status of a child that never became its program; its report says more.
const NOT_EXECUTED: libc::c_int = 127;

/// All that a child needs, prepared before it exists.
pub(super) struct ChildPlan<'a> {
    /// Files to try, NULL-terminated.
    pub(super) paths: &'a [*const libc::c_char],
    /// Whether `paths` came out of PATH, where a missing one means to try the next.
    pub(super) searched: bool,
    /// NULL-terminated.
    pub(super) argv: &'a [*const libc::c_char],
    /// NULL-terminated.
    pub(super) environment: &'a [*const libc::c_char],
    /// All above 2.
    pub(super) stdio: [RawFd; 3],
    pub(super) terminal: bool,
    pub(super) own_cgroup_namespace: bool,
    pub(super) proc: BorrowedFd<'a>,
    pub(super) directory: &'a CStr,
    pub(super) user: Option<(Uid, Gid)>,
    pub(super) groups: &'a [Gid],
    pub(super) report: RawFd,
}

/// Becomes the program, or reports why not and exits.
pub(super) fn become_program(plan: &ChildPlan<'_>) -> ! {
    let (step, errno) = match prepare(plan) {
        Ok(()) => execute(plan),
        Err(failed) => failed,
    };
    let report = step.report(errno);
    // SAFETY: writes a local array to a pipe and ends the process without running anything of the parent's copy.
    unsafe {
        libc::write(plan.report, report.as_ptr().cast(), report.len());
        libc::_exit(NOT_EXECUTED)
    }
}

fn prepare(plan: &ChildPlan<'_>) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    reset_signals();
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    limit_open_files();
    rustix::process::setsid().map_err(at(Step::Session))?;
    take_stdio(plan.stdio).map_err(at(Step::Stdio))?;
    if plan.terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(at(Step::Terminal))?;
    }
    leave_oom_protection(plan.proc).map_err(at(Step::OomScore))?;
    if plan.own_cgroup_namespace {
        // SAFETY: a cgroup namespace changes what this process sees in /proc, no memory and no descriptor of it.
        unsafe { unshare_unsafe(UnshareFlags::NEWCGROUP) }.map_err(at(Step::CgroupNamespace))?;
    }
    if let Some((uid, gid)) = plan.user {
        set_thread_groups(plan.groups).map_err(at(Step::User))?;
        set_thread_res_gid(gid, gid, gid).map_err(at(Step::User))?;
        set_thread_res_uid(uid, uid, uid).map_err(at(Step::User))?;
    }
    // After the change of user, so that it is the user's right to be there which counts.
    rustix::process::chdir(plan.directory).map_err(at(Step::Directory))?;
    close_on_exec_all();
    Ok(())
}

/// Tries the files in order and returns why none of them became this process.
fn execute(plan: &ChildPlan<'_>) -> (Step, Errno) {
    let step = if plan.searched { Step::Search } else { Step::Execute };
    let mut outcome = Errno::NOENT;
    for path in plan.paths.iter().take_while(|path| !path.is_null()) {
        // SAFETY: `path` and the two NULL-terminated arrays point into C strings that the launching function holds.
        unsafe { libc::execve(*path, plan.argv.as_ptr(), plan.environment.as_ptr()) };
        // SAFETY: errno of this thread.
        match Errno::from_raw_os_error(unsafe { *libc::__errno_location() }) {
            Errno::NOENT | Errno::NOTDIR if plan.searched => {}
            Errno::ACCESS => outcome = Errno::ACCESS,
            errno => return (step, errno),
        }
    }
    (step, outcome)
}

fn take_stdio(stdio: [RawFd; 3]) -> Result<(), Errno> {
    for (target, source) in (0..).zip(stdio) {
        // SAFETY: dup2 on numbers: 0, 1 and 2 are this child's to replace, and the sources are above them.
        if unsafe { libc::dup2(source, target) } < 0 {
            // SAFETY: errno of this thread.
            return Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
        }
    }
    Ok(())
}

/// The agent itself is never chosen by the OOM killer; what it starts must be.
fn leave_oom_protection(proc: BorrowedFd<'_>) -> Result<(), Errno> {
    let file = rustix::fs::openat(proc, c"self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, b"0").map(|_| ())
}

/// The agent's own limit is high; the hard one stays so, for programs that raise theirs.
fn limit_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    // Lowering the soft limit is always allowed.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
}

/// Every descriptor of the agent is close-on-exec by itself; this covers one that it was started with.
fn close_on_exec_all() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: only sets a flag on descriptors; kernels before 5.11 refuse, which changes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Blocks every signal and returns what was blocked before.
pub(super) fn block_signals() -> libc::sigset_t {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are written by the calls before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Undoes [`block_signals`].
pub(super) fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: `before` is an initialised set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}

/// Default dispositions (Rust's runtime ignores SIGPIPE, and execve keeps that) and an empty mask.
///
/// By system call, because the C library refuses to touch the two signals it keeps for itself, which whoever started the
/// agent may have ignored all the same.
fn reset_signals() {
    /// `struct sigaction` of the kernel, all zeroes: SIG_DFL, no flags, no restorer, an empty mask.
    const DEFAULT: [u64; 4] = [0; 4];
    /// `sigset_t` of the kernel.
    const NO_SIGNAL: [u64; 1] = [0];
    for signal in 1..=MAX_SIGNAL {
        // SAFETY: the default disposition runs no code of ours. The kernel refuses SIGKILL and SIGSTOP.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null::<u64>(), size_of::<u64>())
        };
    }
    // SAFETY: reads one set of the size given.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            NO_SIGNAL.as_ptr(),
            ptr::null::<u64>(),
            size_of::<u64>(),
        );
    }
}
