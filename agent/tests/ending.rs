//! Ends: exit codes, signals, time limits, release, and many commands at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use pyro_agent::proto::attach_response::Event;
use pyro_agent::proto::exit::Outcome;
use pyro_agent::proto::{KillRequest, ListRequest, ReleaseRequest, SignalRequest, StartRequest};
use support::{Attached, host, release, run, script, start};
use tokio::task::JoinSet;
use tonic::Code;

#[tokio::test]
async fn codes_and_signals_are_told_apart() {
    let mut host = host().await;
    assert_eq!(run(&mut host, script("exit 0")).await.outcome(), Outcome::Code(0));
    assert_eq!(run(&mut host, script("exit 255")).await.outcome(), Outcome::Code(255));
    assert_eq!(run(&mut host, script("exit 137")).await.outcome(), Outcome::Code(137));
    assert_eq!(run(&mut host, script("kill -9 $$")).await.outcome(), Outcome::Signal(9));
    assert_eq!(run(&mut host, script("kill -PIPE $$")).await.outcome(), Outcome::Signal(13));
}

#[tokio::test]
async fn a_time_limit_kills_the_group_and_keeps_the_output_so_far() {
    let mut host = host().await;
    let request = StartRequest { time_limit_ms: 300, ..script("echo before; sleep 100 & sleep 100; echo after") };
    let finished = run(&mut host, request).await;
    assert_eq!((finished.text(), finished.outcome()), ("before\n", Outcome::TimedOut(true)));
    let duration = finished.exit.unwrap().duration_ms;
    assert!((300..5000).contains(&duration), "{duration}");
}

#[tokio::test]
async fn a_signal_reaches_the_process_group() {
    let mut host = host().await;
    let request = script("trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    host.start(request.clone()).await.unwrap();
    let mut attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    assert!(matches!(attached.next().await.unwrap(), Some(Event::Output(_))));
    let signal = |number| SignalRequest { exec_id: request.exec_id.clone(), signal: number };
    assert!(host.signal(signal(15)).await.unwrap().into_inner().delivered);
    let finished = attached.finish().await;
    assert_eq!((finished.text(), finished.outcome()), ("got it\n", Outcome::Code(3)));
    assert!(!host.signal(signal(15)).await.unwrap().into_inner().delivered);
    for wrong in [0, 32, u32::MAX] {
        assert_eq!(host.signal(signal(wrong)).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_kill_ends_and_forgets_nothing() {
    let mut host = host().await;
    let request = script("echo said; sleep 100 & sleep 100");
    host.start(request.clone()).await.unwrap();
    let mut attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    attached.next().await.unwrap();
    let kill = || KillRequest { exec_id: request.exec_id.clone() };
    host.kill(kill()).await.unwrap();
    assert_eq!(attached.finish().await.outcome(), Outcome::Signal(9));
    // One that has ended has no processes, which is no error.
    host.kill(kill()).await.unwrap();
    let again = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap().finish().await;
    assert_eq!(again.outcome(), Outcome::Signal(9));
    release(&mut host, &request.exec_id).await;
    assert_eq!(host.kill(kill()).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn release_ends_and_forgets() {
    let mut host = host().await;
    let request = script("sleep 100 & sleep 100");
    let pid = host.start(request.clone()).await.unwrap().into_inner().pid;
    let commands = host.list(ListRequest {}).await.unwrap().into_inner().commands;
    assert_eq!((commands.len(), commands[0].pid, commands[0].running), (1, pid, true));
    let attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    release(&mut host, &request.exec_id).await;
    let mut attached = attached;
    assert_eq!(attached.next().await.unwrap_err().code(), Code::NotFound);
    let again = host.release(ReleaseRequest { exec_id: request.exec_id.clone() }).await.unwrap_err();
    assert_eq!((again.code(), again.message().contains(&request.exec_id)), (Code::NotFound, true));
    assert!(host.list(ListRequest {}).await.unwrap().into_inner().commands.is_empty());
}

#[tokio::test]
async fn an_unknown_command_is_not_found_by_any_call() {
    let mut host = host().await;
    let exec_id = "unknown".to_owned();
    let signal = host.signal(SignalRequest { exec_id: exec_id.clone(), signal: 1 }).await.unwrap_err();
    let attach = Attached::new(&mut host, &exec_id, 0, 0).await.err().unwrap();
    let stdin = host.stdin(tokio_stream::once(pyro_agent::proto::StdinRequest { exec_id, ..Default::default() }));
    assert_eq!([signal.code(), attach.code(), stdin.await.unwrap_err().code()], [Code::NotFound; 3]);
}

#[tokio::test]
async fn two_hundred_commands_at_once_each_get_their_own_answer() {
    let host = host().await;
    let mut commands = JoinSet::new();
    for number in 0..200 {
        let mut host = host.clone();
        commands.spawn(async move {
            let finished = run(&mut host, start(&["echo", &number.to_string()])).await;
            (finished.text().to_owned(), number, finished.outcome())
        });
    }
    while let Some(finished) = commands.join_next().await {
        let (text, number, outcome) = finished.unwrap();
        assert_eq!((text, outcome), (format!("{number}\n"), Outcome::Code(0)));
    }
}

#[tokio::test]
async fn a_time_limit_longer_than_time_is_no_limit() {
    let mut host = host().await;
    let request = StartRequest { time_limit_ms: u64::MAX, ..start(&["true"]) };
    let finished = tokio::time::timeout(Duration::from_secs(10), run(&mut host, request)).await.unwrap();
    assert_eq!(finished.outcome(), Outcome::Code(0));
}
