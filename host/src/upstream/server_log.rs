//! What servers say beside the protocol, in the operator's log under their names, so many lines a second.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::provider::LogLevel;

/// Bytes of one line; what is longer is cut.
pub(crate) const LINE: usize = 4 << 10;

/// Lines a second, and at once.
const RATE: f64 = 100.0;

/// The log of one server's connection.
pub(crate) struct ServerLog {
    server: Arc<str>,
    budget: Mutex<Budget>,
}

struct Budget {
    left: f64,
    at: Instant,
    dropped: u64,
}

impl ServerLog {
    /// The log of a server of this name.
    #[must_use]
    pub(crate) fn new(server: Arc<str>) -> Self {
        Self { server, budget: Mutex::new(Budget { left: RATE, at: Instant::now(), dropped: 0 }) }
    }

    /// One line at the server's own level, if it may be written. `source` says where it came from.
    pub(crate) fn line(&self, level: LogLevel, source: &str, text: &str) {
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
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        budget.left = (budget.left + now.duration_since(budget.at).as_secs_f64() * RATE).min(RATE);
        budget.at = now;
        if budget.left < 1.0 {
            budget.dropped += 1;
            return None;
        }
        budget.left -= 1.0;
        Some(std::mem::take(&mut budget.dropped))
    }
}

/// With escapes in place of control characters, and cut: a server must not write lines of the log's own, or move a terminal's cursor.
#[must_use]
pub(crate) fn visible(text: &str) -> String {
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

    #[test]
    fn a_flood_is_cut_and_control_characters_are_shown() {
        let log = ServerLog::new("s".into());
        for _ in 0..1000 {
            log.line(LogLevel::Info, "log", "line");
        }
        assert!(log.budget.lock().unwrap().dropped >= 800);
        assert_eq!(visible("a\u{1b}[2J\tb"), "a\\u{1b}[2J\tb");
    }
}
