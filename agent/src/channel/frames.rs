//! Follows HTTP/2 frame boundaries in what the host sends, to notice a new host's greeting inside an old connection.
//!
//! A serial port tells the guest that its host changed only by an event, and a machine that is saved right after its host
//! left may never see it: the next host then greets into the old connection. At a frame boundary such a line cannot be
//! HTTP/2: its first three bytes, read as a frame length (RFC 9113 section 4.1), are far above [`MAX_FRAME_BYTES`].

use crate::greeting::{HOST_MARK, HTTP2_PREFACE};

/// Largest HTTP/2 frame the agent accepts (SETTINGS_MAX_FRAME_SIZE), in bytes.
pub(super) const MAX_FRAME_BYTES: u32 = 1 << 20;
/// Length of a frame header (RFC 9113 section 4.1), in bytes.
const HEADER_BYTES: usize = 9;

const _: () = assert!(
    u32::from_be_bytes([0, HOST_MARK[0], HOST_MARK[1], HOST_MARK[2]]) > MAX_FRAME_BYTES,
    "a greeting must not look like a legal frame header"
);

/// Where in the frame sequence the bytes seen so far end.
#[derive(Debug)]
pub(super) struct FrameBoundaries {
    header: [u8; HEADER_BYTES],
    header_seen: usize,
    payload_left: usize,
}

/// A greeting begins inside an HTTP/2 connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GreetingInside {
    /// Its first bytes that earlier calls already let pass.
    pub(super) passed: usize,
    /// Where it begins or goes on in the bytes of this call.
    pub(super) index: usize,
}

impl FrameBoundaries {
    /// Starts before the connection preface.
    pub(super) fn before_preface() -> Self {
        Self { header: [0; HEADER_BYTES], header_seen: 0, payload_left: HTTP2_PREFACE.len() }
    }

    /// Follows `data`, the next bytes of the connection, up to a greeting if one begins.
    pub(super) fn follow(&mut self, data: &[u8]) -> Option<GreetingInside> {
        let mut index = 0;
        while index < data.len() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(data.len() - index);
                self.payload_left -= skipped;
                index += skipped;
                continue;
            }
            let passed = self.header_seen;
            let taken = (HEADER_BYTES - passed).min(data.len() - index);
            self.header[passed..passed + taken].copy_from_slice(&data[index..index + taken]);
            self.header_seen += taken;
            if self.header[..self.header_seen].starts_with(HOST_MARK) {
                return Some(GreetingInside { passed, index });
            }
            index += taken;
            if self.header_seen == HEADER_BYTES {
                self.header_seen = 0;
                self.payload_left = u32::from_be_bytes([0, self.header[0], self.header[1], self.header[2]]) as usize;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a test's payload is short").to_be_bytes();
        [&length[1..], &[0, 0, 0, 0, 0, 1], payload].concat()
    }

    proptest! {
        #[test]
        fn a_greeting_is_seen_at_a_boundary_however_the_bytes_are_split(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let before: Vec<u8> =
                HTTP2_PREFACE.iter().copied().chain(payloads.iter().flat_map(|payload| frame(payload))).collect();
            let input = [&before[..], b"PYRO/1 and the rest"].concat();
            let cut = cut.index(input.len());
            let mut boundaries = FrameBoundaries::before_preface();
            let found = match boundaries.follow(&input[..cut]) {
                Some(inside) => inside.index - inside.passed,
                None => {
                    let inside = boundaries.follow(&input[cut..]).expect("the greeting is in one of the two pieces");
                    cut + inside.index - inside.passed
                }
            };
            prop_assert_eq!(found, before.len());
        }

        #[test]
        fn a_greeting_inside_a_payload_is_payload(prefix in proptest::collection::vec(any::<u8>(), 0..40)) {
            let payload = [&prefix[..], b"PYRO/1 0123456789abcdef0123456789abcdef\n"].concat();
            let input = [&HTTP2_PREFACE[..], &frame(&payload)].concat();
            prop_assert_eq!(FrameBoundaries::before_preface().follow(&input), None);
        }
    }
}
