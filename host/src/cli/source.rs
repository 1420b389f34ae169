//! Where `tools` and `call` find tools: a running server, by MCP, or a host in this process.

use clap::Args;
use serde_json::{Map, Value};

use super::{
    ConfigArgs, Failure,
    dialogue::Dialogue,
    local::LocalHost,
    remote::RemoteHost,
    shown::{Answer, Shown},
};

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

/// An open source.
pub(super) enum Source {
    Remote(Box<RemoteHost>),
    Local(LocalHost),
}

impl SourceArgs {
    pub(super) async fn open(&self) -> Result<Source, Failure> {
        Ok(match &self.url {
            Some(url) => Source::Remote(Box::new(RemoteHost::connect(url, self.token_env.as_deref()).await?)),
            None => Source::Local(LocalHost::open(&self.config, None).await?),
        })
    }
}

impl Source {
    pub(super) async fn tools(&self) -> Result<Vec<Shown>, Failure> {
        match self {
            Self::Remote(host) => host.tools().await,
            Self::Local(host) => Ok(host.tools()),
        }
    }

    pub(super) async fn call(&self, name: &str, arguments: Map<String, Value>, dialogue: &mut Dialogue) -> Result<Answer, Failure> {
        match self {
            Self::Remote(host) => host.call(name, arguments).await,
            Self::Local(host) => host.call(name, arguments, dialogue).await,
        }
    }

    /// Says good-bye to a server, or ends what was started.
    pub(super) async fn close(self) {
        match self {
            Self::Remote(host) => host.close().await,
            Self::Local(host) => host.close().await,
        }
    }
}
