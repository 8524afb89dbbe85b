//! The agent's voice on the guest's console, which the host keeps as evidence.

use std::fmt::Display;
use std::io::Write;
use std::panic;

use rustix::system::RebootCommand;

/// What every line of the agent starts with, so that the host can tell it from the kernel's.
const PREFIX: &str = "pyro-agent: ";

/// Writes one line to the console.
///
/// PID 1 has `/dev/console` as its standard error from the kernel on. A console that cannot be written to changes
/// nothing: there is no one else to tell.
pub fn log(message: impl Display) {
    let line = format!("{PREFIX}{message}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Says why the guest cannot go on and ends the machine: the VMM exits (it runs with no-reboot) and the host finds the
/// line among the console's last ones.
pub fn fatal(reason: impl Display) -> ! {
    end_machine(format_args!("fatal: {reason}"))
}

/// Says why and ends the machine.
pub fn end_machine(reason: impl Display) -> ! {
    log(reason);
    if rustix::process::getpid().is_init() {
        rustix::fs::sync();
        let _ = rustix::system::reboot(RebootCommand::Restart);
    }
    std::process::exit(1)
}

/// Makes a panic end the machine in the same way as any other fatal error.
pub fn end_machine_on_panic() {
    panic::set_hook(Box::new(|info| fatal(info)));
}
