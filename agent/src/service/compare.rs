//! Compare: what differs in two trees, as fast as the host takes it.

use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{AgentService, deep, messages, volume};
use crate::changes::{Carried, Change, Event, Kind, LineCount, Lost, Options, Status as PathStatus, Summary};
use crate::proto::{self, compare_response};
use crate::volume::{Later, Source};

/// What is told of a comparison.
pub(super) type Events = ReceiverStream<Result<proto::CompareResponse, Status>>;

/// Messages that wait for the host; the comparison then waits too.
const WAITING_EVENTS: usize = 4;

impl AgentService {
    /// The work ends soon after the call is cancelled.
    pub(super) fn compare_trees(&self, request: &proto::CompareRequest) -> Result<Events, Status> {
        let from = Source::parse(&request.from).map_err(messages::invalid)?;
        let to = match request.to.as_str() {
            "" => Later::Now,
            name => Later::Kept(Source::parse(name).map_err(messages::invalid)?),
        };
        let options = Options {
            include_ignored: request.include_ignored,
            include_binary: request.include_binary,
            with_patch: request.with_patch,
        };
        let trees = self.volume()?;
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
        let work = move || {
            let mut tell = |event: Event<'_>| sender.blocking_send(Ok(response(event))).map_err(|_| Errno::PIPE);
            if let Err(error) = trees.compare(&from, &to, options, &mut tell) {
                // Nobody hears it who has cancelled the call.
                let _ = sender.blocking_send(Err(volume::failure(&error)));
            }
        };
        deep::spawn(work)?;
        Ok(ReceiverStream::new(receiver))
    }
}

fn response(event: Event<'_>) -> proto::CompareResponse {
    let event = match event {
        Event::Summary(summary) => compare_response::Event::Summary(summary_message(summary)),
        Event::Patch(piece) => compare_response::Event::Patch(piece.into()),
        Event::Change(change, count) => compare_response::Event::Change(change_message(change, count)),
    };
    proto::CompareResponse { event: Some(event) }
}

fn summary_message(summary: Summary) -> proto::CompareSummary {
    let Summary { added, modified, deleted, type_changed, text_patched, non_text, renamed, ignored, lost, heads } =
        summary;
    let lost = Lost::ALL.iter().zip(lost).filter(|(_, count)| *count > 0);
    let lost = lost.map(|((_, word), count)| ((*word).to_owned(), count)).collect();
    let [head_from, head_to] = heads.map(Option::unwrap_or_default);
    proto::CompareSummary {
        added,
        modified,
        deleted,
        type_changed,
        text_patched,
        non_text,
        renamed,
        ignored,
        lost,
        head_from,
        head_to,
    }
}

fn change_message(change: &Change, count: LineCount) -> proto::Change {
    let status = match change.status() {
        PathStatus::Added => proto::PathStatus::Added,
        PathStatus::Modified => proto::PathStatus::Modified,
        PathStatus::Deleted => proto::PathStatus::Deleted,
        PathStatus::TypeChanged => proto::PathStatus::TypeChanged,
    };
    let kind = match change.to.or(change.from).map(|side| side.kind) {
        Some(Kind::File) => proto::PathKind::File,
        Some(Kind::Symlink) => proto::PathKind::Symlink,
        Some(Kind::Directory) => proto::PathKind::Directory,
        Some(Kind::Special) => proto::PathKind::Special,
        None => proto::PathKind::Unspecified,
    };
    let carried = match change.carried {
        Carried::Text => proto::Carried::Text,
        Carried::Binary => proto::Carried::Binary,
        Carried::Huge => proto::Carried::Huge,
        Carried::Never => proto::Carried::Never,
    };
    proto::Change {
        path: change.path.clone().into(),
        renamed: change.renamed.clone().unwrap_or_default().into(),
        status: status.into(),
        kind: kind.into(),
        mode_from: change.from.map_or(0, |side| side.mode),
        mode_to: change.to.map_or(0, |side| side.mode),
        size_from: change.from.map_or(0, |side| side.size),
        size_to: change.to.map_or(0, |side| side.size),
        carried: carried.into(),
        lines_added: count.added,
        lines_removed: count.removed,
        lost: change.lost.words().map(str::to_owned).collect(),
    }
}
