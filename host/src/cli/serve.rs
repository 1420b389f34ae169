//! `toolbay serve`: the main job.

use std::{fmt::Write as _, io::ErrorKind, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use tokio::net::TcpListener;

use super::{ConfigArgs, Failure, Outcome, counted, print, running::Running, runtime};
use crate::{
    catalog::Catalog,
    config::{Config, HttpConfig, LogFormat},
    descriptors,
    http::{self, AppState, Authenticator, shutdown},
    mcp::{Front, FrontOptions},
    provider::{ProviderState, ProviderStatus, StatusSource},
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"The folder is watched: copy NAME.wasm into it and its tools are listed, copy a new version over it and the next
call runs it, delete it and they are gone. What a plugin may use and reach stands in [plugin.NAME] of toolbay.toml
or in NAME.toml beside it.

Servers that exist already are served too: programs on stdio in [server.NAME], or the mcpServers file of a desktop
client by --mcp-json FILE. They are started with Toolbay and end with it. A changed toolbay.toml counts from the next
start on.

SIGTERM or Ctrl-C: no new connections, calls in flight end, exit 0. A second one: exit now.
GET /healthz and /readyz are for probes, GET /status shows every plugin's state.

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
    /// Where to listen, in place of the configured address: 127.0.0.1:8000, or port 0 for any free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Listen beyond loopback without tokens: anybody who reaches the port can call every tool
    #[arg(long)]
    insecure: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as toolbay=debug,warn
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let mut config = self.config.load()?;
        if let Some(listen) = &self.listen {
            config.listen = crate::config::parse_listen(listen).map_err(|error| Failure::usage(format!("--listen {listen}: {error}")))?;
        }
        match self.log_format.as_deref() {
            Some("json") => config.telemetry.format = LogFormat::Json,
            Some(_) => config.telemetry.format = LogFormat::Text,
            None => {}
        }
        let _logs = match &self.log {
            Some(filter) => telemetry::init_with(config.telemetry.format, filter, "--log"),
            None => telemetry::init(&config.telemetry),
        }
        .map_err(Failure::usage)?;
        let authenticator = Authenticator::from_config(&config.auth).map_err(Failure::usage)?;
        http::may_listen(config.listen, &authenticator, self.insecure).map_err(Failure::usage)?;
        descriptors::raise();
        let runtime = runtime()?;
        let outcome = runtime.block_on(serve(config, self.config.plugins.is_some(), authenticator));
        // What a thread of the system still does (a file on a disk that does not answer) keeps nobody from ending.
        runtime.shutdown_timeout(LAST_FILES);
        outcome
    }
}

async fn serve(config: Config, folder_named: bool, authenticator: Authenticator) -> Outcome {
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "another program has the port: end it, or choose another port by --listen",
            ErrorKind::AddrNotAvailable => {
                "this machine has no such address: choose one of its own by --listen, or 0.0.0.0 for all of them"
            }
            ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one by --listen",
            _ => "choose another address by --listen",
        };
        Failure::failed(format!("cannot listen at {}: {error}; {advice}", config.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let config = Arc::new(config);
    let catalog = Catalog::new();
    let running = Running::start(&config, folder_named, catalog.clone()).await?;
    let http = http_config(&config, address, &authenticator);
    for warning in config.state.warning().into_iter().chain(config.tasks.warning(config.state.copies)) {
        tracing::warn!("{warning}");
    }
    let options = FrontOptions {
        authenticated: !authenticator.is_open(),
        state: config.state.clone(),
        tasks: config.tasks.clone().listening(address.port()),
        ..FrontOptions::from(&http)
    };
    let statuses = vec![running.clone() as Arc<dyn StatusSource>];
    let front = Front::with_statuses(catalog.clone(), options, statuses.clone());
    let banner = tokio::spawn({
        let (running, catalog, plugins) = (running.clone(), catalog.clone(), config.plugins.display().to_string());
        async move {
            if running.settled().await {
                let names = catalog.snapshot().tools().count();
                let folder = (!running.has_no_folder()).then_some(plugins.as_str());
                let _ = print(&banner(address, names, folder, &running.statuses()));
            }
        }
    });
    let state = AppState::new(front, Arc::new(authenticator), statuses, http);
    let served = http::serve(listener, state, shutdown).await;
    banner.abort();
    running.stop().await;
    served.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// The names under which this host may be called, made whole.
///
/// A page that had its own name point to this host (DNS rebinding) is a danger for a host that trusts whoever reaches it on loopback. One that listens
/// beyond it has tokens, or was told that anybody may call: there every name is as good as another, unless the operator lists them.
fn http_config(config: &Config, address: SocketAddr, authenticator: &Authenticator) -> HttpConfig {
    let mut http = config.http.clone();
    if !http.allowed_hosts.is_empty() || address.ip().is_loopback() {
        return http;
    }
    tracing::info!(tokens = !authenticator.is_open(), "listening beyond loopback under any name; [http] allowed_hosts limits the names");
    http.allowed_hosts.push("*".to_owned());
    http
}

/// What a person wants to know once it runs.
///
/// `plugins`: the folder; None: there is none.
fn banner(address: SocketAddr, tools: usize, plugins: Option<&str>, statuses: &[ProviderStatus]) -> String {
    /// Names of tools that are shown for one plugin, and plugins that are shown.
    const TOOLS: usize = 6;
    const PLUGINS: usize = 20;
    let url = format!("http://{address}/mcp");
    let serving = |is_plugin: bool| {
        statuses.iter().filter(|status| status.state != ProviderState::Broken && (status.kind == "wasm") == is_plugin).count()
    };
    let (of_plugins, of_servers) = (serving(true), serving(false));
    let any_server = statuses.iter().any(|status| status.kind != "wasm");
    let of = match (plugins, any_server) {
        (Some(_), true) => format!("{} and {}", counted(of_plugins, "plugin"), counted(of_servers, "server")),
        (None, _) => counted(of_servers, "server"),
        (Some(_), false) => counted(of_plugins, "plugin"),
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
            names.push_str("still being started; its tools are listed when it is up");
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
    text
}
