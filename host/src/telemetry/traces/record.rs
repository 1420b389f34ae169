//! What is left of a span that has ended.

use std::time::{Duration, SystemTime};

use crate::provider::{SpanKind, SpanValue};

/// A span that has ended.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) start: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, SpanValue)>,
    /// What kind of failure, where it is one.
    pub(super) error: Option<String>,
}
