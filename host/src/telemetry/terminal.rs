//! Lines for a person who tries a plugin: what the plugin itself says stands as it is, everything else after its level.

use std::fmt;

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// The target of what plugins say.
const PLUGIN: &str = "toolbay::plugin";

/// The format.
pub(super) struct Terminal;

impl<S, N> FormatEvent<S, N> for Terminal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        if metadata.target() == PLUGIN {
            let source = fields.source.as_deref().unwrap_or("log");
            return writeln!(writer, "{} {source}: {}", fields.plugin.as_deref().unwrap_or("plugin"), fields.message);
        }
        let level = match *metadata.level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "{level}")?;
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            if let Some(known) = extensions.get::<FormattedFields<N>>().filter(|known| !known.fields.is_empty()) {
                write!(writer, "{} {}: ", span.name(), known.fields)?;
            }
        }
        writeln!(writer, "{}{}", fields.message, fields.rest)
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    plugin: Option<String>,
    source: Option<String>,
    rest: String,
}

impl Fields {
    fn add(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "plugin" => self.plugin = Some(text),
            "source" => self.source = Some(text),
            "call" => {}
            name => {
                self.rest.push(' ');
                self.rest.push_str(name);
                self.rest.push('=');
                self.rest.push_str(&text);
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_plugin_says_stands_as_it_is() {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let layer = fmt::layer().with_writer(writer).with_ansi(false).event_format(Terminal);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let plugin = "greeter";
            tracing::info!(target: "toolbay::plugin", plugin, call = 1, source = "stderr", "thread panicked at src/lib.rs:3");
            let _in = tracing::info_span!("call", tool = "greet").entered();
            tracing::warn!(micros = 5, "it crashed");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "greeter stderr: thread panicked at src/lib.rs:3\nwarning: call tool=\"greet\": it crashed micros=5\n");
    }
}
