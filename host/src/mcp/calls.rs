//! Running one call of a provider: its context, its span, its outcome in the log. Every way into a tool, a resource, a prompt or a completion goes
//! through here.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tracing::Instrument;

use super::{
    asking::{Asking, InputRequired, Replay, States},
    bodies::Share,
    era::Era,
    tasks::{DeferredAsker, Task},
};
use crate::{
    catalog::{Entry, PromptEntry, ResourceEntry},
    provider::{Call, CallContext, CallError, CallOutput, Completion, Completions, Deferral, JsonText, Notifier, PromptOutput, Provider},
};

/// What all calls share.
pub(super) struct Calls {
    states: States,
    last_id: AtomicU64,
    in_flight: AtomicUsize,
}

/// A call that has passed every check of the protocol.
pub(super) struct Checked<'a> {
    pub(super) work: Work<'a>,
    /// None: the caller speaks no MCP.
    pub(super) era: Option<Era>,
    pub(super) principal: Option<Arc<str>>,
    pub(super) trace_parent: Option<Arc<str>>,
    /// The request's `_meta`, as JSON text.
    pub(super) meta: Option<Arc<str>>,
    pub(super) notifier: Option<Arc<dyn Notifier>>,
    pub(super) asking: Asking,
    /// The way to let the caller go. None: the work has no use for one.
    pub(super) deferral: Option<Arc<dyn Deferral>>,
    /// What the request takes of the room for bodies, until the call ends.
    pub(super) share: Option<Share>,
}

impl Checked<'_> {
    /// The same, free of the request.
    pub(super) fn into_owned(self) -> Checked<'static> {
        let Self { work, era, principal, trace_parent, meta, notifier, asking, deferral, share } = self;
        Checked { work: work.into_owned(), era, principal, trace_parent, meta, notifier, asking, deferral, share }
    }
}

/// What is to be done, with every name looked up.
pub(super) enum Work<'a> {
    /// `tools/call`.
    Call {
        entry: Arc<Entry>,
        /// An object, as JSON text.
        arguments: Cow<'a, str>,
    },
    /// `resources/read`.
    Read { entry: Arc<ResourceEntry>, uri: Cow<'a, str> },
    /// `prompts/get`.
    Prompt { entry: Arc<PromptEntry>, arguments: Vec<(String, String)> },
    /// `completion/complete`. None: of something that has nothing to complete.
    Complete { provider: Arc<dyn Provider>, completion: Option<Completion> },
}

/// What came of it.
pub(super) enum Output {
    Call(CallOutput),
    Contents(Vec<JsonText>),
    Prompt(PromptOutput),
    Completions(Completions),
    /// The caller is asked something first.
    InputRequired(InputRequired),
    /// The caller was let go, and asks later.
    Task(Arc<Task>),
}

impl Work<'_> {
    /// The same, free of the request.
    pub(super) fn into_owned(self) -> Work<'static> {
        match self {
            Self::Call { entry, arguments } => Work::Call { entry, arguments: Cow::Owned(arguments.into_owned()) },
            Self::Read { entry, uri } => Work::Read { entry, uri: Cow::Owned(uri.into_owned()) },
            Self::Prompt { entry, arguments } => Work::Prompt { entry, arguments },
            Self::Complete { provider, completion } => Work::Complete { provider, completion },
        }
    }

    /// Whether it may tell something before its answer. Only tools say so beforehand; of the others any may.
    pub(super) fn notifies(&self) -> bool {
        match self {
            Self::Call { entry, .. } => entry.tool().notifies,
            Self::Read { .. } | Self::Prompt { .. } | Self::Complete { .. } => true,
        }
    }

    /// Who does it.
    pub(super) fn provider(&self) -> &Arc<dyn Provider> {
        match self {
            Self::Call { entry, .. } => entry.provider(),
            Self::Read { entry, .. } => entry.provider(),
            Self::Prompt { entry, .. } => entry.provider(),
            Self::Complete { provider, .. } => provider,
        }
    }

    async fn run(&self, context: CallContext) -> Result<Output, CallError> {
        match self {
            Self::Call { entry, arguments } => {
                entry.provider().call(Call { tool: entry.own_name(), arguments, context }).await.map(Output::Call)
            }
            Self::Read { entry, uri } => entry.provider().read_resource(uri, context).await.map(Output::Contents),
            Self::Prompt { entry, arguments } => {
                entry.provider().get_prompt(entry.own_name(), arguments.clone(), context).await.map(Output::Prompt)
            }
            Self::Complete { provider, completion } => match completion {
                Some(completion) if provider.offers().completes => {
                    provider.complete(completion.clone(), context).await.map(Output::Completions)
                }
                _ => Ok(Output::Completions(Completions::default())),
            },
        }
    }
}

impl Calls {
    pub(super) fn new(states: States) -> Self {
        Self { states, last_id: AtomicU64::new(0), in_flight: AtomicUsize::new(0) }
    }

    /// Calls that run now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Runs it. Dropping the future ends the call.
    pub(super) async fn run(&self, checked: Checked<'_>) -> Result<Output, CallError> {
        let Checked { work, era, principal, trace_parent, meta, notifier, asking, deferral, share: _share } = checked;
        let call_id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        macro_rules! span {
            ($what:ident, $name:expr, $provider:expr) => {
                tracing::info_span!(
                    "call",
                    id = call_id,
                    $what = $name,
                    plugin = $provider.id().as_str(),
                    principal = principal.as_deref(),
                    era = era.map_or("rest", Era::as_str),
                )
            };
        }
        let span = match &work {
            Work::Call { entry, .. } => span!(tool, entry.name(), entry.provider()),
            Work::Read { entry, uri } => span!(resource, &**uri, entry.provider()),
            Work::Prompt { entry, .. } => span!(prompt, entry.name(), entry.provider()),
            Work::Complete { provider, completion } => {
                span!(completion, completion.as_ref().map(|completion| completion.argument.as_str()), provider)
            }
        };
        let context = CallContext { call_id, principal, trace_parent, meta, notifier, asker: None, deferral };
        // What counts and logs the call lives inside of its span, so that the line on its end stands there however it ends.
        async move {
            let mut running = Running::new(self);
            let result = self.ask_and_run(&work, context, asking).await;
            running.outcome = Some(Outcome::of(&result));
            result
        }
        .instrument(span)
        .await
    }

    /// Runs it with a way to ask the caller, and makes a result of what it asks where the caller has to come back for that.
    async fn ask_and_run(&self, work: &Work<'_>, mut context: CallContext, asking: Asking) -> Result<Output, CallError> {
        let (input, deferred) = match asking {
            Asking::Never => return work.run(context).await,
            Asking::Waiting(asker) => {
                context.asker = Some(asker);
                return work.run(context).await;
            }
            Asking::Returning(input) => (input, None),
            Asking::Deferrable(input, deferred) => (input, Some(deferred)),
        };
        let principal = context.principal.clone();
        let replay = Arc::new(Replay::new(&self.states, &input, principal.as_deref(), context.meta.clone(), work)?);
        context.asker = Some(match deferred {
            Some(deferred) => Arc::new(DeferredAsker { replay: Arc::clone(&replay), deferred }),
            None => Arc::clone(&replay) as _,
        });
        match work.run(context).await {
            Err(CallError::InputRequired) => replay.suspended(&self.states, principal.as_deref(), work).map(Output::InputRequired),
            result => result,
        }
    }
}

/// How a call ended.
enum Outcome {
    Ok,
    Asks,
    ToolError,
    Refused(&'static str, String),
    Failed(&'static str, String),
}

impl Outcome {
    fn of(result: &Result<Output, CallError>) -> Self {
        match result {
            Ok(Output::Call(output)) if output.is_error => Self::ToolError,
            Ok(Output::InputRequired(_)) => Self::Asks,
            Ok(_) => Self::Ok,
            Err(error @ CallError::UnknownTool(_)) => Self::Refused("unknown_tool", error.to_string()),
            Err(error @ CallError::UnknownResource(_)) => Self::Refused("unknown_resource", error.to_string()),
            Err(error @ CallError::UnknownPrompt(_)) => Self::Refused("unknown_prompt", error.to_string()),
            Err(error @ CallError::InvalidParams(_)) => Self::Refused("invalid_params", error.to_string()),
            Err(error @ CallError::Protocol { .. }) => Self::Refused("protocol_error", error.to_string()),
            Err(error @ CallError::InputRequired) => Self::Refused("input_required", error.to_string()),
            Err(error @ CallError::MissingCapability(_)) => Self::Refused("missing_capability", error.to_string()),
            Err(error @ CallError::Busy { .. }) => Self::Failed("busy", error.to_string()),
            Err(error @ CallError::Internal(_)) => Self::Failed("internal", error.to_string()),
        }
    }
}

/// Counts a call as running until it is dropped, which is when it is logged: a call that is dropped before its end was cancelled.
struct Running<'a> {
    calls: &'a Calls,
    start: Instant,
    outcome: Option<Outcome>,
}

impl<'a> Running<'a> {
    fn new(calls: &'a Calls) -> Self {
        calls.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { calls, start: Instant::now(), outcome: None }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.calls.in_flight.fetch_sub(1, Ordering::Relaxed);
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = match &self.outcome {
            Some(Outcome::Ok) => "ok",
            Some(Outcome::Asks) => "input_required",
            Some(Outcome::ToolError) => "tool_error",
            Some(Outcome::Refused(outcome, _) | Outcome::Failed(outcome, _)) => outcome,
            None => "cancelled",
        };
        match &self.outcome {
            Some(Outcome::Ok) => tracing::debug!(outcome, micros, "call answered"),
            Some(Outcome::Asks) => {
                tracing::debug!(outcome, micros, "the call asks its caller something, and is made again with the answer")
            }
            Some(Outcome::ToolError) => tracing::info!(outcome, micros, "the tool answered with an error"),
            Some(Outcome::Refused(_, message)) => tracing::info!(outcome, micros, "{message}"),
            Some(Outcome::Failed(_, message)) => tracing::warn!(outcome, micros, "{message}"),
            None => tracing::info!(outcome, micros, "call cancelled"),
        }
    }
}
