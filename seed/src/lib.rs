//! A tree as one stream of bytes: what the host writes and the guest agent reads.

pub mod stream;
