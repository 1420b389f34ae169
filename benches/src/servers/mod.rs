//! The servers that Toolbay is compared with: one process each, with the allocator and the runtime of the host.

mod bare;
mod echo;
mod fetching;
mod floor;
mod native;
mod rpc;

use std::path::PathBuf;

use axum::{Router, serve::ListenerExt as _};
use clap::ValueEnum;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which
    #[arg(value_enum)]
    kind: Kind,
    /// The component with the function `add`, for the floor
    #[arg(long, value_name = "FILE", required_if_eq("kind", "floor"))]
    plugin: Option<PathBuf>,
    /// HOST:PORT of the weather service
    #[arg(long, required_if_eq("kind", "fetching"))]
    upstream: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// axum + serde_json, no Wasm
    Bare,
    /// axum + serde_json + a fresh pooled instance for each call
    Floor,
    /// rmcp with a tool written in Rust
    Rmcp,
    /// axum + reqwest + serde, which fetch and format
    Fetching,
    /// axum + serde_json, which answer their arguments
    Echo,
    /// The weather service that is fetched from
    Upstream,
}

impl Kind {
    /// Those that add.
    pub(crate) const ADDING: [Self; 3] = [Self::Bare, Self::Floor, Self::Rmcp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::Rmcp => "rmcp",
            Self::Fetching => "fetching",
            Self::Echo => "echo",
            Self::Upstream => "upstream",
        }
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let router = match options.kind {
        Kind::Bare => bare::router(),
        Kind::Floor => floor::router(options.plugin.as_deref().unwrap_or(std::path::Path::new("calculator.wasm")))?,
        Kind::Rmcp => native::router(),
        Kind::Fetching => fetching::router(options.upstream.as_deref().unwrap_or_default())?,
        Kind::Echo => echo::router(),
        Kind::Upstream => fetching::upstream(),
    };
    // As the host does it.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(router))
}

async fn serve(router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        _ = end.recv() => Ok(()),
    }
}
