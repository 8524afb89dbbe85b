//! What a process with children needs of the kernel and rustix has not.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

/// Signals that the monitor takes up one by one; the rest of the session's are not its own to act on.
const TAKEN: [libc::c_int; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Forks; nothing is the child's process id in the parent, and none in the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Signals that wait in a descriptor instead of interrupting.
pub(super) struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    pub(super) fn block() -> io::Result<Self> {
        let set = taken();
        // SAFETY: both take a set that lives as long as the call; the descriptor is new and nobody else's.
        let descriptor = unsafe {
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// For the program, which must not inherit it.
    pub(super) fn unblock(self) -> io::Result<()> {
        let set = taken();
        // SAFETY: the set lives as long as the call.
        let status = unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes all that came; true when one of them asks this process to end.
    pub(super) fn take(&self) -> bool {
        let mut asked = false;
        let mut piece = [0; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.descriptor, &mut piece) == Ok(piece.len()) {
            // The signal's number is the first field, ssi_signo.
            let number = u32::from_ne_bytes([piece[0], piece[1], piece[2], piece[3]]);
            asked |= i32::try_from(number) != Ok(libc::SIGCHLD);
        }
        asked
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Dies of a signal; comes back when that is none to die of.
pub(super) fn die_of(signal: libc::c_int) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sets the disposition and the mask of this process, which has nothing left to do; the set is initialised
    // before it is used. Not dumpable: a core would be the monitor's and say nothing.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::signal(signal, libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::raise(signal);
    }
}

fn taken() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, whose members are signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in TAKEN {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}
