//! Channels: stale bytes, hosts that come and go, Describe, Configure and PrepareTemplate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use pyro_agent::exec::group::Sessions;
use pyro_agent::greeting::PROTOCOL_VERSION;
use pyro_agent::proto::{ConfigureRequest, DescribeRequest, ListRequest, PrepareTemplateRequest};
use support::{NONCE, agent, connect, dial, greet, host_of, run, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tonic::Code;

const SECOND_NONCE: &str = "ffffffffffffffffffffffffffffffff";

fn configure() -> ConfigureRequest {
    ConfigureRequest {
        entropy: Bytes::from(vec![1; 32]),
        unix_time_ns: 1,
        machine_id: NONCE.into(),
        hostname: "pyro".into(),
        workspace_path: "/".into(),
        volume: None,
        alone_limit_seconds: 0,
    }
}

#[tokio::test]
async fn stale_bytes_before_a_greeting_do_not_count() {
    let service = agent(Box::new(Sessions));
    let mut stream = dial(&service);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x08\0\0\0PYRO/1 0123").await.unwrap();
    connect(stream, NONCE).await.unwrap().describe(DescribeRequest {}).await.unwrap();
}

#[tokio::test]
async fn two_greetings_get_two_answers_and_nothing_else() {
    let mut stream = dial(&agent(Box::new(Sessions)));
    stream.write_all(format!("PYRO/1 {NONCE}\nPYRO/99 {SECOND_NONCE}\n").as_bytes()).await.unwrap();
    let expected = format!("PYRO-AGENT/1 {NONCE}\nPYRO-AGENT/{PROTOCOL_VERSION} {SECOND_NONCE}\n");
    let mut answers = vec![0; expected.len()];
    stream.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers, expected.as_bytes());
}

#[tokio::test]
async fn a_new_host_in_an_idle_connection_of_an_old_one_is_greeted() {
    let service = agent(Box::new(Sessions));
    let mut stream = dial(&service);
    greet(&mut stream, NONCE).await.unwrap();
    // An old host's connection as it is found after a restore: established, idle, its end never seen.
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()).await.unwrap();
    let mut client = timeout(Duration::from_secs(5), connect(stream, SECOND_NONCE)).await.unwrap().unwrap();
    client.describe(DescribeRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_connection_broken_by_stale_bytes_returns_to_the_greeting() {
    let mut stream = dial(&agent(Box::new(Sessions)));
    greet(&mut stream, NONCE).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff").await.unwrap();
    // The host cannot know when the agent has given up, so it greets until it is answered.
    let answered = async {
        loop {
            if let Ok(Ok(())) = timeout(Duration::from_millis(100), greet(&mut stream, SECOND_NONCE)).await {
                return;
            }
        }
    };
    timeout(Duration::from_secs(5), answered).await.unwrap();
}

#[tokio::test]
async fn all_channels_see_the_same_commands() {
    let service = agent(Box::new(Sessions)).configured("/");
    let (mut control, mut bulk) = (host_of(&service).await, host_of(&service).await);
    control.start(start(&["true"])).await.unwrap();
    assert_eq!(bulk.list(ListRequest {}).await.unwrap().into_inner().commands.len(), 1);
}

#[tokio::test]
async fn a_guest_is_configured_once() {
    let mut host = host_of(&agent(Box::new(Sessions))).await;
    assert!(!host.describe(DescribeRequest {}).await.unwrap().into_inner().configured);
    let boot_id = host.configure(configure()).await.unwrap().into_inner().boot_id;
    let description = host.describe(DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!((description.configured, description.boot_id), (true, boot_id));
    assert!(!description.kernel_release.is_empty() && !description.agent_version.is_empty());
    assert_eq!(host.configure(configure()).await.unwrap_err().code(), Code::FailedPrecondition);
    let prepare = host.prepare_template(PrepareTemplateRequest::default()).await;
    assert_eq!(prepare.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(run(&mut host, start(&["pwd"])).await.text(), "/\n");
}

#[tokio::test]
async fn a_warming_command_runs_and_its_failure_is_told() {
    let mut host = host_of(&agent(Box::new(Sessions))).await;
    let warm = |argv: &[&str]| PrepareTemplateRequest {
        warm_argv: argv.iter().map(|word| (*word).into()).collect(),
        workspace_path: "/workspace".into(),
    };
    host.prepare_template(warm(&["true"])).await.unwrap();
    host.prepare_template(warm(&[])).await.unwrap();
    let failed = host.prepare_template(warm(&["false"])).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Aborted, "warm_argv: exit status 1"));
    let missing = host.prepare_template(warm(&["no-such-program"])).await.unwrap_err();
    assert_eq!(missing.message(), "warm_argv: no-such-program: not found");
}
