//! The greeting that opens a channel (docs/reference/guest-protocol.md): it finds the host's fresh line among whatever a
//! dead host or an earlier life of this machine left in the stream.
//!
//! Pure: bytes in, events out. `channel::link` feeds it.

/// Newest protocol version this agent speaks.
pub const PROTOCOL_VERSION: u32 = 3;
/// Oldest protocol version this agent speaks.
pub const OLDEST_PROTOCOL_VERSION: u32 = 1;

/// Where a host's line begins.
pub const HOST_MARK: &[u8] = b"PYRO/";
/// Digits of a nonce: lower-case hexadecimal.
const NONCE_DIGITS: usize = 32;
/// Bytes kept to recognise a line or the preface by its end; the longest of them has 49.
const WINDOW_BYTES: usize = 64;
/// What starts HTTP/2 (RFC 9113 section 3.4).
pub const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the agent has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Send this line to the host.
    Answer(String),
    /// The host speaks HTTP/2 from its preface on, which has been consumed.
    Http2,
}

/// One greeting, from the first byte of a channel to the HTTP/2 preface.
#[derive(Debug, Default)]
pub struct Greeting {
    /// The last bytes seen, at most [`WINDOW_BYTES`].
    window: Vec<u8>,
    answered: bool,
}

impl Greeting {
    /// Consumes bytes up to the first event, or all of them; returns how many.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        let mut consumed = 0;
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            consumed += line.len();
            self.remember(line);
            if let Some(event) = self.event_at_line_end() {
                return (consumed, Some(event));
            }
        }
        (consumed, None)
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.window.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW_BYTES)..]);
        let excess = self.window.len().saturating_sub(WINDOW_BYTES);
        self.window.drain(..excess);
    }

    /// Both a greeting and the preface end with a line feed, and either may directly follow stale bytes, so each is
    /// recognised by what the window ends with.
    fn event_at_line_end(&mut self) -> Option<Event> {
        if self.answered && self.window.ends_with(HTTP2_PREFACE) {
            return Some(Event::Http2);
        }
        let text = self.window.strip_suffix(b"\n")?;
        let start = text.windows(HOST_MARK.len()).rposition(|window| window == HOST_MARK)?;
        let (version, nonce) = parse_host_line(&text[start..])?;
        self.answered = true;
        Some(Event::Answer(format!("PYRO-AGENT/{} {nonce}\n", answered_version(version))))
    }
}

/// Whether `bytes` begin with a host's line.
#[must_use]
pub fn starts_with_host_line(bytes: &[u8]) -> bool {
    let line = bytes[..bytes.len().min(WINDOW_BYTES)].split(|byte| *byte == b'\n').next();
    line.is_some_and(|line| line.len() < bytes.len() && parse_host_line(line).is_some())
}

/// Reads `PYRO/<version> <nonce>`, the line feed already gone.
fn parse_host_line(line: &[u8]) -> Option<(u32, &str)> {
    let line = std::str::from_utf8(line.strip_prefix(HOST_MARK)?).ok()?;
    let (version, nonce) = line.split_once(' ')?;
    let canonical = version.bytes().all(|digit| digit.is_ascii_digit()) && !version.starts_with('0');
    let nonce_valid =
        nonce.len() == NONCE_DIGITS && nonce.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !canonical || !nonce_valid {
        return None;
    }
    Some((version.parse().ok()?, nonce))
}

/// The newest version that is not above the host's, or the oldest when there is none.
fn answered_version(host: u32) -> u32 {
    host.clamp(OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn hello(version: &str) -> Vec<u8> {
        format!("PYRO/{version} {NONCE}\n").into_bytes()
    }

    /// Feeds `input` in the given pieces and collects the answers; ends at the preface.
    fn run(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut greeting, mut answers) = (Greeting::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (consumed, event) = greeting.feed(rest);
                rest = &rest[consumed..];
                match event {
                    Some(Event::Answer(line)) => answers.push(line),
                    Some(Event::Http2) => return (answers, true),
                    None => assert!(rest.is_empty()),
                }
            }
        }
        (answers, false)
    }

    #[test]
    fn a_newer_host_gets_the_newest_version_spoken_here() {
        assert_eq!(run(&[&hello("7")]).0, [format!("PYRO-AGENT/{PROTOCOL_VERSION} {NONCE}\n")]);
    }

    #[test]
    fn malformed_lines_get_no_answer() {
        for line in ["PYRO/ x", "PYRO/01 ", "PYRO/-1 ", "PYRO/0 ", "PYRO/99999999999 ", "pyro/1 "] {
            assert_eq!(run(&[format!("{line}{NONCE}\n").as_bytes()]).0, [""; 0], "{line}");
        }
        assert_eq!(run(&[b"PYRO/1 0123456789ABCDEF0123456789ABCDEF\n", b"PYRO/1 0123\n"]).0, [""; 0]);
    }

    #[test]
    fn the_preface_counts_only_after_an_answered_line() {
        assert_eq!(run(&[HTTP2_PREFACE]), (vec![], false));
        assert!(run(&[&hello("1"), HTTP2_PREFACE]).1);
    }

    #[test]
    fn bytes_after_the_preface_are_left_to_http2() {
        let mut greeting = Greeting::default();
        let input = [&hello("1")[..], HTTP2_PREFACE, b"\0\0\0"].concat();
        let (first, _) = greeting.feed(&input);
        assert_eq!(greeting.feed(&input[first..]), (HTTP2_PREFACE.len(), Some(Event::Http2)));
    }

    #[test]
    fn a_host_line_is_one_only_from_its_first_byte_to_its_line_feed() {
        let line = hello("1");
        assert!(starts_with_host_line(&line) && starts_with_host_line(&[&line[..], b"more"].concat()));
        assert!(!starts_with_host_line(&line[..line.len() - 1]) && !starts_with_host_line(&line[1..]));
    }

    proptest! {
        #[test]
        fn any_stale_bytes_split_anywhere_never_hide_a_greeting(
            stale in proptest::collection::vec(any::<u8>(), 0..300),
            between in proptest::collection::vec(any::<u8>(), 0..100),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let input = [&stale[..], &hello("1"), &between, &hello("1"), HTTP2_PREFACE].concat();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).collect();
            at.extend([0, input.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(run(&pieces), (vec![format!("PYRO-AGENT/1 {NONCE}\n"); 2], true));
        }

        #[test]
        fn memory_stays_bounded(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut greeting = Greeting::default();
            greeting.feed(&noise);
            prop_assert!(greeting.window.len() <= WINDOW_BYTES);
        }
    }
}
