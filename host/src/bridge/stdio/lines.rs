//! Lines of a stream, each in bounds: one that is too long is skipped to its end, and its two ends are kept so that it can be told whose it was.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that are read at once, and that a reader which has nothing to do keeps.
const CHUNK: usize = 16 << 10;

/// What is kept of either end of a line that is too long.
const END: usize = 256;

/// Reads lines.
pub(super) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// So many bytes of the buffer are known to have no newline.
    scanned: usize,
    limit: usize,
    skipping: Option<TooLong>,
    ended: bool,
}

/// What a stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// One line, without its end.
    Whole(BytesMut),
    /// One that was longer than the limit.
    TooLong(TooLong),
    /// The stream ended within a line.
    Cut(BytesMut),
}

/// The ends of a line that was too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    pub(super) length: usize,
}

impl TooLong {
    /// The ends of a line that is there.
    pub(super) fn of(line: &[u8]) -> Self {
        let mut ends = Self { head: Vec::new(), tail: Vec::new(), length: 0 };
        ends.take(line);
        ends
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = END.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(END)..).unwrap_or_default());
        self.tail.drain(..self.tail.len().saturating_sub(END));
        self.length += bytes.len();
    }
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, buffer: BytesMut::with_capacity(CHUNK), scanned: 0, limit, skipping: None, ended: false }
    }

    /// The next line. None: the stream has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            let newline = fresh.iter().position(|byte| *byte == b'\n').map(|at| self.scanned + at);
            if let Some(at) = newline {
                let mut line = self.buffer.split_to(at);
                self.buffer.advance(1);
                self.scanned = 0;
                if let Some(line) = self.end_of_long(&line) {
                    return Ok(Some(Line::TooLong(line)));
                }
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(Line::Whole(line)));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > self.limit || self.skipping.is_some() {
                let long = self.skipping.get_or_insert_with(|| TooLong::of(&[]));
                long.take(&self.buffer);
                // What was read is given back at once, and not kept for a next line of this length.
                self.buffer = BytesMut::with_capacity(CHUNK);
                self.scanned = 0;
            }
            if self.ended {
                let rest = std::mem::take(&mut self.buffer);
                self.scanned = 0;
                return Ok(match (self.end_of_long(&rest), rest.is_empty()) {
                    (Some(long), _) => Some(Line::TooLong(long)),
                    (None, true) => None,
                    (None, false) => Some(Line::Cut(rest)),
                });
            }
            self.buffer.reserve(CHUNK);
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
    }

    fn end_of_long(&mut self, rest: &[u8]) -> Option<TooLong> {
        if rest.len() > self.limit {
            self.skipping.get_or_insert_with(|| TooLong::of(&[]));
        }
        let mut long = self.skipping.take()?;
        long.take(rest);
        Some(long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8], limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(bytes, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        assert_eq!(lines.next().await.unwrap(), None);
        seen
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().into())
    }

    #[tokio::test]
    async fn lines_end_by_a_newline_with_or_without_a_return() {
        assert_eq!(all(b"a\r\n\nb\n", 10).await, [whole("a"), whole(""), whole("b")]);
        assert_eq!(all(b"a\nhalf", 10).await, [whole("a"), Line::Cut(b"half"[..].into())]);
        assert_eq!(all(b"", 10).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_by_its_ends_and_the_next_one_is_read() {
        for length in [11, 100, CHUNK, 10 * CHUNK + 7] {
            let mut bytes = b"head".to_vec();
            bytes.resize(length - 4, b'x');
            bytes.extend_from_slice(b"tail\nnext\n");
            let seen = all(&bytes, 10).await;
            let [Line::TooLong(long), next] = &seen[..] else { panic!("{length}: {seen:?}") };
            assert!(long.head.starts_with(b"head") && long.tail.ends_with(b"tail"), "{length}: {long:?}");
            assert_eq!((long.length, next), (length, &whole("next")));
            assert!(long.head.len() <= END && long.tail.len() <= END);
        }
    }

    #[tokio::test]
    async fn a_line_as_long_as_the_limit_is_whole() {
        assert_eq!(all(b"0123456789\n", 10).await, [whole("0123456789")]);
    }
}
