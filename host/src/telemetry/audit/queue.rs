//! What waits to be written, and how much.

use std::sync::{
    atomic::{AtomicU64, AtomicUsize},
    mpsc::SyncSender,
};

use super::line::Record;

pub(super) enum Message {
    Line(Box<Record>),
    /// Tell when everything before this is written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Bytes of arguments in the queue.
    pub(super) bytes: AtomicUsize,
}
