//! What a command finds when it starts, and what is said when it cannot.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use bytes::Bytes;
use pyro_agent::exec::group::Sessions;
use pyro_agent::proto::exit::Outcome;
use pyro_agent::proto::{EnvironmentVariable, StartFailure, StartRequest};
use support::{Finished, agent, host, host_of, run, script, start};
use tonic::Code;

fn not_started(finished: &Finished) -> (u32, &str) {
    let Some(Outcome::StartFailure(StartFailure { shell_code, message, .. })) =
        finished.exit.as_ref().and_then(|exit| exit.outcome.as_ref())
    else {
        panic!("it was started: {finished:?}");
    };
    (*shell_code, message)
}

#[tokio::test]
async fn nothing_starts_before_configure() {
    let mut host = host_of(&agent(Box::new(Sessions))).await;
    let status = host.start(start(&["true"])).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "the guest is not configured"));
}

#[tokio::test]
async fn what_cannot_be_executed_is_said_as_a_shell_says_it() {
    let mut host = host().await;
    let missing = run(&mut host, start(&["no-such-program"])).await;
    assert_eq!(not_started(&missing), (127, "no-such-program: not found"));
    let missing = run(&mut host, start(&["/no/such/program"])).await;
    assert_eq!(not_started(&missing), (127, "/no/such/program: No such file or directory"));
    let denied = run(&mut host, start(&["/etc/passwd"])).await;
    assert_eq!(not_started(&denied), (126, "/etc/passwd: Permission denied"));
    let nowhere = StartRequest { working_directory: Bytes::from("/nowhere"), ..start(&["true"]) };
    assert_eq!(not_started(&run(&mut host, nowhere).await), (126, "chdir /nowhere: No such file or directory"));
}

#[tokio::test]
async fn a_program_that_could_not_be_started_has_no_pid_and_an_end() {
    let mut host = host().await;
    let pid = host.start(start(&["no-such-program"])).await.unwrap().into_inner().pid;
    assert_eq!(pid, 0);
}

#[tokio::test]
async fn the_program_is_searched_in_the_path_that_was_given() {
    let mut host = host().await;
    let path = EnvironmentVariable { name: Bytes::from("PATH"), value: Bytes::from("/nowhere::/usr/bin") };
    let found = run(&mut host, StartRequest { environment: vec![path], ..start(&["env"]) }).await;
    assert!(found.text().contains("PATH=/nowhere::/usr/bin\n"));
    let empty = EnvironmentVariable { name: Bytes::from("PATH"), value: Bytes::from("/nowhere") };
    let missing = run(&mut host, StartRequest { environment: vec![empty], ..start(&["env"]) }).await;
    assert_eq!(not_started(&missing).0, 127);
}

#[tokio::test]
async fn the_environment_is_the_given_one_completed_and_nothing_of_the_agents() {
    let mut host = host().await;
    let variable = EnvironmentVariable { name: Bytes::from("GIVEN"), value: Bytes::from_static(b"a\nb=\xff") };
    let finished = run(&mut host, StartRequest { environment: vec![variable], ..start(&["/usr/bin/env", "-0"]) }).await;
    let names: Vec<&[u8]> =
        finished.stdout.split(|byte| *byte == 0).filter_map(|line| line.split(|byte| *byte == b'=').next()).collect();
    assert_eq!(names, [&b"GIVEN"[..], b"HOME", b"USER", b"LOGNAME", b"SHELL", b"PATH", b""]);
}

#[tokio::test]
async fn a_command_starts_clean() {
    let mut host = host().await;
    let status = run(&mut host, start(&["cat", "/proc/self/status"])).await;
    let field = |name: &str| status.text().lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("SigIgn:"), "0000000000000000");
    assert_eq!(field("SigBlk:"), "0000000000000000");
    assert_eq!(field("Umask:"), "0022");
    assert_eq!(run(&mut host, start(&["cat", "/proc/self/oom_score_adj"])).await.text(), "0\n");
    let descriptors = run(&mut host, start(&["ls", "/proc/self/fd"])).await;
    assert_eq!(descriptors.text(), "0\n1\n2\n3\n", "3 is the listing itself");
    let session = run(&mut host, script("cut -d' ' -f1,5,6 /proc/$$/stat")).await;
    let ids: Vec<&str> = session.text().split_whitespace().collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(run(&mut host, start(&["readlink", "/proc/self/fd/0"])).await.text(), "/dev/null\n");
}

#[tokio::test]
async fn an_id_starts_once() {
    let mut host = host().await;
    let request = start(&["true"]);
    host.start(request.clone()).await.unwrap();
    assert_eq!(host.start(request).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_request_that_is_wrong_is_refused_with_its_field() {
    let mut host = host().await;
    for (request, text) in [
        (StartRequest { exec_id: "../x".into(), ..start(&["true"]) }, "exec_id: "),
        (start(&[]), "argv: "),
        (StartRequest { user: "nobody-here".into(), ..start(&["true"]) }, "user nobody-here: "),
        (StartRequest { working_directory: Bytes::from("x"), ..start(&["true"]) }, "working_directory: "),
    ] {
        let status = host.start(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(text), "{}", status.message());
    }
}
