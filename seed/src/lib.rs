//! A tree as one stream of bytes, and both ends of it: reading a directory into one, making the tree of one. The host and the
//! guest agent have the same, so that what goes in and what comes out is treated alike.

pub mod fill;
mod git_config;
mod git_link;
pub mod names;
pub mod packing;
pub mod places;
pub mod removal;
pub mod report;
pub mod secrets;
pub mod selection;
pub mod stream;
pub mod walk;
pub mod xattrs;

pub use git_config::without_credentials;
