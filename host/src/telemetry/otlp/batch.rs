//! Items that are sent together: spans, or records of a log. Both lie in their requests under the same numbers.

use super::protobuf::Message;

/// Number of a span among the fields of `ScopeSpans`, and of a record among those of `ScopeLogs`.
const ITEM: u32 = 2;

/// Items of one request, as fields of its `ScopeSpans` or `ScopeLogs`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    message: Message,
    count: usize,
}

impl Batch {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { message: Message::with_capacity(bytes), count: 0 }
    }

    pub(crate) fn push(&mut self, item: &Message) {
        self.message.reserve(Message::size(item.as_bytes().len()));
        self.message.bytes(ITEM, item.as_bytes());
        self.count += 1;
    }

    pub(super) fn append(&mut self, others: &Self) {
        self.message.append(others.message.as_bytes());
        self.count += others.count;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Nothing is in it, and its room is kept.
    pub(crate) fn clear(&mut self) {
        self.message.clear();
        self.count = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        self.message.as_bytes().len()
    }

    /// One `ExportTraceServiceRequest` or `ExportLogsServiceRequest` with them.
    pub(crate) fn request(&self, resource: &[u8], scope: &[u8]) -> Vec<u8> {
        // What is long is copied once.
        let of_scope = Message::size(scope.len()) + self.bytes();
        let of_resource = Message::size(resource.len()) + Message::size(of_scope);
        let mut request = Message::with_capacity(Message::size(of_resource));
        request.open(1, of_resource);
        request.bytes(1, resource);
        request.open(2, of_scope);
        request.bytes(1, scope);
        request.append(self.message.as_bytes());
        request.into_bytes()
    }
}
