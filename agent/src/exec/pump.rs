//! Carries a command's output from its pipe or terminal into its log.

use std::io;

use rustix::io::Errno;
use tokio::sync::watch;

use super::command::Command;
use super::output::Output;
use crate::watched::Watched;

/// Most that is still carried once the first process has ended, in bytes: a pipe cannot have held more of its output.
/// Without the bound a background process that never stops writing would keep a command from ending.
const DRAIN_LIMIT_BYTES: usize = 1 << 20;
/// Bytes read and dropped at once for background processes.
const DISCARD_BYTES: usize = 64 << 10;

/// Carries until the source ends, or until `first_process_ended` and what it left behind is carried. A source that other
/// processes still write to is given back.
pub(super) async fn carry(
    source: Watched,
    output: &Output,
    command: &Command,
    mut first_process_ended: watch::Receiver<bool>,
) -> Option<Watched> {
    let still_open = loop {
        output.room().await;
        if *first_process_ended.borrow() {
            break drain(&source, output, command).await;
        }
        tokio::select! {
            biased;
            ready = source.readable() => match ready {
                Ok(mut ready) => match ready.try_io(|source| fill(source, output)) {
                    Ok(Ok(0) | Err(_)) => break false,
                    Ok(Ok(_)) => command.announce(),
                    Err(_would_block) => {}
                },
                Err(_) => break false,
            },
            _ = first_process_ended.changed() => {}
        }
    };
    output.complete();
    command.announce();
    still_open.then_some(source)
}

/// Carries what is there now; true when the source is still open.
async fn drain(source: &Watched, output: &Output, command: &Command) -> bool {
    let mut drained = 0;
    while drained < DRAIN_LIMIT_BYTES {
        output.room().await;
        match fill(source, output) {
            Ok(0) => return false,
            Ok(count) => drained += count,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
        command.announce();
    }
    true
}

fn fill(source: &Watched, output: &Output) -> io::Result<usize> {
    let count = output.fill(|slice| rustix::io::read(source.get_ref(), slice).map(|(read, _)| read.len()));
    // A terminal whose last user is gone says EIO instead of 0 (tty_ioctl(4)); any other error is an end as well.
    count.or_else(|errno| if errno == Errno::AGAIN { Err(errno.into()) } else { Ok(0) })
}

/// Reads on and drops everything, so that a process that was left in the background neither blocks on its output nor dies
/// of SIGPIPE.
pub(super) async fn discard(source: Watched) {
    let mut buffer = vec![0; DISCARD_BYTES];
    while let Ok(mut ready) = source.readable().await {
        if let Ok(Ok(0) | Err(_)) = ready.try_io(|source| Ok(rustix::io::read(source, &mut buffer)?)) {
            return;
        }
    }
}
