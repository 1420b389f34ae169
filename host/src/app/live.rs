//! Configuration that is alive: read again when a file of it changes or SIGHUP comes, checked whole, and applied.

use std::{path::PathBuf, sync::Arc};

use futures::future::BoxFuture;
use serde::Serialize;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use super::{difference::Digests, files::FileWatch};
use crate::config::{self, Config, ConfigError, Files, Loaded, Overrides};
use crate::unix_time;

/// Where a configuration comes from, to be read again.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// `--config`. None: `toolbay.toml` in the working directory, where it is there.
    pub path: Option<PathBuf>,
    /// What the command line says in place of the files.
    pub overrides: Overrides,
}

impl ConfigSource {
    /// Reads it. Blocks.
    #[must_use]
    pub fn load(&self) -> Loaded {
        config::load(self.path.as_deref(), &self.overrides)
    }
}

/// Why a configuration was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is well-formed, and this host cannot take it.
    #[error("{0}")]
    Refused(String),
}

/// What is told of the configuration in `/status`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ConfigStatus {
    /// `applied`: the files say what is running. `rejected`: they are wrong, and what was running before goes on.
    state: &'static str,
    /// Since when, in seconds since 1970.
    since: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorStatus>,
    /// Keys that differ from what is running and count from the next start on.
    needs_restart: Vec<String>,
    /// Keys that the command line sets in place of the files.
    command_line: Vec<String>,
    /// Configurations that were applied after the start.
    reloads: u64,
    /// Configurations that were rejected.
    rejections: u64,
    /// When one was last found right, in seconds since 1970.
    last_success: u64,
    /// What is running, to be compared.
    digests: Digests,
}

/// What became of the configurations.
pub(super) struct ConfigCounts {
    pub(super) applied: u64,
    pub(super) rejected: u64,
    pub(super) is_valid: bool,
    /// In seconds since 1970.
    pub(super) last_success: u64,
    /// Keys that wait for a restart.
    pub(super) needs_restart: usize,
}

#[derive(Clone, Debug, Serialize)]
struct ErrorStatus {
    message: String,
    /// Where, as far as that is a place in a file.
    problems: Vec<ProblemStatus>,
}

#[derive(Clone, Debug, Serialize)]
struct ProblemStatus {
    file: String,
    line: usize,
    column: usize,
    message: String,
}

impl ConfigStatus {
    pub(super) fn new(config: &Config, overrides: &Overrides) -> Self {
        Self {
            state: "applied",
            since: unix_time::seconds(),
            error: None,
            needs_restart: Vec::new(),
            command_line: command_line(overrides),
            reloads: 0,
            rejections: 0,
            last_success: unix_time::seconds(),
            digests: Digests::of(config),
        }
    }

    /// For the metrics.
    pub(super) fn counts(&self) -> ConfigCounts {
        ConfigCounts {
            applied: self.reloads,
            rejected: self.rejections,
            is_valid: self.error.is_none(),
            last_success: self.last_success,
            needs_restart: self.needs_restart.len(),
        }
    }

    pub(super) fn set_overrides(&mut self, overrides: &Overrides) {
        self.command_line = command_line(overrides);
    }

    /// A configuration is the one that runs. `changed`: it was not before. Whether another one was rejected meanwhile.
    pub(super) fn applied(&mut self, config: &Config, needs_restart: Vec<String>, changed: bool) -> bool {
        let was_rejected = self.error.is_some();
        if changed || self.error.is_some() || self.needs_restart != needs_restart {
            self.since = unix_time::seconds();
        }
        self.reloads += u64::from(changed);
        self.last_success = unix_time::seconds();
        (self.state, self.error, self.needs_restart) = ("applied", None, needs_restart);
        self.digests = Digests::of(config);
        was_rejected
    }

    /// A configuration is wrong. Whether that is news.
    pub(super) fn rejected(&mut self, error: &ApplyError) -> bool {
        let message = error.to_string();
        if self.error.as_ref().is_some_and(|before| before.message == message) {
            return false;
        }
        let problems = match error {
            ApplyError::Config(error) => error.problems(),
            ApplyError::Refused(_) => &[],
        };
        let problems = problems.iter().map(|problem| ProblemStatus {
            file: problem.place.file.display().to_string(),
            line: problem.place.line,
            column: problem.place.column,
            message: problem.message.clone(),
        });
        self.error = Some(ErrorStatus { problems: problems.collect(), message });
        (self.state, self.since) = ("rejected", unix_time::seconds());
        self.rejections += 1;
        true
    }
}

fn command_line(overrides: &Overrides) -> Vec<String> {
    let Overrides { listen, plugins, mcp_json, log, log_format, console, .. } = overrides;
    [
        ("listen", listen.is_some()),
        ("plugins", plugins.is_some()),
        ("mcp_json", mcp_json.is_some()),
        ("telemetry.log", log.is_some()),
        ("telemetry.format", log_format.is_some()),
        ("console.enabled", *console),
    ]
    .into_iter()
    .filter(|(_, is_set)| *is_set)
    .map(|(key, _)| key.to_owned())
    .collect()
}

/// What takes a configuration that was read. None: the host is gone.
pub(super) type Apply = Box<dyn Fn(Result<Config, ConfigError>) -> BoxFuture<'static, Option<()>> + Send + Sync>;

/// Reads the configuration again and again, until the host is gone.
pub(super) struct Live {
    apply: Apply,
    source: ConfigSource,
    watch: Option<FileWatch>,
    /// Somebody asks for it to be read.
    asked: Arc<Notify>,
}

impl Live {
    pub(super) fn new(apply: Apply, source: ConfigSource, files: Files, asked: Arc<Notify>) -> Self {
        Self { apply, source, watch: Some(FileWatch::start(files)), asked }
    }

    pub(super) async fn run(mut self) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be listened to: it does not read the configuration again"))
            .ok();
        // What changed between the first reading and the beginning of the watch would never be noticed.
        let mut asked = false;
        loop {
            if self.read(asked).await.is_none() {
                return;
            }
            let Some(watch) = &mut self.watch else { return };
            asked = tokio::select! {
                () = watch.changed() => false,
                () = next(&mut hangup) => true,
                () = self.asked.notified() => true,
            };
        }
    }

    /// Reads and applies. None: the host is gone.
    async fn read(&mut self, asked: bool) -> Option<()> {
        let (mut watch, source) = (self.watch.take()?, self.source.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let config = watch.read(|| {
                let Loaded { config, files } = source.load();
                (config, files)
            });
            (watch, config)
        });
        // An error would be a panic of the reader.
        let (watch, config) = reading
            .await
            .inspect_err(|error| tracing::error!(%error, "the configuration cannot be read any more; start the host again"))
            .ok()?;
        self.watch = Some(watch);
        if asked {
            tracing::info!("reading the configuration again");
        }
        (self.apply)(config).await
    }
}

async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
