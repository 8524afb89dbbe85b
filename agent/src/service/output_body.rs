//! The response body of Attach, written without copying output once more.
//!
//! The generated server would copy every message into a buffer of its own. Under emulation each pass over the bytes shows
//! in the throughput, so here a message is its head, encoded, and its data, as it lies in the log. A gRPC message may span
//! HTTP/2 frames, so the wire is the same.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use hyper::body::{Body, Frame};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tonic::{Code, Status};

use super::attach::{Answer, Answers};
use super::messages;
use crate::exec::attachment::Event;
use crate::proto;

/// Length of the prefix of a gRPC message: a flag and the length, in bytes.
const MESSAGE_PREFIX_BYTES: usize = 5;
/// Room for an encoded head, in bytes; a longer one (an exit with a long reason) only reallocates.
const HEAD_BYTES: usize = 64;
/// Field numbers of agent.proto.
const ATTACH_RESPONSE_OUTPUT: u32 = 1;
const OUTPUT_DATA: u32 = 3;

/// What Attach answers, event by event.
pub(super) struct OutputBody {
    answers: Answers,
    /// Data whose head has been handed over.
    data: Option<Bytes>,
    ended: bool,
}

impl OutputBody {
    /// The whole response for these answers.
    pub(super) fn response(answers: Answers) -> http::Response<tonic::body::Body> {
        let mut response = http::Response::new(tonic::body::Body::new(Self { answers, data: None, ended: false }));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Body for OutputBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.answers.poll_recv(context)) {
            Some(Ok(answer)) => {
                let (head, data) = encode(answer);
                self.data = data;
                Frame::data(head)
            }
            Some(Err(status)) => self.end(&status),
            None => self.end(&Status::new(Code::Ok, "")),
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

impl OutputBody {
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.ended = true;
        let mut trailers = http::HeaderMap::new();
        // Only fails for a text that cannot be a header value, and Status encodes its text.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

/// An AttachResponse as gRPC frames it: everything up to the data, and the data.
fn encode(answer: Answer) -> (Bytes, Option<Bytes>) {
    match answer {
        Answer::Started(started) => {
            let event = Some(proto::attach_response::Event::Started(started));
            (whole(&proto::AttachResponse { event }), None)
        }
        Answer::Event(Event::Output { stream, offset, data }) => {
            let fields = proto::Output { stream: messages::stream(stream).into(), offset, data: Bytes::new() };
            let data_length = data.len() as u64;
            let output_length = fields.encoded_len() + key_length() + encoded_len_varint(data_length) + data.len();
            let message_length = key_length() + encoded_len_varint(output_length as u64) + output_length;
            let mut head = message_prefix(message_length);
            encode_key(ATTACH_RESPONSE_OUTPUT, WireType::LengthDelimited, &mut head);
            encode_varint(output_length as u64, &mut head);
            fields.encode_raw(&mut head);
            encode_key(OUTPUT_DATA, WireType::LengthDelimited, &mut head);
            encode_varint(data_length, &mut head);
            (head.freeze(), Some(data))
        }
        Answer::Event(Event::End(end)) => (whole(&messages::end_response(&end)), None),
    }
}

/// A message without data.
fn whole(message: &proto::AttachResponse) -> Bytes {
    let mut head = message_prefix(message.encoded_len());
    message.encode_raw(&mut head);
    head.freeze()
}

/// Both keys have field numbers below 16.
const fn key_length() -> usize {
    1
}

/// Not compressed, and so long. A message is far below 4 GiB: data is at most a piece of the log.
fn message_prefix(length: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(MESSAGE_PREFIX_BYTES + HEAD_BYTES);
    head.put_u8(0);
    head.put_u32(length as u32);
    head
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::exec::attachment::Stream;
    use crate::exec::outcome::{CommandEnd, Outcome};
    use crate::proto::attach_response;
    use crate::reaper::ProcessEnd;

    fn decoded(answer: Answer) -> proto::AttachResponse {
        let (head, data) = encode(answer);
        let all = [head, data.unwrap_or_default()].concat();
        assert_eq!(all[0], 0);
        assert_eq!(u32::from_be_bytes([all[1], all[2], all[3], all[4]]) as usize, all.len() - MESSAGE_PREFIX_BYTES);
        proto::AttachResponse::decode(&all[MESSAGE_PREFIX_BYTES..]).expect("this is what the host will decode")
    }

    proptest! {
        #[test]
        fn output_decodes_to_what_it_was(offset in any::<u64>(), length in 1..300_000_usize, stdout in any::<bool>()) {
            let stream = if stdout { Stream::Stdout } else { Stream::Stderr };
            let data = Bytes::from(vec![b'x'; length]);
            let expected = proto::Output { stream: messages::stream(stream).into(), offset, data: data.clone() };
            let response = decoded(Answer::Event(Event::Output { stream, offset, data }));
            prop_assert_eq!(response.event, Some(attach_response::Event::Output(expected)));
        }
    }

    #[test]
    fn an_end_decodes_to_what_it_was() {
        let outcome = Outcome::Ended(ProcessEnd::Code(3));
        let end = CommandEnd { outcome, duration: Duration::from_millis(1500), out_of_memory: true };
        assert_eq!(decoded(Answer::Event(Event::End(end.clone()))), messages::end_response(&end));
    }

    #[test]
    fn a_start_decodes_to_what_it_was() {
        let started = proto::StartResponse { pid: 77 };
        assert_eq!(decoded(Answer::Started(started)).event, Some(attach_response::Event::Started(started)));
    }
}
