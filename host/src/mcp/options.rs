//! How the MCP front is to behave.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    catalog::Access,
    config::{ClusterConfig, HttpConfig, Sessions, StateConfig, TasksConfig},
};

/// How the front is to behave. What is HTTP's (names, origins, sizes of bodies) is checked before it.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Whether clients before 2026-07-28 get sessions.
    pub sessions: Sessions,
    /// Sessions of theirs that something is kept of, at once.
    pub max_sessions: usize,
    /// After how long without use nothing is kept of a session.
    pub session_idle: Duration,
    /// How long a session's id is good.
    pub session_ttl: Duration,
    /// How long a client with a session, or with a task, may take to answer a question.
    pub ask_timeout: Duration,
    /// What signs the state that a client of 2026-07-28 carries from a question to its answer.
    pub state: StateConfig,
    /// Calls that go on when their request is answered.
    pub tasks: TasksConfig,
    /// How other instances are reached.
    pub cluster: ClusterConfig,
    /// Whether callers are told apart, so that what they get must not be shared by a cache.
    pub authenticated: bool,
    /// What the server says of itself.
    pub server_version: String,
    /// What the server tells a model about itself.
    pub instructions: Option<String>,
    /// The endpoints beside that of everything and those of providers, by name.
    pub endpoints: Arc<BTreeMap<String, EndpointOptions>>,
    /// How its callers reach it, in a word, for the audit.
    pub face: &'static str,
    /// Off: everything goes by rmcp. For comparing the two.
    pub lean: bool,
}

/// An endpoint that offers a part of everything.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// What it offers.
    pub offers: Arc<Access>,
    /// Whether it lists two tools that find and call the others.
    pub search: bool,
    /// The roles of those who may use it, and the callers who may whatever their roles. None of both: all callers.
    pub roles: BTreeSet<String>,
    /// See `roles`.
    pub callers: BTreeSet<String>,
    /// What it tells a model about itself.
    pub instructions: Option<String>,
}

/// The options as they are now. They can change while requests are answered.
pub(super) type LiveOptions = Arc<ArcSwap<FrontOptions>>;

impl Default for FrontOptions {
    fn default() -> Self {
        Self::from(&HttpConfig::default())
    }
}

impl From<&HttpConfig> for FrontOptions {
    fn from(http: &HttpConfig) -> Self {
        Self {
            sessions: http.sessions,
            max_sessions: http.max_sessions,
            session_idle: http.session_idle,
            session_ttl: http.session_ttl,
            ask_timeout: http.ask_timeout,
            state: StateConfig::default(),
            tasks: TasksConfig::default(),
            cluster: ClusterConfig::default(),
            authenticated: false,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            endpoints: Arc::default(),
            face: "mcp",
            lean: true,
        }
    }
}
