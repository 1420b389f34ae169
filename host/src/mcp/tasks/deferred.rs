//! A call whose caller may be let go: it runs in the caller's request until that happens, and as a task from there on.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    catalog::Catalog,
    mcp::{
        answer::{RpcError, internal, rpc_error},
        asking::{Asking, Replay, missing},
        calls::{Calls, Checked, Output},
        era::Era,
        render,
    },
    provider::{AskError, Asker, CallError, Deferral, JsonText, LogLevel, NotDeferred, Notifier, Question},
};

/// Runs a call of a client that declared tasks. It becomes one when the provider says so, or when it has run for long. Dropping the future before that ends
/// the call; from then on only time and the client's `tasks/cancel` do.
pub(in crate::mcp) async fn run(
    tasks: &Arc<Tasks>,
    calls: &Arc<Calls>,
    catalog: &Arc<Catalog>,
    mut checked: Checked<'static>,
) -> Result<Output, CallError> {
    let deferred = Arc::new(Deferred {
        tasks: Arc::clone(tasks),
        principal: checked.principal.clone(),
        before: checked.notifier.take(),
        task: Mutex::default(),
        begun: Notify::new(),
        handed: AtomicBool::new(false),
    });
    checked.notifier = Some(Arc::clone(&deferred) as _);
    checked.deferral = Some(Arc::clone(&deferred) as _);
    checked.asking = match checked.asking {
        Asking::Returning(input) => Asking::Deferrable(input, Arc::clone(&deferred)),
        asking => asking,
    };
    let calls = Arc::clone(calls);
    let mut call: BoxFuture<'static, _> = Box::pin(async move { calls.run(checked).await });
    let mut patience = Some(Box::pin(sleep(tasks.config.after)));
    loop {
        tokio::select! {
            biased;
            // A call that is done at once needs no task, though it may have asked for one.
            result = &mut call => return result,
            () = deferred.begun.notified() => break,
            () = async { if let Some(patience) = &mut patience { patience.await } }, if patience.is_some() => {
                patience = None;
                // Where it cannot be, the caller waits as ever.
                let _ = deferred.defer();
            }
        }
    }
    let Some(task) = deferred.task() else { return call.await };
    deferred.handed.store(true, Ordering::Relaxed);
    tracing::debug!("the call goes on as a task");
    tokio::spawn(carry(Arc::clone(tasks), Arc::clone(&task), call, Arc::clone(catalog)));
    Ok(Output::Task(task))
}

/// Runs what is left of a call, and keeps what comes of it for as long as its client may ask.
async fn carry(tasks: Arc<Tasks>, task: Arc<Task>, call: BoxFuture<'static, Result<Output, CallError>>, catalog: Arc<Catalog>) {
    let end = tokio::select! {
        biased;
        result = AssertUnwindSafe(call).catch_unwind() => match result {
            Ok(Ok(output)) => {
                let mut json = Vec::with_capacity(render::size(&output) + 128);
                render::result(&mut json, Era::Modern, true, &output);
                json.shrink_to_fit();
                End::Completed(json)
            }
            Ok(Err(error)) => End::Failed(rpc_error(error, Era::Modern, &catalog.snapshot())),
            Err(_) => End::Failed(internal("the call failed inside the host, whose log says more")),
        },
        () = task.cancelled.cancelled() => End::Cancelled,
        () = sleep_until(task.expires) => End::Failed(internal("the task's time is over")),
    };
    tasks.end(&task, end);
    sleep_until(task.expires).await;
    tasks.remove(&task);
}

/// How a call reaches its caller, before and after the caller was let go.
pub(in crate::mcp) struct Deferred {
    tasks: Arc<Tasks>,
    principal: Option<Arc<str>>,
    /// The request's own stream.
    before: Option<Arc<dyn Notifier>>,
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

/// Asks the caller by another round of its request, and by the task once it was let go.
pub(in crate::mcp) struct DeferredAsker {
    pub(in crate::mcp) replay: Arc<Replay>,
    pub(in crate::mcp) deferred: Arc<Deferred>,
}

impl Asker for DeferredAsker {
    fn capabilities(&self) -> &str {
        self.replay.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let Some(task) = self.deferred.task() else { return self.replay.ask(questions) };
        if let Some(missing) = missing(self.capabilities(), &questions) {
            return Box::pin(async move { Err(AskError::MissingCapability(missing)) });
        }
        let patience = self.deferred.tasks.patience;
        Box::pin(async move { task.ask(questions, patience).await })
    }
}

/// The error of a task whose result cannot be kept.
pub(super) fn no_room(message: String) -> End {
    End::Failed(RpcError { code: crate::mcp::answer::BUSY, message, data: None })
}
