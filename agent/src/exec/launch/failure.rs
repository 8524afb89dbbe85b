//! Why a process did not become its program, said by the process itself in its last moment.

use std::ffi::CStr;

use rustix::io::Errno;

use crate::system_error::errno_text;

/// Length of a report: the step and the error number, in bytes.
pub(super) const REPORT_BYTES: usize = 5;

/// What a new process does before it is the program, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Leads a session of its own.
    Session,
    /// Takes its standard streams.
    Stdio,
    /// Takes its terminal.
    Terminal,
    /// Leaves the agent's protection from the OOM killer.
    OomScore,
    /// Sees its control group as the root one.
    CgroupNamespace,
    /// Becomes its user.
    User,
    /// Goes to its working directory.
    Directory,
    /// Looks for the program in PATH and executes it.
    Search,
    /// Executes the program.
    Execute,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Stdio,
        Self::Terminal,
        Self::OomScore,
        Self::CgroupNamespace,
        Self::User,
        Self::Directory,
        Self::Search,
        Self::Execute,
    ];

    pub(super) fn report(self, errno: Errno) -> [u8; REPORT_BYTES] {
        let [a, b, c, d] = errno.raw_os_error().to_ne_bytes();
        [self as u8, a, b, c, d]
    }
}

/// A command that could not be started (StartFailure of the contract).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// 127 when the program was not found, 126 otherwise, as a shell exits.
    pub shell_code: u32,
    /// The failed step's error.
    pub errno: Errno,
    /// What failed, for a person.
    pub message: String,
}

impl LaunchFailure {
    pub(super) fn from_report(report: [u8; REPORT_BYTES], program: &CStr, directory: &CStr) -> Self {
        let [step, a, b, c, d] = report;
        let errno = Errno::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
        let step = Step::ALL.get(usize::from(step)).copied().unwrap_or(Step::Execute);
        let (program, directory) = (program.to_string_lossy(), directory.to_string_lossy());
        let what = match step {
            Step::Session => "create session".to_owned(),
            Step::Stdio => "standard streams".to_owned(),
            Step::Terminal => "terminal".to_owned(),
            Step::OomScore => "oom_score_adj".to_owned(),
            Step::CgroupNamespace => "cgroup namespace".to_owned(),
            Step::User => "change user".to_owned(),
            Step::Directory => format!("chdir {directory}"),
            Step::Search | Step::Execute => program.into_owned(),
        };
        let not_found = errno == Errno::NOENT && matches!(step, Step::Search | Step::Execute);
        let reason = if step == Step::Search && not_found { "not found".to_owned() } else { errno_text(errno) };
        Self { shell_code: if not_found { 127 } else { 126 }, errno, message: format!("{what}: {reason}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(step: Step, errno: Errno) -> (u32, String) {
        let failure = LaunchFailure::from_report(step.report(errno), c"sh", c"/nowhere");
        (failure.shell_code, failure.message)
    }

    #[test]
    fn failures_read_as_a_shell_words_them() {
        assert_eq!(failure(Step::Search, Errno::NOENT), (127, "sh: not found".into()));
        assert_eq!(failure(Step::Execute, Errno::NOENT), (127, "sh: No such file or directory".into()));
        assert_eq!(failure(Step::Search, Errno::ACCESS), (126, "sh: Permission denied".into()));
        assert_eq!(failure(Step::Directory, Errno::NOENT), (126, "chdir /nowhere: No such file or directory".into()));
    }

    #[test]
    fn every_step_survives_the_report() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(step.report(Errno::PERM)[0]), index);
        }
    }
}
