//! Push, Pull and the calls for single files. The work is done on threads of its own, beside the runtime's one thread.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::volume::state_message;
use super::{AgentService, deep, messages, volume};
use crate::files::{self, Change, FilesError, Listed, Listing, Search};
use crate::proto;
use crate::volume::Volume;

/// What is given of a pulled tree, message by message.
pub(super) type Pieces = ReceiverStream<Result<proto::PullResponse, Status>>;

/// Bytes of a message.
const PIECE_BYTES: usize = 512 << 10;
/// Messages that wait for the other side.
pub(super) const WAITING_PIECES: usize = 4;
/// Bytes of a file that one answer has.
const MAX_READ_BYTES: usize = 1 << 20;
/// Entries and lines that one answer has.
const MAX_ENTRIES: u32 = 10_000;

impl AgentService {
    pub(super) async fn push_tree(
        &self,
        mut requests: Streaming<proto::PushRequest>,
    ) -> Result<proto::PushResponse, Status> {
        let volume = self.volume()?;
        let first = requests.message().await?.ok_or_else(|| messages::invalid("a first message is missing"))?;
        let destination = first.destination.to_vec();
        files::checked(&destination).map_err(|error| failure(&error))?;
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let pushing = on_thread(move || files::push(&volume, &destination, Incoming { receiver, rest: first.data }));
        let feeding = async move {
            loop {
                let next = requests.message().await;
                // Whoever reads no more says why.
                let done = match next {
                    Ok(Some(request)) => sender.send(Ok(request.data)).await.is_err(),
                    Ok(None) => true,
                    Err(_) => {
                        let _ = sender.send(Err(())).await;
                        true
                    }
                };
                if done {
                    break;
                }
            }
        };
        let (pushed, ()) = tokio::join!(pushing, feeding);
        let pushed = pushed?.map_err(|error| failure(&error))?;
        let totals = pushed.made.totals;
        Ok(proto::PushResponse {
            volume: Some(state_message(pushed.state)),
            entries: totals.entries,
            bytes: totals.bytes,
            replaced: pushed.replaced,
        })
    }

    pub(super) fn pull_trees(&self, request: proto::PullRequest) -> Result<Pieces, Status> {
        let volume = self.volume()?;
        let wanted: Vec<_> = request.files.into_iter().map(|file| (file.path.to_vec(), file.name.to_vec())).collect();
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let work = move || {
            let mut outgoing = Outgoing { sender: sender.clone(), piece: BytesMut::with_capacity(PIECE_BYTES) };
            let pulled = files::pull(&volume, &wanted, &mut outgoing);
            let last = match pulled {
                Ok(pulled) => {
                    let end = proto::PullEnd { skipped: pulled.skipped, first_skipped: pulled.first_skipped };
                    Ok(proto::PullResponse { data: outgoing.piece.freeze(), end: Some(end) })
                }
                Err(error) => Err(failure(&error)),
            };
            let _ = sender.blocking_send(last);
        };
        deep::spawn(work)?;
        Ok(ReceiverStream::new(receiver))
    }

    pub(super) async fn list_directory(
        &self,
        request: proto::ListFilesRequest,
    ) -> Result<proto::ListFilesResponse, Status> {
        let listing = Listing {
            path: request.path.to_vec(),
            recursive: request.recursive,
            limit: request.limit.clamp(1, MAX_ENTRIES) as usize,
            after: request.after.to_vec(),
        };
        let (entries, more) = self.with_files(move |volume| files::list(volume, &listing)).await?;
        Ok(proto::ListFilesResponse { entries: entries.into_iter().map(entry).collect(), more })
    }

    pub(super) async fn read_range(&self, request: proto::ReadFileRequest) -> Result<proto::ReadFileResponse, Status> {
        let limit = (request.limit as usize).min(MAX_READ_BYTES);
        let range = self.with_files(move |volume| files::read(volume, &request.path, request.offset, limit)).await?;
        Ok(proto::ReadFileResponse {
            data: range.data.into(),
            size: range.stat.st_size.cast_unsigned(),
            mode: range.stat.st_mode & 0o7777,
        })
    }

    pub(super) async fn write_whole(
        &self,
        request: proto::WriteFileRequest,
    ) -> Result<proto::WriteFileResponse, Status> {
        if request.mode > 0o7777 {
            return Err(messages::invalid("mode: expected permissions"));
        }
        let mode = request.set_mode.then_some(request.mode);
        let change = match request.replacement {
            Some(proto::Replacement { old, new, all }) => Change::Replace { old: old.to_vec(), new: new.to_vec(), all },
            None => Change::Whole(request.data.to_vec()),
        };
        let path = request.path;
        let pushed = self.with_files(move |volume| files::write(volume, &path, change, mode)).await?;
        let made = pushed.made;
        Ok(proto::WriteFileResponse {
            volume: Some(state_message(pushed.state)),
            size: made.size,
            created: made.created,
            replaced: made.replaced,
        })
    }

    pub(super) async fn search_text(
        &self,
        request: proto::SearchFilesRequest,
    ) -> Result<proto::SearchFilesResponse, Status> {
        let search = Search {
            pattern: request.pattern,
            path: request.path.to_vec(),
            globs: request.globs,
            ignore_case: request.ignore_case,
            fixed: request.fixed,
            all: request.all,
            before: request.before_lines.min(MAX_ENTRIES) as usize,
            after: request.after_lines.min(MAX_ENTRIES) as usize,
            limit: request.limit.clamp(1, MAX_ENTRIES) as usize,
        };
        let found = self.with_files(move |volume| files::search(volume, &search)).await?;
        let line = |line: files::Line| proto::FoundLine {
            path: line.path.into(),
            number: line.number,
            text: line.text.into(),
            context: line.is_context,
            cut: line.is_cut,
        };
        Ok(proto::SearchFilesResponse {
            lines: found.lines.into_iter().map(line).collect(),
            more: found.more,
            searched_files: found.files,
            binary_files: found.binary,
        })
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Volume) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, Status> {
        let volume: Arc<Volume> = self.volume()?;
        on_thread(move || work(&volume)).await?.map_err(|error| failure(&error))
    }
}

/// Does work on a thread whose stack is enough for the deepest tree.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let work = move || {
        // Nobody waits for a call that was cancelled.
        let _ = sender.send(work());
    };
    deep::spawn(work)?;
    receiver.await.map_err(messages::internal)
}

/// A stream that comes in messages.
pub(super) struct Incoming {
    pub(super) receiver: mpsc::Receiver<Result<Bytes, ()>>,
    pub(super) rest: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(data)) => self.rest = data,
                // The host went away: what came is not all, whatever it looks like.
                Some(Err(())) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// A stream that leaves in messages.
struct Outgoing {
    sender: mpsc::Sender<Result<proto::PullResponse, Status>>,
    piece: BytesMut,
}

impl Write for &mut Outgoing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&data[..count]);
        if self.piece.len() == PIECE_BYTES {
            let full = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE_BYTES));
            let message = proto::PullResponse { data: full.freeze(), end: None };
            self.sender.blocking_send(Ok(message)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(count)
    }

    /// What is left goes with the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(listed: Listed) -> proto::FileEntry {
    let Listed { path, stat, target } = listed;
    proto::FileEntry {
        path: path.into(),
        kind: kind(&stat).into(),
        size: stat.st_size.cast_unsigned(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec.cast_signed()),
        target: target.into(),
    }
}

fn kind(stat: &Stat) -> proto::FileKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => proto::FileKind::File,
        FileType::Directory => proto::FileKind::Directory,
        FileType::Symlink => proto::FileKind::Symlink,
        _ => proto::FileKind::Other,
    }
}

/// A failure as the host is told of it.
pub(super) fn failure(error: &FilesError) -> Status {
    match error {
        FilesError::Invalid(text) => Status::invalid_argument(text),
        FilesError::Conflict(text) => Status::failed_precondition(text),
        FilesError::Torn(text) => Status::data_loss(text),
        FilesError::System(error) if error.errno() == Errno::CANCELED => Status::cancelled(error.to_string()),
        FilesError::System(error) => volume::failure(error),
    }
}
