//! The import `log`: messages for the operator, and for the client where it asked.

use super::bindings::toolbay::plugin::{log::Host, types};
use crate::{
    provider::{JsonText, LogLevel},
    wasm::instance::State,
};

impl Host for State {
    fn message(&mut self, level: types::LogLevel, text: String) -> wasmtime::Result<()> {
        if self.shared.output.admit(text.len()) {
            let level = level.into();
            self.shared.output.write(self.call.call_id, level, "log", &text);
            self.tell(level, None, || JsonText::from_value(&text).ok());
        }
        Ok(())
    }

    fn data(&mut self, level: types::LogLevel, logger: Option<String>, data: String) -> wasmtime::Result<()> {
        if self.shared.output.admit(data.len()) {
            let level = level.into();
            self.shared.output.write(self.call.call_id, level, logger.as_deref().unwrap_or("log"), &data);
            // What is no JSON goes out as a string: a log message is not worth an error.
            self.tell(level, logger, || JsonText::parse(data.clone()).or_else(|_| JsonText::from_value(&data)).ok());
        }
        Ok(())
    }
}

impl types::Host for State {}

impl State {
    fn tell(&self, level: LogLevel, logger: Option<String>, data: impl FnOnce() -> Option<JsonText>) {
        if let Some(notifier) = &self.call.notifier
            && notifier.log_level().is_some_and(|least| level >= least)
            && let Some(data) = data()
        {
            notifier.log(level, logger, data);
        }
    }
}

impl From<types::LogLevel> for LogLevel {
    fn from(level: types::LogLevel) -> Self {
        match level {
            types::LogLevel::Debug => Self::Debug,
            types::LogLevel::Info => Self::Info,
            types::LogLevel::Notice => Self::Notice,
            types::LogLevel::Warning => Self::Warning,
            types::LogLevel::Error => Self::Error,
            types::LogLevel::Critical => Self::Critical,
            types::LogLevel::Alert => Self::Alert,
            types::LogLevel::Emergency => Self::Emergency,
        }
    }
}

impl From<LogLevel> for types::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Notice => Self::Notice,
            LogLevel::Warning => Self::Warning,
            LogLevel::Error => Self::Error,
            LogLevel::Critical => Self::Critical,
            LogLevel::Alert => Self::Alert,
            LogLevel::Emergency => Self::Emergency,
        }
    }
}
