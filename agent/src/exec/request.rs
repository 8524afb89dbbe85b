//! A request to start a command, checked: everything that can be refused before a process exists is refused here.

use std::ffi::CString;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rustix::termios::Winsize;

use super::environment::Environment;
use super::id::{ExecId, InvalidId};
use crate::passwd::{UnknownUser, User, find_user};
use crate::proto;

/// Longest single argument or environment string with its NUL, in bytes (Linux MAX_ARG_STRLEN: 32 pages).
pub const MAX_STRING_BYTES: usize = 128 << 10;
/// Most that arguments and environment take together in the new process, in bytes: Linux gives a quarter of the 8 MiB
/// stack, and the program's path needs some of it (execve(2)).
pub const MAX_STRINGS_BYTES: usize = (2 << 20) - (16 << 10);
/// Longest note, in bytes: List gives those of all commands in one message.
pub const MAX_NOTE_BYTES: usize = 16 << 10;
/// A string's pointer, which execve(2) counts beside the string, in bytes.
const POINTER_BYTES: usize = 8;

/// A command to start.
#[derive(Debug)]
pub struct ExecRequest {
    /// The host's id.
    pub id: ExecId,
    /// Program and arguments; at least one.
    pub argv: Vec<CString>,
    /// `name=value` strings.
    pub environment: Vec<CString>,
    /// The PATH to search the program in.
    pub search_path: Bytes,
    /// Working directory, absolute.
    pub directory: CString,
    /// Whom it runs as.
    pub user: User,
    /// After this everything of the command is killed.
    pub time_limit: Option<Duration>,
    /// Whether its standard input is fed by the host.
    pub stdin: bool,
    /// Size of its terminal, when it gets one.
    pub terminal: Option<Winsize>,
    /// Bytes kept of each stream for readers who come later, the oldest dropped for what follows; none: its output waits.
    pub keep_bytes: Option<usize>,
    /// What the host wants to be told of it.
    pub note: Bytes,
}

/// Why a request is refused; its text names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRequest {
    /// `exec_id`.
    Id(InvalidId),
    /// `user`.
    User(UnknownUser),
    /// `argv` is empty.
    NoProgram,
    /// A string that the kernel cannot be given: the field, and why.
    String(&'static str, &'static str),
    /// Arguments and environment are too long: the field, its bytes, the limit.
    TooLong(&'static str, usize, usize),
    /// `note` is too long.
    Note(usize),
    /// `working_directory` is not absolute.
    RelativeDirectory,
    /// `terminal` has more than 65535 columns or rows.
    TerminalSize,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(invalid) => invalid.fmt(formatter),
            Self::User(unknown) => unknown.fmt(formatter),
            Self::NoProgram => formatter.write_str("argv: expected a program"),
            Self::String(field, reason) => write!(formatter, "{field}: {reason}"),
            Self::TooLong(field, bytes, limit) => write!(formatter, "{field}: {bytes} bytes, the limit is {limit}"),
            Self::Note(bytes) => write!(formatter, "note: {bytes} bytes, the limit is {MAX_NOTE_BYTES}"),
            Self::RelativeDirectory => formatter.write_str("working_directory: expected an absolute path"),
            Self::TerminalSize => formatter.write_str("terminal: expected at most 65535 columns and rows"),
        }
    }
}

impl ExecRequest {
    /// Checks a StartRequest. `workspace` is the default working directory.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn from_proto(request: proto::StartRequest, workspace: &str) -> Result<Self, InvalidRequest> {
        let id = request.exec_id.parse().map_err(InvalidRequest::Id)?;
        let user = find_user(&request.user).map_err(InvalidRequest::User)?;
        let given = request.environment.into_iter().map(|variable| (variable.name, variable.value));
        let given: Vec<(Bytes, Bytes)> = given.map(checked_variable).collect::<Result<_, _>>()?;
        let environment = Environment::complete(given, &user, request.terminal.is_some());
        let search_path = environment.get("PATH").cloned().unwrap_or_default();
        let argv = strings("argv", request.argv.iter().map(|argument| argument.to_vec()))?;
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err(InvalidRequest::NoProgram);
        }
        let environment = strings("environment", environment.strings())?;
        let total = size(&argv) + size(&environment);
        if total > MAX_STRINGS_BYTES {
            return Err(InvalidRequest::TooLong("argv and environment", total, MAX_STRINGS_BYTES));
        }
        let directory = match &request.working_directory[..] {
            b"" => workspace.as_bytes(),
            path if path.starts_with(b"/") => path,
            _ => return Err(InvalidRequest::RelativeDirectory),
        };
        if request.note.len() > MAX_NOTE_BYTES {
            return Err(InvalidRequest::Note(request.note.len()));
        }
        let time_limit = (request.time_limit_ms > 0).then(|| Duration::from_millis(request.time_limit_ms));
        Ok(Self {
            id,
            argv,
            environment,
            search_path,
            directory: string("working_directory", directory.to_vec())?,
            user,
            time_limit,
            stdin: request.stdin,
            terminal: request.terminal.as_ref().map(window_size).transpose()?,
            keep_bytes: (request.keep_bytes > 0).then_some(request.keep_bytes as usize),
            note: request.note,
        })
    }
}

fn checked_variable((name, value): (Bytes, Bytes)) -> Result<(Bytes, Bytes), InvalidRequest> {
    if name.is_empty() || name.contains(&b'=') {
        return Err(InvalidRequest::String("environment", "a name is empty or contains '='"));
    }
    Ok((name, value))
}

fn strings(field: &'static str, values: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, InvalidRequest> {
    values.map(|value| string(field, value)).collect()
}

fn string(field: &'static str, value: Vec<u8>) -> Result<CString, InvalidRequest> {
    if value.len() >= MAX_STRING_BYTES {
        return Err(InvalidRequest::TooLong(field, value.len(), MAX_STRING_BYTES - 1));
    }
    CString::new(value).map_err(|_| InvalidRequest::String(field, "contains a NUL byte"))
}

fn size(strings: &[CString]) -> usize {
    strings.iter().map(|string| string.as_bytes_with_nul().len() + POINTER_BYTES).sum()
}

/// The size of a terminal.
///
/// # Errors
/// It has more than 65535 columns or rows.
pub fn window_size(terminal: &proto::Terminal) -> Result<Winsize, InvalidRequest> {
    let dimension = |value: u32| u16::try_from(value).map_err(|_| InvalidRequest::TerminalSize);
    let (ws_col, ws_row) = (dimension(terminal.columns)?, dimension(terminal.rows)?);
    Ok(Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(argv: &[&'static [u8]]) -> proto::StartRequest {
        let argv = argv.iter().map(|argument| Bytes::from_static(argument)).collect();
        proto::StartRequest { exec_id: "id".into(), argv, ..Default::default() }
    }

    fn refused(request: proto::StartRequest) -> String {
        ExecRequest::from_proto(request, "/workspace").unwrap_err().to_string()
    }

    #[test]
    fn each_refusal_names_its_field() {
        assert_eq!(refused(start(&[])), "argv: expected a program");
        assert_eq!(refused(start(&[b""])), "argv: expected a program");
        assert_eq!(refused(start(&[b"a\0b"])), "argv: contains a NUL byte");
        let relative = proto::StartRequest { working_directory: Bytes::from("src"), ..start(&[b"ls"]) };
        assert_eq!(refused(relative), "working_directory: expected an absolute path");
        let user = proto::StartRequest { user: "no-such-user".into(), ..start(&[b"ls"]) };
        assert_eq!(refused(user), "user no-such-user: not in the guest's /etc/passwd");
        let variable = proto::EnvironmentVariable { name: Bytes::from("A=B"), value: Bytes::new() };
        let environment = proto::StartRequest { environment: vec![variable], ..start(&[b"ls"]) };
        assert_eq!(refused(environment), "environment: a name is empty or contains '='");
    }

    #[test]
    fn what_execve_would_refuse_is_refused_with_its_size() {
        let long = proto::StartRequest { argv: vec![Bytes::from(vec![b'a'; MAX_STRING_BYTES])], ..start(&[]) };
        assert_eq!(refused(long), "argv: 131072 bytes, the limit is 131071");
        let many = proto::StartRequest { argv: vec![Bytes::from(vec![b'a'; 100_000]); 21], ..start(&[]) };
        assert!(refused(many).starts_with("argv and environment: 2100"));
    }

    #[test]
    fn an_argument_need_not_be_text() {
        let request = ExecRequest::from_proto(start(&[b"ls", b"\xff\xfe"]), "/workspace").unwrap();
        assert_eq!(request.argv[1].as_bytes(), b"\xff\xfe");
        assert_eq!(request.directory.as_c_str(), c"/workspace");
    }
}
