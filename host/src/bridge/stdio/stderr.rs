//! What a server writes to stderr: lines of the operator's log, the last of which goes with an error, and
//! what can be done about them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncRead;

use super::lines::{Line, Lines};
use crate::{
    bridge::launch::Advice,
    provider::LogLevel,
    upstream::{LINE, ServerLog, visible},
};

/// Bytes of a last word in an error.
const LAST_WORD: usize = 300;

/// The stderr of one server.
pub(super) struct Stderr {
    said: Mutex<Said>,
    advice: Option<Advice>,
}

#[derive(Default)]
struct Said {
    last: String,
    /// What can be done about what it said. It is logged once.
    advice: Option<String>,
}

impl Stderr {
    pub(super) fn new(advice: Option<Advice>) -> Self {
        Self { said: Mutex::default(), advice }
    }

    /// Logs each line of the stream until it ends.
    pub(super) async fn follow(&self, server: &str, log: &ServerLog, stream: Box<dyn AsyncRead + Send + Unpin>) {
        let mut lines = Lines::new(stream, LINE);
        while let Ok(Some(line)) = lines.next().await {
            let text = match &line {
                Line::Whole(line) | Line::Cut(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong(line) => format!("{}… ({} bytes)", String::from_utf8_lossy(&line.head), line.length),
            };
            let text = visible(text.trim_end());
            if !text.trim().is_empty() {
                self.lock().last = text.chars().take(LAST_WORD).collect();
                log.line(LogLevel::Info, "stderr", &text);
                self.advise(server, &text);
            }
        }
    }

    /// The result of a call: one that failed may say what the server lacks.
    pub(super) fn failure(&self, server: &str, result: &str) {
        if self.advice.is_some() && result.contains("\"isError\"") && result.contains("true") {
            self.advise(server, result);
        }
    }

    fn advise(&self, server: &str, said: &str) {
        let Some(advice) = self.advice.as_ref().and_then(|advice| advice(said)) else { return };
        let before = self.lock().advice.replace(advice.clone());
        if before.as_ref() != Some(&advice) {
            tracing::warn!(server, "{advice}");
        }
    }

    /// What goes with an error: its last line, and what can be done about what it said.
    pub(super) fn last_words(&self) -> String {
        let said = self.lock();
        let mut words = String::new();
        if !said.last.is_empty() {
            words.push_str("; its last line on stderr: ");
            words.push_str(&said.last);
        }
        if let Some(advice) = &said.advice {
            words.push_str("; ");
            words.push_str(advice);
        }
        words
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_last_word_is_kept_with_what_can_be_done() {
        let stderr = Stderr::new(Some(Arc::new(|line: &str| line.contains("word").then(|| "say no more".to_owned()))));
        let text = format!("{}last\u{1b}[2J word\n\n", "line\n".repeat(1000));
        stderr.follow("s", &ServerLog::new("s".into()), Box::new(std::io::Cursor::new(text.into_bytes()))).await;
        assert_eq!(stderr.last_words(), "; its last line on stderr: last\\u{1b}[2J word; say no more");
    }
}
