//! Generates the protobuf types and the service from `proto/` with a compiler written in Rust, so no `protoc` is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    const ROOT: &str = "../proto";
    const CONTRACT: &str = "pyro/agent/v1/agent.proto";
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile([CONTRACT], [ROOT])?;
    // `Bytes` instead of `Vec<u8>`: output goes from the ring to the wire without being copied per message.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
