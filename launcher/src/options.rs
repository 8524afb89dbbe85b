//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, PathBuf};

use rustix::process::Resource;

use crate::failure::Failure;

pub(crate) const USAGE: &str = "\
Usage: pyro-launch [OPTIONS] -- PROGRAM [ARG]...

       pyro-launch --seal PATH [--seal PATH]...
       pyro-launch --await PID START

Prepares this process and becomes PROGRAM. Relative paths are taken from where it is started.

  --lock PATH            hold an exclusive lock on PATH (made, 0600) for PROGRAM's life; busy: exit 75
  --lock-wait-ms N       wait so long for a lock that is busy (default 0)
  --stdout PATH          append standard output to PATH (made, 0600, no symbolic link)
  --stderr PATH          the same for standard error
  --keep-stdin           leave standard input as it is; otherwise it is /dev/null
  --keep-fd N            leave descriptor N open; every other one above 2 is closed (repeatable)
  --rlimit NAME=VALUE    soft and hard limit: core, nofile, nproc, fsize, as, memlock; a number or unlimited (repeatable)
  --umask MODE           file mode mask, octal
  --new-session          lead a session of its own
  --no-new-privileges    never gain privileges by exec
  --chdir DIR            working directory

For a VMM, which is then a child of this process:
  --log PATH             stay as its monitor and copy its output to PATH; SIGTERM kills it; its end is passed on
  --log-bytes N          most bytes of that file, of which the last half is always there (default 262144)
  --namespaces           mount, pid, network, ipc and uts namespaces of its own; for a plain user also a user namespace
  --root                 a root of its own, with only what the following name, at the same paths
  --read-only PATH       a file or directory in the root (repeatable)
  --writable PATH        the same, for writing (repeatable)
  --device PATH          a device node in the root; its group is given to the program (repeatable)
  --own-descriptors      /dev/fd in the root: the program's own descriptors
  --user ID              become this user and the group of the same number
  --drop-capabilities    without any capability in any set

--seal makes a sealed copy of each file in memory, prints the descriptors' numbers in one line, and ends with standard
input. The copies can be mapped and read by whoever opens /proc/PID/fd/N, and written by nobody.

--await ends when process PID does, at once when it is not the one that began at START (proc_pid_stat(5), field 22), and with
standard input.

  --help                 this text
";

/// Most bytes of a program's log unless it is said.
const LOG_BYTES: u64 = 256 * 1024;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    Help,
    /// Files to seal.
    Seal(Vec<PathBuf>),
    /// The process to wait for.
    Await {
        pid: i32,
        start_ticks: u64,
    },
    Launch(Box<Options>),
}

/// A launch as it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) lock: Option<PathBuf>,
    pub(crate) lock_wait_ms: u64,
    pub(crate) stdout: Option<PathBuf>,
    pub(crate) stderr: Option<PathBuf>,
    pub(crate) keep_stdin: bool,
    pub(crate) kept_descriptors: Vec<RawFd>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) umask: Option<u32>,
    pub(crate) new_session: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) namespaces: bool,
    pub(crate) root: bool,
    pub(crate) contents: Vec<Content>,
    pub(crate) own_descriptors: bool,
    pub(crate) user: Option<u32>,
    pub(crate) drop_capabilities: bool,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// Where a program's output is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Monitor {
    pub(crate) log: PathBuf,
    pub(crate) log_bytes: u64,
}

/// What may be done with something in the program's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    Writable,
    Device,
}

/// Something in the program's root, at the same path as outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
}

/// A resource limit; no value is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) resource: Resource,
    pub(crate) value: Option<u64>,
}

/// Limits that can be set, by the names of limits.conf(5).
const LIMITS: [(&str, Resource); 6] = [
    ("core", Resource::Core),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("fsize", Resource::Fsize),
    ("as", Resource::As),
    ("memlock", Resource::Memlock),
];

/// Reads the arguments after the launcher's own name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
    let mut options = Options::default();
    let mut sealed = Vec::new();
    let (mut log, mut log_bytes) = (None, LOG_BYTES);
    loop {
        let Some(argument) = arguments.next() else {
            if !sealed.is_empty() && log.is_none() && options == Options::default() {
                return Ok(Invocation::Seal(sealed));
            }
            return Err(Failure::usage("--", "expected before the program"));
        };
        let name = argument.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| Failure::usage(name.as_str(), "expected a value"));
        match name.as_str() {
            "--help" => return Ok(Invocation::Help),
            "--" => break,
            "--lock" => options.lock = Some(value()?.into()),
            "--lock-wait-ms" => options.lock_wait_ms = number(&name, &value()?)?,
            "--stdout" => options.stdout = Some(value()?.into()),
            "--stderr" => options.stderr = Some(value()?.into()),
            "--keep-stdin" => options.keep_stdin = true,
            "--keep-fd" => options.kept_descriptors.push(descriptor(&value()?)?),
            "--rlimit" => options.limits.push(limit(&value()?)?),
            "--umask" => options.umask = Some(umask(&value()?)?),
            "--new-session" => options.new_session = true,
            "--no-new-privileges" => options.no_new_privileges = true,
            "--chdir" => options.directory = Some(value()?.into()),
            "--await" if options == Options::default() => {
                let pid = number(&name, &value()?)?;
                let start_ticks = number(&name, &arguments.next().unwrap_or_default())?;
                return match arguments.next() {
                    None => Ok(Invocation::Await { pid, start_ticks }),
                    Some(more) => Err(Failure::usage(more.to_string_lossy(), "--await takes no program")),
                };
            }
            "--seal" => sealed.push(value()?.into()),
            "--log" => log = Some(value()?.into()),
            "--log-bytes" => log_bytes = number(&name, &value()?)?,
            "--namespaces" => options.namespaces = true,
            "--root" => options.root = true,
            "--read-only" => options.contents.push(content(&name, value()?, Access::ReadOnly)?),
            "--writable" => options.contents.push(content(&name, value()?, Access::Writable)?),
            "--device" => options.contents.push(content(&name, value()?, Access::Device)?),
            "--own-descriptors" => options.own_descriptors = true,
            "--user" => options.user = Some(number(&name, &value()?)?),
            "--drop-capabilities" => options.drop_capabilities = true,
            _ => return Err(Failure::usage(name, "unknown option")),
        }
    }
    options.monitor = log.map(|log| Monitor { log, log_bytes });
    check_together(&options, &sealed)?;
    options.program = arguments.next().ok_or_else(|| Failure::usage("PROGRAM", "expected after --"))?;
    options.arguments = arguments.collect();
    Ok(Invocation::Launch(Box::new(options)))
}

/// Refuses combinations that would leave something out without a word.
fn check_together(options: &Options, sealed: &[PathBuf]) -> Result<(), Failure> {
    if !sealed.is_empty() {
        return Err(Failure::usage("--seal", "takes no program"));
    }
    if options.lock_wait_ms > 0 && options.lock.is_none() {
        return Err(Failure::usage("--lock-wait-ms", "needs --lock"));
    }
    // A process enters a pid namespace only by its children.
    if options.namespaces && options.monitor.is_none() {
        return Err(Failure::usage("--namespaces", "needs --log"));
    }
    if options.root && !options.namespaces {
        return Err(Failure::usage("--root", "needs --namespaces"));
    }
    if options.root && options.directory.is_none() {
        return Err(Failure::usage("--root", "needs --chdir"));
    }
    Ok(())
}

/// A root is put together of paths that mean the same inside and outside.
fn content(name: &str, value: OsString, access: Access) -> Result<Content, Failure> {
    let path = PathBuf::from(value);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain {
        Ok(Content { path, access })
    } else {
        Err(Failure::usage(name, "expected an absolute path without .."))
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &OsStr) -> Result<T, Failure> {
    value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| Failure::usage(name, "expected a number"))
}

fn descriptor(value: &OsStr) -> Result<RawFd, Failure> {
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 2);
    number.ok_or_else(|| Failure::usage("--keep-fd", "expected a descriptor above 2"))
}

fn limit(value: &OsStr) -> Result<Limit, Failure> {
    let wrong = || Failure::usage("--rlimit", "expected NAME=VALUE, as in core=0 or nofile=unlimited");
    let (name, value) = value.to_str().and_then(|text| text.split_once('=')).ok_or_else(wrong)?;
    let (name, resource) = LIMITS.into_iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
    let value = if value == "unlimited" { None } else { Some(value.parse().map_err(|_| wrong())?) };
    Ok(Limit { name, resource, value })
}

fn umask(value: &OsStr) -> Result<u32, Failure> {
    const MOST: u32 = 0o777;
    let digits = std::str::from_utf8(value.as_bytes()).ok();
    let mode = digits.and_then(|text| u32::from_str_radix(text, 8).ok()).filter(|mode| *mode <= MOST);
    mode.ok_or_else(|| Failure::usage("--umask", "expected an octal mode, as in 077"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, Failure> {
        match parse(arguments.iter().map(OsString::from))? {
            Invocation::Launch(options) => Ok(*options),
            other => panic!("{other:?} was not asked for"),
        }
    }

    #[test]
    fn everything_after_the_dashes_is_the_program() {
        let options = parsed(&["--rlimit", "core=0", "--umask", "077", "--", "ls", "--lock", "--"]).unwrap();
        assert_eq!((options.program, options.arguments), ("ls".into(), vec!["--lock".into(), "--".into()]));
        assert_eq!(options.limits, [Limit { name: "core", resource: Resource::Core, value: Some(0) }]);
        assert_eq!((options.umask, options.lock), (Some(0o077), None));
    }

    #[test]
    fn what_is_wrong_is_a_usage_failure() {
        for wrong in [
            &["ls"][..],
            &["--"],
            &["--lock"],
            &["--lok", "x", "--", "ls"],
            &["--keep-fd", "2", "--", "ls"],
            &["--rlimit", "cpu=1", "--", "ls"],
            &["--rlimit", "core=-1", "--", "ls"],
            &["--umask", "8", "--", "ls"],
            &["--lock-wait-ms", "1", "--", "ls"],
            &["--lock", "x", "--lock-wait-ms", "-1", "--", "ls"],
            &["--umask", "7777", "--", "ls"],
            &["--namespaces", "--", "ls"],
            &["--log", "log", "--root", "--chdir", "/", "--", "ls"],
            &["--log", "log", "--namespaces", "--root", "--", "ls"],
            &["--log", "log", "--read-only", "relative", "--", "ls"],
            &["--log", "log", "--writable", "/a/../b", "--", "ls"],
            &["--log", "log", "--user", "-1", "--", "ls"],
            &["--seal", "file", "--", "ls"],
            &["--seal", "file", "--umask", "0"],
            &["--await", "1"],
            &["--await", "1", "x"],
            &["--await", "1", "2", "--", "ls"],
            &["--umask", "0", "--await", "1", "2"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), std::process::ExitCode::from(64), "{wrong:?}");
        }
    }
}
