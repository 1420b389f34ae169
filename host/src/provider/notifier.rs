//! Telling the caller of one call something before its answer.

use serde::Serialize;

use super::JsonText;

/// Tells the caller of one call something before its answer. Called by the provider while the call runs; must not block.
pub trait Notifier: Send + Sync {
    /// Whether progress was asked for.
    fn wants_progress(&self) -> bool;
    /// How far the call has come.
    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>);
    /// The least level of log messages that was asked for. None: no messages.
    fn log_level(&self) -> Option<LogLevel>;
    /// One log message; the provider has compared the level.
    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText);
}

/// The eight levels of syslog, least serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "RFC 5424 says what they mean")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    /// All of them, least serious first.
    pub const ALL: [Self; 8] =
        [Self::Debug, Self::Info, Self::Notice, Self::Warning, Self::Error, Self::Critical, Self::Alert, Self::Emergency];

    /// The level that MCP calls by this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
        NAMES.iter().position(|known| *known == name).and_then(|index| Self::ALL.get(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_known_by_the_name_that_it_is_written_as() {
        for level in LogLevel::ALL {
            let written = serde_json::to_value(level).unwrap();
            assert_eq!(LogLevel::of_name(written.as_str().unwrap()), Some(level));
        }
        assert!(LogLevel::ALL.is_sorted());
        assert_eq!(LogLevel::of_name("Info"), None);
    }
}
