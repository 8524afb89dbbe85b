//! Threads for work that goes through a tree by calls of a function for each of its levels.

use pyro_seed::stream::MAX_PATH_BYTES;
use tonic::Status;

use super::messages;

/// 8 KiB for each level that a path can have. The smallest machine has 256 MiB, and its kernel refuses a stack that would take
/// all of that.
const STACK_BYTES: usize = MAX_PATH_BYTES / 2 * (8 << 10);

/// Has it done beside the calls.
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Status> {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map_err(messages::internal)?;
    Ok(())
}
