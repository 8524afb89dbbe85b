//! Output: complete, untouched, bounded, and readable again after a lost link.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use pyro_agent::exec::group::Sessions;
use pyro_agent::exec::output_log::LOG_LIMIT_BYTES;
use pyro_agent::proto::attach_response::Event;
use pyro_agent::proto::exit::Outcome;
use pyro_agent::proto::{AfterEnd, AttachRequest, ListRequest, StartRequest, StartResponse};
use support::{Attached, Client, agent, host, host_of, release, run, script, start};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

#[tokio::test]
async fn bytes_are_untouched_and_streams_are_apart() {
    let mut host = host().await;
    let octal: String = (0..=255).map(|byte| format!("\\{byte:03o}")).collect();
    let finished = run(&mut host, script(&format!("printf '{octal}'; printf 'warning' >&2"))).await;
    assert_eq!(finished.stdout, (0..=255).collect::<Vec<u8>>());
    assert_eq!(finished.stderr, b"warning");
}

#[tokio::test]
async fn much_output_arrives_complete() {
    let mut host = host().await;
    let finished = run(&mut host, start(&["seq", "2000000"])).await;
    let expected: String = (1..=2_000_000).map(|number| format!("{number}\n")).collect();
    assert!(finished.stdout == expected.as_bytes());
    assert_eq!(finished.outcome(), Outcome::Code(0));
}

#[tokio::test]
async fn unacknowledged_output_stops_the_command_and_an_acknowledgement_lets_it_go_on() {
    let mut host = host().await;
    let request = start(&["head", "-c", "20000000", "/dev/zero"]);
    host.start(request.clone()).await.unwrap();
    // It is full when nothing has come for a while: there is no event for something that does not happen.
    let mut produced = 0;
    loop {
        sleep(Duration::from_millis(100)).await;
        let commands = host.list(ListRequest {}).await.unwrap().into_inner().commands;
        if commands[0].stdout_bytes == produced && produced > 0 {
            assert!(commands[0].running);
            break;
        }
        produced = commands[0].stdout_bytes;
    }
    assert!(produced as usize <= LOG_LIMIT_BYTES);
    let finished = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap().finish().await;
    assert_eq!((finished.stdout.len(), finished.outcome()), (20_000_000, Outcome::Code(0)));
}

#[tokio::test]
async fn output_that_is_kept_for_later_never_stops_the_command_and_its_last_bytes_are_there() {
    let mut host = host().await;
    let keep_bytes = 1 << 20;
    let note = bytes::Bytes::from("what the host wants to know");
    let request = StartRequest { keep_bytes, note: note.clone(), ..script("seq 2000000; echo end >&2") };
    host.start(request.clone()).await.unwrap();
    let ended = Attached::skipping(&mut host, &request.exec_id).await.unwrap().finish().await;
    assert_eq!(ended.outcome(), Outcome::Code(0));
    // Whoever comes after its end finds the last bytes, and those that were dropped are told apart from them.
    let expected: String = (1..=2_000_000).map(|number| format!("{number}\n")).collect();
    for _ in 0..2 {
        let mut attached = Attached::skipping(&mut host, &request.exec_id).await.unwrap();
        let (mut kept, mut first) = (Vec::new(), None);
        while let Some(Event::Output(output)) = attached.next().await.unwrap() {
            if output.stream == i32::from(pyro_agent::proto::Stream::Stdout) {
                first = first.or(Some(output.offset));
                kept.extend_from_slice(&output.data);
            }
        }
        assert!(kept == expected.as_bytes()[first.unwrap() as usize..], "it is the end of the output");
        assert!((keep_bytes as usize / 2..=keep_bytes as usize).contains(&kept.len()), "{} bytes", kept.len());
        assert_eq!((attached.stdout, attached.stderr), (expected.len() as u64, 4));
    }
    let listed = host.list(ListRequest {}).await.unwrap().into_inner().commands;
    assert_eq!(listed.iter().map(|each| &each.note).collect::<Vec<_>>(), [&note]);
    let outside = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap().next().await.unwrap_err();
    assert_eq!(outside.code(), Code::OutOfRange);
    release(&mut host, &request.exec_id).await;
}

#[tokio::test]
async fn a_lost_link_loses_nothing() {
    let service = agent(Box::new(Sessions)).configured("/");
    let request = start(&["seq", "1000000"]);
    host_of(&service).await.start(request.clone()).await.unwrap();
    let (mut all, mut links) = (Vec::new(), 0);
    let exit = loop {
        // Every round is a new connection, and the old one is dropped in the middle of a message.
        let mut host = host_of(&service).await;
        let mut attached = Attached::new(&mut host, &request.exec_id, all.len() as u64, 0).await.unwrap();
        // What was acknowledged on a lost link may not have arrived; a full log would wait for it forever.
        attached.acknowledge().await;
        let Some(Event::Output(output)) = attached.next().await.unwrap() else {
            let again = Attached::new(&mut host, &request.exec_id, all.len() as u64, 0).await.unwrap();
            break again.finish().await;
        };
        all.extend_from_slice(&output.data);
        links += 1;
    };
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(all == expected.as_bytes());
    assert_eq!(exit.outcome(), Outcome::Code(0));
    assert!(links > 3, "{links}");
}

#[tokio::test]
async fn acknowledged_and_future_offsets_are_out_of_range() {
    let mut host = host().await;
    let request = script("printf 0123456789; exec sleep 100");
    host.start(request.clone()).await.unwrap();
    let mut attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    while attached.stdout < 10 {
        attached.next().await.unwrap();
    }
    let refused = async |host: &mut Client, offset| {
        let status = Attached::new(host, &request.exec_id, offset, 0).await.unwrap().next().await.err()?;
        assert_eq!(status.code(), Code::OutOfRange);
        Some(status.message().to_owned())
    };
    assert!(refused(&mut host, 11).await.unwrap().starts_with("stdout offset 11 is outside of what is kept, 0 to 10"));
    attached.acknowledge().await;
    // An acknowledgement is not answered, so it is seen by what it forgets.
    let forgotten = async {
        loop {
            if let Some(message) = refused(&mut host, 5).await {
                return message;
            }
        }
    };
    let message = timeout(Duration::from_secs(10), forgotten).await.unwrap();
    assert_eq!(message, "stdout offset 5 is outside of what is kept, 10 to 10");
    release(&mut host, &request.exec_id).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_delays_no_other() {
    let mut host = host().await;
    let flood = start(&["cat", "/dev/zero"]);
    host.start(flood.clone()).await.unwrap();
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let first = AttachRequest { exec_id: flood.exec_id.clone(), ..Default::default() };
    sender.send(first).await.unwrap();
    // Its messages are never taken, so its flow control window closes.
    let unread = host.attach(tokio_stream::wrappers::ReceiverStream::new(requests)).await.unwrap();
    for _ in 0..20 {
        let finished = timeout(Duration::from_secs(5), run(&mut host, start(&["echo", "hello"]))).await.unwrap();
        assert_eq!(finished.text(), "hello\n");
    }
    drop(unread);
    release(&mut host, &flood.exec_id).await;
}

#[tokio::test]
async fn a_background_process_that_holds_the_output_does_not_hold_the_end() {
    let mut host = host().await;
    let started = Instant::now();
    let request = script("sleep 100 & echo started");
    host.start(request.clone()).await.unwrap();
    let finished = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap().finish().await;
    assert_eq!((finished.text(), finished.outcome()), ("started\n", Outcome::Code(0)));
    assert!(started.elapsed() < Duration::from_secs(10));
    release(&mut host, &request.exec_id).await;
}

#[tokio::test]
async fn a_background_process_that_goes_on_writing_neither_holds_the_end_nor_dies_of_it() {
    let mut host = host().await;
    let directory = std::env::temp_dir().join(format!("pyro-agent-{}", std::process::id()));
    let survived = directory.to_str().unwrap();
    let request =
        script(&format!("(head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; echo ok > {survived}) & true"));
    host.start(request.clone()).await.unwrap();
    let attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    let finished = timeout(Duration::from_secs(10), attached.finish()).await.unwrap();
    assert_eq!(finished.outcome(), Outcome::Code(0));
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(&directory).unwrap_or_default() != "ok\n" {
        assert!(Instant::now() < deadline, "the background process was stopped by its output");
        sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_file(directory).unwrap();
    release(&mut host, &request.exec_id).await;
}

#[tokio::test]
async fn one_call_starts_a_command_gives_its_output_and_end_and_forgets_it() {
    let mut host = host().await;
    let start = script("echo out; echo err >&2; exit 3");
    let exec_id = start.exec_id.clone();
    let first = AttachRequest {
        exec_id: exec_id.clone(),
        start: Some(start),
        after_end: AfterEnd::Release.into(),
        ..Default::default()
    };
    let mut attached = Attached::with(&mut host, first).await.unwrap();
    assert!(matches!(attached.next().await.unwrap(), Some(Event::Started(StartResponse { pid: 1.. }))));
    let finished = attached.finish().await;
    assert_eq!((finished.text(), &finished.stderr[..], finished.outcome()), ("out\n", &b"err\n"[..], Outcome::Code(3)));
    // Nobody is told of the release.
    timeout(Duration::from_secs(10), async {
        while !host.list(ListRequest {}).await.unwrap().into_inner().commands.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_start_in_a_stream_is_checked_like_any_other() {
    let mut host = host().await;
    let start = script("exit 0");
    let named = |exec_id: &str, start: StartRequest| AttachRequest {
        exec_id: exec_id.to_owned(),
        start: Some(start),
        ..Default::default()
    };
    let other = Attached::with(&mut host, named("another", start.clone())).await.err().unwrap();
    assert_eq!(other.code(), Code::InvalidArgument);
    assert!(host.list(ListRequest {}).await.unwrap().into_inner().commands.is_empty());
    host.start(start.clone()).await.unwrap();
    let id = start.exec_id.clone();
    let again = Attached::with(&mut host, named(&id, start)).await.err().unwrap();
    assert_eq!(again.code(), Code::AlreadyExists);
    release(&mut host, &id).await;
}

#[tokio::test]
async fn a_stream_that_is_lost_before_the_end_leaves_the_command_alone() {
    let service = agent(Box::new(Sessions)).configured("/");
    let mut host = host_of(&service).await;
    let start = start(&["sleep", "60"]);
    let exec_id = start.exec_id.clone();
    let first = AttachRequest {
        exec_id: exec_id.clone(),
        start: Some(start),
        after_end: AfterEnd::Release.into(),
        ..Default::default()
    };
    let mut attached = Attached::with(&mut host, first).await.unwrap();
    assert!(matches!(attached.next().await.unwrap(), Some(Event::Started(_))));
    drop(attached);
    drop(host);
    let mut host = host_of(&service).await;
    let commands = host.list(ListRequest {}).await.unwrap().into_inner().commands;
    assert!(commands.iter().any(|command| command.exec_id == exec_id && command.running));
    release(&mut host, &exec_id).await;
}
