//! What only control groups can do. Needs root and a cgroup v2 hierarchy that can be mounted, so these are run with
//! `--include-ignored` where there is one; every guest has one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use pyro_agent::exec::group::ControlGroups;
use pyro_agent::proto::StartRequest;
use pyro_agent::proto::exit::Outcome;
use support::{Client, agent, host_of, run, script};

const NEEDS: &str = "root and cgroup v2";

async fn host() -> Client {
    let groups = ControlGroups::mount().unwrap_or_else(|error| panic!("needs {NEEDS}: {error}"));
    host_of(&agent(Box::new(groups)).configured("/")).await
}

/// Processes whose arguments contain `text`.
fn processes_with(text: &str) -> usize {
    let directories = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let arguments = directories.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    arguments.filter(|arguments| String::from_utf8_lossy(arguments).replace('\0', " ").contains(text)).count()
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn a_time_limit_reaches_what_left_the_session() {
    let mut host = host().await;
    let daemons = "setsid setsid sleep 777.1 & (setsid sh -c 'sleep 777.2 & exec sleep 777.3' &) ; sleep 777.4";
    let finished = run(&mut host, StartRequest { time_limit_ms: 500, ..script(&format!("echo up; {daemons}")) }).await;
    assert_eq!((finished.text(), finished.outcome()), ("up\n", Outcome::TimedOut(true)));
    assert_eq!(processes_with("sleep 777."), 0);
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn release_reaches_what_left_the_session_and_nested_groups() {
    let mut host = host().await;
    let finished = run(&mut host, script("setsid sleep 778.1 >/dev/null 2>&1 & cat /proc/self/cgroup")).await;
    assert!(finished.text().contains("0::/\n"), "a command sees its group as the root: {}", finished.text());
    assert_eq!(processes_with("sleep 778."), 0);
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn the_time_limit_still_holds_for_what_stays_in_the_background() {
    let mut host = host().await;
    let request = StartRequest { time_limit_ms: 1000, ..script("setsid sleep 779.1 >/dev/null 2>&1 & echo done") };
    host.start(request).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while processes_with("sleep 779.") == 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while processes_with("sleep 779.") > 0 {
        assert!(tokio::time::Instant::now() < deadline, "it outlived the limit");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
