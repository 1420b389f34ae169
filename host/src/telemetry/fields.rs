//! The fields of a span as text, which nearly all spans have made and nobody reads: so it has to be cheap.

use std::fmt;

use tracing::{
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FormatFields, FormattedFields,
        format::{DefaultFields, JsonFields, Writer},
    },
};

use crate::config::LogFormat;

/// Bytes that the fields of most spans take.
const USUAL: usize = 160;

/// Formats numbers, flags and texts by itself, and leaves everything else (colours, messages, what is made by `Debug`) to those who do it for all.
pub(super) struct SpanFields {
    format: LogFormat,
    text: DefaultFields,
    json: JsonFields,
}

impl SpanFields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, text: DefaultFields::new(), json: JsonFields::new() }
    }
}

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        if !writer.has_ansi_escapes() {
            let mut plain = Plain { format: self.format, text: String::with_capacity(USUAL), is_plain: true };
            fields.record(&mut plain);
            if let Some(text) = plain.finish() {
                return writer.write_str(&text);
            }
        }
        match self.format {
            LogFormat::Text => self.text.format_fields(writer, fields),
            LogFormat::Json => self.json.format_fields(writer, fields),
        }
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        match self.format {
            LogFormat::Text => {
                if !current.fields.is_empty() {
                    current.fields.push(' ');
                }
                self.format_fields(current.as_writer(), fields)
            }
            LogFormat::Json => {
                // An object and an object more: the second one's members come in where the first one ends.
                let mut added = FormattedFields::<Self>::new(String::new());
                self.format_fields(added.as_writer(), fields)?;
                let members = added.fields.strip_prefix('{').unwrap_or_default();
                if current.fields.is_empty() {
                    current.fields.push_str(&added.fields);
                } else if members != "}" && current.fields.pop().is_some() {
                    if current.fields != "{" {
                        current.fields.push(',');
                    }
                    current.fields.push_str(members);
                }
                Ok(())
            }
        }
    }
}

/// What it has to do with is simple, as long as `is_plain` holds.
struct Plain {
    format: LogFormat,
    text: String,
    is_plain: bool,
}

impl Plain {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        // `r#type`, and what the `log` crate puts in, have rules of their own.
        if name == "message" || name.contains(['#', '.', '"', '\\']) {
            self.is_plain = false;
            return;
        }
        match self.format {
            LogFormat::Text => {
                if !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.text.push_str(name);
                self.text.push('=');
            }
            LogFormat::Json => {
                self.text.push_str(if self.text.is_empty() { "{\"" } else { ",\"" });
                self.text.push_str(name);
                self.text.push_str("\":");
            }
        }
    }

    /// None: there is something that is not simple.
    fn finish(mut self) -> Option<String> {
        if self.format == LogFormat::Json {
            self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        }
        self.is_plain.then_some(self.text)
    }
}

impl Visit for Plain {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.is_plain = false;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.text.push_str(if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {
        self.is_plain = false;
    }
}
