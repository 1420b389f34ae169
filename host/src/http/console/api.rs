//! What the console shows that is not live figures or offers: who looks, how things stand, the last calls and log lines, who is here.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, body::Body, extract::State};
use http::{Response, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;

use super::{Console, Unaccepted, access::Rights, query};
use crate::{
    dispatch::RecentCall,
    http::answer,
    mcp::{SessionInfo, TaskInfo},
    provider::{Principal, ProviderStatus},
    telemetry::{self, KeptLine, metrics::Durations},
};

/// Lines of the log in one answer.
const LINES: usize = 500;

/// Who looks, and what never changes while the host runs.
#[derive(Serialize)]
struct Session<'a> {
    version: &'static str,
    started: u64,
    /// None: callers are not told apart.
    caller: Option<&'a str>,
    roles: Vec<&'a str>,
    may_operate: bool,
    /// Whether callers have to authenticate.
    authentication: bool,
    has_roles: bool,
    /// How calls end, in the order of all counts of outcomes.
    outcomes: Vec<&'static str>,
    /// The upper ends of all buckets but the last, in nanoseconds.
    buckets: &'static [u64],
}

pub(super) async fn session(
    State(console): State<Arc<Console>>,
    Extension(rights): Extension<Rights>,
    principal: Option<Extension<Principal>>,
) -> Response<Body> {
    let (policy, principal) = (console.host.policy(), principal.as_deref());
    let policy = policy.load();
    let words = console.front.dispatcher().metrics().calls().map(|calls| calls.words().iter().map(|word| word.word).collect());
    let session = Session {
        version: env!("CARGO_PKG_VERSION"),
        started: console.host.started(),
        caller: principal.map(Principal::subject),
        roles: policy.roles_of(principal).iter().collect(),
        may_operate: rights == Rights::Operate,
        authentication: !console.admission.is_open(),
        has_roles: !policy.is_open(),
        outcomes: words.unwrap_or_default(),
        buckets: Durations::ends(),
    };
    answer::json(StatusCode::OK, &session)
}

/// As `/status`, for who may see all of it.
#[derive(Serialize)]
struct Status {
    ready: bool,
    providers: Vec<ProviderStatus>,
    #[serde(flatten)]
    sections: BTreeMap<&'static str, Value>,
}

pub(super) async fn status(State(console): State<Arc<Console>>) -> Response<Body> {
    let mut providers = console.host.statuses();
    providers.sort_by(|a, b| a.name.cmp(&b.name));
    let sections = console.host.sections().into_iter().collect();
    answer::json(StatusCode::OK, &Status { ready: console.host.ready(), providers, sections })
}

#[derive(Serialize)]
struct Calls {
    calls: Vec<RecentCall>,
}

pub(super) async fn calls(State(console): State<Arc<Console>>, uri: Uri) -> Response<Body> {
    let after = query::number(&uri, "after");
    let calls = console.front.dispatcher().recent().map(|recent| recent.after(after)).unwrap_or_default();
    answer::json(StatusCode::OK, &Calls { calls })
}

#[derive(Serialize)]
struct Log {
    lines: Vec<KeptLine>,
}

/// The last lines of the log, or those that are about a plugin or a server.
pub(super) async fn log(uri: Uri) -> Response<Body> {
    let after = query::number(&uri, "after");
    // As the log's formats write a field of that name.
    let names = query::parameter(&uri, "of").map(|of| {
        let fields = ["server", "plugin"].iter();
        fields
            .flat_map(|field| [format!("{field}={of} "), format!("{field}=\"{of}\""), format!("\"{field}\":\"{of}\"")])
            .collect::<Vec<_>>()
    });
    let lines = telemetry::kept_lines(after, LINES, |line| {
        // The last field of a line has nothing behind it.
        names.as_ref().is_none_or(|names| names.iter().any(|name| line.contains(name.as_str()) || line.ends_with(name.trim_end())))
    });
    answer::json(StatusCode::OK, &Log { lines })
}

#[derive(Serialize)]
struct Present {
    sessions: Vec<SessionInfo>,
    /// How many there are, of which the list may show the first ones.
    session_count: usize,
    tasks: Vec<TaskInfo>,
    task_count: usize,
}

#[derive(Serialize)]
struct Lock {
    /// Whether there is a lock file.
    locked: bool,
    unaccepted: Vec<Unaccepted>,
}

/// What differs from the lock file.
pub(super) async fn lock(State(console): State<Arc<Console>>) -> Response<Body> {
    let found = tokio::task::spawn_blocking(move || console.host.unaccepted()).await.ok().flatten();
    answer::json(StatusCode::OK, &Lock { locked: found.is_some(), unaccepted: found.unwrap_or_default() })
}

pub(super) async fn present(State(console): State<Arc<Console>>) -> Response<Body> {
    /// A page shows no more.
    const MOST: usize = 500;
    let (mut sessions, mut tasks) = console.front.present();
    sessions.sort_by_key(|session| session.idle);
    let (session_count, task_count) = (sessions.len(), tasks.len());
    sessions.truncate(MOST);
    tasks.truncate(MOST);
    answer::json(StatusCode::OK, &Present { sessions, session_count, tasks, task_count })
}
