//! What makes a machine itself and nobody's clone: host name, machine-id, boot_id.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::boot::filesystems::ensure_directory;
use crate::system_error::{Doing, SystemError};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const HOSTS: &str = "/etc/hosts";
/// Hosts that every system knows (hosts(5)); an image without a file of its own gets them.
const DEFAULT_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// A machine's own name is at this address (Debian Reference, "The hostname resolution").
const OWN_ADDRESS: &str = "127.0.1.1";

/// The files of `/etc` that name a machine, made while nobody knows its names and written when they are known.
pub(super) struct IdentityFiles {
    hostname: File,
    machine_id: File,
    hosts: File,
}

impl IdentityFiles {
    /// Makes them in the user's root, which is this process's.
    pub(super) fn create() -> Result<Self, SystemError> {
        ensure_directory(Path::new("/etc"))?;
        // There is no DNS: without a line in it sudo and many a server wait for the name of their own machine.
        let known_hosts = fs::read_to_string(HOSTS).unwrap_or_else(|_| DEFAULT_HOSTS.to_owned());
        let mut hosts = replace(HOSTS, 0o644)?;
        // A root that was a machine's before has the line of that one.
        let others: Vec<&str> = known_hosts.trim_end().lines().filter(|line| !line.starts_with(OWN_ADDRESS)).collect();
        write(&mut hosts, &format!("{}\n", others.join("\n")))?;
        Ok(Self { hostname: replace("/etc/hostname", 0o644)?, machine_id: replace("/etc/machine-id", 0o444)?, hosts })
    }

    /// Writes the names, and sets the kernel's host name.
    pub(super) fn write(mut self, hostname: &str, machine_id: &str) -> Result<(), SystemError> {
        rustix::system::sethostname(hostname.as_bytes()).doing(|| "set the host name")?;
        write(&mut self.hostname, &format!("{hostname}\n"))?;
        write(&mut self.machine_id, &format!("{machine_id}\n"))?;
        write(&mut self.hosts, &format!("{OWN_ADDRESS}\t{hostname}\n"))
    }
}

/// A boot id to be, over the kernel's, which all clones of a template share.
pub(super) struct BootId(File);

/// The file of a boot id as a mount, which waits for its place.
pub(super) struct BootIdMount(OwnedFd);

impl BootId {
    /// Makes its file in `private`, a directory outside the user's root.
    pub(super) fn create(private: &Path) -> Result<(Self, BootIdMount), SystemError> {
        let path = private.join("boot_id");
        let file = replace(&path, 0o444)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(rustix::fs::CWD, &path, flags).doing(|| format!("clone mount {}", path.display()))?;
        Ok((Self(file), BootIdMount(tree)))
    }

    /// Chooses the id, by the kernel's generator as it is now, and gives its text.
    pub(super) fn write(mut self) -> Result<String, SystemError> {
        let mut random = [0_u8; 16];
        getrandom(&mut random, GetRandomFlags::empty()).doing(|| "getrandom")?;
        let text = uuid_version_4(random);
        write(&mut self.0, &format!("{text}\n"))?;
        Ok(text)
    }
}

impl BootIdMount {
    /// Mounts it over the kernel's in the user's root, which is this process's.
    pub(super) fn attach(self) -> Result<(), SystemError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&self.0, "", rustix::fs::CWD, BOOT_ID, flags).doing(|| format!("mount a boot id on {BOOT_ID}"))
    }
}

/// A new, empty file in place of whatever is there: an image may have a link, even one to `/dev/null`.
fn replace(path: impl AsRef<Path>, mode: u32) -> Result<File, SystemError> {
    let path = path.as_ref();
    let _ = fs::remove_file(path);
    let opened = File::options().write(true).create_new(true).mode(mode).open(path);
    opened.doing(|| format!("create {}", path.display()))
}

/// Writes on where the file was left.
fn write(file: &mut File, text: &str) -> Result<(), SystemError> {
    file.write_all(text.as_bytes()).doing(|| "write the machine's names")
}

/// RFC 9562 section 5.4.
fn uuid_version_4(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::uuid_version_4;

    #[test]
    fn a_boot_id_has_the_form_of_a_random_uuid() {
        assert_eq!(uuid_version_4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_version_4([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
