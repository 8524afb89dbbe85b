//! What makes a machine itself and nobody's clone: host name, machine-id, boot_id.

use std::fs::{self, File};
use std::io::Write;
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

/// Sets the host name in the kernel and writes it, with the machine-id, into the user's `/etc`.
pub(super) fn write(hostname: &str, machine_id: &str) -> Result<(), SystemError> {
    rustix::system::sethostname(hostname.as_bytes()).doing(|| "set the host name")?;
    ensure_directory(Path::new("/etc"))?;
    replace("/etc/hostname", &format!("{hostname}\n"), 0o644)?;
    replace("/etc/machine-id", &format!("{machine_id}\n"), 0o444)?;
    // There is no DNS: without this line sudo and many a server wait for the name of their own machine.
    let hosts = fs::read_to_string(HOSTS).unwrap_or_else(|_| DEFAULT_HOSTS.to_owned());
    replace(HOSTS, &format!("{}\n127.0.1.1\t{hostname}\n", hosts.trim_end()), 0o644)
}

/// Makes a new boot id and puts it over the kernel's, which all clones of a template share. `private` is a directory
/// outside the user's root. The id is handed to `in_users_root` as a mount to attach once that root is entered.
pub(super) fn new_boot_id(private: &Path) -> Result<BootId, SystemError> {
    let mut random = [0_u8; 16];
    getrandom(&mut random, GetRandomFlags::empty()).doing(|| "getrandom")?;
    let text = uuid_version_4(random);
    let path = private.join("boot_id");
    replace(&path, &format!("{text}\n"), 0o444)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, &path, flags).doing(|| format!("clone mount {}", path.display()))?;
    Ok(BootId { text, tree })
}

/// A boot id that waits for its place.
pub(super) struct BootId {
    text: String,
    tree: std::os::fd::OwnedFd,
}

impl BootId {
    /// Mounts it over the kernel's in the current root and gives its text.
    pub(super) fn attach(self) -> Result<String, SystemError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&self.tree, "", rustix::fs::CWD, BOOT_ID, flags)
            .doing(|| format!("mount a boot id on {BOOT_ID}"))?;
        Ok(self.text)
    }
}

/// Writes a new file in place of whatever is there: an image may have a link, even one to `/dev/null`.
fn replace(path: impl AsRef<Path>, text: &str, mode: u32) -> Result<(), SystemError> {
    let path = path.as_ref();
    let _ = fs::remove_file(path);
    File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .doing(|| format!("write {}", path.display()))
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
