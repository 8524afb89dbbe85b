//! Commands: from a validated request through launch, output and end to release.

pub mod attachment;
pub mod command;
pub mod environment;
pub mod group;
pub mod id;
pub mod launch;
pub mod outcome;
pub mod output;
pub mod output_log;
mod pipes;
mod pump;
pub mod registry;
pub mod request;
pub mod stdin;
mod supervision;
mod terminal;
