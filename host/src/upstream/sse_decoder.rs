//! Server-sent events as they come over the wire: lines in any of the three endings, split anywhere.

use std::{collections::VecDeque, time::Duration};

/// Takes bytes, gives events.
#[derive(Debug)]
pub(crate) struct SseDecoder {
    line: Vec<u8>,
    /// The last byte was a CR, so that an LF now is the second half of one line ending.
    after_cr: bool,
    started: bool,
    data: Option<Vec<u8>>,
    ready: VecDeque<Vec<u8>>,
    /// Bytes that one event may have.
    limit: usize,
    /// The id that was told last: where a stream that broke goes on.
    pub(crate) last_id: Option<String>,
    /// How long to wait before that.
    pub(crate) retry: Option<Duration>,
}

/// An event is larger than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl SseDecoder {
    pub(crate) fn new(limit: usize) -> Self {
        Self { line: Vec::new(), after_cr: false, started: false, data: None, ready: VecDeque::new(), limit, last_id: None, retry: None }
    }

    /// The data of the next whole event.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Another connection begins: half of an event is none.
    pub(crate) fn restart(&mut self) {
        self.line.clear();
        self.data = None;
        self.after_cr = false;
        self.started = false;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = rest.split_at(end);
            self.line.extend_from_slice(head);
            self.check()?;
            rest = match tail {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
            self.end_line();
        }
        self.line.extend_from_slice(rest);
        self.check()
    }

    fn check(&self) -> Result<(), TooLong> {
        // A little more than the data itself: `data: ` and the line's end.
        let length = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if length > self.limit.saturating_add(16) { Err(TooLong) } else { Ok(()) }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = if self.started { &*line } else { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line) };
        self.started = true;
        if line.is_empty() {
            self.ready.extend(self.data.take().filter(|data| !data.is_empty()));
            return;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"id" if !value.contains(&0) => {
                self.last_id = std::str::from_utf8(value).ok().filter(|id| !id.is_empty()).map(str::to_owned);
            }
            b"retry" => {
                let millis = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            // A comment has an empty name.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\xEF\xBB\xBF: hello\r\nid: 7\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nid: 8\rretry: 250\rdata\r\revent: message\ndata:  x: y\n\n\ndata: half";

    #[test]
    fn events_are_the_same_however_the_bytes_come() {
        for size in 1..=STREAM.len() {
            let mut events = SseDecoder::new(100);
            for chunk in STREAM.chunks(size) {
                events.push(chunk).unwrap();
            }
            assert_eq!(events.next().as_deref(), Some(&b"{\"a\":\n1}"[..]), "in pieces of {size}");
            assert_eq!(events.next().as_deref(), Some(&b" x: y"[..]), "in pieces of {size}");
            assert_eq!(events.next(), None);
            assert_eq!((events.last_id.as_deref(), events.retry), (Some("8"), Some(Duration::from_millis(250))));
            events.restart();
            events.push(b"data: z\n\n").unwrap();
            assert_eq!(events.next().as_deref(), Some(&b"z"[..]), "half of an event is none");
        }
    }

    #[test]
    fn an_event_has_a_limit_and_a_stream_has_none() {
        let mut events = SseDecoder::new(100);
        for _ in 0..100 {
            events.push(b"data: 0123456789\n\n").unwrap();
        }
        assert_eq!(events.push(&[b'x'; 200]), Err(TooLong));
        let mut events = SseDecoder::new(100);
        assert!((0..100).any(|_| events.push(b"data: 0123456789\n") == Err(TooLong)), "lines of one event count together");
    }
}
