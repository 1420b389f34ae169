//! Items that are sent together: spans, or records of a log. Both lie in their requests under the same numbers.

use bytes::Bytes;

use super::protobuf::Message;

/// Number of a span among the fields of `ScopeSpans`, and of a record among those of `ScopeLogs`.
const ITEM: u32 = 2;

/// Items of one request, as fields of its `ScopeSpans` or `ScopeLogs`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The head of the request has room before them: what is long is not copied for it.
    message: Message,
    room: usize,
    count: usize,
}

impl Batch {
    pub(super) fn with_capacity(room: usize, bytes: usize) -> Self {
        Self::over(Vec::with_capacity(room + bytes), room)
    }

    /// Nothing, where something was that is not needed any more.
    pub(super) fn over(mut used: Vec<u8>, room: usize) -> Self {
        used.clear();
        used.resize(room, 0);
        Self { message: Message::over(used), room, count: 0 }
    }

    pub(crate) fn push(&mut self, item: &Message) {
        self.message.reserve(Message::size(item.as_bytes().len()));
        self.message.bytes(ITEM, item.as_bytes());
        self.count += 1;
    }

    pub(super) fn append(&mut self, others: &Self) {
        self.message.append(others.items());
        self.count += others.count;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Nothing is in it, and its room is kept.
    pub(crate) fn clear(&mut self) {
        *self = Self::over(std::mem::take(&mut self.message).into_bytes(), self.room);
    }

    pub(super) fn bytes(&self) -> usize {
        self.items().len()
    }

    fn items(&self) -> &[u8] {
        self.message.as_bytes().get(self.room..).unwrap_or_default()
    }

    /// What comes before the items in one `ExportTraceServiceRequest` or `ExportLogsServiceRequest` with them.
    fn head(&self, resource: &[u8], scope: &[u8]) -> Vec<u8> {
        let of_scope = Message::size(scope.len()) + self.bytes();
        let of_resource = Message::size(resource.len()) + Message::size(of_scope);
        let mut head = Message::with_capacity(head_room(resource, scope));
        head.open(1, of_resource);
        head.bytes(1, resource);
        head.open(2, of_scope);
        head.bytes(1, scope);
        head.into_bytes()
    }

    /// The whole request.
    #[cfg(test)]
    pub(crate) fn request(self, resource: &[u8], scope: &[u8]) -> Bytes {
        self.sealed(resource, scope).1
    }

    /// The request, and all of the memory that it is in.
    pub(super) fn sealed(self, resource: &[u8], scope: &[u8]) -> (Bytes, Bytes) {
        let (head, room) = (self.head(resource, scope), self.room);
        let mut whole = self.message.into_bytes();
        let begin = room.checked_sub(head.len());
        match begin.and_then(|begin| whole.get_mut(begin..room)) {
            Some(place) => place.copy_from_slice(&head),
            None => drop(whole.splice(..room, head)),
        }
        let whole = Bytes::from(whole);
        (whole.clone(), whole.slice(begin.unwrap_or_default()..))
    }
}

/// Bytes that the head of a request takes at most.
pub(super) fn head_room(resource: &[u8], scope: &[u8]) -> usize {
    /// A number, and the length of what is in it.
    const OPEN: usize = 1 + 10;
    2 * OPEN + Message::size(resource.len()) + Message::size(scope.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_with_room_for_its_head_and_without() {
        for (items, bytes) in [(0, 0), (1, 3), (3, 200), (40, 30_000)] {
            let mut item = Message::default();
            item.bytes(5, &vec![7; bytes]);
            for (resource, scope) in [(&b""[..], &b""[..]), (b"resource", b"scope"), (&[1; 300], &[2; 200])] {
                let filled = |mut batch: Batch| {
                    (0..items).for_each(|_| batch.push(&item));
                    assert_eq!(batch.count(), items);
                    batch
                };
                let request = filled(Batch::default()).request(resource, scope);
                let room = head_room(resource, scope);
                let (whole, sealed) = filled(Batch::with_capacity(room, 10)).sealed(resource, scope);
                assert_eq!(sealed, request);
                drop(sealed);
                let used = Vec::from(whole);
                let mut again = Batch::over(used, room);
                assert_eq!((again.count(), again.bytes()), (0, 0));
                again.append(&filled(Batch::default()));
                assert_eq!(again.sealed(resource, scope).1, request);
            }
        }
    }
}
