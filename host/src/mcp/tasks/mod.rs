//! Tasks (`io.modelcontextprotocol/tasks`): calls that go on when their request has been answered with a handle, by which their client asks later.
//!
//! A task lives in the memory of the copy of the host that runs its call: what runs cannot be anywhere else. Its id names that copy, so that any other can
//! hand a request for it on (`copies`). `deferred` is a call on its way to become a task, `task` is what clients see of one.

mod peer_routing;
mod promotion;
mod task;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, request::Parts};
use serde_json::{Map, Value, json};

pub(super) use promotion::{Reply, run};
pub(super) use task::Task;

use super::{
    client_requests::{is_declared, responses},
    headers::{METHOD_NAME, NAME_NAME},
    options::{FrontOptions, LiveOptions},
    present::TaskInfo,
    signing::Signer,
};
use crate::{
    cluster::Peers,
    config::TasksConfig,
    provider::{CallError, Deferral, NotDeferred, Principal},
};
use peer_routing::Copies;
use task::End;

/// The extension's name.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Its methods.
pub(super) const METHODS: [&str; 3] = ["tasks/get", "tasks/update", "tasks/cancel"];

/// The result of a method that only takes note.
const NOTED: &[u8] = b"{\"resultType\":\"complete\"}";

/// All tasks of this copy.
pub(super) struct Tasks {
    options: LiveOptions,
    signer: Arc<Signer>,
    copies: Copies,
    /// By id.
    table: Mutex<HashMap<String, Arc<Task>>>,
    /// Bytes of their results.
    bytes: AtomicUsize,
    refusing: ArcSwap<Refusing>,
}

/// Why there are no tasks, if there are none.
fn off(options: &FrontOptions) -> Option<&'static str> {
    options.tasks.off(options.state.copies)
}

/// For callers that cannot be let go.
struct Refusing(NotDeferred);

impl Refusing {
    fn of(options: &FrontOptions) -> Self {
        Self(match off(options) {
            Some(why) => NotDeferred::Unavailable(format!("there are no tasks here: {why}")),
            None => NotDeferred::Undeclared(required()),
        })
    }
}

impl Deferral for Refusing {
    fn defer(&self) -> Result<(), NotDeferred> {
        Err(self.0.clone())
    }
}

impl Tasks {
    pub(super) fn new(options: LiveOptions, signer: Arc<Signer>, peers: Arc<Peers>) -> Self {
        let copies = Copies::new(peers);
        let refusing = ArcSwap::from_pointee(Refusing::of(&options.load()));
        Self { options, signer, copies, table: Mutex::default(), bytes: AtomicUsize::new(0), refusing }
    }

    /// The options are others. Tasks that are there stay, also where there are to be no more.
    pub(super) fn reconfigured(&self) {
        self.refusing.store(Arc::new(Refusing::of(&self.options.load())));
    }

    /// Whether there are tasks at all.
    pub(super) fn are_on(&self) -> bool {
        off(&self.options.load()).is_none()
    }

    /// How long a client may take to answer.
    fn patience(&self) -> Duration {
        self.options.load().ask_timeout
    }

    /// A call that takes longer becomes a task.
    fn after(&self) -> Duration {
        self.options.load().tasks.after
    }

    /// Whether calls of a client with these capabilities, a JSON text, may become tasks.
    pub(super) fn may_be(&self, capabilities: &str) -> bool {
        self.are_on() && capabilities.contains(EXTENSION) && is_declared(capabilities, "extensions", EXTENSION)
    }

    /// For calls whose caller cannot be let go: says why.
    pub(super) fn refusing(&self) -> Arc<dyn Deferral> {
        self.refusing.load_full() as _
    }

    /// A new task.
    ///
    /// # Errors
    ///
    /// A sentence: why there can be none now.
    fn create(&self, principal: Option<Principal>) -> Result<Arc<Task>, String> {
        let full = |what: String| format!("{what}; [tasks] sets the limit");
        let options = self.options.load();
        let TasksConfig { max, max_results, ttl, .. } = &options.tasks;
        // A result that has no place is worse than a caller who waits.
        if self.bytes.load(Ordering::Relaxed) >= *max_results {
            return Err(full(format!("the results of tasks take {max_results} bytes, which is the limit")));
        }
        let id = self.copies.id(&self.signer, *ttl).map_err(|error| format!("a task cannot be named: {error}"))?;
        let mut table = self.lock();
        if table.len() >= *max {
            return Err(full(format!("there are {} tasks, which is the limit", table.len())));
        }
        let task = Arc::new(Task::new(id, principal, *ttl));
        table.insert(task.id().to_owned(), Arc::clone(&task));
        Ok(task)
    }

    /// Keeps what came of a task's call.
    fn end(&self, task: &Task, mut end: End) {
        let mut size = end.size();
        let max_results = self.options.load().tasks.max_results;
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > max_results {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            end = End::no_room(format!(
                "the result of {size} bytes cannot be kept: all tasks may keep {} bytes; [tasks] max_results sets the limit",
                max_results
            ));
            size = 0;
        }
        if !task.end(end) {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }

    fn remove(&self, task: &Task) {
        if self.lock().remove(task.id()).is_some() {
            self.bytes.fetch_sub(task.size(), Ordering::Relaxed);
        }
    }

    /// How many there are, and the bytes of their results.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.lock().len(), self.bytes.load(Ordering::Relaxed))
    }

    /// All of them, the newest first, for an operator to see.
    pub(super) fn list(&self) -> Vec<TaskInfo> {
        let mut tasks: Vec<TaskInfo> = self.lock().values().map(|task| task.info()).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.created));
        tasks
    }

    /// `tasks/get`: the result as JSON.
    ///
    /// # Errors
    ///
    /// There is no such task of this caller.
    pub(super) fn get(&self, id: &str, principal: Option<&Principal>) -> Result<Vec<u8>, CallError> {
        Ok(self.find(id, principal)?.detailed())
    }

    /// `tasks/update`: takes answers, the JSON text of an object by key.
    ///
    /// # Errors
    ///
    /// There is no such task of this caller, or an answer cannot be one.
    pub(super) fn update(&self, id: &str, principal: Option<&Principal>, answers: Option<&str>) -> Result<Vec<u8>, CallError> {
        self.find(id, principal)?.answer(responses(answers)?)?;
        Ok(NOTED.to_vec())
    }

    /// `tasks/cancel`: ends the call, where it has not ended.
    ///
    /// # Errors
    ///
    /// There is no such task of this caller.
    pub(super) fn cancel(&self, id: &str, principal: Option<&Principal>) -> Result<Vec<u8>, CallError> {
        let task = self.find(id, principal)?;
        task.end(End::Cancelled);
        task.cancelled.cancel();
        Ok(NOTED.to_vec())
    }

    fn find(&self, id: &str, principal: Option<&Principal>) -> Result<Arc<Task>, CallError> {
        let task = self.lock().get(id).filter(|task| task.is_of(principal)).cloned();
        task.ok_or_else(|| CallError::InvalidParams(Copies::explain(&self.signer, id).to_owned()))
    }

    /// Which other copy has to answer a request with these headers.
    pub(super) fn elsewhere(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let id = text(&METHOD_NAME).filter(|method| METHODS.contains(method)).and_then(|_| text(&NAME_NAME))?;
        if self.lock().contains_key(id) { None } else { self.copies.elsewhere(&self.signer, headers, id) }
    }

    /// Has that copy answer. `id`: of the request, as JSON text.
    pub(super) async fn hand_on(&self, copy: &str, parts: Parts, body: Bytes, id: Option<&str>) -> Response<Body> {
        self.copies.hand_on(copy, parts, body, id).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Task>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client declares to get tasks: a `ClientCapabilities` object.
pub(super) fn required() -> Map<String, Value> {
    Map::from_iter([("extensions".to_owned(), json!({ EXTENSION: {} }))])
}
