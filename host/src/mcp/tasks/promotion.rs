//! A call whose caller may be let go: it runs in the caller's request until that happens, and as a task from there on.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until},
};

use super::{
    Tasks,
    task::{End, Task},
};
use crate::{
    catalog::{Catalog, Seen},
    dispatch::{CallRequest, Dispatcher, InputRequired, Operation, OperationResult, Rounds},
    mcp::{
        client_requests::missing,
        era::Era,
        links, result_json,
        rpc::{internal, rpc_error},
    },
    provider::{AskError, Asker, CallError, Deferral, JsonText, LogLevel, NotDeferred, Notifier, Principal, Question},
};

/// The answer to a request that was run: its result, or the handle by which its caller asks for that later.
pub(in crate::mcp) enum Reply {
    Result(OperationResult),
    Task(Arc<Task>),
}

/// Runs a call of a client that declared tasks. It becomes one when the provider says so, or when it has run for long. Dropping the future before that ends
/// the call; from then on only time and the client's `tasks/cancel` do.
pub(in crate::mcp) async fn run(
    tasks: &Arc<Tasks>,
    dispatcher: &Arc<Dispatcher>,
    catalog: &Arc<Catalog>,
    mut request: CallRequest<'static>,
) -> Result<Reply, CallError> {
    let deferred = Arc::new(Deferred {
        tasks: Arc::clone(tasks),
        principal: request.context().principal.clone(),
        before: request.context().notifier.clone(),
        rounds: request.take_rounds(),
        replay: OnceLock::new(),
        task: Mutex::default(),
        begun: Notify::new(),
        handed: AtomicBool::new(false),
    });
    request = request.with_notifier(Some(Arc::clone(&deferred) as _)).with_deferral(Some(Arc::clone(&deferred) as _));
    if deferred.rounds.is_some() {
        request = request.with_rounds(Arc::clone(&deferred) as _);
    }
    let (principal, running) = (deferred.principal.clone(), Arc::clone(dispatcher));
    let whole = Arc::clone(catalog);
    let mut call: BoxFuture<'static, _> = Box::pin(async move { links::run(&running, &whole, request).await });
    let mut patience = Some(Box::pin(sleep(tasks.after())));
    loop {
        tokio::select! {
            biased;
            // A call that is done at once needs no task, though it may have asked for one.
            result = &mut call => return result.map(Reply::Result),
            () = deferred.begun.notified() => break,
            () = async { if let Some(patience) = &mut patience { patience.await } }, if patience.is_some() => {
                patience = None;
                // Where it cannot be, the caller waits as ever.
                let _ = deferred.defer();
            }
        }
    }
    let Some(task) = deferred.task() else { return call.await.map(Reply::Result) };
    deferred.handed.store(true, Ordering::Relaxed);
    tracing::debug!("the call goes on as a task");
    let (dispatcher, catalog) = (Arc::clone(dispatcher), Arc::clone(catalog));
    let seen = move || dispatcher.seen(&catalog, principal.as_ref());
    tokio::spawn(carry(Arc::clone(tasks), Arc::clone(&task), call, seen));
    Ok(Reply::Task(task))
}

/// Runs what is left of a call, and keeps what comes of it for as long as its client may ask.
async fn carry(
    tasks: Arc<Tasks>,
    task: Arc<Task>,
    call: BoxFuture<'static, Result<OperationResult, CallError>>,
    seen: impl FnOnce() -> Seen + Send + 'static,
) {
    let end = tokio::select! {
        biased;
        result = AssertUnwindSafe(call).catch_unwind() => match result {
            Ok(Ok(result)) => {
                let mut json = Vec::with_capacity(result_json::size(&result) + 128);
                result_json::result(&mut json, Era::Modern, true, &result);
                json.shrink_to_fit();
                End::Completed(json)
            }
            Ok(Err(error)) => End::Failed(rpc_error(error, Era::Modern, &seen())),
            Err(_) => End::Failed(internal("internal error: see the host's log")),
        },
        () = task.cancelled.cancelled() => End::Cancelled,
        () = sleep_until(task.expires) => End::Failed(internal("the task's time is over")),
    };
    tasks.end(&task, end);
    sleep_until(task.expires).await;
    tasks.remove(&task);
}

/// How a call reaches its caller, before and after the caller was let go.
struct Deferred {
    tasks: Arc<Tasks>,
    principal: Option<Principal>,
    /// The request's own stream.
    before: Option<Arc<dyn Notifier>>,
    /// The way to ask the caller by another round of its request. None: the call asks nobody, or by its stream.
    rounds: Option<Arc<dyn Rounds>>,
    /// The asker of this round.
    replay: OnceLock<Arc<dyn Asker>>,
    task: Mutex<Option<Arc<Task>>>,
    begun: Notify,
    /// The client has the handle, or is getting it.
    handed: AtomicBool,
}

impl Deferred {
    fn task(&self) -> Option<Arc<Task>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Task>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // Nobody got its id.
        if let (Some(task), false) = (self.task(), self.handed.load(Ordering::Relaxed)) {
            self.tasks.remove(&task);
        }
    }
}

impl Deferral for Deferred {
    fn defer(&self) -> Result<(), NotDeferred> {
        let mut task = self.lock();
        if task.is_none() {
            *task = Some(self.tasks.create(self.principal.clone()).map_err(NotDeferred::Unavailable)?);
            self.begun.notify_one();
        }
        Ok(())
    }
}

impl Notifier for Deferred {
    fn wants_progress(&self) -> bool {
        // It may become a task yet, which shows how far it has come.
        true
    }

    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        if let Some(task) = self.task() {
            let text = text.filter(|text| !text.is_empty());
            let text = text.or_else(|| Some(format!("{progress} of {}", total?)));
            task.say(&text.unwrap_or_else(|| progress.to_string()));
        } else if let Some(before) = self.before.as_ref().filter(|before| before.wants_progress()) {
            before.progress(progress, total, text);
        }
    }

    fn log_level(&self) -> Option<LogLevel> {
        // MCP: no log messages of tasks.
        if self.lock().is_some() { None } else { self.before.as_ref().and_then(|before| before.log_level()) }
    }

    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        if let (None, Some(before)) = (self.task(), &self.before) {
            before.log(level, logger, data);
        }
    }
}

impl Rounds for Deferred {
    fn open(self: Arc<Self>, operation: &Operation<'_>) -> Result<Arc<dyn Asker>, CallError> {
        if let Some(rounds) = &self.rounds {
            // Opened once for each call, so there is none yet.
            let _already = self.replay.set(Arc::clone(rounds).open(operation)?);
        }
        Ok(self)
    }

    fn suspended(&self, operation: &Operation<'_>) -> Result<InputRequired, CallError> {
        self.rounds.as_ref().map_or(Err(CallError::InputRequired), |rounds| rounds.suspended(operation))
    }
}

/// Asks the caller by another round of its request, and by the task once it was let go.
impl Asker for Deferred {
    fn capabilities(&self) -> &str {
        self.replay.get().map_or("{}", |replay| replay.capabilities())
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let Some(task) = self.task() else {
            return match self.replay.get() {
                Some(replay) => replay.ask(questions),
                None => Box::pin(async { Err(AskError::Unanswered("the call has no way to ask its caller".to_owned())) }),
            };
        };
        if let Some(missing) = missing(self.capabilities(), &questions) {
            return Box::pin(async move { Err(AskError::MissingCapability(missing)) });
        }
        let patience = self.tasks.patience();
        Box::pin(async move { task.ask(questions, patience).await })
    }
}
