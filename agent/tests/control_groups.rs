//! What only control groups can do. Needs root and a cgroup v2 hierarchy that can be mounted: the suite runs these where there is one
//! (`scripts/suite/cargo-needs.mjs`), and cargo with `--include-ignored`. Every guest has one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use pyro_agent::exec::group::ControlGroups;
use pyro_agent::proto::StartRequest;
use pyro_agent::proto::exit::Outcome;
use support::{Attached, Client, agent, host_of, release, run, script};
use tokio::time::{sleep, timeout};

const NEEDS: &str = "root and cgroup v2";

async fn host() -> Client {
    let groups = ControlGroups::mount().unwrap_or_else(|error| panic!("needs {NEEDS}: {error}"));
    host_of(&agent(Box::new(groups)).configured("/")).await
}

/// An argument for sleep(1) that marks this test run's processes: a long time and the process id.
fn marked(seconds: u32) -> String {
    format!("{seconds}.{}", std::process::id())
}

/// Processes that are exactly `sleep <duration>`.
fn sleepers(duration: &str) -> usize {
    let wanted = format!("sleep\0{duration}\0").into_bytes();
    let directories = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    directories.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|text| text == wanted)).count()
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn a_time_limit_reaches_what_left_the_session() {
    let (mut host, nap) = (host().await, marked(777));
    let daemons =
        format!("setsid setsid sleep {nap} & (setsid sh -c 'sleep {nap} & exec sleep {nap}' &) ; sleep {nap}");
    let finished = run(&mut host, StartRequest { time_limit_ms: 500, ..script(&format!("echo up; {daemons}")) }).await;
    assert_eq!((finished.text(), finished.outcome()), ("up\n", Outcome::TimedOut(true)));
    assert_eq!(sleepers(&nap), 0);
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn release_reaches_what_left_the_session() {
    let (mut host, nap) = (host().await, marked(778));
    let finished = run(&mut host, script(&format!("setsid sleep {nap} >/dev/null 2>&1 & cat /proc/self/cgroup"))).await;
    assert!(finished.text().contains("0::/\n"), "a command sees its group as the root: {}", finished.text());
    assert_eq!(sleepers(&nap), 0);
}

#[tokio::test]
#[ignore = "needs root and cgroup v2"]
async fn the_time_limit_still_holds_for_what_stays_in_the_background() {
    let (mut host, nap) = (host().await, marked(779));
    let background = script(&format!("setsid sleep {nap} & sleep 0.3; echo done"));
    let request = StartRequest { time_limit_ms: 1500, ..background };
    host.start(request.clone()).await.unwrap();
    let finished = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap().finish().await;
    assert_eq!((finished.text(), finished.outcome(), sleepers(&nap)), ("done\n", Outcome::Code(0), 1));
    let killed = async {
        while sleepers(&nap) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), killed).await.expect("it outlived the limit");
    release(&mut host, &request.exec_id).await;
}
