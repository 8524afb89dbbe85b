//! Makes a process of a request. The process is in its group and session from its first instruction; what keeps it from
//! becoming the program comes back through a pipe that a successful execve(2) closes.

mod child;
mod failure;
mod search;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Uid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::group::ProcessGroup;
use super::request::ExecRequest;
use crate::kernel_files::KernelFiles;
use crate::reaper::{self, ProcessEnd};
use crate::system_error::{Doing, SystemError};
use child::ChildPlan;
pub use failure::{LaunchFailure, Step};

/// Starts the child in the control group `clone_args.cgroup` (linux/sched.h; the libc crate's constant overflows).
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// What a launch takes beside the request.
pub struct Surroundings<'a> {
    /// The group that the process starts in.
    pub group: &'a dyn ProcessGroup,
    /// The agent's `/proc`.
    pub kernel: &'a KernelFiles,
    /// Standard input, output and error of the process.
    pub stdio: [OwnedFd; 3],
}

/// A process that is becoming its program.
pub struct Launched {
    /// Its process id, and its session's and process group's.
    pub pid: Pid,
    /// Receives its end.
    pub ended: oneshot::Receiver<ProcessEnd>,
    report: pipe::Receiver,
    request_names: (CString, CString),
}

/// Forks. That the program could not be started after that is no error here but [`Launched::failure`]'s answer.
///
/// # Errors
/// There are no resources for another process.
pub fn launch(request: &ExecRequest, surroundings: &Surroundings<'_>) -> Result<Launched, SystemError> {
    let (report, report_writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).doing(|| "create pipe")?;
    let report = pipe::Receiver::from_owned_fd(report).doing(|| "watch pipe")?;
    // First argument of a request that was checked to have one.
    let program = request.argv[0].clone();
    let paths = search::candidates(&program, &request.search_path);
    let groups: Vec<Gid> = request.user.groups.iter().copied().map(Gid::from_raw).collect();
    let (argv, environment, path_pointers) =
        (pointers(&request.argv), pointers(&request.environment), pointers(&paths));
    let plan = ChildPlan {
        paths: &path_pointers,
        searched: search::is_searched(&program),
        argv: &argv,
        environment: &environment,
        stdio: [0, 1, 2].map(|index: usize| surroundings.stdio[index].as_raw_fd()),
        terminal: request.terminal.is_some(),
        own_cgroup_namespace: surroundings.group.birthplace().is_some(),
        proc: surroundings.kernel.proc(),
        directory: &request.directory,
        // Only root can become someone else; an agent on a borrowed machine may not be.
        user: rustix::process::geteuid()
            .is_root()
            .then(|| (Uid::from_raw(request.user.uid), Gid::from_raw(request.user.gid))),
        groups: &groups,
        report: report_writer.as_raw_fd(),
    };
    let (pid, ended) = reaper::spawn(|| fork(surroundings.group.birthplace(), &plan)).doing(|| "fork")?;
    surroundings.group.adopt(pid);
    Ok(Launched { pid, ended, report, request_names: (program, request.directory.clone()) })
}

impl Launched {
    /// Waits until the program runs (none), or gives the step that failed.
    pub async fn failure(&mut self) -> Option<LaunchFailure> {
        let mut report = [0; failure::REPORT_BYTES];
        // The end of the pipe without a report is the success.
        self.report.read_exact(&mut report).await.ok()?;
        let (program, directory) = &self.request_names;
        Some(LaunchFailure::from_report(report, program, directory))
    }
}

/// A NULL-terminated array as execve(2) takes it. It borrows the strings without the compiler's knowledge.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// clone3(2) into the group, with all signals blocked until the child has reset what they do.
fn fork(birthplace: Option<BorrowedFd<'_>>, plan: &ChildPlan<'_>) -> Result<Pid, Errno> {
    let mut arguments = libc::clone_args {
        flags: 0,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(group) = birthplace {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd() as u64;
    }
    let blocked = child::block_signals();
    // SAFETY: without CLONE_VM the child has a copy of this memory, as after fork(2). It only makes system calls on what
    // was prepared here and ends in execve or _exit, so no lock that another thread held is ever waited for.
    let status = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    if status == 0 {
        child::become_program(plan);
    }
    let error = io::Error::last_os_error();
    child::restore_signals(&blocked);
    i32::try_from(status).ok().and_then(Pid::from_raw).ok_or(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
