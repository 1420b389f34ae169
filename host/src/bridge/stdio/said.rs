//! What a server says beside the protocol: lines in the operator's log under its name, so many a second.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::io::AsyncRead;

use super::lines::{Line, Lines};
use crate::{bridge::launch::Advice, provider::LogLevel};

/// Bytes of one line; what is longer is cut.
const LINE: usize = 4 << 10;

/// Lines a second, and at once.
const RATE: f64 = 100.0;

/// Bytes of a last word in an error.
const LAST_WORD: usize = 300;

/// The log of one server's connection.
pub(super) struct Said {
    server: Arc<str>,
    state: Mutex<State>,
    advice: Option<Advice>,
}

struct State {
    left: f64,
    at: Instant,
    dropped: u64,
    last: String,
    /// What can be done about what it said. It is told once.
    advice: Option<String>,
}

impl Said {
    pub(super) fn new(server: Arc<str>, advice: Option<Advice>) -> Self {
        let state = State { left: RATE, at: Instant::now(), dropped: 0, last: String::new(), advice: None };
        Self { server, state: Mutex::new(state), advice }
    }

    /// Logs each line of a stream until it ends.
    pub(super) async fn follow(&self, stream: Box<dyn AsyncRead + Send + Unpin>) {
        let mut lines = Lines::new(stream, LINE);
        while let Ok(Some(line)) = lines.next().await {
            let text = match &line {
                Line::Whole(line) | Line::Cut(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong(line) => format!("{}… ({} bytes)", String::from_utf8_lossy(&line.head), line.length),
            };
            let text = visible(text.trim_end());
            if !text.trim().is_empty() {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).last = text.chars().take(LAST_WORD).collect();
                self.line(LogLevel::Info, "stderr", &text);
                self.advise(&text);
            }
        }
    }

    /// The result of a call: one that failed may say what the server lacks.
    pub(super) fn failure(&self, result: &str) {
        if self.advice.is_some() && result.contains("\"isError\"") && result.contains("true") {
            self.advise(result);
        }
    }

    fn advise(&self, said: &str) {
        let Some(advice) = self.advice.as_ref().and_then(|advice| advice(said)) else { return };
        let before = self.state.lock().unwrap_or_else(PoisonError::into_inner).advice.replace(advice.clone());
        if before.as_ref() != Some(&advice) {
            tracing::warn!(server = &*self.server, "{advice}");
        }
    }

    /// What goes with an error: the last line of its stderr, and what can be done about what it said.
    pub(super) fn last_words(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = String::new();
        if !state.last.is_empty() {
            words.push_str("; its last line on stderr: ");
            words.push_str(&state.last);
        }
        if let Some(advice) = &state.advice {
            words.push_str("; ");
            words.push_str(advice);
        }
        words
    }

    /// One line, if it may be written. `source` says where it came from.
    pub(super) fn line(&self, level: LogLevel, source: &str, text: &str) {
        let server = &*self.server;
        match self.admit() {
            None => return,
            Some(0) => {}
            Some(dropped) => tracing::warn!(target: "toolbay::server", server, dropped, "log lines over {RATE} a second were dropped"),
        }
        match level {
            LogLevel::Debug => tracing::debug!(target: "toolbay::server", server, source, "{text}"),
            LogLevel::Info | LogLevel::Notice => tracing::info!(target: "toolbay::server", server, source, "{text}"),
            LogLevel::Warning => tracing::warn!(target: "toolbay::server", server, source, "{text}"),
            LogLevel::Error | LogLevel::Critical | LogLevel::Alert | LogLevel::Emergency => {
                tracing::error!(target: "toolbay::server", server, source, "{text}");
            }
        }
    }

    /// Whether another line may be written, and how many before it were not.
    fn admit(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.left = (state.left + now.duration_since(state.at).as_secs_f64() * RATE).min(RATE);
        state.at = now;
        if state.left < 1.0 {
            state.dropped += 1;
            return None;
        }
        state.left -= 1.0;
        Some(std::mem::take(&mut state.dropped))
    }
}

/// With escapes in place of control characters, and cut: a server must not write lines of the log's own, or move a terminal's cursor.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LINE) + 32);
    for char in text.chars() {
        if shown.len() >= LINE {
            shown.push('…');
            break;
        }
        if char.is_control() && char != '\t' { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_word_is_kept_and_a_flood_is_cut() {
        let said = Said::new("s".into(), Some(Arc::new(|line: &str| line.contains("word").then(|| "say no more".to_owned()))));
        let text = format!("{}last\u{1b}[2J word\n\n", "line\n".repeat(1000));
        said.follow(Box::new(std::io::Cursor::new(text.into_bytes()))).await;
        assert_eq!(said.last_words(), "; its last line on stderr: last\\u{1b}[2J word; say no more");
        assert!(said.state.lock().unwrap().dropped >= 800);
    }
}
