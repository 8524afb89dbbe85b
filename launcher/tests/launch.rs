//! Runs the launcher as the host does and looks at what the program finds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Scratch, launcher};

fn run(arguments: &[&str]) -> Output {
    launcher(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn failed(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_program_gets_its_arguments_and_gives_its_status() {
    assert_eq!(stdout(&["--", "printf", "%s|", "a b", "--lock"]), "a b|--lock|");
    assert_eq!(run(&["--", "sh", "-c", "exit 7"]).status.code(), Some(7));
}

#[test]
fn a_held_lock_is_exit_75_and_the_kernel_frees_it_with_the_program() {
    let scratch = Scratch::new("lock");
    let lock = scratch.join("machine.lock");
    let (mut holder, _input) = hold(&lock);
    let busy = failed(&["--lock", &lock, "--", "true"]);
    assert_eq!(busy, (Some(75), format!("pyro-launch: lock {lock}: held by another process\n")));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(run(&["--lock", &lock, "--", "true"]).status.success());
    assert_eq!(mode(&lock), 0o600);
}

/// Starts a program that holds the lock until its input ends; it does when this returns.
fn hold(lock: &str) -> (Child, ChildStdin) {
    let mut holder = launcher(&["--lock", lock, "--keep-stdin", "--", "cat"]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The program runs, so the lock is held, once it echoes.
    let mut input = holder.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"x").unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    (holder, input)
}

#[test]
fn a_lock_is_waited_for_until_it_is_free_or_the_time_is_over() {
    let scratch = Scratch::new("lock-wait");
    let lock = scratch.join("machine.lock");
    let (mut holder, input) = hold(&lock);
    let begin = Instant::now();
    let busy = failed(&["--lock", &lock, "--lock-wait-ms", "300", "--", "true"]);
    assert_eq!(busy, (Some(75), format!("pyro-launch: lock {lock}: held by another process\n")));
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    // Whatever it needed for waiting the program has none of: an alarm would end it, and signals are as they were.
    let program = "echo got it; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; exec sleep 0.2";
    let mut waiting = launcher(&["--lock", &lock, "--lock-wait-ms", "60000", "--", "sh", "-c", program]);
    let waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    is_waiting_for_lock(waiting.id());
    drop(input);
    holder.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let direct = stdout(&["--", "sh", "-c", program]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), direct);
    assert!(direct.starts_with("got it\n"), "{direct}");
}

/// Returns once a process waits for a lock: a line of /proc/locks with an arrow (proc_locks(5)).
fn is_waiting_for_lock(pid: u32) {
    let pid = pid.to_string();
    let waits = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == pid);
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {}
}

#[test]
fn output_is_appended_to_private_files_and_never_through_a_link() {
    let scratch = Scratch::new("stdio");
    let (log, link) = (scratch.join("log"), scratch.join("link"));
    for _ in 0..2 {
        stdout(&["--umask", "0", "--stdout", &log, "--stderr", &log, "--", "sh", "-c", "echo out; echo err >&2"]);
    }
    assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\nout\nerr\n");
    assert_eq!(mode(&log), 0o600);
    symlink(&log, &link).unwrap();
    let (status, line) = failed(&["--stdout", &link, "--", "true"]);
    assert_eq!((status, line.starts_with(&format!("pyro-launch: open {link}: "))), (Some(71), true), "{line}");
}

#[test]
fn a_failure_after_standard_error_is_redirected_is_still_told_to_the_caller() {
    let scratch = Scratch::new("complaints");
    let log = scratch.join("log");
    let (status, line) = failed(&["--stderr", &log, "--", "/nowhere/program"]);
    assert_eq!((status, line.as_str()), (Some(127), "pyro-launch: /nowhere/program: No such file or directory\n"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

#[test]
fn only_kept_descriptors_reach_the_program() {
    let scratch = Scratch::new("descriptors");
    let file = fs::File::create(scratch.join("file")).unwrap();
    let (kept, other) = (file.try_clone().unwrap(), file.try_clone().unwrap());
    for descriptor in [&kept, &other] {
        // SAFETY: clears the close-on-exec flag of a descriptor that is open.
        unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) };
    }
    let (number, lock) = (kept.as_raw_fd().to_string(), scratch.join("lock"));
    let open = stdout(&["--keep-fd", &number, "--lock", &lock, "--", "ls", "-l", "/proc/self/fd"]);
    let files: Vec<&str> = open.lines().filter(|line| line.ends_with("/file")).collect();
    assert_eq!(files.len(), 1, "{open}");
    assert!(files[0].contains(&format!(" {number} -> ")) && open.contains(&lock), "{open}");
    let (status, line) = failed(&["--keep-fd", "77", "--", "true"]);
    assert_eq!((status, line.as_str()), (Some(71), "pyro-launch: keep descriptor 77: Bad file descriptor\n"));
}

#[test]
fn standard_input_is_empty_unless_it_is_kept() {
    assert_eq!(stdout(&["--", "cat"]), "");
    let output =
        launcher(&["--keep-stdin", "--", "readlink", "/proc/self/fd/0"]).stdin(Stdio::piped()).output().unwrap();
    assert!(output.stdout.starts_with(b"pipe:"));
}

#[test]
fn session_limits_privileges_mask_and_directory_are_as_asked() {
    let session = stdout(&["--new-session", "--", "sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"]);
    let mut fields = session.split_whitespace();
    let leader = fields.next();
    assert!(fields.all(|field| Some(field) == leader), "{session}");
    assert_eq!(
        stdout(&["--rlimit", "core=0", "--rlimit", "nofile=64", "--", "sh", "-c", "ulimit -c; ulimit -Hn"]),
        "0\n64\n"
    );
    assert!(stdout(&["--no-new-privileges", "--", "cat", "/proc/self/status"]).contains("NoNewPrivs:\t1"));
    assert_eq!(stdout(&["--umask", "077", "--chdir", "/usr", "--", "sh", "-c", "umask; pwd"]), "0077\n/usr\n");
}

#[test]
fn what_cannot_be_executed_is_126_or_127_as_in_a_shell() {
    let scratch = Scratch::new("exec");
    assert_eq!(failed(&["--", "no-such-program"]).0, Some(127));
    let (status, line) = failed(&["--", scratch.0.to_str().unwrap()]);
    assert_eq!((status, line.ends_with(": Permission denied\n")), (Some(126), true), "{line}");
}

#[test]
fn a_wrong_command_line_is_64_with_one_line() {
    assert_eq!(
        failed(&["--frobnicate", "--", "true"]),
        (Some(64), "pyro-launch: --frobnicate: unknown option\n".into())
    );
    assert_eq!(failed(&["true"]).0, Some(64));
    assert!(stdout(&["--help"]).starts_with("Usage: pyro-launch"));
}

#[test]
fn relative_paths_are_taken_from_where_it_was_started() {
    let scratch = Scratch::new("relative");
    let output = launcher(&["--stdout", "log", "--chdir", "/", "--", "pwd"]).current_dir(&scratch.0).output().unwrap();
    assert!(output.status.success());
    assert_eq!(fs::read_to_string(Path::new(&scratch.0).join("log")).unwrap(), "/\n");
}
