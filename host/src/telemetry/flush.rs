//! How a bounded queue of lines is flushed: a question behind all that waits in it, answered by who writes them.

use std::{
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How long to wait for a place in a full queue.
const RETRY: Duration = Duration::from_millis(5);

/// Waits until what is in the queue up to now is written, for so long at most. Blocks. Whether it is.
/// `question` makes a message of the sender by which the writer answers.
pub(super) fn flush<M>(queue: &SyncSender<M>, question: impl FnOnce(SyncSender<()>) -> M, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    let (done, wait) = sync_channel(1);
    let mut message = question(done);
    // The queue may be full: then there is no place yet for the question either.
    loop {
        match queue.try_send(message) {
            Ok(()) => break,
            Err(TrySendError::Full(back)) if Instant::now() < end => {
                message = back;
                thread::sleep(RETRY);
            }
            Err(_) => return false,
        }
    }
    wait.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
}
