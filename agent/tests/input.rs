//! Standard input and terminals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use bytes::Bytes;
use pyro_agent::proto::exit::Outcome;
use pyro_agent::proto::{ResizeRequest, StartRequest, StdinRequest, StdinResponse, Terminal};
use support::{Attached, Client, host, run, script, start};
use tonic::{Code, Status};

fn piece(exec_id: &str, offset: u64, data: &[u8], end: bool) -> StdinRequest {
    StdinRequest { exec_id: exec_id.to_owned(), offset, data: Bytes::copy_from_slice(data), end }
}

async fn feed(host: &mut Client, pieces: Vec<StdinRequest>) -> Result<StdinResponse, Status> {
    Ok(host.stdin(tokio_stream::iter(pieces)).await?.into_inner())
}

async fn start_with_stdin(host: &mut Client, request: StartRequest) -> String {
    let request = StartRequest { stdin: true, ..request };
    host.start(request.clone()).await.unwrap();
    request.exec_id
}

#[tokio::test]
async fn input_arrives_once_however_often_it_is_sent() {
    let mut host = host().await;
    let id = start_with_stdin(&mut host, start(&["cat"])).await;
    let accepted = feed(&mut host, vec![piece(&id, 0, b"hello ", false)]).await.unwrap();
    assert_eq!((accepted.accepted_bytes, accepted.closed), (6, false));
    let rest = vec![piece(&id, 0, b"hello wor", false), piece("", 9, b"ld", false), piece("", 11, b"", true)];
    assert_eq!(feed(&mut host, rest).await.unwrap().accepted_bytes, 11);
    let finished = Attached::new(&mut host, &id, 0, 0).await.unwrap().finish().await;
    assert_eq!((finished.text(), finished.outcome()), ("hello world", Outcome::Code(0)));
}

#[tokio::test]
async fn a_gap_is_refused() {
    let mut host = host().await;
    let id = start_with_stdin(&mut host, start(&["cat"])).await;
    let status = feed(&mut host, vec![piece(&id, 1, b"x", false)]).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(status.message(), "stdin offset 1 leaves a gap after the 0 bytes the command was given");
}

#[tokio::test]
async fn more_than_a_pipe_holds_flows_through() {
    let mut host = host().await;
    let id = start_with_stdin(&mut host, start(&["wc", "-c"])).await;
    let block = vec![b'x'; 1 << 20];
    let mut pieces: Vec<_> = (0..32).map(|index| piece(&id, index << 20, &block, false)).collect();
    pieces.push(piece("", 32 << 20, b"", true));
    assert_eq!(feed(&mut host, pieces).await.unwrap().accepted_bytes, 32 << 20);
    let finished = Attached::new(&mut host, &id, 0, 0).await.unwrap().finish().await;
    assert_eq!(finished.text(), "33554432\n");
}

#[tokio::test]
async fn a_command_that_closes_its_input_says_so() {
    let mut host = host().await;
    let id = start_with_stdin(&mut host, script("exec <&-; echo closed; sleep 100")).await;
    let mut attached = Attached::new(&mut host, &id, 0, 0).await.unwrap();
    attached.next().await.unwrap();
    // Between the fork and the exec of another test's command that child has the pipe's reading end too, and a write then
    // is taken: so it is closed at once or as soon as that child has become its program.
    let mut offset = 0;
    loop {
        let accepted = feed(&mut host, vec![piece(&id, offset, b"unwanted", false)]).await.unwrap();
        if accepted.closed {
            assert_eq!(accepted.accepted_bytes, offset);
            break;
        }
        assert!(offset < 4096 * 8, "a pipe that nobody reads from takes no end of input");
        offset = accepted.accepted_bytes;
    }
    support::release(&mut host, &id).await;
}

#[tokio::test]
async fn input_for_a_command_that_never_reads_ends_with_the_command() {
    let mut host = host().await;
    // The background process keeps the pipe open, so only the command's end can end the call.
    let id = start_with_stdin(&mut host, script("sleep 100 & sleep 0.3")).await;
    let block = vec![b'x'; 3 << 20];
    let accepted = feed(&mut host, vec![piece(&id, 0, &block, false)]).await.unwrap();
    assert!(accepted.closed);
    assert!(accepted.accepted_bytes < 3 << 20);
    support::release(&mut host, &id).await;
}

#[tokio::test]
async fn a_command_without_stdin_takes_none() {
    let mut host = host().await;
    let request = start(&["cat"]);
    host.start(request.clone()).await.unwrap();
    let status = feed(&mut host, vec![piece(&request.exec_id, 0, b"x", true)]).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_terminal_has_its_size_is_controlling_and_carries_both_streams() {
    let mut host = host().await;
    let terminal = Some(Terminal { columns: 91, rows: 17 });
    let request = script("test -t 0 && test -t 2 && stty size && echo to stderr >&2 && echo $TERM > /dev/tty");
    let finished = run(&mut host, StartRequest { terminal, ..request }).await;
    assert_eq!(finished.text(), "17 91\r\nto stderr\r\nxterm-256color\r\n");
    assert_eq!((finished.stderr.len(), finished.outcome()), (0, Outcome::Code(0)));
}

#[tokio::test]
async fn a_terminals_input_ends_as_if_typed() {
    let mut host = host().await;
    let terminal = Some(Terminal { columns: 80, rows: 24 });
    let request = StartRequest { terminal, ..script("stty -echo; echo ready; cat") };
    let id = start_with_stdin(&mut host, request).await;
    let mut attached = Attached::new(&mut host, &id, 0, 0).await.unwrap();
    attached.next().await.unwrap();
    feed(&mut host, vec![piece(&id, 0, b"typed\n", false), piece("", 6, b"", true)]).await.unwrap();
    let finished = attached.finish().await;
    assert_eq!((finished.text(), finished.outcome()), ("typed\r\n", Outcome::Code(0)));
}

#[tokio::test]
async fn a_terminal_is_resized_and_its_foreground_is_told() {
    let mut host = host().await;
    let terminal = Some(Terminal { columns: 80, rows: 24 });
    let request = script("trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.1; done");
    let request = StartRequest { terminal, ..request };
    host.start(request.clone()).await.unwrap();
    let mut attached = Attached::new(&mut host, &request.exec_id, 0, 0).await.unwrap();
    attached.next().await.unwrap();
    let resize =
        |columns| ResizeRequest { exec_id: request.exec_id.clone(), terminal: Some(Terminal { columns, rows: 17 }) };
    assert_eq!(host.resize(resize(65_536)).await.unwrap_err().code(), Code::InvalidArgument);
    host.resize(resize(91)).await.unwrap();
    let finished = attached.finish().await;
    assert_eq!((finished.text(), finished.outcome()), ("17 91\r\n", Outcome::Code(5)));
    support::release(&mut host, &request.exec_id).await;
    assert_eq!(host.resize(resize(91)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_has_no_terminal_is_not_resized() {
    let mut host = host().await;
    let request = start(&["cat"]);
    host.start(request.clone()).await.unwrap();
    let resize = ResizeRequest { exec_id: request.exec_id, terminal: Some(Terminal { columns: 80, rows: 24 }) };
    assert_eq!(host.resize(resize).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn an_interrupt_that_is_typed_reaches_the_foreground_of_a_terminal() {
    let mut host = host().await;
    let terminal = Some(Terminal { columns: 80, rows: 24 });
    let request = StartRequest { terminal, ..script("stty -echo; echo ready; exec sleep 100") };
    let id = start_with_stdin(&mut host, request).await;
    let mut attached = Attached::new(&mut host, &id, 0, 0).await.unwrap();
    attached.next().await.unwrap();
    feed(&mut host, vec![piece(&id, 0, b"\x03", false)]).await.unwrap();
    assert_eq!(attached.finish().await.outcome(), Outcome::Signal(2));
}
