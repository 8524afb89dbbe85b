//! `pyro-launch [OPTIONS] -- PROGRAM ARG…`: does between fork and exec what Node cannot, then becomes the program.
//!
//! With `--log` the program becomes a child, and this process its monitor, which ends as the program does.
//!
//! Exit status: 64 the command line is wrong, 71 a step failed, 75 the lock is held by another process, 126 and 127 as a
//! shell gives them when the program cannot be executed; otherwise the program's own.

mod failure;
mod options;
mod seal;
mod steps;
mod watch;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use failure::Failure;
use options::{Invocation, USAGE};
use steps::Launch;

fn main() -> ExitCode {
    // Failures are told where the launcher was started, also after standard error has gone to a file.
    let complaints = match failure::Complaints::open() {
        Ok(complaints) => complaints,
        Err(failure) => return failure.exit_code(),
    };
    let failure = match options::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Invocation::Seal(paths)) => match seal::hold(&paths) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        },
        Ok(Invocation::Await { pid, start_ticks }) => match watch::until_end(pid, start_ticks) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        },
        Ok(Invocation::Launch(options)) => launch(Launch::new(*options, complaints.descriptor())),
        Err(failure) => failure,
    };
    complaints.tell(&failure);
    failure.exit_code()
}

/// Takes every step and becomes the program; returns only why it did not.
fn launch(mut launch: Launch) -> Failure {
    for step in steps::ALL {
        if let Err(failure) = step(&mut launch) {
            return failure;
        }
    }
    let (program, arguments) = launch.into_command();
    let error = Command::new(&program).args(arguments).exec();
    let what = program.to_string_lossy().into_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::not_found(what, &error),
        _ => Failure::not_executable(what, &error),
    }
}
