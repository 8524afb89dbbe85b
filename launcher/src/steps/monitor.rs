//! `--log PATH`: the program is a child, and this process stays beside it: it bounds the program's output, ends it when
//! told to, and ends as it did.

mod bounded_log;
mod process;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::exit;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, setrlimit, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use self::bounded_log::BoundedLog;
use self::process::{Signals, fork};
use super::{Launch, capabilities, user};
use crate::failure::{Doing, Failure};

/// What is read from the program at once: what a pipe holds (pipe(7)).
const PIECE_BYTES: usize = 64 * 1024;
/// As a shell says that a signal ended a program; for signals that do not end this process too.
const SIGNAL_STATUS: i32 = 128;

/// Goes on as the program's process; the monitor never comes back.
pub(super) fn split(launch: &mut Launch) -> Result<(), Failure> {
    let (Some(asked), Some(log)) = (&launch.options.monitor, launch.log.take()) else { return Ok(()) };
    let log = BoundedLog::new(log, asked.log_bytes).doing(|| format!("log {}", asked.log.display()))?;
    let (output, input) = pipe_with(PipeFlags::CLOEXEC).doing(|| "pipe".into())?;
    let (starting, started) = pipe_with(PipeFlags::CLOEXEC).doing(|| "pipe".into())?;
    let signals = Signals::block().doing(|| "signals".into())?;
    if let Some(child) = fork().doing(|| "fork".into())? {
        drop((input, started));
        let monitor = Monitor { child, starting: Some(starting), output, signals, log };
        if let Err(error) = monitor.drop_rights(launch) {
            // The child ends with this process.
            return Err(error).doing(|| "monitor".into());
        }
        monitor.watch()
    }
    signals.unblock().doing(|| "signals".into())?;
    drop((output, starting));
    // The execution closes it, or the end of a launch that fails.
    std::mem::forget(started);
    into_child(launch, &input).doing(|| "standard output".into())
}

/// The program writes to the monitor, and so do the steps that are still to come.
fn into_child(launch: &Launch, input: &OwnedFd) -> io::Result<()> {
    dup2_stdout(input)?;
    dup2_stderr(input)?;
    // SAFETY: the descriptor belongs to the complaints, which go on by the same number.
    let status = unsafe { libc::dup3(input.as_raw_fd(), launch.complaints, libc::O_CLOEXEC) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

struct Monitor {
    child: Pid,
    /// Ends when the program is executed. Until then it is a process of another user, whom the monitor cannot kill.
    starting: Option<OwnedFd>,
    /// The program's standard output and error.
    output: OwnedFd,
    signals: Signals,
    log: BoundedLog,
}

impl Monitor {
    /// Keeps what watching takes: its standard streams are the log, whose reader finds the monitor by them.
    fn drop_rights(&self, launch: &Launch) -> io::Result<()> {
        dup2_stdout(self.log.file())?;
        dup2_stderr(self.log.file())?;
        for number in &launch.options.kept_descriptors {
            // SAFETY: inherited for the program, which has its own by now; nothing here refers to it.
            unsafe { libc::close(*number) };
        }
        rustix::fs::fcntl_setfl(&self.output, OFlags::NONBLOCK)?;
        rustix::process::chdir("/")?;
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        if launch.options.drop_capabilities {
            capabilities::drop_bounding_set()?;
        }
        if let Some(number) = launch.options.user {
            user::switch(number, &[])?;
        }
        if launch.options.drop_capabilities {
            capabilities::give_up()?;
        }
        rustix::thread::set_no_new_privs(true)?;
        Ok(())
    }

    /// Until the program is gone; then ends as it did.
    fn watch(mut self) -> ! {
        let mut open = true;
        let mut asked_to_end = false;
        loop {
            let [signalled, executed, written] = match self.wait(open) {
                Ok(events) => events,
                Err(error) => self.give_up(error.into()),
            };
            if written {
                open = self.copy();
            }
            if executed {
                self.starting = None;
            }
            if !signalled && !executed {
                continue;
            }
            asked_to_end |= self.signals.take();
            match waitpid(Some(self.child), WaitOptions::NOHANG) {
                Ok(Some((_, how))) => {
                    while open && self.copy_more() {}
                    end_like(how.as_raw());
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => self.give_up(error.into()),
            }
            if asked_to_end && self.starting.is_none() {
                // Its end comes as a signal too.
                if let Err(error) = kill_process(self.child, Signal::KILL) {
                    // The child ends with this process.
                    self.give_up(error.into());
                }
            }
        }
    }

    /// Waits for a signal, for the execution of the program, or, while its output is `open`, for some of that.
    fn wait(&self, open: bool) -> Result<[bool; 3], Errno> {
        let mut events = vec![PollFd::new(&self.signals, PollFlags::IN)];
        events.extend(self.starting.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let before_output = events.len();
        if open {
            events.push(PollFd::new(&self.output, PollFlags::IN));
        }
        match poll(&mut events, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let came = |index: usize| events.get(index).is_some_and(|event| !event.revents().is_empty());
        Ok([came(0), self.starting.is_some() && came(1), open && came(before_output)])
    }

    /// Copies what there is, one piece; false when no more will come.
    fn copy(&mut self) -> bool {
        let mut piece = [0; PIECE_BYTES];
        match read(&self.output, &mut piece) {
            Ok(0) => false,
            Ok(length) => {
                self.log.append(&piece[..length]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    /// False when there is nothing now; a stranger that holds the pipe open is not waited for.
    fn copy_more(&mut self) -> bool {
        let mut events = [PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut events, Some(&now)).is_ok() && events[0].revents().contains(PollFlags::IN);
        ready && self.copy()
    }

    /// Cannot watch: then the program must not run.
    fn give_up(&mut self, error: io::Error) -> ! {
        self.log.append(format!("pyro-launch: monitor: {error}\n").as_bytes());
        exit(71);
    }
}

/// Exits with the same status, or dies of the same signal, without a core; `how` is of wait(2).
fn end_like(how: i32) -> ! {
    if libc::WIFSIGNALED(how) {
        process::die_of(libc::WTERMSIG(how));
        exit(SIGNAL_STATUS + libc::WTERMSIG(how));
    }
    exit(libc::WEXITSTATUS(how));
}
