//! What the host says to the agent on the kernel command line: parameters that start with `pyro.`.

use std::fmt;
use std::str::FromStr;

/// The agent's boot parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParameters {
    /// `pyro.rootfs_type=`: what the drive `pyro-rootfs` is formatted with.
    pub rootfs_type: RootfsType,
    /// `pyro.channel=`: how the host reaches the agent.
    pub channel: ChannelKind,
    /// `pyro.drives=`: names of the drives in the order in which the VMM attached them, separated by commas, for a VMM that
    /// cannot give them serials. Empty: they have serials.
    pub drives: Vec<String>,
}

/// File systems that a root file system image may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootfsType {
    /// squashfs.
    Squashfs,
    /// EROFS.
    Erofs,
    /// ext4, mounted read-only.
    Ext4,
    /// btrfs, mounted read-only.
    Btrfs,
}

impl RootfsType {
    /// The kernel's name for it (mount(2), `filesystemtype`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
        }
    }
}

impl FromStr for RootfsType {
    type Err = InvalidParameter;

    fn from_str(value: &str) -> Result<Self, InvalidParameter> {
        [Self::Squashfs, Self::Erofs, Self::Ext4, Self::Btrfs]
            .into_iter()
            .find(|kind| kind.name() == value)
            .ok_or_else(|| InvalidParameter::new("pyro.rootfs_type", value, "squashfs, erofs, ext4 or btrfs"))
    }
}

/// Transports between host and guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// virtio-serial ports `pyro.control` and `pyro.bulk`.
    Serial,
    /// vsock ports (`channel::ports`).
    Vsock,
}

impl FromStr for ChannelKind {
    type Err = InvalidParameter;

    fn from_str(value: &str) -> Result<Self, InvalidParameter> {
        match value {
            "serial" => Ok(Self::Serial),
            "vsock" => Ok(Self::Vsock),
            _ => Err(InvalidParameter::new("pyro.channel", value, "serial or vsock")),
        }
    }
}

/// A boot parameter with a value that means nothing to this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidParameter {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl InvalidParameter {
    fn new(name: &'static str, value: &str, expected: &'static str) -> Self {
        Self { name, value: value.to_owned(), expected }
    }
}

impl fmt::Display for InvalidParameter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "kernel parameter {}={}: expected {}", self.name, self.value, self.expected)
    }
}

impl std::error::Error for InvalidParameter {}

/// Reads the text of `/proc/cmdline`. Of a parameter given twice the last counts, as in the kernel.
///
/// # Errors
/// A `pyro.` parameter with an unknown value.
pub fn parse(cmdline: &str) -> Result<BootParameters, InvalidParameter> {
    let mut parameters =
        BootParameters { rootfs_type: RootfsType::Squashfs, channel: ChannelKind::Serial, drives: Vec::new() };
    for word in cmdline.split_ascii_whitespace() {
        match word.split_once('=') {
            Some(("pyro.rootfs_type", value)) => parameters.rootfs_type = value.parse()?,
            Some(("pyro.channel", value)) => parameters.channel = value.parse()?,
            Some(("pyro.drives", value)) => parameters.drives = value.split(',').map(str::to_owned).collect(),
            _ => {}
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_values_counts_and_foreign_words_are_skipped() {
        let parameters =
            parse("console=ttyS0 pyro.rootfs_type=ext4 quiet pyro.rootfs_type=erofs pyro.channel=vsock\n").unwrap();
        assert_eq!(parameters.rootfs_type, RootfsType::Erofs);
        assert_eq!(parameters.channel, ChannelKind::Vsock);
        assert!(parameters.drives.is_empty());
    }

    #[test]
    fn drives_are_named_in_their_order() {
        assert_eq!(parse("pyro.drives=rootfs,seed,volume").unwrap().drives, ["rootfs", "seed", "volume"]);
    }

    #[test]
    fn an_unknown_value_is_named_with_what_was_expected() {
        let error = parse("pyro.rootfs_type=ntfs").unwrap_err();
        assert_eq!(
            error.to_string(),
            "kernel parameter pyro.rootfs_type=ntfs: expected squashfs, erofs, ext4 or btrfs"
        );
    }
}
