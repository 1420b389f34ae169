//! A running server, asked by MCP: for `tools --url` and `call --url`.

use rmcp::{
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, RoleClient, RunningService, ServiceError, serve_client_with_lifecycle},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Map, Value};

use super::{
    Failure, causes,
    shown::{Answer, Shown},
};
use crate::tls;

/// A connection to a running server.
pub(super) struct RemoteHost(RunningService<RoleClient, ()>);

impl RemoteHost {
    /// Greets the server at a URL. `token_env`: the environment variable that holds the bearer token.
    pub(super) async fn connect(url: &str, token_env: Option<&str>) -> Result<Self, Failure> {
        let address = address(url)?;
        // The client below says of a closed port only that it could not send.
        if let Some(at) = address.host_str().zip(address.port_or_known_default()).map(|(host, port)| format!("{host}:{port}")) {
            tokio::net::TcpStream::connect(&at).await.map_err(|error| {
                Failure::failed(format!("cannot reach {at}: {error}; is `toolbay serve` running there? Its first lines say its address"))
            })?;
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(url);
        if let Some(variable) = token_env {
            config = config.auth_header(token(variable)?);
        }
        let client = client(|| reqwest::Client::builder().no_proxy())?;
        let transport = StreamableHttpClientTransport::with_client(client, config);
        let service =
            serve_client_with_lifecycle((), transport, lifecycle()).await.map_err(|error| no_server(url, token_env, &causes(&error)))?;
        Ok(Self(service))
    }

    pub(super) async fn tools(&self) -> Result<Vec<Shown>, Failure> {
        let tools = self.0.list_all_tools().await.map_err(|error| Failure::failed(format!("the server lists no tools: {error}")))?;
        let shown = tools.into_iter().map(|tool| Shown {
            name: tool.name.to_string(),
            description: tool.description.as_deref().unwrap_or_default().to_owned(),
            json: serde_json::to_value(&tool).unwrap_or_default(),
        });
        Ok(shown.collect())
    }

    pub(super) async fn call(&self, name: &str, arguments: Map<String, Value>) -> Result<Answer, Failure> {
        let request = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let result = self.0.call_tool(request).await.map_err(|error| match error {
            ServiceError::McpError(refusal) => {
                Failure::failed(format!("the server rejected the call: {} ({})", refusal.message, refusal.code.0))
            }
            error => Failure::failed(format!("the call was not answered: {error}")),
        })?;
        Ok(Answer { is_error: result.is_error.unwrap_or(false), json: serde_json::to_value(&result).unwrap_or_default() })
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        drop(self.0.cancel().await);
    }
}

/// A client as `builder` says, also on a machine without root certificates, which plain HTTP needs none of.
pub(super) fn client(builder: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    tls::client(builder, |_| {}).map_err(|error| Failure::failed(format!("cannot set up HTTP: {}", tls::cause(&error))))
}

/// The address of an endpoint that `--url` names.
pub(super) fn address(url: &str) -> Result<url::Url, Failure> {
    let address =
        url::Url::parse(url).map_err(|error| Failure::usage(format!("--url {url}: {error}; such as http://127.0.0.1:8000/mcp")))?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(Failure::usage(format!("--url {url}: only http and https are supported")));
    }
    Ok(address)
}

/// The bearer token in an environment variable.
pub(super) fn token(variable: &str) -> Result<String, Failure> {
    std::env::var(variable)
        .map_err(|_| Failure::usage(format!("--token-env {variable}: there is no such environment variable, or it is not UTF-8")))
}

fn no_server(url: &str, token_env: Option<&str>, why: &str) -> Failure {
    let refused = ["401", "Unauthorized", "Auth required"].iter().any(|word| why.contains(word));
    match (token_env, refused) {
        (None, true) => {
            Failure::failed(format!("{url} requires a bearer token: put it in an environment variable and name that with --token-env VAR"))
        }
        (Some(variable), true) => {
            Failure::failed(format!("{url} rejected the token in {variable}; the server's [auth.tokens] says which ones it accepts"))
        }
        (_, false) => {
            // What stands before that are names of types.
            let why = why.rsplit_once("] error: ").map_or(why, |(_, why)| why);
            Failure::failed(format!("no MCP server answers at {url}: {why}; is `toolbay serve` running there, and is the path /mcp?"))
        }
    }
}

/// The newest revision that the server knows, older ones included.
fn lifecycle() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None }
}
