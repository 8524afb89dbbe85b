//! A workspace's volume: one btrfs on the drive `volume`, mounted where the user's root does not reach.
//!
//! ```text
//! live/workspace      subvolume: the user's /workspace
//! live/system         subvolume: the overlay's upper and work directories, what the user changed of /
//! baseline            read-only subvolume: the workspace as it was made
//! snapshots/ID        read-only subvolumes
//! snapshots/frozen.N  the same, for as long as somebody reads them (`frozen`)
//! next                what will take the place of `live`, or has been it
//! room                an empty directory, for a moment: whether there is room for one
//! incoming, before    what is on its way in (`incoming`)
//! ```
//!
//! Names of the user's lie below these, never beside them. Nothing is overwritten in place: a new `live` is made as `next`
//! and exchanged in one step, so that a crash leaves the old one or the new one.

mod btrfs;
mod frozen;
mod incoming;
mod layout;
mod mounted;
mod nursery;
mod pins;
mod reserve;
mod search;
mod setup;
mod snapshots;
mod top;
mod touched;
mod tree;
mod trees;

pub use mounted::{State, Volume};
pub use nursery::{Nursery, sprout};
pub use pins::Pin;
use setup::BASELINE;
pub use setup::{Setup, SnapshotId, Source};
use top::open_directory;
pub use tree::TreeCount;
pub(crate) use tree::for_each_entry;
pub use trees::Later;
