//! ApplyPatch. The work is done on a thread of its own, beside the runtime's one thread.

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::files::{Incoming, WAITING_PIECES, failure, on_thread};
use super::volume::state_message;
use super::{AgentService, messages};
use crate::patch::{self, Done, Failure, Moved, Options, PatchedFile, Reason, Report};
use crate::proto;
use crate::volume::State;

/// Most bytes of an answer, and what a part of it takes besides its texts.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const PART_BYTES: usize = 64;

impl AgentService {
    pub(super) async fn apply_whole_patch(
        &self,
        mut requests: Streaming<proto::ApplyPatchRequest>,
    ) -> Result<proto::ApplyPatchResponse, Status> {
        let volume = self.volume()?;
        let first = requests.message().await?.ok_or_else(|| messages::invalid("a first message is missing"))?;
        let wanted = first.options.ok_or_else(|| messages::invalid("options: missing in the first message"))?;
        let options = Options {
            strip: wanted.set_strip.then_some(wanted.strip),
            is_reverse: wanted.reverse,
            is_check: wanted.check,
        };
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let rest = first.data;
        let applying = on_thread(move || patch::apply(&volume, options, Incoming { receiver, rest }));
        let mut is_whole = first.end;
        let feeding = async move {
            while !is_whole {
                let piece = match requests.message().await {
                    Ok(Some(request)) => {
                        is_whole = request.end;
                        Ok(request.data)
                    }
                    // It may be cut where a smaller patch would end.
                    Ok(None) | Err(_) => Err(()),
                };
                let is_cut = piece.is_err();
                // Whoever reads no more says why.
                if sender.send(piece).await.is_err() || is_cut {
                    break;
                }
            }
        };
        let (applied, ()) = tokio::join!(applying, feeding);
        let (report, state) = applied?.map_err(|error| failure(&error))?;
        Ok(response(report, state))
    }
}

fn response(report: Report, state: State) -> proto::ApplyPatchResponse {
    let Report { files, failures, failure_count } = report;
    let file_count = files.len() as u64;
    let mut left = MAX_ANSWER_BYTES;
    let failures = failures.into_iter().take_while(|failure| has_room(&mut left, failure_bytes(failure)));
    let failures = failures.map(failure_message).collect();
    let files = files.into_iter().take_while(|file| has_room(&mut left, file_bytes(file))).map(file_message).collect();
    proto::ApplyPatchResponse { volume: Some(state_message(state)), files, file_count, failures, failure_count }
}

fn has_room(left: &mut usize, bytes: usize) -> bool {
    let rest = left.checked_sub(bytes);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

fn failure_bytes(failure: &Failure) -> usize {
    let text = |line: &Option<Vec<u8>>| line.as_ref().map_or(0, Vec::len);
    PART_BYTES + failure.path.len() + failure.text.len() + text(&failure.expected) + text(&failure.found)
}

fn file_bytes(file: &PatchedFile) -> usize {
    PART_BYTES * (1 + file.moved.len()) + file.path.len() + file.from.as_ref().map_or(0, Vec::len)
}

fn file_message(file: PatchedFile) -> proto::PatchedFile {
    let action = match file.done {
        Done::Added => proto::PatchAction::Added,
        Done::Modified => proto::PatchAction::Modified,
        Done::Deleted => proto::PatchAction::Deleted,
        Done::Renamed => proto::PatchAction::Renamed,
        Done::Copied => proto::PatchAction::Copied,
    };
    let moved = |Moved { hunk, line, offset }| proto::MovedHunk { hunk, line, offset };
    proto::PatchedFile {
        path: file.path.into(),
        from: file.from.unwrap_or_default().into(),
        action: action.into(),
        lines_added: file.added,
        lines_removed: file.removed,
        moved: file.moved.into_iter().map(moved).collect(),
    }
}

fn failure_message(failure: Failure) -> proto::PatchFailure {
    let reason = match failure.reason {
        Reason::NoMatch => proto::PatchFailureReason::NoMatch,
        Reason::Overlap => proto::PatchFailureReason::Overlap,
        Reason::Missing => proto::PatchFailureReason::Missing,
        Reason::Exists => proto::PatchFailureReason::Exists,
        Reason::Path => proto::PatchFailureReason::Path,
        Reason::Kind => proto::PatchFailureReason::Kind,
        Reason::Content => proto::PatchFailureReason::Content,
        Reason::Limit => proto::PatchFailureReason::Limit,
        Reason::Unsupported => proto::PatchFailureReason::Unsupported,
    };
    let text = |line: Option<Vec<u8>>| line.map(|text| proto::PatchText { text: text.into() });
    proto::PatchFailure {
        path: failure.path.into(),
        reason: reason.into(),
        hunk: failure.hunk.unwrap_or(0),
        patch_line: failure.patch_line,
        line: failure.line.unwrap_or(0),
        expected: text(failure.expected),
        found: text(failure.found),
        text: failure.text,
    }
}
