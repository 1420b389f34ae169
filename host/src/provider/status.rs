//! How a provider stands, for an operator to see.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use serde::Serialize;

use super::{Offer, Offers};

/// What an operator sees of a provider, served or not.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderStatus {
    /// Its name, or the file's name where that cannot be one.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// Whether it serves, and what.
    pub state: ProviderState,
    /// Where it comes from.
    pub source: String,
    /// What serves: the first 16 hex digits of the BLAKE3 of the file's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The container image of what was started last, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// The provider's own names of its tools.
    pub tools: Vec<String>,
    /// Its tools that are not offered until somebody accepts them, and why: `add: its definition has changed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// What it offers beside tools.
    #[serde(flatten)]
    pub offers: OfferNames,
    /// What is wrong with the newest version, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is not wrong but worth knowing: a function that cannot be a tool, for example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Its names that look like others of another plugin or server, in sentences. Only who may know of everything is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookalikes: Vec<String>,
    /// What the plugin wants to reach: the interfaces that it imports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// Who compiled the code that serves, where it is compiled here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<CompiledStatus>,
    /// Whether its code is in memory, where it is loaded when it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<bool>,
    /// Calls that run now.
    pub in_flight: usize,
    /// Calls that wait for their turn.
    pub queued: usize,
    /// The processes or containers that serve it, where it is served by such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicasStatus>,
    /// Since when it is in this state, in seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub since: SystemTime,
    /// When it is tried again, in seconds since 1970. None: it serves, it is being tried now, or nothing is tried without a change.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "unix_seconds_of")]
    pub next_try: Option<SystemTime>,
}

/// Why nothing is offered under a name that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// A sentence.
    pub why: String,
    /// After how long to ask again, where that is known.
    pub retry_after: Option<Duration>,
}

impl ProviderStatus {
    /// One that offers nothing, runs nothing and is not replicated, in this state from now on.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ProviderKind, state: ProviderState, source: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            state,
            source: source.into(),
            digest: None,
            image: None,
            tools: Vec::new(),
            held: Vec::new(),
            offers: OfferNames::default(),
            error: None,
            warnings: Vec::new(),
            lookalikes: Vec::new(),
            imports: Vec::new(),
            compiled: None,
            loaded: None,
            in_flight: 0,
            queued: 0,
            replicas: None,
            since: SystemTime::now(),
            next_try: None,
        }
    }

    /// Why it offers nothing. Only for one that is not in the catalog.
    #[must_use]
    pub fn absence(&self) -> Absence {
        /// One that is being started is up within seconds, or is known not to be.
        const SOON: Duration = Duration::from_secs(1);
        let (what, is_not) = match self.kind {
            ProviderKind::Wasm => ("plugin", "is broken"),
            ProviderKind::Pipeline => ("pipeline", "is broken"),
            ProviderKind::Bridge | ProviderKind::Remote => ("server", "is configured and not running"),
        };
        let name = &self.name;
        let Some(error) = self.error.as_ref().filter(|_| self.state == ProviderState::Broken) else {
            return Absence { why: format!("{what} {name} is being started for the first time"), retry_after: Some(SOON) };
        };
        let wait = self.next_try.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default().max(SOON));
        let is_tried = self.replicas.as_ref().is_some_and(|replicas| replicas.starting > 0);
        let next = match wait {
            Some(wait) => format!("; it is tried again in {} s", wait.as_secs_f64().ceil()),
            None if is_tried => "; it is being tried again".to_owned(),
            None => String::new(),
        };
        Absence { why: format!("{what} {name} {is_not}: {error}{next}"), retry_after: wait.or(is_tried.then_some(SOON)) }
    }
}

/// What an operator sees of a container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageStatus {
    /// As the configuration names it.
    pub name: String,
    /// What that stood for when a container was started last: `sha256:…`, of the registry where it came from one.
    pub digest: String,
    /// All digests by which it is known. One that was accepted is among these.
    #[serde(skip)]
    pub all: Vec<String>,
}

/// What an operator sees of compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CompiledStatus {
    /// `winch`, whose code is there early, or `cranelift`, whose code is the quicker one.
    pub by: &'static str,
    /// Since when it is there, in seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub since: SystemTime,
}

/// What a provider offers beside tools, by name, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfferNames {
    /// URIs of resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Texts of resource templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// Names of prompts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
}

impl From<&Offers> for OfferNames {
    fn from(offers: &Offers) -> Self {
        let names = |offers: &[Arc<Offer>]| offers.iter().map(|offer| offer.key.clone()).collect();
        Self { resources: names(&offers.resources), templates: names(&offers.templates), prompts: names(&offers.prompts) }
    }
}

/// What an operator sees of the replicas of a server.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicasStatus {
    /// How many there should be now.
    pub wanted: u32,
    /// How many are being started.
    pub starting: usize,
    /// Those that are up.
    pub up: Vec<ReplicaStatus>,
    /// Replicas that died or did not start, so far.
    pub restarts: u64,
    /// Whether starts are tried.
    pub breaker: BreakerState,
}

/// What an operator sees of one replica.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaStatus {
    /// Counted from 1, never given twice.
    pub number: u64,
    /// `pid 4711`.
    pub name: String,
    /// `serving`; `suspect`: it did not answer in time and is asked whether it lives; `draining`: it ends when its calls have.
    pub state: &'static str,
    /// Calls that run on it.
    pub ongoing: usize,
    /// Since when it serves, in seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub since: SystemTime,
}

/// Whether starts of replicas are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "until")]
pub enum BreakerState {
    /// They are.
    #[default]
    Closed,
    /// Too many failed: none is tried before that time, in seconds since 1970.
    Open(#[serde(serialize_with = "unix_seconds")] SystemTime),
    /// One is being tried.
    HalfOpen,
}

/// What a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// A plugin: a WebAssembly component.
    Wasm,
    /// A server that runs here as a program or a container.
    Bridge,
    /// A server or an HTTP application that runs elsewhere.
    Remote,
    /// A tool that the configuration makes of others.
    Pipeline,
}

impl ProviderKind {
    /// Whether it is a plugin.
    #[must_use]
    pub fn is_plugin(self) -> bool {
        self == Self::Wasm
    }

    /// Whether it is a server, of whatever kind.
    #[must_use]
    pub fn is_server(self) -> bool {
        matches!(self, Self::Bridge | Self::Remote)
    }
}

/// Where a provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderState {
    /// It is being compiled or started for the first time.
    Loading,
    /// It serves its newest version.
    Serving,
    /// It serves an older version, since the newest is broken or still being compiled.
    ServingPrevious,
    /// It serves nothing: `error` says why.
    Broken,
}

/// Somebody who can say how its providers stand.
pub trait StatusSource: Send + Sync {
    /// All of them, by name.
    fn statuses(&self) -> Vec<ProviderStatus>;
    /// Whether the first look at everything is done, so that calls find what they should.
    fn ready(&self) -> bool;
    /// Waits until it is [ready](Self::ready), or has ended. Whoever waits has a deadline.
    fn until_ready(&self) -> BoxFuture<'_, ()>;
    /// What else is worth showing, by the name of its part of `/status`.
    fn sections(&self) -> Vec<(&'static str, serde_json::Value)> {
        Vec::new()
    }
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the member")]
fn unix_seconds_of<S: serde::Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    unix_seconds(&time.unwrap_or(SystemTime::UNIX_EPOCH), serializer)
}

fn unix_seconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}
