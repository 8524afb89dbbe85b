//! A host for tests: an agent in this process, streams to it, and commands run through it.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

pub mod connection;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};

use bytes::Bytes;
use pyro_agent::channel::serve_stream;
use pyro_agent::exec::group::{ProcessGroups, Sessions};
use pyro_agent::exec::registry::Registry;
use pyro_agent::guest::BorrowedGuest;
use pyro_agent::kernel_files::KernelFiles;
use pyro_agent::proto::attach_response::Event;
use pyro_agent::proto::exit::Outcome;
use pyro_agent::proto::{AttachRequest, AttachResponse, Exit, Output, ReleaseRequest, StartRequest, Stream};
use pyro_agent::reaper;
use pyro_agent::service::AgentService;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

pub use connection::{Client, NONCE, connect, greet};

/// An agent on this machine that is not configured; `groups` decides what of a command is killed together.
pub fn agent(groups: Box<dyn ProcessGroups>) -> AgentService {
    static REAPER: Once = Once::new();
    // One for all tests of this process, on a thread of its own: a test's runtime ends with the test.
    REAPER.call_once(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(reaper::run()).unwrap();
        });
    });
    let kernel = Arc::new(KernelFiles::open().unwrap());
    AgentService::new(Box::new(BorrowedGuest::new(Arc::clone(&kernel))), Registry::new(groups, kernel))
}

/// A stream to the agent, not greeted yet.
pub fn dial(service: &AgentService) -> UnixStream {
    let (host, guest) = UnixStream::pair().unwrap();
    let service = service.clone();
    tokio::spawn(async move { serve_stream(guest, &service).await });
    host
}

/// A client of this agent.
pub async fn host_of(service: &AgentService) -> Client {
    connect(dial(service), NONCE).await.unwrap()
}

/// A client of a fresh, configured agent that kills process groups.
pub async fn host() -> Client {
    host_of(&agent(Box::new(Sessions)).configured("/")).await
}

/// A request for `argv` under an id that no other command of this process or of another test run has.
pub fn start(argv: &[&str]) -> StartRequest {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let exec_id = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let argv = argv.iter().map(|argument| Bytes::copy_from_slice(argument.as_bytes())).collect();
    StartRequest { exec_id, argv, ..Default::default() }
}

/// A request for a shell script.
pub fn script(text: &str) -> StartRequest {
    start(&["/bin/sh", "-c", text])
}

/// Everything a command gave.
#[derive(Debug, Default, Clone)]
pub struct Finished {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit: Option<Exit>,
}

impl Finished {
    pub fn outcome(&self) -> Outcome {
        self.exit.clone().unwrap().outcome.unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Starts a command, follows it to its end and releases it.
pub async fn run(host: &mut Client, request: StartRequest) -> Finished {
    let exec_id = request.exec_id.clone();
    host.start(request).await.unwrap();
    let finished = Attached::new(host, &exec_id, 0, 0).await.unwrap().finish().await;
    release(host, &exec_id).await;
    finished
}

pub async fn release(host: &mut Client, exec_id: &str) {
    host.release(ReleaseRequest { exec_id: exec_id.to_owned() }).await.unwrap();
}

/// An Attach in progress that acknowledges on request.
pub struct Attached {
    acknowledgements: mpsc::Sender<AttachRequest>,
    responses: Streaming<AttachResponse>,
    pub stdout: u64,
    pub stderr: u64,
    skips: bool,
}

impl Attached {
    pub async fn new(host: &mut Client, exec_id: &str, stdout: u64, stderr: u64) -> Result<Self, tonic::Status> {
        let first = AttachRequest {
            exec_id: exec_id.to_owned(),
            stdout_offset: stdout,
            stderr_offset: stderr,
            ..Default::default()
        };
        Self::with(host, first).await
    }

    /// From the beginning, over what was dropped.
    pub async fn skipping(host: &mut Client, exec_id: &str) -> Result<Self, tonic::Status> {
        let exec_id = exec_id.to_owned();
        Self::with(host, AttachRequest { exec_id, skip_dropped: true, ..Default::default() }).await
    }

    pub async fn with(host: &mut Client, first: AttachRequest) -> Result<Self, tonic::Status> {
        let (acknowledgements, requests) = mpsc::channel(16);
        let (stdout, stderr, skips) = (first.stdout_offset, first.stderr_offset, first.skip_dropped);
        acknowledgements.send(first).await.unwrap();
        let responses = host.attach(ReceiverStream::new(requests)).await?.into_inner();
        Ok(Self { acknowledgements, responses, stdout, stderr, skips })
    }

    /// The next event; its output continues exactly where the last one ended.
    pub async fn next(&mut self) -> Result<Option<Event>, tonic::Status> {
        let Some(response) = self.responses.message().await? else { return Ok(None) };
        let event = response.event.unwrap();
        if let Event::Output(Output { stream, offset, data }) = &event {
            let position = if *stream == i32::from(Stream::Stdout) { &mut self.stdout } else { &mut self.stderr };
            assert!(offset == position || (self.skips && *offset > *position));
            *position = *offset;
            assert!(!data.is_empty());
            *position += data.len() as u64;
        }
        Ok(Some(event))
    }

    /// Acknowledges everything received.
    pub async fn acknowledge(&self) {
        let request = AttachRequest { stdout_offset: self.stdout, stderr_offset: self.stderr, ..Default::default() };
        // An agent that has sent the end listens no longer.
        let _ = self.acknowledgements.send(request).await;
    }

    /// Receives and acknowledges to the end.
    pub async fn finish(mut self) -> Finished {
        let mut finished = Finished::default();
        while let Some(event) = self.next().await.unwrap() {
            assert!(finished.exit.is_none(), "nothing comes after the end");
            match event {
                Event::Output(output) if output.stream == i32::from(Stream::Stdout) => {
                    finished.stdout.extend_from_slice(&output.data);
                }
                Event::Output(output) => finished.stderr.extend_from_slice(&output.data),
                Event::Exit(exit) => finished.exit = Some(exit),
                Event::Started(_) => panic!("a start comes before all else"),
            }
            self.acknowledge().await;
        }
        finished
    }
}
