//! A command's environment: what the host gave, and what login(1) would add where the host gave nothing.

use bytes::Bytes;

use crate::passwd::User;

/// PATH of Debian's root (`/etc/login.defs`, ENV_SUPATH).
const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// PATH of everyone else (ENV_PATH).
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
/// What a terminal is when the host does not say: what its own emulator most likely understands.
const DEFAULT_TERM: &str = "xterm-256color";

/// Names and values in order; a name given twice keeps its last value, as a shell's `env` does.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(Bytes, Bytes)>);

impl Environment {
    /// What the host gave for a command of `user`, completed.
    #[must_use]
    pub fn complete(given: impl IntoIterator<Item = (Bytes, Bytes)>, user: &User, terminal: bool) -> Self {
        let mut environment = Self::default();
        for (name, value) in given {
            environment.0.retain(|(known, _)| *known != name);
            environment.0.push((name, value));
        }
        environment.set_if_absent("HOME", &user.home);
        environment.set_if_absent("USER", &user.name);
        environment.set_if_absent("LOGNAME", &user.name);
        environment.set_if_absent("SHELL", &user.shell);
        environment.set_if_absent("PATH", if user.uid == 0 { ROOT_PATH } else { USER_PATH });
        if terminal {
            environment.set_if_absent("TERM", DEFAULT_TERM);
        }
        environment
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// `name=value` strings in the form execve(2) takes.
    pub fn strings(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.0.iter().map(|(name, value)| [name, &b"="[..], value].concat())
    }

    fn set_if_absent(&mut self, name: &'static str, value: &str) {
        if self.get(name).is_none() {
            self.0.push((Bytes::from_static(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(given: &[(&'static str, &'static str)], terminal: bool) -> Vec<String> {
        let given = given.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value)));
        let environment = Environment::complete(given, &User::root(), terminal);
        environment.strings().map(|string| String::from_utf8(string).unwrap()).collect()
    }

    #[test]
    fn what_is_absent_is_filled_in_as_at_a_login() {
        let expected = ["HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", &format!("PATH={ROOT_PATH}")];
        assert_eq!(strings(&[], false), expected);
    }

    #[test]
    fn what_the_host_gave_stays_and_the_last_value_counts() {
        let strings = strings(&[("PATH", "/a"), ("HOME", ""), ("PATH", "/b"), ("TERM", "dumb")], true);
        assert_eq!(strings[..3], ["HOME=", "PATH=/b", "TERM=dumb"]);
        assert!(!strings.contains(&format!("TERM={DEFAULT_TERM}")));
    }
}
