//! `toolbay serve`: the main job.

use std::{fmt::Write as _, net::SocketAddr, path::Path, pin::pin, process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    ConfigArgs, Failure, Outcome, counted,
    handover::{self, Beside, Offer, Predecessor},
    metrics::Pushing,
    print, runtime,
    socket::Passed,
    startup::{self, Listeners},
};
use crate::{
    app::{App, AppOptions, ConfigSource},
    config::{self, Config, Files, Loaded, LogFormat},
    descriptors,
    http::{self, AppState, Shutdown, shutdown},
    provider::{ProviderKind, ProviderState, ProviderStatus, StatusSource},
    servers::Run,
    system, telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"The folder is watched: copy NAME.wasm into it and its tools are listed, copy a new version over it and the next
call runs it, delete it and they are gone. The limits and grants of a plugin are in [plugin.NAME] of toolbay.toml
or in NAME.toml next to it.

Existing MCP servers are served too: [server.NAME] of toolbay.toml, or the mcpServers file of a desktop client with
--mcp-json FILE. Programs and containers are started with Toolbay and end with it.

A changed toolbay.toml, and every file that it names, is applied within a second. SIGHUP reads it again. A broken one
changes nothing: the log and GET /status say what is wrong, and which keys need a restart.

Ctrl-C: stop accepting connections, let calls in flight finish, exit 0. A second one: exit immediately.
SIGTERM: the same, after telling load balancers for lame_duck of [http] (5s; not on loopback).
GET /healthz and /readyz are health checks, GET /status shows the state of every plugin and server, GET /metrics is for
Prometheus.

  toolbay serve                                      ./toolbay.toml, or else the folder ./plugins at 127.0.0.1:8000
  toolbay serve --plugins dist/plugins --listen 127.0.0.1:9000
  toolbay serve --mcp-json claude_desktop_config.json
  toolbay serve --config prod.toml --log-format json --log toolbay=debug,warn"#;

/// How long files that are being read or written at the end may take.
const LAST_FILES: Duration = Duration::from_millis(500);

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// The address to listen on, such as 127.0.0.1:8000; port 0 picks a free port; overrides the configuration
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Listen beyond loopback without authentication: anybody who reaches the port can call every tool
    #[arg(long)]
    insecure: bool,
    /// Serve the console for operators at /console, as `enabled = true` in [console] does
    #[arg(long)]
    console: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as toolbay=debug,warn
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// The format of log lines
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let mut source = self.config.source();
        let listen = self
            .listen
            .as_ref()
            .map(|listen| config::parse_listen(listen).map_err(|error| Failure::usage(format!("--listen {listen}: {error}"))));
        let passed = Passed::take()?;
        // It is where we listen, whatever the configuration says, and what may be served there goes by that.
        source.overrides.listen = passed.as_ref().map(|passed| passed.address).or(listen.transpose()?);
        source.overrides.console = self.console;
        source.overrides.log.clone_from(&self.log);
        source.overrides.log_format = self.log_format.as_deref().map(|format| match format {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        });
        let Loaded { config, files } = source.load();
        let config = config?;
        let _logs = match &self.log {
            Some(filter) => telemetry::init_with(config.telemetry.format, filter, "--log"),
            None => telemetry::init(&config.telemetry),
        }
        .map_err(Failure::usage)?;
        startup::refused(&config, self.insecure)?;
        if !config.listen.ip().is_loopback() && config.http.allowed_hosts.is_empty() {
            let tokens = !config.auth.is_open();
            tracing::info!(tokens, "listening beyond loopback under any name; [http] allowed_hosts limits the names");
        }
        let options =
            AppOptions { run: Run::Serve, folder_required: self.config.plugins.is_some(), insecure: self.insecure, follows: false };
        descriptors::raise();
        let runtime = runtime()?;
        let outcome = runtime.block_on(serve(config, options, source, files, passed));
        // What a thread of the system still does (a file on a disk that does not answer) keeps nobody from ending.
        runtime.shutdown_timeout(LAST_FILES);
        outcome
    }
}

pub(super) async fn serve(config: Config, mut options: AppOptions, source: ConfigSource, files: Files, passed: Option<Passed>) -> Outcome {
    for limit in system::limits() {
        tracing::info!("on this system, {limit}");
    }
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    // From here on SIGHUP does not end the process. Who reads the configuration again listens to it by itself, as soon as there is something to change.
    let _hangup = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    // A socket that was passed is kept open by whoever passed it.
    let handover = config.http.handover.clone().filter(|_| passed.is_none());
    let mut before = match &handover {
        Some(path) => Predecessor::find(path).await?,
        None => None,
    };
    let listeners = Listeners::bind(&config, passed, before.as_mut()).await?;
    let offered = if handover.is_some() { listeners.by_role().map_err(Failure::failed)? } else { Vec::new() };
    let Listeners { all: listener, metrics: for_metrics, console: for_console } = listeners;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let console = config.console.enabled.then(|| match &for_console {
        Some(listener) => listener.local_addr(),
        None => Ok(address),
    });
    let console = console.transpose().map_err(Failure::failed)?;
    let config = Arc::new(config);
    options.follows = before.is_some();
    let app = App::start(config.clone(), options).await?;
    for warning in config.state.warning().into_iter().chain(config.tasks.warning(config.state.copies)) {
        tracing::warn!("{warning}");
    }
    let front = app.front(Some(address));
    app.watch(source, files);
    let banner = tokio::spawn({
        let (app, plugins) = (app.clone(), config.plugins.display().to_string());
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        async move {
            if app.first_attempt_done().await {
                let names = app.catalog().snapshot().tools().count();
                let folder = app.has_plugins().then_some(plugins.as_str());
                let _ = print(&banner(scheme, address, console, names, folder, &app.statuses()));
            }
        }
    });
    let statuses = vec![app.clone() as Arc<dyn StatusSource>];
    let mut page = app.metrics_page();
    let push = page.clone().and_then(|page| Pushing::start(&app, page));
    let beside = Beside::new();
    let sharing = tokio::spawn(share_store(app.clone(), options.follows, beside.count()));
    let mut offer = None;
    // Only a process that follows takes these away: a scrape may see calls that are still ending.
    let others = Shutdown::new();
    if let Some(path) = &handover {
        let starting = before.is_some().then(|| beside.enter());
        let offered = async {
            if before.is_some() && !until_ready(&app, &mut before, path, &shutdown).await? {
                return Ok(None);
            }
            // From here on it is this one that others follow.
            handover::follow(before, path, Offer::prepare(path, offered)?).await.map(Some)
        };
        let (placed, ending) = match offered.await {
            Ok(Some(offered)) => offered,
            // The other one goes on.
            ended => {
                banner.abort();
                sharing.abort();
                app.stop().await;
                return ended.map(|_| ExitCode::SUCCESS);
            }
        };
        let is_first = starting.is_none() && ending.is_empty();
        let ended = beside.until_ended(ending);
        offer = Some(tokio::spawn(placed.serve(shutdown.clone(), vec![others.clone()], beside)));
        if !is_first {
            tokio::spawn(async move {
                ended.await;
                tracing::info!("the process before this one has ended");
                drop(starting);
            });
        }
    }
    // It is there until the very end: a scrape may see calls that are still ending.
    let metrics = match for_metrics {
        Some(listener) => {
            let settings = app.http_settings(listener.local_addr().map_err(Failure::failed)?);
            let (metrics, others) = (app.metrics().clone(), others.clone());
            page.take().map(|page| tokio::spawn(http::serve_metrics(listener, page, metrics, settings, others)))
        }
        None => None,
    };
    if config.console.enabled {
        app.open_console();
    }
    // There are all endpoints, so that the console can try what it shows.
    let at_its_own = match for_console {
        Some(listener) => {
            let settings = app.http_settings(listener.local_addr().map_err(Failure::failed)?);
            let state = AppState::new(front.clone(), settings, statuses.clone(), None).with_console(app.clone());
            Some(tokio::spawn(http::serve(listener, state, others.clone())))
        }
        None => None,
    };
    let mut state = AppState::new(front, app.http_settings(address), statuses, page);
    if config.console.enabled && at_its_own.is_none() {
        state = state.with_console(app.clone());
    }
    let served = http::serve(listener, state, shutdown).await;
    banner.abort();
    if let Some(offer) = &offer {
        offer.abort();
    }
    app.stop().await;
    if let Some(push) = push {
        push.end().await;
    }
    sharing.abort();
    // Only now the process that has followed hears that this one has ended.
    drop(offer);
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    if let Some(console) = at_its_own {
        console.abort();
    }
    served.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until everything was tried once, while another process serves: whichever that is, as others may take over meanwhile. False: this one is to end.
async fn until_ready(app: &App, before: &mut Option<Predecessor>, path: &Path, shutdown: &Shutdown) -> Result<bool, Failure> {
    let mut done = pin!(app.first_attempt_done());
    loop {
        let left = async {
            match before {
                Some(before) => before.left(path).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.leaving() => return Ok(false),
            _ = &mut done => return Ok(true),
            left = left => {
                left?;
                *before = Predecessor::find(path).await?;
            }
        }
    }
}

/// Lets other processes use the file of what plugins keep, as long as they run.
async fn share_store(app: Arc<App>, mut is_shared: bool, mut count: watch::Receiver<usize>) {
    while count.changed().await.is_ok() {
        let others = *count.borrow_and_update() > 0;
        if others != is_shared {
            is_shared = others;
            app.share_store(is_shared).await;
        }
    }
}

/// What a person wants to know once it runs.
///
/// `console`: where it is, if there is one. `plugins`: the folder; None: there is none.
fn banner(
    scheme: &str,
    address: SocketAddr,
    console: Option<SocketAddr>,
    tools: usize,
    plugins: Option<&str>,
    statuses: &[ProviderStatus],
) -> String {
    /// Names of tools that are shown for one plugin, and plugins that are shown.
    const TOOLS: usize = 6;
    const PLUGINS: usize = 20;
    let url = format!("{scheme}://{address}/mcp");
    let counts = |is: fn(ProviderKind) -> bool, what| {
        let all = || statuses.iter().filter(|status| is(status.kind));
        (all().count() > 0).then(|| counted(all().filter(|status| status.state != ProviderState::Broken).count(), what))
    };
    let of_plugins = counts(ProviderKind::is_plugin, "plugin").or_else(|| plugins.map(|_| counted(0, "plugin")));
    let of_servers = counts(ProviderKind::is_server, "server").or_else(|| of_plugins.is_none().then(|| counted(0, "server")));
    let of_pipelines = counts(|kind| kind == ProviderKind::Pipeline, "pipeline");
    let of: Vec<String> = [of_plugins, of_servers, of_pipelines].into_iter().flatten().collect();
    let of = match of.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => of.join(""),
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\nToolbay {} serves {} of {of} at\n\n  {url}\n", env!("CARGO_PKG_VERSION"), counted(tools, "tool"),);
    let width = statuses.iter().take(PLUGINS).map(|status| status.name.len()).max().unwrap_or(0);
    for status in statuses.iter().take(PLUGINS) {
        let more = status.tools.len().saturating_sub(TOOLS);
        let mut names = status.tools.iter().take(TOOLS).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            let _ = write!(names, " and {more} more");
        }
        if let Some(error) = &status.error {
            names = format!("{names}{}BROKEN: {error}", if names.is_empty() { "" } else { "; " });
        } else if status.state == ProviderState::Loading {
            names.push_str("starting; its tools are listed when it is up");
        }
        let _ = writeln!(text, "  {:width$}  {names}", status.name);
    }
    if statuses.len() > PLUGINS {
        let _ = writeln!(text, "  and {} more: GET /status shows them all", statuses.len() - PLUGINS);
    }
    if let (true, Some(plugins)) = (statuses.is_empty(), plugins) {
        let _ = writeln!(text, "  The folder {plugins} is empty: copy a .wasm component into it and its tools are live.");
    }
    let _ = writeln!(
        text,
        "\nPaste into a client's configuration:\n\n  {{\"mcpServers\": {{\"toolbay\": {{\"type\": \"http\", \"url\": \"{url}\"}}}}}}\n\nor try it here:\n\n  toolbay tools --url {url}\n"
    );
    if let Some(console) = console {
        let _ = writeln!(text, "The console, for operators:\n\n  {scheme}://{console}/console\n");
    }
    text
}
