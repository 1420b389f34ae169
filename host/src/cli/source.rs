//! Where `tools` and `call` find tools: a running server, by MCP, or a folder, directly.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use rmcp::{
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, RoleClient, RunningService, ServiceError, serve_client_with_lifecycle},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    ConfigArgs, Failure,
    running::{apply, clash},
};
use crate::{
    catalog::Catalog,
    inference::ModelStatus,
    provider::{Call, CallContext, CallOutput, Content, ProviderChange, ProviderState, ProviderStatus, StatusSource as _},
    servers::{Run, Servers},
    similar,
    wasm::{
        compile::{self, Worker},
        folder::{self, FolderError, FolderOptions},
        plugin::PluginHost,
    },
};

/// How long a first start is waited for. A server has its own deadline, `start_timeout`, which says more; this is for one that has a very long one.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(300);

/// Which one is asked.
#[derive(Args, Clone, Debug)]
pub(super) struct SourceArgs {
    /// Ask a running server, such as http://127.0.0.1:8000/mcp
    #[arg(long, conflicts_with_all = ["plugins", "config", "mcp_json"])]
    url: Option<String>,
    /// The environment variable that holds the bearer token for --url
    #[arg(long, value_name = "VAR", requires = "url")]
    token_env: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A tool as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) description: String,
    /// The tool as MCP has it.
    pub(super) json: Value,
}

/// What a call answered: MCP's result as JSON.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) json: Value,
    pub(super) is_error: bool,
}

/// An open source.
pub(super) enum Source {
    Server(Box<RunningService<RoleClient, ()>>),
    Folder(Folder),
}

/// A folder, loaded once.
pub(super) struct Folder {
    catalog: Arc<Catalog>,
    pub(super) statuses: Vec<ProviderStatus>,
    /// Sections of the configuration for plugins that are not there, in sentences.
    pub(super) unused: Vec<String>,
    /// The models of the configuration.
    pub(super) models: Vec<ModelStatus>,
    servers: Arc<Servers>,
    /// Puts what the servers offer into the catalog.
    apply: JoinHandle<()>,
}

impl SourceArgs {
    pub(super) async fn open(&self) -> Result<Source, Failure> {
        match &self.url {
            Some(url) => self.connect(url).await,
            None => Ok(Source::Folder(open_folder(&self.config, None).await?)),
        }
    }

    async fn connect(&self, url: &str) -> Result<Source, Failure> {
        let address =
            url::Url::parse(url).map_err(|error| Failure::usage(format!("--url {url}: {error}; such as http://127.0.0.1:8000/mcp")))?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(Failure::usage(format!("--url {url}: only http and https are spoken here")));
        }
        // The client below says of a closed port only that it could not send.
        if let Some(at) = address.host_str().zip(address.port_or_known_default()).map(|(host, port)| format!("{host}:{port}")) {
            tokio::net::TcpStream::connect(&at).await.map_err(|error| {
                Failure::failed(format!("cannot reach {at}: {error}; is `toolbay serve` running there? Its first lines say its address"))
            })?;
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(url);
        if let Some(variable) = &self.token_env {
            let token = std::env::var(variable).map_err(|_| {
                Failure::usage(format!("--token-env {variable}: there is no such environment variable, or it is not UTF-8"))
            })?;
            config = config.auth_header(token);
        }
        crate::tls::install();
        let client =
            reqwest::Client::builder().no_proxy().build().map_err(|error| Failure::failed(format!("cannot set up HTTP: {error}")))?;
        let transport = StreamableHttpClientTransport::with_client(client, config);
        let service =
            serve_client_with_lifecycle((), transport, lifecycle()).await.map_err(|error| self.no_server(url, &causes(&error)))?;
        Ok(Source::Server(Box::new(service)))
    }
}

impl SourceArgs {
    fn no_server(&self, url: &str, why: &str) -> Failure {
        let refused = ["401", "Unauthorized", "Auth required"].iter().any(|word| why.contains(word));
        match (&self.token_env, refused) {
            (None, true) => {
                Failure::failed(format!("{url} wants a bearer token: put it into an environment variable and name that by --token-env VAR"))
            }
            (Some(variable), true) => {
                Failure::failed(format!("{url} does not take the token in {variable}; the server's [auth.tokens] says which ones it takes"))
            }
            (_, false) => {
                // What stands before that are names of types.
                let why = why.rsplit_once("] error: ").map_or(why, |(_, why)| why);
                Failure::failed(format!("no MCP server answers at {url}: {why}; is `toolbay serve` running there, and is the path /mcp?"))
            }
        }
    }
}

/// The newest revision that the server knows, older ones included.
fn lifecycle() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None }
}

/// Loads a folder, or one file of it.
pub(super) async fn open_folder(args: &ConfigArgs, path: Option<PathBuf>) -> Result<Folder, Failure> {
    let mut config = args.load()?;
    let named = path.is_some() || args.plugins.is_some();
    if let Some(path) = path {
        config.plugins = path;
    }
    let options = FolderOptions::new(config.plugins.clone(), config.host.max_file, compile::jobs(&config.host));
    // One file is looked at by itself: the configuration may be about others too.
    let configured: Vec<String> = if config.plugins.is_dir() { config.plugin.keys().cloned().collect() } else { Vec::new() };
    // One file is looked at by itself here too.
    if config.plugins.is_file() {
        config.server.clear();
    }
    let config = Arc::new(config);
    let host = PluginHost::new(config.clone(), Worker::own()).map_err(Failure::failed)?;
    let models = host.models().statuses();
    let loaded = folder::load_once(options, Arc::new(host));
    let catalog = Catalog::new();
    let (changes, changed) = mpsc::channel(64);
    let (whole, mut is_whole) = watch::channel(false);
    let apply = tokio::spawn(apply(changed, catalog.clone(), whole));
    let servers = Servers::start(&config, Run::Once, &changes);
    let (loaded, ()) = tokio::join!(loaded, servers.settled(FIRST_ATTEMPTS));
    let folder::Once { loaded, mut statuses } = match loaded {
        Ok(once) => once,
        // Only servers.
        Err(FolderError::Missing { .. }) if !servers.is_empty() && !named => folder::Once::default(),
        Err(error) => {
            servers.stop().await;
            return Err(Failure::usage(error));
        }
    };
    let loaded = loaded.into_iter().filter(|(id, _)| !servers.has(id.as_str()));
    catalog.apply(loaded.map(|(_, loaded)| ProviderChange::Put(loaded.provider)).collect());
    // Behind all that the servers have sent.
    let _ = changes.send(Vec::new()).await;
    let _ = is_whole.wait_for(|whole| *whole).await;
    let unused = unused(&configured, &statuses);
    for status in statuses.iter_mut().filter(|status| servers.has(&status.name)) {
        status.state = ProviderState::Broken;
        status.error = Some(clash(&status.name));
    }
    statuses.extend(servers.statuses());
    Ok(Folder { catalog, statuses, unused, servers, apply, models })
}

fn unused(configured: &[String], statuses: &[ProviderStatus]) -> Vec<String> {
    let missing = configured.iter().filter(|name| *name != "default" && !statuses.iter().any(|status| status.name == **name));
    missing
        .map(|name| match similar::nearest(name, statuses.iter().map(|status| status.name.as_str())) {
            Some(near) => {
                format!("[plugin.{name}] is configured, but there is no {name}.wasm; did you mean {near:?}?")
            }
            None => format!("[plugin.{name}] is configured, but there is no {name}.wasm"),
        })
        .collect()
}

impl Source {
    pub(super) async fn tools(&self) -> Result<Vec<Shown>, Failure> {
        match self {
            Self::Server(service) => {
                let tools =
                    service.list_all_tools().await.map_err(|error| Failure::failed(format!("the server lists no tools: {error}")))?;
                Ok(tools
                    .into_iter()
                    .map(|tool| Shown {
                        name: tool.name.to_string(),
                        description: tool.description.as_deref().unwrap_or_default().to_owned(),
                        json: serde_json::to_value(&tool).unwrap_or_default(),
                    })
                    .collect())
            }
            Self::Folder(folder) => Ok(folder
                .catalog
                .snapshot()
                .tools()
                .map(|entry| Shown {
                    name: entry.name().to_owned(),
                    description: entry.tool().description.clone().unwrap_or_default(),
                    json: serde_json::from_str(entry.json()).unwrap_or_default(),
                })
                .collect()),
        }
    }

    pub(super) async fn call(&self, name: &str, arguments: Map<String, Value>) -> Result<Answer, Failure> {
        match self {
            Self::Server(service) => {
                let request = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
                let result = service.call_tool(request).await.map_err(|error| match error {
                    ServiceError::McpError(refusal) => {
                        Failure::failed(format!("the server refuses the call: {} ({})", refusal.message, refusal.code.0))
                    }
                    error => Failure::failed(format!("the call was not answered: {error}")),
                })?;
                Ok(Answer { is_error: result.is_error.unwrap_or(false), json: serde_json::to_value(&result).unwrap_or_default() })
            }
            Self::Folder(folder) => folder.call(name, &Value::Object(arguments)).await,
        }
    }

    /// Says good-bye to a server, and ends what was started.
    pub(super) async fn close(self) {
        match self {
            Self::Server(service) => drop(service.cancel().await),
            Self::Folder(folder) => folder.close().await,
        }
    }
}

impl Folder {
    /// Ends the servers that were started.
    pub(super) async fn close(self) {
        self.servers.stop().await;
        self.apply.abort();
    }

    /// Names that several plugins offer, in sentences.
    pub(super) fn collisions(&self) -> Vec<String> {
        self.catalog.snapshot().collisions().iter().map(ToString::to_string).collect()
    }

    async fn call(&self, name: &str, arguments: &Value) -> Result<Answer, Failure> {
        let snapshot = self.catalog.snapshot();
        let Some(entry) = snapshot.resolve(name) else {
            let names: Vec<&str> = snapshot.tools().map(|entry| entry.name()).collect();
            let broken =
                self.statuses.iter().filter_map(|status| Some(format!("\nnot served: {}: {}", status.name, status.error.as_ref()?)));
            return Err(Failure::failed(format!(
                "there is no tool {name:?}; there are: {}{}",
                names.join(", "),
                broken.collect::<String>()
            )));
        };
        let call = Call {
            tool: entry.own_name(),
            arguments: &arguments.to_string(),
            context: CallContext { call_id: 1, ..CallContext::default() },
        };
        let output = entry.provider().call(call).await.map_err(Failure::failed)?;
        Ok(Answer { is_error: output.is_error, json: to_json(output) })
    }
}

fn to_json(output: CallOutput) -> Value {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let content: Vec<Value> = output
        .content
        .into_iter()
        .map(|block| match block {
            Content::Text(text) => json!({ "type": "text", "text": text }),
            Content::Block(json) => parse(json.as_str()),
        })
        .collect();
    let mut result = json!({ "content": content, "isError": output.is_error });
    if let Some(members) = result.as_object_mut() {
        if let Some(structured) = output.structured {
            members.insert("structuredContent".to_owned(), parse(structured.as_str()));
        }
        if let Some(meta) = output.meta {
            members.insert("_meta".to_owned(), parse(meta.as_str()));
        }
    }
    result
}

/// An error with what caused it: clients wrap the cause that a person needs.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_section_for_a_plugin_that_is_not_there_is_told_with_the_nearest_name() {
        let status = ProviderStatus {
            name: "weather".to_owned(),
            kind: "wasm",
            state: ProviderState::Serving,
            source: "weather.wasm".to_owned(),
            digest: None,
            tools: Vec::new(),
            offers: crate::provider::OfferNames::default(),
            error: None,
            warnings: Vec::new(),
            imports: Vec::new(),
            in_flight: 0,
            queued: 0,
            replicas: None,
            since: SystemTime::UNIX_EPOCH,
            next_try: None,
        };
        let configured = ["default", "weather", "wether", "x"].map(str::to_owned);
        assert_eq!(
            unused(&configured, &[status]),
            [
                "[plugin.wether] is configured, but there is no wether.wasm; did you mean \"weather\"?",
                "[plugin.x] is configured, but there is no x.wasm"
            ]
        );
    }
}
