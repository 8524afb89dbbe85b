//! A program with a monitor: its log, its end, and the end of either.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use support::{Scratch, launcher};

fn run(log: &str, script: &str) -> ExitStatus {
    launcher(&["--log", log, "--", "sh", "-c", script]).status().unwrap()
}

/// Starts a shell that says by a pipe of its own, descriptor 0, that it runs; the pipe ends with its last process.
fn start(log: &str, options: &[&str]) -> (Child, std::process::ChildStdout) {
    let mut arguments = vec!["--log", log, "--keep-fd", "3"];
    arguments.extend_from_slice(options);
    let pyro_launch = env!("CARGO_BIN_EXE_pyro-launch");
    // The test's pipe is the shell's descriptor 3, and nobody else's.
    let script = "exec 3>&1 >/dev/null; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", pyro_launch])
        .args(arguments)
        .args(["--", "sh", "-c", "echo runs >&3; sleep 600 & wait"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 5]).unwrap();
    (child, pipe)
}

/// The program and all it started are gone when nobody holds the pipe.
fn is_gone(mut pipe: std::process::ChildStdout) {
    pipe.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn the_programs_end_is_the_monitors() {
    let scratch = Scratch::new("end");
    let log = scratch.join("log");
    assert_eq!(run(&log, "exit 7").code(), Some(7));
    assert_eq!(run(&log, "kill -SEGV $$").signal(), Some(libc::SIGSEGV));
    assert_eq!(run(&log, "kill -BUS $$").signal(), Some(libc::SIGBUS));
    assert!(!run(&log, "kill -BUS $$").core_dumped());
    assert_eq!(run(&log, "exec /nowhere/program").code(), Some(127));
}

#[test]
fn output_goes_to_a_private_log_with_its_last_words() {
    let scratch = Scratch::new("log");
    let log = scratch.join("log");
    assert!(run(&log, "echo out; echo err >&2").success());
    assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let status = launcher(&["--log", &log, "--", "/nowhere/program"]).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(127));
    assert!(fs::read_to_string(&log).unwrap().ends_with("pyro-launch: /nowhere/program: No such file or directory\n"));
}

#[test]
fn a_flood_of_output_stays_within_the_limit_and_its_end_is_kept() {
    let scratch = Scratch::new("flood");
    let log = scratch.join("log");
    let flood = "head -c 50000000 /dev/zero; echo; echo the last words";
    let status = launcher(&["--log", &log, "--log-bytes", "10000", "--", "sh", "-c", flood]).status().unwrap();
    assert!(status.success());
    let text = fs::read(&log).unwrap();
    assert!(text.len() <= 10_000 && text.ends_with(b"\nthe last words\n"), "{}", text.len());
}

#[test]
fn told_to_end_it_kills_the_program_and_is_gone_after_it() {
    let scratch = Scratch::new("term");
    let (mut child, pipe) = start(&scratch.join("log"), &["--namespaces"]);
    // SAFETY: a process that this test started and has not waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) };
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    is_gone(pipe);
}

/// Before the program is executed its process is still root's, whom a monitor without rights cannot kill.
#[test]
#[ignore = "needs root"]
fn told_to_end_while_the_program_starts_it_ends_too() {
    let scratch = Scratch::new("early");
    let (log, directory) = (scratch.join("log"), scratch.join("vmm"));
    fs::create_dir(&directory).unwrap();
    for _ in 0..20 {
        let mut command = launcher(&["--log", &log, "--namespaces", "--root", "--chdir", &directory]);
        command.args(["--user", "1987654321", "--drop-capabilities", "--writable", &directory]);
        let mut child = command.args(with_software()).args(["--", "/bin/sleep", "600"]).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        while fs::read_to_string(&children).unwrap().is_empty() {}
        // SAFETY: a process that this test started and has not waited for.
        unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) };
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}

#[test]
fn a_killed_monitor_takes_the_program_along() {
    let scratch = Scratch::new("kill");
    for options in [&["--namespaces", "--drop-capabilities"][..], &["--namespaces"]] {
        let (mut child, pipe) = start(&scratch.join("log"), options);
        child.kill().unwrap();
        child.wait().unwrap();
        is_gone(pipe);
    }
}

/// Programs and libraries of the host, for a shell.
const SOFTWARE: [&str; 5] = ["/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib"];

fn with_software() -> Vec<String> {
    let there = SOFTWARE.iter().filter(|path| fs::exists(path).unwrap());
    there.flat_map(|path| ["--read-only".to_owned(), (*path).to_owned()]).collect()
}

#[test]
fn a_root_of_its_own_has_what_was_named_and_nothing_else() {
    let scratch = Scratch::new("root");
    let (log, directory, file) = (scratch.join("log"), scratch.join("vmm"), scratch.join("file"));
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(&file, "read me").unwrap();
    let script = format!(
        "set -e; pwd; cat {file}; echo; ls /; ls {scratch}; echo there >here; ! echo x 2>&- >{file}; ! echo x 2>&- >/x; \
         test $$ = 1; echo fine",
        scratch = scratch.0.display()
    );
    let mut command = launcher(&["--umask", "077", "--log", &log, "--chdir", &directory, "--namespaces", "--root"]);
    command.args(with_software()).args(["--writable", &directory, "--read-only", &file, "--own-descriptors"]);
    let status = command.args(["--drop-capabilities", "--no-new-privileges", "--", "/bin/sh", "-c", &script]).status();
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.unwrap().success(), "{said}");
    let top = if fs::exists("/lib64").unwrap() { "bin\ndev\nlib\nlib64\ntmp\nusr" } else { "bin\ndev\nlib\ntmp\nusr" };
    assert_eq!(said, format!("{directory}\nread me\n{top}\nfile\nvmm\nfine\n"));
    assert_eq!(fs::read_to_string(format!("{directory}/here")).unwrap(), "there\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "read me");
}

#[test]
fn what_is_to_be_in_the_root_and_is_not_there_is_named() {
    let scratch = Scratch::new("missing");
    let log = scratch.join("log");
    let directory = scratch.join("");
    let mut command = launcher(&["--log", &log, "--chdir", &directory, "--namespaces", "--root"]);
    let status = command.args(["--read-only", "/nowhere/file", "--", "true"]).status().unwrap();
    assert_eq!(status.code(), Some(71));
    assert_eq!(fs::read_to_string(&log).unwrap(), "pyro-launch: root: /nowhere/file: No such file or directory\n");
}

/// A change of user takes back the wish to end with the parent; it must hold nevertheless.
#[test]
#[ignore = "needs root"]
fn as_another_user_it_has_its_root_and_devices_and_ends_with_the_monitor() {
    let scratch = Scratch::new("user");
    let (log, directory, file) = (scratch.join("log"), scratch.join("vmm"), scratch.join("file"));
    fs::create_dir(&directory).unwrap();
    fs::write(&file, "read me\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let inside = format!("id -u; id -g; cat {file}; head -c 3 /dev/zero | wc -c; test $$ = 1 && exit 9");
    let options = ["--namespaces", "--root", "--chdir", &directory, "--user", "1987654321", "--drop-capabilities"];
    let contents = ["--read-only", &file, "--device", "/dev/zero", "--device", "/dev/null"];
    let mut command = launcher(&["--log", &log]);
    command.args(options).args(contents).args(with_software()).args(["--writable", &directory]);
    let status = command.args(["--", "/bin/sh", "-c", &inside]).status().unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(9), "1987654321\n1987654321\nread me\n3\n"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing of its root is seen outside");
    let software = with_software();
    let mut options = [&options[..], &contents[..], &["--writable", &directory]].concat();
    options.extend(software.iter().map(String::as_str));
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let (mut child, pipe) = start(&log, &options);
        // SAFETY: a process that this test started and has not waited for.
        unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) };
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        is_gone(pipe);
    }
}
