//! The import `calls`: calling other tools, by the [`Calls`] of the call in hand.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde_json::value::RawValue;

use super::bindings::toolbay::plugin::{
    calls::{Answer, CallError as Problem, Host, Request, Tool},
    types::Error,
};
use crate::{
    json::is_too_deep,
    provider::{
        self, AskError, Asker, CallContext, CallError, CallOutput, Calls, JsonText, LogLevel, NestedError, Nesting, Notifier, Question,
    },
    wasm::{
        content::typed,
        deadline::Deadline,
        instance::{Ended, State},
    },
};

/// Calls at once.
const AT_ONCE: usize = 64;

/// JSON-RPC: a fault of the host, or of what was called.
const INTERNAL_ERROR: i32 = -32603;
/// JSON-RPC: parameters that are wrong.
const INVALID_PARAMS: i32 = -32602;

impl Host for State {
    fn list_tools(&mut self) -> wasmtime::Result<Vec<Tool>> {
        let tools = self.call.calls().map(|calls| calls.list()).unwrap_or_default();
        Ok(tools.iter().map(|tool| described(tool)).collect())
    }

    async fn call(&mut self, name: String, arguments: String) -> wasmtime::Result<Result<Answer, Problem>> {
        let mut answers = self.call_others(vec![Request { name, arguments }]).await?;
        Ok(answers.pop().unwrap_or_else(|| Err(Problem::Failed(failure(INTERNAL_ERROR, "there is no answer")))))
    }

    async fn call_all(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Result<Answer, Problem>>> {
        if requests.len() > AT_ONCE {
            let why = format!("these are {} calls; {AT_ONCE} may be made at once", requests.len());
            return Ok(requests.iter().map(|_| Err(Problem::Failed(failure(INVALID_PARAMS, &why)))).collect());
        }
        self.call_others(requests).await
    }
}

impl State {
    async fn call_others(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Result<Answer, Problem>>> {
        let Some(calls) = self.call.calls().cloned() else {
            let why = if self.listing {
                "lists are the same for every caller, so no tool can be called for one while a list is made"
            } else {
                "this call has no way to call other tools"
            };
            return Ok(requests.iter().map(|_| Err(Problem::Denied(why.to_owned()))).collect());
        };
        let batch = Batch {
            calls,
            context: self.call.clone(),
            deadline: Arc::clone(&self.deadline),
            told: self.told(),
            turn: Arc::default(),
            requests,
        };
        // Others may run meanwhile, among them what is called.
        if let Some(turn) = &self.turn {
            turn.give_back();
        }
        let results = batch.run().await;
        if let Some(turn) = &self.turn {
            turn.take().await;
        }
        results?.into_iter().map(|result| read(result, &self.shared.id)).collect()
    }

    /// How far the call has come with what it calls, where somebody wants to know.
    fn told(&mut self) -> Option<Arc<Told>> {
        self.call.notifier.as_ref().filter(|notifier| notifier.wants_progress())?;
        let told = self.told.get_or_insert_with(|| Arc::new(Told::new(self.progress, self.total)));
        told.begin();
        Some(Arc::clone(told))
    }
}

/// Calls that are made together.
struct Batch {
    calls: Arc<dyn Calls>,
    /// Of the call in hand.
    context: CallContext,
    deadline: Arc<Deadline>,
    told: Option<Arc<Told>>,
    /// The first of them that has no answer yet. It alone may ask, so that questions come in the same order when all is made again.
    turn: Arc<AtomicUsize>,
    requests: Vec<Request>,
}

type Called = Result<CallOutput, NestedError>;

impl Batch {
    /// Makes all of them. Err: the call in hand ends as one of them did.
    async fn run(&self) -> wasmtime::Result<Vec<Called>> {
        let mut results: Vec<Option<Called>> = self.requests.iter().map(|_| None).collect();
        let mut running: FuturesUnordered<_> = (0..self.requests.len()).map(|index| self.make(index)).collect();
        let mut again = vec![false; self.requests.len()];
        while let Some((index, asked_early, result)) = running.next().await {
            match result {
                Err(NestedError::Call(CallError::InputRequired)) if asked_early => {
                    if let Some(again) = again.get_mut(index) {
                        *again = true;
                    }
                }
                Err(NestedError::Call(end @ (CallError::InputRequired | CallError::MissingCapability(_)))) => return Err(Ended(end).into()),
                result => {
                    if let Some(place) = results.get_mut(index) {
                        *place = Some(result);
                    }
                }
            }
            let first_open = results.iter().position(Option::is_none).unwrap_or(results.len());
            self.turn.store(first_open, Ordering::Release);
            if let Some(again) = again.get_mut(first_open).filter(|again| **again) {
                *again = false;
                running.push(self.make(first_open));
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Makes one. Its answer, and whether it asked before its turn.
    fn make(&self, index: usize) -> BoxFuture<'_, (usize, bool, Called)> {
        let early = Arc::<AtomicBool>::default();
        let called = match self.requests.get(index) {
            Some(Request { name, arguments }) => match object(arguments) {
                Ok(arguments) => self.calls.call(name, arguments, self.context_of(index, name, &early)),
                Err(why) => async move { Err(CallError::InvalidParams(why).into()) }.boxed(),
            },
            None => async { Err(CallError::Internal("there is no such call".to_owned()).into()) }.boxed(),
        };
        async move {
            let result = called.await;
            (index, early.load(Ordering::Acquire), result)
        }
        .boxed()
    }

    /// What the call is given of the call in hand.
    fn context_of(&self, index: usize, name: &str, early: &Arc<AtomicBool>) -> CallContext {
        let asker = self.context.asker.clone().map(|inner| {
            let (deadline, turn, early) = (Arc::clone(&self.deadline), Arc::clone(&self.turn), Arc::clone(early));
            Arc::new(Passing { inner, deadline, turn, index, early }) as Arc<dyn Asker>
        });
        let notifier = self
            .context
            .notifier
            .clone()
            .map(|inner| Arc::new(Relay { inner, told: self.told.clone(), name: name.to_owned() }) as Arc<dyn Notifier>);
        CallContext {
            asker,
            notifier,
            deferral: self.context.deferral.clone(),
            nesting: Some(Arc::new(Nesting { time_left: Some(self.deadline.left()), ..Nesting::default() })),
            ..CallContext::default()
        }
    }
}

/// Asks the caller of the call in hand. Meanwhile the time of that does not run either.
struct Passing {
    inner: Arc<dyn Asker>,
    deadline: Arc<Deadline>,
    turn: Arc<AtomicUsize>,
    index: usize,
    early: Arc<AtomicBool>,
}

impl Asker for Passing {
    fn capabilities(&self) -> &str {
        self.inner.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        // It does not wait for its turn: it may hold what those before it need.
        if self.turn.load(Ordering::Acquire) != self.index {
            self.early.store(true, Ordering::Release);
            return async { Err(AskError::Suspended) }.boxed();
        }
        async move {
            let _paused = self.deadline.pause();
            self.inner.ask(questions).await
        }
        .boxed()
    }
}

/// How far a call has come with what it called, as one number that only rises.
#[derive(Debug)]
pub(crate) struct Told(Mutex<Reach>);

#[derive(Debug)]
struct Reach {
    highest: f64,
    total: Option<f64>,
    /// From where on what is called moves it.
    base: f64,
}

impl Told {
    fn new(progress: f64, total: Option<f64>) -> Self {
        Self(Mutex::new(Reach { highest: progress, total, base: 0.0 }))
    }

    pub(crate) fn highest(&self) -> f64 {
        self.lock().highest
    }

    /// The call itself has come so far.
    pub(crate) fn reached(&self, progress: f64, total: Option<f64>) {
        let mut reach = self.lock();
        reach.total = total;
        reach.highest = reach.highest.max(progress);
    }

    /// Something is called next.
    fn begin(&self) {
        let mut reach = self.lock();
        reach.base = reach.highest.max(0.0);
    }

    /// What was called has come so far: a part of one step. None: that is no more than was told.
    fn part(&self, progress: f64, total: Option<f64>) -> Option<(f64, Option<f64>)> {
        let done = match total {
            Some(total) if total > 0.0 => progress / total,
            _ => progress / (progress.max(0.0) + 1.0),
        };
        let mut reach = self.lock();
        let step = reach.total.map_or(1.0, |total| (total - reach.base).clamp(0.0, 1.0));
        let reached = reach.base + step * done.clamp(0.0, 1.0);
        if !reached.is_finite() || reached <= reach.highest {
            return None;
        }
        reach.highest = reached;
        Some((reached, reach.total))
    }

    fn lock(&self) -> MutexGuard<'_, Reach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the caller of the call in hand what is told by one that it made.
struct Relay {
    inner: Arc<dyn Notifier>,
    told: Option<Arc<Told>>,
    /// What is called.
    name: String,
}

impl Notifier for Relay {
    fn wants_progress(&self) -> bool {
        self.told.is_some()
    }

    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        if let Some((progress, total)) = self.told.as_ref().and_then(|told| told.part(progress, total)) {
            self.inner.progress(progress, total, Some(text.unwrap_or_else(|| self.name.clone())));
        }
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.inner.log_level()
    }

    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        self.inner.log(level, Some(logger.unwrap_or_else(|| self.name.clone())), data);
    }
}

/// Arguments as they can be sent on: an object, with nothing around it.
fn object(text: &str) -> Result<String, String> {
    let text = text.trim_ascii();
    if is_too_deep(text.as_bytes()) {
        return Err("the arguments are nested too deep".to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) if text.starts_with('{') => Ok(text.to_owned()),
        Ok(_) => Err("the arguments must be a JSON object".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}

fn described(tool: &provider::Tool) -> Tool {
    let json = |value: &serde_json::Map<_, _>| serde_json::to_string(value).unwrap_or_default();
    Tool {
        name: tool.name.as_str().to_owned(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        input_schema: json(&tool.input_schema),
        output_schema: tool.output_schema.as_deref().map(json),
        annotations: tool.annotations.as_ref().map(ToString::to_string),
    }
}

fn failure(code: i32, message: &str) -> Error {
    Error { code, message: message.to_owned(), data: None }
}

/// What came of a call, in the contract's words.
fn read(result: Called, plugin: &provider::ProviderId) -> wasmtime::Result<Result<Answer, Problem>> {
    let error = match result {
        Ok(output) => {
            let json = |json: JsonText| json.as_str().to_owned();
            return Ok(Ok(Answer {
                content: output.content.into_iter().map(typed).collect(),
                structured_content: output.structured.map(json),
                is_error: output.is_error,
                meta: output.meta.map(json),
            }));
        }
        Err(error) => error,
    };
    tracing::debug!(%plugin, "a call that the plugin made has no answer: {error}");
    let why = error.to_string();
    Ok(Err(match error {
        NestedError::Denied(_) => Problem::Denied(why),
        NestedError::Circular(_) => Problem::Circular(why),
        NestedError::Call(CallError::UnknownTool(_)) => Problem::Unknown(why),
        NestedError::Call(CallError::Busy { .. } | CallError::Limited { .. }) => Problem::Busy(why),
        NestedError::Call(CallError::InvalidParams(_)) => Problem::Failed(failure(INVALID_PARAMS, &why)),
        NestedError::Call(CallError::Protocol { code, data, .. }) => {
            Problem::Failed(Error { data: data.map(|data| data.to_string()), ..failure(code, &why) })
        }
        NestedError::Call(_) => Problem::Failed(failure(INTERNAL_ERROR, &why)),
    }))
}
