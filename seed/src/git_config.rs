//! Taking credentials out of a git configuration, in the copy: what clones with a token leave in it would otherwise be in
//! every workspace, and in all that is made of one.

use std::ffi::CStr;

/// Keys whose values are secrets, whatever section they are in (compared in lower case).
const SECRET_KEYS: [&str; 7] = ["extraheader", "password", "token", "secret", "smtppass", "apikey", "oauthtoken"];

/// Whether a file in a git directory is a configuration.
pub(crate) fn is_one(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"config" | b"config.worktree")
}

/// The configuration without credentials; none when it has none.
#[must_use]
pub fn without_credentials(content: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(content.len());
    for line in logical_lines(content) {
        if !is_secret(line) {
            clean.extend_from_slice(&without_userinfo(line));
        }
    }
    (clean != content).then_some(clean)
}

/// Lines with those that go on in the next one joined to it.
fn logical_lines(content: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut start) = (Vec::new(), 0);
    for (index, _) in content.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let line = content[start..index].strip_suffix(b"\r").unwrap_or(&content[start..index]);
        let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            lines.push(&content[start..=index]);
            start = index + 1;
        }
    }
    if start < content.len() {
        lines.push(&content[start..]);
    }
    lines
}

/// Whether a line sets a secret: `key = value`, also behind a section's head, or a helper that is a script of its own.
fn is_secret(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let setting = match text.trim_start() {
        head if head.starts_with('[') => head.split_once(']').map_or("", |(_, rest)| rest),
        setting => setting,
    };
    let Some((key, value)) = setting.split_once('=') else { return false };
    let key = key.trim().to_ascii_lowercase();
    let inline_helper = key == "helper" && value.trim_start().trim_start_matches('"').starts_with('!');
    inline_helper || SECRET_KEYS.iter().any(|secret| key.ends_with(secret))
}

/// Takes `user:password@` out of every address on the line. A user alone stays where it is no token: in ssh's addresses.
fn without_userinfo(line: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(found) = rest.windows(3).position(|window| window == b"://") {
        let (before, after) = rest.split_at(found + 3);
        clean.extend_from_slice(before);
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'"' | b' ' | b'\t' | b'\n' | b'\r');
        let authority = &after[..after.iter().position(is_end).unwrap_or(after.len())];
        if let Some(at) = authority.iter().rposition(|byte| *byte == b'@') {
            let user = authority[..at].split(|byte| *byte == b':').next().unwrap_or_default();
            if before.ends_with(b"ssh://") && !user.is_empty() {
                clean.extend_from_slice(user);
                clean.push(b'@');
            }
            rest = &after[at + 1..];
        } else {
            rest = after;
        }
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_and_the_rest_stays() {
        let config = b"[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://me:t0ken@host.example/x.git\n\
            \tpushurl = ssh://git:pw@host.example/x\n[http \"https://t0ken@host.example/\"]\n\textraHeader = AUTHORIZATION: t0ken\\\n more t0ken\n\
            [http] extraheader = t0ken\n[url \"https://t0ken@h/\"]\n\tinsteadOf = https://h/\n[credential]\n\thelper = \"!echo password=t0ken\"\n\
            \thelper = store\n[github]\n\tuser = me\n\ttoken = t0ken\n# https://u:t0ken@h/a\n[branch \"m\"]\n\tmerge = refs/heads/m";
        let clean = String::from_utf8(without_credentials(config).unwrap()).unwrap();
        assert!(!clean.contains("t0ken") && !clean.contains("pw"), "{clean}");
        for kept in [
            "url = https://host.example/x.git",
            "ssh://git@host.example/x",
            "helper = store",
            "user = me",
            "refs/heads/m",
        ] {
            assert!(clean.contains(kept), "{kept} in {clean}");
        }
    }

    #[test]
    fn a_configuration_without_credentials_is_left_as_it_is() {
        for config in [
            &b""[..],
            b"[remote \"origin\"]\n\turl = https://host.example/a@b.git\n\turl = git@host.example:x\n",
            b"[remote \"o\"]\n\turl = ssh://git@host.example/x\n\turl = \xff\\\n",
        ] {
            assert_eq!(without_credentials(config), None);
        }
    }
}
