//! The guest agent of pyro. In the order of a guest's life:
//!
//! - [`boot`] makes the kernel's devices usable,
//! - [`channel`] opens byte streams to the host, each with a [`greeting`],
//! - [`service`] answers the host's calls on them,
//! - [`guest`] turns the machine into somebody's: entropy, clock, identity, root file system,
//! - [`volume`] is what a workspace keeps, [`seed`] what it begins with, [`changes`] what has become of it, and a patch changes it,
//! - [`exec`] runs commands, and [`reaper`] takes in what died,
//! - [`alone`] ends a machine that no host comes back to.

pub mod alone;
pub mod boot;
pub mod changes;
pub mod channel;
pub mod console;
pub mod exec;
mod files;
pub mod greeting;
pub mod guest;
pub mod kernel_files;
pub mod passwd;
mod patch;
pub mod proto;
pub mod reaper;
pub mod seed;
pub mod service;
pub mod system_error;
pub mod volume;
mod watched;
