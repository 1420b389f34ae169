//! `toolbay stdio`: one client on stdin and stdout, of a host in this process or of one that runs elsewhere.

use std::{process::ExitCode, sync::Arc};

use super::{ConfigArgs, Failure, Outcome, remote, runtime};
use crate::{
    app::{App, AppOptions, ConfigSource},
    config::{Config, Files, HttpConfig, Loaded},
    http::shutdown,
    servers::Run,
    stdio::{self, Endpoint, Host, Options, Remote},
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Desktop clients start this command and speak MCP with it: one JSON message a line on stdin and stdout. Logs go to
stderr. It ends when its input ends and every call is answered, or at SIGTERM or Ctrl-C.

Without --url it is a complete host with the same folder, servers and configuration as `toolbay serve`, and its client
may call every tool. With --url it bridges to a running host: it reopens lost sessions and waits up to 6 seconds for a
host that restarts.

  toolbay stdio --plugins /home/me/plugins
  toolbay stdio --config /etc/toolbay.toml
  toolbay stdio --url https://tools.example.com/mcp --token-env TOOLS_TOKEN

In claude_desktop_config.json, with absolute paths:

  {"mcpServers": {"toolbay": {"command": "/usr/local/bin/toolbay", "args": ["stdio", "--plugins", "/home/me/plugins"]}}}"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Stdio {
    #[command(flatten)]
    config: ConfigArgs,
    /// Bridge to a running server, such as http://127.0.0.1:8000/mcp
    #[arg(long, conflicts_with_all = ["plugins", "config", "mcp_json"])]
    url: Option<String>,
    /// The environment variable that holds the bearer token for --url
    #[arg(long, value_name = "VAR", requires = "url", visible_alias = "bearer-env")]
    token_env: Option<String>,
    /// What to log to stderr: error, warn, info, debug, trace, or a filter such as toolbay=debug,warn
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Stdio {
    pub(super) fn run(self) -> Outcome {
        let mut source = self.config.source();
        source.overrides.log.clone_from(&self.log);
        let (config, files) = match &self.url {
            Some(_) => (Config::default(), Files::default()),
            None => {
                let Loaded { config, files } = source.load();
                (config?, files)
            }
        };
        let _logs = match &self.log {
            Some(filter) => telemetry::init_with(config.telemetry.format, filter, "--log"),
            None => telemetry::init(&config.telemetry),
        }
        .map_err(Failure::usage)?;
        if config.audit.stdout {
            return Err(Failure::usage("stdout in [audit]: stdout belongs to the client here; set `file` instead"));
        }
        let runtime = runtime()?;
        let served = match &self.url {
            Some(url) => {
                let remote = endpoint(url, self.token_env.as_deref())?;
                runtime.block_on(serve(Arc::new(remote), &config.http))
            }
            None => runtime.block_on(host(config, self.config.plugins.is_some(), source, files)),
        };
        // A read of stdin cannot be given up, and would hold the runtime's end until the client writes again.
        runtime.shutdown_background();
        served
    }
}

/// A host of its own, for as long as the client is there.
async fn host(config: Config, folder_required: bool, source: ConfigSource, files: Files) -> Outcome {
    let http = config.http.clone();
    let app = App::start(Arc::new(config), AppOptions { run: Run::Serve, folder_required, insecure: true, follows: false }).await?;
    let front = app.front(None);
    app.watch(source, files);
    let settling = tokio::spawn({
        let app = app.clone();
        async move { app.first_attempt_done().await }
    });
    let served = serve(Arc::new(Host::new(front.clone())), &http).await;
    settling.abort();
    front.close();
    app.stop().await;
    served
}

async fn serve(endpoint: Arc<dyn Endpoint>, http: &HttpConfig) -> Outcome {
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let options = Options { max_message: http.max_body, drain: http.drain };
    tokio::select! {
        served = stdio::serve(endpoint, tokio::io::stdin(), tokio::io::stdout(), options) => {
            served.map(|()| ExitCode::SUCCESS).map_err(Failure::failed)
        }
        () = shutdown.leaving() => Ok(ExitCode::SUCCESS),
    }
}

/// The endpoint that `--url` names.
fn endpoint(url: &str, token_env: Option<&str>) -> Result<Remote, Failure> {
    let token = token_env.map(remote::token).transpose()?;
    Remote::new(remote::address(url)?, token.as_deref()).map_err(Failure::usage)
}
