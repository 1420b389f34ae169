//! `[telemetry]`: what is logged, and how.

use super::{
    section::section,
    types::{choice, text},
};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

section! {
    /// What is logged, and how.
    #[derive(Eq)]
    pub struct TelemetryConfig {
        /// Log format. Logs go to stderr.
        format: LogFormat = LogFormat::Text, choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]) => restart;
        /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by
        /// module.
        log: String = "info".to_owned(), text("filter", parse_log_filter);
    }
}

/// A filter as `tracing` has them.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_log_filter(text: &str) -> Result<String, String> {
    let hint = "write a level (error, warn, info, debug, trace, off), or levels by module: \"toolbay=debug,warn\"";
    if text.trim().is_empty() {
        return Err(format!("a filter cannot be empty; {hint}"));
    }
    // A lone word is the name of a part for the parser, so that a misspelt level would be taken in
    // silence.
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let misspelt = text.split(',').map(str::trim).find(|part| {
        let word = part.chars().all(|c| c.is_ascii_alphanumeric());
        word && !levels.contains(&part.to_ascii_lowercase().as_str()) && !part.bytes().all(|b| (b'0'..=b'5').contains(&b))
    });
    if let Some(word) = misspelt {
        return Err(format!("{word:?} is not a level; {hint}"));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a filter ({error}); {hint}")),
    }
}
