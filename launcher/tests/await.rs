//! Waiting for a process that is somebody else's child.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Child, Command, Stdio};

fn sleeper() -> (Child, u64) {
    let child = Command::new("sleep").arg("60").spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    (child, start)
}

fn watch(pid: u32, start: u64) -> Child {
    let words = ["--await".to_owned(), pid.to_string(), start.to_string()];
    Command::new(env!("CARGO_BIN_EXE_pyro-launch")).args(words).stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn it_ends_with_the_process() {
    let (mut process, start) = sleeper();
    let mut watch = watch(process.id(), start);
    assert!(watch.try_wait().unwrap().is_none());
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(watch.wait().unwrap().success());
}

#[test]
fn it_ends_with_its_standard_input_and_leaves_the_process_alone() {
    let (mut process, start) = sleeper();
    let mut watch = watch(process.id(), start);
    drop(watch.stdin.take());
    assert!(watch.wait().unwrap().success());
    assert!(process.try_wait().unwrap().is_none());
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_process_that_has_the_number_by_now_is_not_waited_for() {
    let (mut process, start) = sleeper();
    let mut watch = watch(process.id(), start - 1);
    assert!(watch.wait().unwrap().success());
    process.kill().unwrap();
    process.wait().unwrap();
}
