//! Finds devices by the names the host gave them, waiting for the kernel's event where they are not there yet.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::system_error::{Doing, SystemError};

/// How long a device may take to appear. Under emulation on a busy host it is a matter of a second.
const APPEARANCE_DEADLINE: Duration = Duration::from_secs(30);
/// Largest uevent message (lib/kobject_uevent.c: UEVENT_BUFFER_SIZE and its header), in bytes.
const UEVENT_BYTES: usize = 4 << 10;
/// Netlink multicast group in which the kernel itself announces devices.
const KERNEL_GROUP: u32 = 1;

/// The kernel's announcements of devices. Open it before the modules are loaded, so that none is missed.
pub struct DeviceEvents {
    socket: OwnedFd,
}

impl DeviceEvents {
    /// Starts listening.
    ///
    /// # Errors
    /// What socket(2) or bind(2) says.
    pub fn listen() -> Result<Self, SystemError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))
            .doing(|| "open uevent socket")?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP)).doing(|| "bind uevent socket")?;
        Ok(Self { socket })
    }

    /// Looks until `find` has found, again after every announcement.
    ///
    /// # Errors
    /// ETIMEDOUT after [`APPEARANCE_DEADLINE`], naming `what`.
    pub fn wait_for<T>(&self, what: &str, mut find: impl FnMut() -> Option<T>) -> Result<T, SystemError> {
        let deadline = Instant::now() + APPEARANCE_DEADLINE;
        loop {
            if let Some(found) = find() {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::TIMEDOUT).doing(|| format!("find {what}"));
            }
            self.wait(left).doing(|| "wait for uevents")?;
        }
    }

    /// Waits for an announcement and drops all that have come: what they say is read from sysfs.
    fn wait(&self, timeout: Duration) -> Result<(), Errno> {
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout))?;
        let mut message = [0_u8; UEVENT_BYTES];
        loop {
            match recv(&self.socket, &mut message[..], RecvFlags::empty()) {
                // ENOBUFS: the kernel dropped some; sysfs still has the truth.
                Ok(_) | Err(Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// How the drives of this machine are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drives {
    /// By virtio-blk serials `pyro-<name>`.
    BySerial,
    /// By the order in which the VMM attached those with these names, and no others.
    InOrder(Vec<String>),
}

impl Drives {
    /// The device node of the drive with this name, or none if it is not there yet.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::BySerial => device_by_attribute(Path::new("/sys/block"), "serial", &format!("pyro-{name}")),
            Self::InOrder(names) => drive_in_order(Path::new("/sys/block"), names, name),
        }
    }
}

/// The kernel numbers virtio devices in the order in which it finds them, which is that of the VMM's list. Until all of
/// them are there, a number says nothing.
fn drive_in_order(class: &Path, names: &[String], name: &str) -> Option<PathBuf> {
    let mut disks: Vec<(u32, PathBuf)> = fs::read_dir(class)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|disk| Some((virtio_number(&disk.path())?, Path::new("/dev").join(disk.file_name()))))
        .collect();
    disks.sort();
    let position = names.iter().position(|each| each == name)?;
    let (_, node) = disks.get(position).filter(|_| disks.len() == names.len())?;
    Some(node.clone())
}

/// N of a disk whose device is `virtioN`; none for any other disk.
fn virtio_number(disk: &Path) -> Option<u32> {
    let device = fs::canonicalize(disk.join("device")).ok()?;
    device.file_name()?.to_str()?.strip_prefix("virtio")?.parse().ok()
}

/// The device node of the virtio-serial port with this name.
#[must_use]
pub fn port_by_name(name: &str) -> Option<PathBuf> {
    device_by_attribute(Path::new("/sys/class/virtio-ports"), "name", name)
}

/// Every directory of `class` is a device, named as its node in `/dev` is.
fn device_by_attribute(class: &Path, attribute: &str, value: &str) -> Option<PathBuf> {
    let directory = fs::read_dir(class)
        .ok()?
        .filter_map(Result::ok)
        .find(|device| fs::read_to_string(device.path().join(attribute)).is_ok_and(|text| text.trim_end() == value))?;
    let node = Path::new("/dev").join(directory.file_name());
    node.exists().then_some(node)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn drives_in_order_are_counted_by_number_and_only_when_all_are_there() {
        let class = std::env::temp_dir().join(format!("pyro-drives-{}", std::process::id()));
        let names = ["rootfs", "volume"].map(str::to_owned);
        let attach = |disk: &str, device: &str| {
            fs::create_dir_all(class.join("devices").join(device)).unwrap();
            fs::create_dir_all(class.join("block").join(disk)).unwrap();
            symlink(class.join("devices").join(device), class.join("block").join(disk).join("device")).unwrap();
        };
        let find = |name: &str| drive_in_order(&class.join("block"), &names, name);
        attach("vdb", "virtio2");
        attach("loop0", "not-virtio");
        assert_eq!(find("rootfs"), None);
        attach("vda", "virtio10");
        assert_eq!(find("rootfs"), Some("/dev/vdb".into()));
        assert_eq!(find("volume"), Some("/dev/vda".into()));
        assert_eq!(find("seed"), None);
        fs::remove_dir_all(class).unwrap();
    }
}
