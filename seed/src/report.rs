//! What is said on standard error while a source is read: lines of fields with tabs between them, which the server reads.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::stream::Totals;
use rustix::io::Errno;

/// Time between two lines that say how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// Lines of one kind: enough for a person, and bounded whatever the tree has.
const MAX_LINES: u32 = 20;

/// Why a source was not read to its end.
#[derive(Debug)]
pub enum Failure {
    /// It was changed meanwhile.
    Changed(Vec<u8>),
    /// The system refused something about this path.
    System(Vec<u8>, Errno),
    /// The stream could not be written.
    Output(std::io::Error),
    /// The command line, the archive or the stream is wrong.
    Invalid(String),
    /// What is to be made is there.
    Exists(Vec<u8>),
    /// The file system takes the name of the first path for that of the second one, which is there.
    Twins(Vec<u8>, Vec<u8>),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Counts, and tells.
#[derive(Default)]
pub struct Report {
    /// What would be said, where nobody listens.
    kept: Option<Vec<String>>,
    told: Option<Instant>,
    lines: [u32; 5],
    /// What has no place in a tree: sockets, fifos and devices.
    pub skipped: u64,
    /// What could not be read.
    pub unreadable: u64,
    /// What the files take on the host's disk, in bytes.
    pub disk_bytes: u64,
    /// The latest change of an inode, in nanoseconds since the Unix epoch.
    pub newest_ns: i128,
}

impl Report {
    /// One that keeps what it would say, but for how far it is.
    #[must_use]
    pub fn silent() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// What a silent one has kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.kept.as_deref().unwrap_or_default()
    }

    fn say(&mut self, line: String) {
        match &mut self.kept {
            Some(_) if line.starts_with("progress") => {}
            Some(lines) => lines.push(line),
            None => say(&line),
        }
    }

    /// Says how far it is, now and then.
    pub fn progress(&mut self, totals: Totals) {
        // What takes no time is not told of.
        if self.told.get_or_insert_with(Instant::now).elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.told = Some(Instant::now());
        self.say(format!("progress\t{}\t{}", totals.entries, totals.bytes));
    }

    /// An entry that has no place in a tree.
    pub fn skip(&mut self, kind: &str, path: &[u8]) {
        self.skipped += 1;
        self.line(0, &format!("skipped\t{kind}\t{}", printable(path)));
    }

    /// An entry that cannot be read.
    pub fn unreadable(&mut self, path: &[u8], errno: Errno) {
        self.unreadable += 1;
        self.line(1, &format!("unreadable\t{}\t{}", reason(errno), printable(path)));
    }

    /// A file that by its name holds something secret.
    pub fn secret(&mut self, path: &[u8]) {
        self.line(2, &format!("secret\t{}", printable(path)));
    }

    /// A file that credentials were taken out of, in the copy.
    pub fn redacted(&mut self, path: &[u8]) {
        self.line(3, &format!("redacted\t{}", printable(path)));
    }

    /// A worktree or submodule whose repository is no part of the source.
    pub fn elsewhere(&mut self, path: &[u8], repository: &[u8]) {
        self.line(4, &format!("elsewhere\t{}\t{}", printable(path), printable(repository)));
    }

    /// Says of what was made how many further names of files there are, and how many modes lost bits.
    pub fn made(&mut self, links: u64, lowered: u64) {
        self.say(format!("made\t{links}\t{lowered}"));
    }

    /// Says what there was in all.
    pub fn total(&mut self, totals: Totals) {
        let Totals { entries, bytes } = totals;
        let Self { skipped, unreadable, disk_bytes, newest_ns, .. } = *self;
        self.say(format!("total\t{entries}\t{bytes}\t{skipped}\t{unreadable}\t{disk_bytes}\t{newest_ns}"));
    }

    fn line(&mut self, kind: usize, text: &str) {
        self.lines[kind] += 1;
        if self.lines[kind] <= MAX_LINES {
            self.say(text.to_owned());
        }
    }
}

impl Failure {
    /// Says it on standard error; the exit status that goes with it.
    #[must_use]
    pub fn tell(&self) -> u8 {
        match self {
            Self::Changed(path) => {
                say(&format!("changed\t{}", printable(path)));
                75
            }
            Self::System(path, errno) => {
                say(&format!("failed\t{}\t{}", reason(*errno), printable(path)));
                71
            }
            Self::Output(error) => {
                say(&format!("output\t{}", text(error)));
                74
            }
            Self::Exists(path) => {
                say(&format!("exists\t{}", printable(path)));
                73
            }
            Self::Twins(path, there) => {
                say(&format!("twins\t{}\t{}", printable(path), printable(there)));
                73
            }
            Self::Invalid(why) => {
                say(&format!("invalid\t{}", printable(why.as_bytes())));
                65
            }
        }
    }
}

/// A path that can stand in a line: what is not printable ASCII as `\xNN`.
#[must_use]
pub fn printable(path: &[u8]) -> String {
    let mut text = String::new();
    for byte in path {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

fn reason(errno: Errno) -> String {
    text(&errno.into())
}

/// The system's text without Rust's "(os error 2)".
fn text(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

fn say(line: &str) {
    // There is no one else to tell when that fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}
