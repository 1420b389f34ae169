//! What is known of a run: log lines on stderr, as text or as JSON, metrics, and audit lines.
//!
//! A line costs the call that writes it its formatting and a place in a queue, never a wait: see `writer`.

pub mod audit;
mod fields;
mod filter;
mod flush;
mod kept;
mod lazy_span;
mod live;
pub mod metrics;
pub mod otlp;
mod terminal;
pub mod traces;
mod writer;

use std::{
    borrow::Cow,
    io::IsTerminal as _,
    panic::PanicHookInfo,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use tracing::Subscriber;
use tracing_subscriber::{
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::config::{LogFormat, TelemetryConfig};
use fields::SpanFields;
pub use filter::FilterError;
pub use kept::{KeptLine, keep_lines, kept_lines};
pub(crate) use lazy_span::{LazySpan, MakeSpan, carried};
use live::LiveFilter;
use writer::{Lines, Writer};

/// Where the configuration's filter stands.
const CONFIGURED: &str = "`log` in [telemetry]";

/// The variable that takes the place of `log` in `[telemetry]`.
pub const LOG_VARIABLE: &str = "TOOLBAY_LOG";

/// How long the last lines may take to get out at a good end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The lines of this process, for [`flush`].
static LINES: OnceLock<Lines> = OnceLock::new();

/// The filter of this process, and what it came from where that is not the configuration.
static FILTER: OnceLock<(LiveFilter, Option<String>)> = OnceLock::new();

/// Why nothing can be written about a run.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes log lines: {0}")]
    Thread(#[from] std::io::Error),
    /// Somebody else in this process writes logs.
    #[error("logs are set up twice in this process: {0}")]
    Twice(#[from] TryInitError),
}

/// Holds the log open. What is still queued is written when it is dropped.
#[must_use = "the last log lines are written when this is dropped"]
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        flush(LAST_LINES);
    }
}

/// The text without the values of secrets that the configuration holds or held.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    audit::known(text)
}

/// Begins to log to stderr, panics too. `TOOLBAY_LOG` goes before the configuration's filter.
///
/// A filter of one level (`debug`) concerns Toolbay and its plugins, and keeps libraries at `warn`; anything else is taken as `tracing` reads it.
///
/// # Errors
///
/// [`TelemetryError`]: a filter that cannot be read, a second call.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    match std::env::var(LOG_VARIABLE) {
        Ok(from_env) if !from_env.trim().is_empty() => begin(config.format, &from_env, LOG_VARIABLE, true),
        _ => begin(config.format, &config.log, CONFIGURED, false),
    }
}

/// The same with a filter that goes before all others, as that of the command line does; `source` says in an error where it came from.
///
/// # Errors
///
/// As [`init`].
pub fn init_with(format: LogFormat, filter: &str, source: &str) -> Result<Guard, TelemetryError> {
    begin(format, filter, source, true)
}

/// Begins to log for a person at a terminal, who wants to read what a plugin says and not when. `TOOLBAY_LOG` goes before the filter.
///
/// # Errors
///
/// As [`init`].
pub fn init_terminal(filter: &str) -> Result<Guard, TelemetryError> {
    let from_env = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    let source = if from_env.is_some() { LOG_VARIABLE } else { CONFIGURED };
    let filter = LiveFilter::new(filter::parse(from_env.as_deref().unwrap_or(filter), source)?);
    let lines = Lines::start(std::io::stderr(), LogFormat::Text)?;
    let layer = fmt::layer().with_writer(lines.writer()).log_internal_errors(false).with_ansi(is_coloured());
    let layer = layer.event_format(terminal::Terminal).fmt_fields(SpanFields::new(LogFormat::Text));
    tracing_subscriber::registry().with(filter.clone()).with(layer).try_init()?;
    let _ = LINES.set(lines);
    let _ = FILTER.set((filter, Some(source.to_owned())));
    std::panic::set_hook(Box::new(log_panic));
    Ok(Guard(()))
}

/// Logs by another configuration's filter from now on. Whether it does: a filter of the command line or of `TOOLBAY_LOG` stays.
///
/// # Errors
///
/// A filter that cannot be read: nothing has changed.
pub fn refilter(log: &str) -> Result<bool, FilterError> {
    let filter = filter::parse(log, CONFIGURED)?;
    match FILTER.get() {
        Some((live, None)) => {
            live.replace(filter);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether a filter of a configuration can be used.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_filter(log: &str) -> Result<(), FilterError> {
    filter::parse(log, CONFIGURED).map(drop)
}

fn begin(format: LogFormat, filter: &str, source: &str, fixed: bool) -> Result<Guard, TelemetryError> {
    let filter = LiveFilter::new(filter::parse(filter, source)?);
    let lines = Lines::start(std::io::stderr(), format)?;
    subscriber(format, filter.clone(), is_coloured(), lines.writer()).try_init()?;
    let _ = LINES.set(lines);
    let _ = FILTER.set((filter, fixed.then(|| source.to_owned())));
    std::panic::set_hook(Box::new(log_panic));
    Ok(Guard(()))
}

fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Waits until the lines that were logged up to now are written, those of the audit too, for so long at most. Nothing happens where [`init`] was not called.
pub fn flush(limit: Duration) {
    audit::flush_all(limit);
    if let Some(lines) = LINES.get() {
        lines.flush(limit);
    }
}

/// Now, in milliseconds since 1970: as pages of browsers count time.
#[must_use]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Log lines that were dropped, since stderr was not read fast enough.
#[must_use]
pub fn lost_lines() -> u64 {
    LINES.get().map_or(0, Lines::lost)
}

fn subscriber(format: LogFormat, filter: LiveFilter, colour: bool, writer: Writer) -> Box<dyn Subscriber + Send + Sync> {
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let fields = SpanFields::new(format);
    match format {
        LogFormat::Text => Box::new(registry.with(layer.with_ansi(colour).fmt_fields(fields))),
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true).with_span_list(false).fmt_fields(fields))),
    }
}

/// A panic is a log line like others. The one who catches it says what became of it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("no text");
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(at, thread = thread.name().unwrap_or(""), "panicked: {text}");
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        process::{Child, Command, Stdio},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, what: impl FnOnce()) -> String {
        let sink = Sink::default();
        let lines = Lines::start(sink.clone(), format).unwrap();
        let subscriber = subscriber(format, LiveFilter::new(filter::parse(filter, "test").unwrap()), false, lines.writer());
        tracing::subscriber::with_default(subscriber, what);
        lines.flush(Duration::from_secs(10));
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_has_one_line_an_event_without_colour() {
        let text = logged(LogFormat::Text, "info", || {
            let span = tracing::info_span!("call", tool = "add");
            let _in = span.enter();
            tracing::info!(answer = 42, "done");
            tracing::debug!("not this");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("INFO call{tool=\"add\"}: toolbay::telemetry::tests: done answer=42\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line_with_its_span() {
        let text = logged(LogFormat::Json, "info", || {
            let span = tracing::info_span!("call", tool = "add");
            let _in = span.enter();
            tracing::warn!(text = "two\nlines", "done");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end_matches('\n')).unwrap();
        assert_eq!((&line["level"], &line["message"], &line["text"]), (&"WARN".into(), &"done".into(), &"two\nlines".into()));
        assert_eq!(line["span"], serde_json::json!({"name": "call", "tool": "add"}));
    }

    #[test]
    fn fields_are_the_same_as_those_that_tracing_formats() {
        let what = || {
            let span = tracing::info_span!(
                "call",
                id = 7_u64,
                plain = "add-2 (x)",
                quoted = "a \"b\" \\ ü\n\u{1b}[31m",
                below = -3,
                yes = true,
                none = tracing::field::Empty,
                later = tracing::field::Empty,
                half = 0.5,
                debug = ?Some("x"),
                shown = %"y z",
                r#type = "t",
            );
            let simple = tracing::info_span!("simple", id = 1_u64, later = tracing::field::Empty, name = "n");
            span.record("later", "now");
            simple.record("later", 5);
            for span in [span, simple] {
                let _in = span.enter();
                tracing::warn!(id = 5, name = "n", "message {}", 1);
                tracing::warn!(id = 5, name = "n");
            }
        };
        let theirs = |format| {
            let sink = Sink::default();
            let lines = Lines::start(sink.clone(), format).unwrap();
            let layer = fmt::layer().with_writer(lines.writer()).log_internal_errors(false);
            let registry = tracing_subscriber::registry();
            let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
                LogFormat::Text => Box::new(registry.with(layer.with_ansi(false))),
                LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true).with_span_list(false))),
            };
            tracing::subscriber::with_default(subscriber, what);
            lines.flush(Duration::from_secs(10));
            let bytes = sink.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap()
        };
        let text = |all: &str| all.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect::<Vec<_>>();
        let ours = logged(LogFormat::Text, "info", what);
        assert_eq!(text(&ours), text(&theirs(LogFormat::Text)), "{ours}");
        let json = |all: &str| {
            let object = |line| {
                let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
                line.shift_remove("timestamp");
                line
            };
            all.lines().map(object).collect::<Vec<_>>()
        };
        let ours = logged(LogFormat::Json, "info", what);
        assert_eq!(json(&ours), json(&theirs(LogFormat::Json)), "{ours}");
    }

    #[test]
    fn a_filter_can_be_replaced_while_spans_are_open() {
        let sink = Sink::default();
        let lines = Lines::start(sink.clone(), LogFormat::Text).unwrap();
        let filter = LiveFilter::new(filter::parse("info", "test").unwrap());
        let subscriber = subscriber(LogFormat::Text, filter.clone(), false, lines.writer());
        let replace = |to: &str| filter.replace(filter::parse(to, "test").unwrap());
        let say = |n: u32| {
            tracing::debug!("debug {n}");
            tracing::warn!("warn {n}");
        };
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("call", id = 7);
            let _in = span.enter();
            say(1);
            replace("debug");
            say(2);
            replace("error");
            say(3);
            replace("toolbay[call]=debug");
            let inner = tracing::info_span!("call", id = 8);
            inner.in_scope(|| say(4));
            drop(inner);
            replace("info");
            say(5);
        });
        lines.flush(Duration::from_secs(10));
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let said: Vec<&str> = text.lines().map(|line| line.rsplit_once(": ").unwrap().1).collect();
        assert_eq!(said, ["warn 1", "debug 2", "warn 2", "debug 4", "warn 4", "warn 5"], "{text}");
    }

    #[test]
    fn one_level_concerns_us_and_not_the_libraries() {
        let text = logged(LogFormat::Text, "debug", || {
            tracing::debug!("ours");
            tracing::info!(target: "rmcp::service", "theirs");
            tracing::warn!(target: "rmcp::service", "their warning");
        });
        assert!(text.contains("ours") && !text.contains("theirs") && text.contains("their warning"), "{text}");
    }

    /// Not a test of its own: the process that the next tests look at.
    #[test]
    #[ignore = "started by others"]
    fn child() {
        match init(&TelemetryConfig { format: LogFormat::Json, log: "info".to_owned() }) {
            Ok(guard) => {
                tracing::info!("begun");
                tracing::debug!("in detail");
                let _ = std::thread::Builder::new().name("clumsy".to_owned()).spawn(|| panic!("dropped a plate")).unwrap().join();
                drop(guard);
                assert!(matches!(init(&TelemetryConfig::default()), Err(TelemetryError::Twice(_))));
                println!("\nalive");
            }
            Err(error) => println!("\n{error}"),
        }
    }

    fn run(variable: &str, stderr: Stdio) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "telemetry::tests::child", "--ignored", "--nocapture"]).env(LOG_VARIABLE, variable);
        command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap()
    }

    #[test]
    fn a_process_logs_to_stderr_and_panics_are_lines_like_others() {
        let output = run("", Stdio::piped()).wait_with_output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("\nalive\n"));
        let lines: Vec<serde_json::Value> =
            String::from_utf8(output.stderr).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["message"], &lines[1]["message"]), (&"begun".into(), &"panicked: dropped a plate".into()));
        assert_eq!(lines[1]["thread"], "clumsy");
        assert!(lines[1]["at"].as_str().unwrap().contains("telemetry/mod.rs:"));
    }

    #[test]
    fn the_variable_goes_before_the_configuration() {
        let output = run("debug", Stdio::piped()).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("in detail"));
        assert!(run("off", Stdio::piped()).wait_with_output().unwrap().stderr.is_empty());
        let output = run("loud", Stdio::piped()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("cannot read the log filter \"loud\" of TOOLBAY_LOG"), "{said}");
    }

    #[test]
    fn a_process_lives_on_when_nobody_reads_its_stderr() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = run("", writer.into()).wait_with_output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("\nalive\n"), "{output:?}");
    }
}
