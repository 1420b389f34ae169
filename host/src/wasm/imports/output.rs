//! What a plugin writes for people: stdout, stderr and the import `log`, as lines in the operator's log, so many a second.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::provider::LogLevel;

/// Bytes of one line; what is longer is cut.
const LINE: usize = 4 << 10;

/// Bytes of a usual line. A longer one counts as several.
const USUAL: usize = 256;

/// Bytes of the name under which a plugin logs.
const SOURCE: usize = 128;

/// Bytes that a guest may write to stdout or stderr at once.
const WRITE: usize = 64 << 10;

/// The log of one plugin, of all its calls together.
#[derive(Debug)]
pub(crate) struct Output {
    plugin: Arc<str>,
    /// Lines a second, and at once.
    rate: u32,
    bucket: Mutex<Bucket>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Output {
    pub(crate) fn new(plugin: &str, rate: u32) -> Self {
        Self {
            plugin: plugin.into(),
            rate,
            bucket: Mutex::new(Bucket { left: f64::from(rate), at: Instant::now() }),
            dropped: AtomicU64::new(0),
        }
    }

    /// Whether another line of so many bytes may be written. What is over the rate is counted, and told with the next line that may.
    pub(crate) fn admit(&self, bytes: usize) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.at).as_secs_f64() * f64::from(self.rate);
        bucket.left = (bucket.left + gained).min(f64::from(self.rate));
        bucket.at = now;
        if bucket.left < 1.0 {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        // A long line is paid for by those after it.
        let lines = bytes.min(LINE).div_ceil(USUAL).max(1);
        bucket.left -= u32::try_from(lines).map_or(f64::MAX, f64::from);
        drop(bucket);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: "toolbay::plugin", plugin = &*self.plugin, dropped, "log lines over `log_rate` ({} a second of {USUAL} bytes each) were dropped", self.rate);
        }
        true
    }

    /// One line, if it may be written.
    pub(crate) fn line(&self, call: u64, level: LogLevel, source: &str, text: &str) {
        if self.admit(text.len()) {
            self.write(call, level, source, text);
        }
    }

    /// One line that was admitted.
    pub(crate) fn write(&self, call: u64, level: LogLevel, source: &str, text: &str) {
        let (text, source) = (visible(text, LINE), visible(source, SOURCE));
        let plugin = &*self.plugin;
        match level {
            LogLevel::Debug => tracing::debug!(target: "toolbay::plugin", plugin, call, source, "{text}"),
            LogLevel::Info | LogLevel::Notice => tracing::info!(target: "toolbay::plugin", plugin, call, source, "{text}"),
            LogLevel::Warning => tracing::warn!(target: "toolbay::plugin", plugin, call, source, "{text}"),
            LogLevel::Error | LogLevel::Critical | LogLevel::Alert | LogLevel::Emergency => {
                tracing::error!(target: "toolbay::plugin", plugin, call, source, "{text}");
            }
        }
    }
}

/// With escapes in place of control characters, at most `most` bytes of it: a plugin must not write lines of the log's own, or move a terminal's cursor.
fn visible(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for (at, char) in text.char_indices() {
        if shown.len() >= most {
            let _ = write!(shown, "… ({} bytes more)", text.len() - at);
            break;
        }
        if char.is_control() && char != '\t' { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    shown
}

/// stdout or stderr of one instance.
#[derive(Clone)]
pub(crate) struct Stream {
    output: Arc<Output>,
    /// The id of the call in hand.
    call: Arc<AtomicU64>,
    source: &'static str,
    /// What was written of a line that has not ended.
    line: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    pub(crate) fn new(output: Arc<Output>, call: Arc<AtomicU64>, source: &'static str) -> Self {
        Self { output, call, source, line: Arc::default() }
    }

    /// The call has ended: so has its last line.
    pub(crate) fn end(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        self.end_line(&mut line);
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A line without an end is cut in pieces, so that it cannot grow in our memory.
            let room = (2 * LINE).saturating_sub(line.len());
            line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            if part.ends_with(b"\n") || line.len() >= 2 * LINE {
                self.end_line(&mut line);
            }
        }
    }

    fn end_line(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            self.output.line(self.call.load(Ordering::Relaxed), LogLevel::Info, self.source, text);
        }
        line.clear();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if Arc::strong_count(&self.line) == 1 {
            let line = self.line.clone();
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            self.end_line(&mut line);
        }
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate() {
        let output = Output::new("flood", 10);
        let admitted = (0..1000).filter(|_| output.admit(10)).count();
        assert!((10..=20).contains(&admitted), "{admitted}");
        assert!(output.dropped.load(Ordering::Relaxed) >= 980);
    }

    #[test]
    fn long_lines_count_as_many() {
        let output = Output::new("flood", 100);
        let admitted = (0..1000).filter(|_| output.admit(200_000)).count();
        assert!((6..=12).contains(&admitted), "{admitted} lines of {LINE} bytes");
        assert!(visible(&"\u{1}".repeat(200_000), LINE).len() < LINE + 100);
    }

    #[test]
    fn a_line_without_an_end_does_not_grow() {
        let stream = Stream::new(Arc::new(Output::new("endless", 1)), Arc::default(), "stdout");
        for _ in 0..100 {
            stream.take(&[b'x'; WRITE]);
        }
        assert!(stream.line.lock().unwrap().capacity() <= 16 * LINE);
    }

    #[test]
    fn a_line_cannot_look_like_two() {
        assert_eq!(visible("é\tok\n2026 ERROR x\u{1b}[2J\u{9b}", LINE), "é\tok\\n2026 ERROR x\\u{1b}[2J\\u{9b}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "é".repeat(LINE);
        assert!(visible(&long, LINE).ends_with("bytes more)"));
    }
}
