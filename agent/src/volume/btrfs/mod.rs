//! The few calls of btrfs that a volume needs, by ioctl: the user's root may have no tools at all.

mod calls;
mod devices;
mod subvolumes;

pub(super) use calls::checked;
pub(super) use devices::{add_device, device_bytes, remove_seed, resize, scan, scrub, sync_and_clean, trim};
pub(super) use subvolumes::{Access, create, look, remove, set_read_only, snapshot};
