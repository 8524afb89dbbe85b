//! Users and groups from the guest's `/etc/passwd` and `/etc/group`, read by hand: a static glibc binary cannot use NSS.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::boot::filesystems::ensure_directory;
use crate::system_error::{Doing, SystemError};

/// Most that is read of either file, in bytes. A guest's root may put anything there.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Who owns an empty workspace, besides root the user that every workspace has: the first that Debian's adduser would give.
pub const WORKSPACE_UID: u32 = 1000;
/// That user's name, where the image has none of this number.
const WORKSPACE_USER: &str = "dev";

/// Whom a command runs as (passwd(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, the primary one among them.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl User {
    /// The superuser as every system has it, for an image without `/etc/passwd`.
    #[must_use]
    pub fn root() -> Self {
        Self { name: "root".into(), uid: 0, gid: 0, groups: vec![0], home: "/root".into(), shell: "/bin/sh".into() }
    }
}

/// There is no such user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownUser(String);

impl fmt::Display for UnknownUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "user {}: not in the guest's /etc/passwd", self.0)
    }
}

/// Finds a user by name or numeric id; the empty name is root.
///
/// # Errors
/// The user is not in `/etc/passwd`.
pub fn find_user(name_or_uid: &str) -> Result<User, UnknownUser> {
    let passwd = read_bounded(PASSWD).unwrap_or_default();
    let group = read_bounded(GROUP).unwrap_or_default();
    let wanted = if name_or_uid.is_empty() { "root" } else { name_or_uid };
    match lookup(&passwd, &group, wanted) {
        Some(user) => Ok(user),
        None if wanted == "root" || wanted == "0" => Ok(User::root()),
        None => Err(UnknownUser(wanted.to_owned())),
    }
}

/// Gives the user's root a user [`WORKSPACE_UID`], for what refuses to run as root, unless it has one.
///
/// # Errors
/// The file or directory that could not be written.
pub fn add_workspace_user() -> Result<(), SystemError> {
    let passwd = read_bounded(PASSWD).unwrap_or_default();
    if passwd.lines().filter_map(parse_user).any(|user| user.uid == WORKSPACE_UID) {
        return Ok(());
    }
    let home = format!("/home/{WORKSPACE_USER}");
    ensure_directory(Path::new(&home))?;
    std::os::unix::fs::chown(&home, Some(WORKSPACE_UID), Some(WORKSPACE_UID)).doing(|| format!("chown {home}"))?;
    let group = read_bounded(GROUP).unwrap_or_default();
    if !group.lines().any(|line| line.split(':').nth(2) == Some("1000")) {
        append(GROUP, &group, &format!("{WORKSPACE_USER}:x:{WORKSPACE_UID}:"))?;
    }
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    // Last: a crash before it does all of it again.
    let line = format!("{WORKSPACE_USER}:x:{WORKSPACE_UID}:{WORKSPACE_UID}::{home}:{shell}");
    append(PASSWD, &passwd, &line)
}

/// Adds a line to a file with this content, which may lack its last line feed.
fn append(path: &str, content: &str, line: &str) -> Result<(), SystemError> {
    let before = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let opened = File::options().append(true).create(true).mode(0o644).custom_flags(flags).open(path);
    let text = format!("{before}{line}\n");
    opened.and_then(|mut file| file.write_all(text.as_bytes())).doing(|| format!("write {path}"))
}

/// Names win over numbers, as in chown(1).
fn lookup(passwd: &str, group: &str, wanted: &str) -> Option<User> {
    let users = || passwd.lines().filter_map(parse_user);
    let mut user = users().find(|user| user.name == wanted).or_else(|| {
        let uid = wanted.parse().ok()?;
        users().find(|user| user.uid == uid)
    })?;
    user.groups.extend(group.lines().filter_map(|line| group_with(line, &user.name)).filter(|gid| *gid != user.gid));
    Some(user)
}

/// `name:password:uid:gid:comment:home:shell`
fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
    let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    Some(User { name: name.into(), uid, gid, groups: vec![gid], home: or(home, "/"), shell: or(shell, "/bin/sh") })
}

/// The id of a group (`name:password:gid:member,member`) that has `user` as a member.
fn group_with(line: &str, user: &str) -> Option<u32> {
    let mut fields = line.split(':').skip(2);
    let (gid, members) = (fields.next()?, fields.next()?);
    members.split(',').any(|member| member == user).then(|| gid.parse().ok())?
}

/// Never waits, whatever is at the path: O_NONBLOCK keeps a FIFO from blocking the agent.
fn read_bounded(path: &str) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\n1000:x:7:7::/seven:\ndev:x:1000:1000:Dev,,,:/home/dev:/bin/zsh\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:dev,other\ndev:x:1000:dev\ndevs:x:30:devel\n";

    #[test]
    fn a_name_is_found_with_its_groups() {
        let user = lookup(PASSWD, GROUP, "dev").unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (1000, 1000, vec![1000, 27]));
        assert_eq!((user.home.as_str(), user.shell.as_str()), ("/home/dev", "/bin/zsh"));
    }

    #[test]
    fn a_number_that_is_also_a_name_is_the_name() {
        assert_eq!(lookup(PASSWD, GROUP, "1000").unwrap().uid, 7);
        assert_eq!(lookup(PASSWD, GROUP, "7").unwrap().shell, "/bin/sh");
    }

    #[test]
    fn an_unknown_user_is_not_invented() {
        assert_eq!(lookup(PASSWD, GROUP, "4711"), None);
    }
}
