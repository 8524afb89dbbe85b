//! From the kernel's first instruction in PID 1 to devices that can be used.

pub mod cmdline;
pub mod devices;
pub mod filesystems;
pub mod limits;
pub mod loopback;
pub mod modules;
