//! The first words with a server: which era it speaks, and what it says of itself.
//!
//! A server that is not known is asked `server/discover` first. Servers of the older era answer that by an error, or not at all, and are then greeted by
//! `initialize`. What was found out is remembered in [`Known`], so that the next connection loses no time.

use std::{collections::BTreeSet, time::Duration};

use futures::future::{BoxFuture, Either, select};
use serde_json::Value;

use super::{
    ChannelError, Known,
    era::{CLIENT_INFO, Era, LEGACY_VERSION, MODERN_VERSION},
    raw::{RawObject, write_json, write_key},
};
use crate::provider::JsonText;

/// How long a server may think about `server/discover` before it gets `initialize` too: longer than servers were seen to need for their start (2.5 s).
const PROBE: Duration = Duration::from_secs(5);

/// What can be carried to whoever makes a call. A caller that cannot do it has its questions answered by an error. No roots: a server asks for them once and
/// keeps them for the session, which all callers share.
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{"context":{},"tools":{}}}"#;

/// Revisions with `initialize` that can be spoken: their differences are in what is not read here.
const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// MCP: the version of a request is not one that the server speaks.
const UNSUPPORTED_VERSION: i32 = -32022;

/// A connection that has not been greeted.
pub trait Wire: Send + Sync {
    /// Sends a request of the handshake and awaits its `result`. `era` says by which rules it is made up.
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>>;
    /// Sends a notification.
    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>>;
}

/// How a server is spoken to from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Greeting {
    /// By which rules.
    pub era: Era,
    /// The revision that was agreed on.
    pub version: String,
    /// JSON text of the `result` of `initialize` or `server/discover`.
    pub server: JsonText,
}

impl Greeting {
    /// One of the server's capabilities, as JSON. None: it has it not.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<Value> {
        capability(&self.server, name)
    }
}

/// One of the capabilities that a server told in its handshake.
#[must_use]
pub fn capability(server: &JsonText, name: &str) -> Option<Value> {
    let server = RawObject::parse(server.as_str())?;
    RawObject::parse(server.get("capabilities")?)?.read::<Value>(name).filter(|value| !value.is_null())
}

/// Which of its lists a server tells changes of: the `params` of `subscriptions/listen`. None: of no list.
#[must_use]
pub fn subscription(server: &JsonText) -> Option<String> {
    let mut filter = String::from("{");
    for (name, key) in [("tools", "toolsListChanged"), ("prompts", "promptsListChanged"), ("resources", "resourcesListChanged")] {
        if capability(server, name).and_then(|has| has.get("listChanged")?.as_bool()) == Some(true) {
            write_key(&mut filter, key);
            filter.push_str("true");
        }
    }
    filter.push('}');
    (filter.len() > 2).then(|| format!("{{\"notifications\":{filter}}}"))
}

/// Whether a server tells of updates of those resources that it is asked to.
#[must_use]
pub fn subscribes(server: &JsonText) -> bool {
    capability(server, "resources").and_then(|has| has.get("subscribe")?.as_bool()) == Some(true)
}

/// That updates of these resources are wanted: the `params` of `subscriptions/listen`. None: of none, or the server tells of none.
#[must_use]
pub fn resource_subscription(server: &JsonText, uris: &BTreeSet<String>) -> Option<String> {
    if uris.is_empty() || !subscribes(server) {
        return None;
    }
    let mut params = String::from("{\"notifications\":{\"resourceSubscriptions\":");
    write_json(&mut params, uris);
    params.push_str("}}");
    Some(params)
}

/// Greets a server. How long it may take is the caller's to limit.
///
/// # Errors
///
/// [`ChannelError`]: the server ended, or speaks no revision that is spoken here.
pub async fn greet(wire: &dyn Wire, known: &Known) -> Result<Greeting, ChannelError> {
    let greeting = match known.era() {
        Some(Era::Legacy) => initialize(wire).await?,
        Some(Era::Modern) => discover(wire).await?,
        None => find_out(wire, known).await?,
    };
    known.set_era(greeting.era);
    Ok(greeting)
}

async fn find_out(wire: &dyn Wire, known: &Known) -> Result<Greeting, ChannelError> {
    let probe = Box::pin(discover(wire));
    let rest = match select(probe, Box::pin(tokio::time::sleep(PROBE))).await {
        Either::Left((result, _)) => return after_probe(wire, known, result).await,
        Either::Right(((), probe)) => probe,
    };
    // Slow to start, or one that does not answer what it does not know. Whichever answer comes first and is one decides.
    match select(rest, Box::pin(initialize(wire))).await {
        Either::Left((Ok(greeting), _)) => Ok(greeting),
        Either::Left((Err(_), initialize)) => initialize.await,
        Either::Right((result, _)) => result,
    }
}

async fn after_probe(wire: &dyn Wire, known: &Known, result: Result<Greeting, ChannelError>) -> Result<Greeting, ChannelError> {
    match result {
        // The usual answer of the older era. Some say it in other words, so any error will do.
        Err(ChannelError::Rpc { .. } | ChannelError::Malformed(_)) => initialize(wire).await,
        // Some end at a first message that is not `initialize`. The next start greets them so.
        Err(ChannelError::Closed(why)) => {
            known.set_era(Era::Legacy);
            Err(ChannelError::Closed(why))
        }
        other => other,
    }
}

async fn discover(wire: &dyn Wire) -> Result<Greeting, ChannelError> {
    let server = wire.exchange(Era::Modern, "server/discover", "{}").await?;
    let supported: Vec<String> = RawObject::parse(server.as_str()).and_then(|result| result.read("supportedVersions")).unwrap_or_default();
    if supported.iter().any(|version| version == MODERN_VERSION) {
        return Ok(Greeting { era: Era::Modern, version: MODERN_VERSION.to_owned(), server });
    }
    Err(ChannelError::Rpc {
        code: UNSUPPORTED_VERSION,
        message: format!("the server speaks MCP {}, and not {MODERN_VERSION}", supported.join(", ")),
        data: None,
    })
}

async fn initialize(wire: &dyn Wire) -> Result<Greeting, ChannelError> {
    let params = format!("{{\"protocolVersion\":\"{LEGACY_VERSION}\",\"capabilities\":{CAPABILITIES},\"clientInfo\":{CLIENT_INFO}}}");
    let server = wire.exchange(Era::Legacy, "initialize", &params).await?;
    let version: Option<String> = RawObject::parse(server.as_str()).and_then(|result| result.read("protocolVersion"));
    let Some(version) = version.filter(|version| LEGACY_VERSIONS.contains(&version.as_str())) else {
        return Err(ChannelError::Malformed(format!(
            "the server's answer to `initialize` names no protocol version that is known here ({}): {}",
            LEGACY_VERSIONS.join(", "),
            server.as_str().chars().take(200).collect::<String>()
        )));
    };
    wire.notify("notifications/initialized", "{}").await?;
    Ok(Greeting { era: Era::Legacy, version, server })
}
