//! Components that are MCP servers themselves: they export `wasi:http/incoming-handler` and answer
//! MCP's messages over HTTP, as those of wasmcp do.
//!
//! Nothing listens anywhere: a message is a request of HTTP that is made in the process, in an
//! instance like that of any call, with its limits and grants. `guest` makes one request in an
//! instance and has the answer read as it comes, by `answer` → `exchange` makes a message of MCP of
//! it → `channel` greets the server and finds out how it is to be spoken to. What a session is, and
//! how what a server lists becomes a provider, is in `upstream`.

mod answer;
mod channel;
mod exchange;
mod guest;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use self::channel::GuestChannel;
use super::{Code, listing::Counters};
use crate::{
    config::{NameRules, PublishRules, ServerLimits},
    overrides::with_overrides,
    provider::{Call, CallError, CallOutput, Definition, Provider, ProviderId, StartSignal, Tool},
    upstream::{
        Channel, Lease, Pick, UpstreamProvider,
        listing::{self, Terms},
    },
    wasm::folder::{LoadError, Loaded, PluginUpdate, PluginUpdates},
};

/// The export that makes a component such a server, without its version.
pub(super) const EXPORT: &str = "wasi:http/incoming-handler";

/// Asks the server in a component what it offers.
///
/// # Errors
///
/// Why it cannot serve: it speaks no MCP, or offers nothing.
pub(super) async fn load(code: Arc<Code>) -> Result<Loaded, LoadError> {
    let channel = GuestChannel::open(code.clone()).await?;
    let publish = PublishRules::default();
    let terms = Terms { within: channel::LISTS, avoid: &[], publish };
    let listing = listing::fetch(&*channel, terms).await.map_err(|error| LoadError(channel::not_mcp(&error.to_string())))?;
    let offers = &listing.offers;
    if listing.tools.is_empty() && offers.resources.is_empty() && offers.templates.is_empty() && offers.prompts.is_empty() {
        let why = if listing.warnings.is_empty() { "its lists are empty".to_owned() } else { listing.warnings.join("; ") };
        return Err(LoadError(format!("it is an MCP server that has no tools, no resources and no prompts: {why}")));
    }
    let (config, id) = (&code.shared.config, code.shared.id.clone());
    let mut warnings = listing.warnings.clone();
    if let Some(name) = config.default_tool.as_deref().filter(|name| !listing.tools.iter().any(|tool| tool.name.as_str() == *name)) {
        warnings.push(format!("default_tool = {name:?} is configured, but there is no such tool"));
    }
    // Only an instance's own time counts, which begins when it is its turn.
    let limits = ServerLimits { call: channel::LONGEST, ..ServerLimits::default() };
    let upstream = UpstreamProvider::new(id.clone(), Arc::new(listing), Arc::new(Solo(channel)), limits, publish).of_plugin();
    let plugin = HttpPlugin { upstream, code: code.clone() };
    let names = NameRules { tools: config.tools.clone(), ..config.names.clone() };
    let (provider, unfit) = with_overrides(Arc::new(plugin), &names, None, &format!("plugin.{id}"));
    warnings.extend(unfit);
    Ok(Loaded {
        provider,
        warnings,
        imports: code.origin.imports.clone(),
        load: Arc::new(Counters(code.gate.clone())),
        compiled: Some(code.made),
        // What it would say, it would say on a stream that no instance lives long enough to keep
        // open. So the only news is better code.
        news: code.optimising.is_some().then(|| Arc::new(Optimised(code)) as _),
    })
}

/// How often a server is greeted on better code before it stays on what it has: it may just be busy.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Waits for better code.
struct Optimised(Arc<Code>);

impl PluginUpdates for Optimised {
    fn next(&self) -> BoxFuture<'static, PluginUpdate> {
        let early = self.0.clone();
        Box::pin(async move {
            let code = early.optimised().await;
            for _ in 0..TRIES {
                match load(code.clone()).await {
                    Ok(loaded) => return PluginUpdate { relisted: Some(loaded), updated: Vec::new() },
                    Err(error) => tracing::debug!(plugin = %early.shared.id, %error, "optimised code does not answer yet"),
                }
                tokio::time::sleep(PAUSE).await;
            }
            tracing::warn!(plugin = %early.shared.id, "optimised code does not answer; the plugin is served from the code that it has");
            std::future::pending().await
        })
    }
}

/// The only connection that there is. The plugin's own queue says who may go.
struct Solo(Arc<GuestChannel>);

impl Pick for Solo {
    fn pick<'a>(&'a self, _signal: Option<&'a StartSignal>) -> BoxFuture<'a, Result<Lease, CallError>> {
        let channel: Arc<dyn Channel> = self.0.clone();
        Box::pin(std::future::ready(Ok(Lease { channel, replica: None, guard: Box::new(()) })))
    }
}

/// A plugin that is an MCP server itself.
struct HttpPlugin {
    upstream: UpstreamProvider,
    code: Arc<Code>,
}

impl Provider for HttpPlugin {
    fn inner(&self) -> Option<&dyn Provider> {
        Some(&self.upstream)
    }

    fn id(&self) -> &ProviderId {
        self.upstream.id()
    }

    fn tools(&self) -> &[Arc<Tool>] {
        self.upstream.tools()
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        self.upstream.definitions()
    }

    fn code(&self) -> Option<String> {
        Some(self.code.origin.digest.to_hex().to_string())
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        self.upstream.call(call)
    }

    fn default_tool(&self) -> Option<&str> {
        self.code.shared.config.default_tool.as_deref()
    }

    fn calls(&self) -> Option<&[String]> {
        self.code.shared.calls.then_some(self.code.shared.config.grants.calls.as_slice())
    }
}
