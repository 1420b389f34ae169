//! The one seam: what anything that offers tools looks like to everything above it.
//!
//! The layers above (`catalog`, `mcp`, `http`) know providers only by this file; the layers below (`wasm`, and `bridge` and `remote` beside it) know nothing of
//! MCP's wire format. What has to cross unharmed (schemas, structured content, `_meta`) crosses as JSON text.

mod answer_json;
mod app;
mod asking;
mod calls;
mod deferral;
mod definition;
mod guard;
mod json_text;
mod names;
mod notifier;
mod offers;
mod principal;
mod relisted;
mod span;
pub mod start_signal;
mod status;
mod steering;

use std::{any::Any, net::IpAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::{Map, Value};

pub use answer_json::check_object;
pub use app::{APPS, APPS_DECLARED, PAGE_SCHEME, page_of, with_page, with_pages, without_page};
pub use asking::{AskError, Asker, NoClientRequests, Question, QuestionKind};
pub use calls::{Calls, MAX_DEPTH, NestedError, Nesting};
pub use deferral::{Deferral, NotDeferred};
pub use definition::Definition;
pub use guard::{Guard, GuardFailure, GuardHooks, GuardedCall, GuardedList, GuardedTool, ListedTool, Listing, Verdict};
pub use json_text::JsonText;
pub use names::{MAX_TOOL_NAME, NameError, ProviderId, ToolName};
pub use notifier::{LogLevel, Notifier};
pub use offers::{Completion, Completions, Offer, Offers, PromptOutput, Reference};
pub use principal::{CallerToken, Principal, Roles, Step, Steps};
pub use relisted::relisted;
pub use span::{Span, SpanKind, SpanValue};
pub use start_signal::StartSignal;
pub use status::{
    Absence, BreakerState, CompiledStatus, ImageStatus, OfferNames, ProviderKind, ProviderState, ProviderStatus, ReplicaStatus,
    ReplicasStatus, StatusSource,
};
pub use steering::{Harmless, shown, steers, without_steering};

/// A tool as a provider offers it. Its fields are MCP's, without a revision's wire format.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// The provider's own name for it.
    pub name: ToolName,
    /// A name for people.
    pub title: Option<String>,
    /// What the model reads.
    pub description: Option<String>,
    /// JSON Schema 2020-12 of the arguments: an object with `"type": "object"`.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema of the structured content: an object with `"type": "object"`.
    pub output_schema: Option<Arc<Map<String, Value>>>,
    /// Hints on what it does to the world, MCP's `annotations` object.
    pub annotations: Option<Value>,
    /// Pictures, MCP's `icons` array.
    pub icons: Option<Value>,
    /// `_meta`.
    pub meta: Option<Map<String, Value>>,
    /// Members that have no field here and are published beside those that have.
    pub extra: Map<String, Value>,
    /// Whether a call may send something to the client before its answer (progress, log messages, questions). Where not, a call is answered by plain JSON.
    pub notifies: bool,
}

impl Tool {
    /// One of which nothing else is known.
    #[must_use]
    pub fn new(name: ToolName, input_schema: Map<String, Value>) -> Self {
        Self {
            name,
            title: None,
            description: None,
            input_schema: Arc::new(input_schema),
            output_schema: None,
            annotations: None,
            icons: None,
            meta: None,
            extra: Map::new(),
            notifies: false,
        }
    }
}

/// A call on its way down. Borrowed from the request: nothing is copied for a provider that does not need it.
pub struct Call<'a> {
    /// The provider's own name of the tool.
    pub tool: &'a str,
    /// JSON text of the arguments: an object.
    pub arguments: &'a str,
    /// Who calls, and how to reach them.
    /// In a box: it is handed on many times, and large.
    pub context: Box<CallContext>,
}

/// Headers of a request as they came, of the names that the configuration passes on.
pub type CallerHeaders = Arc<[(http::HeaderName, http::HeaderValue)]>;

/// Where a caller is, as a note on its request. It is there where a policy asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerAddress(pub IpAddr);

impl CallerAddress {
    /// The one that was noted on a request.
    #[must_use]
    pub fn of(head: &http::request::Parts) -> Option<IpAddr> {
        head.extensions.get().map(|Self(address)| *address)
    }
}

/// What is known of a call beside its arguments.
#[derive(Clone, Default)]
pub struct CallContext {
    /// The log's id of this call.
    pub call_id: u64,
    /// Who calls. None: callers are not told apart here.
    pub principal: Option<Principal>,
    /// Headers of the caller's request that some server is to be sent. None: there are none.
    pub caller_headers: Option<CallerHeaders>,
    /// Where the caller is. None: nobody asks for it, or it is this machine's own.
    pub address: Option<IpAddr>,
    /// W3C `traceparent` of the request. What is done for the call elsewhere belongs to [`Self::trace_parent`].
    pub caller_trace: Option<Arc<str>>,
    /// The span of what is being done. None: it is not recorded.
    pub span: Option<Arc<dyn Span>>,
    /// `_meta` of the request: JSON text of an object.
    pub meta: Option<Arc<str>>,
    /// The way to tell the caller something before the answer. None: the caller takes nothing.
    pub notifier: Option<Arc<dyn Notifier>>,
    /// The way to ask the caller something. None: the caller cannot be asked.
    pub asker: Option<Arc<dyn Asker>>,
    /// The way to let the caller go while the call runs on. None: it waits for the answer.
    pub deferral: Option<Arc<dyn Deferral>>,
    /// Where the call says that it waits in a queue, and that it runs. None: nobody wants to know.
    pub started: Option<Arc<StartSignal>>,
    /// The caller's own name for the conversation that it belongs to: its session, mostly.
    pub conversation: Option<Arc<str>>,
    /// Calls that lead to this one, or that it can make. None, mostly: a client's own call, which makes none.
    pub nesting: Option<Arc<Nesting>>,
}

impl CallContext {
    /// The way to call other tools. None: the provider has no use for it, or nobody to call for.
    #[must_use]
    pub fn calls(&self) -> Option<&Arc<dyn Calls>> {
        self.nesting.as_ref()?.calls.as_ref()
    }

    /// How many calls lead to this one, each made by the one before. 0: a client's own.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.nesting.as_ref().map_or(0, |nesting| nesting.depth)
    }

    /// What was left of the time of the call that made this one.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.nesting.as_ref()?.time_left
    }
}

/// What a call answered, well or badly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOutput {
    /// Blocks for people and models.
    pub content: Vec<Content>,
    /// JSON that fits the tool's output schema.
    pub structured: Option<JsonText>,
    /// The tool ran and failed, or was not let run with these arguments.
    pub is_error: bool,
    /// `_meta` of the result: an object.
    pub meta: Option<JsonText>,
    /// Members of the result that have no field here: an object, which is not empty.
    pub extra: Option<JsonText>,
    /// Which rule of the operator has denied the call, where one has: for the log, metrics and audit. The
    /// caller reads it in the content.
    pub denied: Option<Arc<str>>,
}

impl CallOutput {
    /// An answer that says in one block of text what went wrong.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { content: vec![Content::text(message)], is_error: true, ..Self::default() }
    }

    /// The answer of a call that a rule of the operator denies: `by` names the rule.
    #[must_use]
    pub fn denied(by: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self { denied: Some(by.into()), ..Self::error(message) }
    }
}

/// One block of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text with no hints on it, the usual case.
    Text(String),
    /// Any content block, as MCP's JSON object.
    Block(JsonText),
}

impl Content {
    /// A block of plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// Why a call has no answer.
///
/// What the *tool* did wrong, and arguments that do not fit, are no errors here but a [`CallOutput`] with `is_error` set, which a model can read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The provider has no tool of that name (any more).
    #[error("there is no tool {0:?}")]
    UnknownTool(String),
    /// As many calls run and wait as may. Try again after a while.
    #[error("{what}; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// What is full, and which setting makes it larger.
        what: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The caller calls more often than it may. Try again after a while.
    #[error("{what}; try again in {} s", retry_after.as_secs_f64().ceil().max(1.0))]
    Limited {
        /// Which limit was reached, and where it is set.
        what: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The provider has no resource at that address (any more).
    #[error("there is no resource {0:?}")]
    UnknownResource(String),
    /// The provider has no prompt of that name (any more).
    #[error("there is no prompt {0:?}")]
    UnknownPrompt(String),
    /// The caller's token lacks scopes that it may ask for.
    #[error("{what} needs a scope that the access token lacks; ask the authorization server for {scopes:?}")]
    NeedsScopes {
        /// What was asked for.
        what: String,
        /// What to ask for, with spaces between.
        scopes: String,
    },
    /// A rule of the operator denies the call.
    #[error("{message}")]
    Denied {
        /// The rule, for the operator's audit.
        by: Arc<str>,
        /// For who calls.
        message: String,
    },
    /// The limits of the call are counted by something that is not there, and without that it is not made.
    #[error("{what}; try again in {} s", retry_after.as_secs().max(1))]
    Uncounted {
        /// What is said of it to who calls.
        what: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// What was asked for lacks something or does not fit; the message says what.
    #[error("{0}")]
    InvalidParams(String),
    /// The provider answered by an error of JSON-RPC.
    #[error("{message}")]
    Protocol {
        /// JSON-RPC code.
        code: i32,
        /// One sentence.
        message: String,
        /// More about it.
        data: Option<Value>,
    },
    /// The call asked its caller something and ended: the [`Asker`] of its context holds the questions. See [`AskError::Suspended`].
    #[error("the call needs an answer of its caller")]
    InputRequired,
    /// The call needs something that its caller did not declare.
    #[error("the client did not declare the capability that this call needs: {}", Value::Object(.0.clone()))]
    MissingCapability(
        /// As a `ClientCapabilities` object: `{"elicitation":{"form":{}}}`.
        Map<String, Value>,
    ),
    /// A fault of the host or the provider that no caller can mend.
    #[error("{0}")]
    Internal(String),
}

/// Something that offers tools: one plugin, one bridged server, one remote server.
///
/// A provider never changes what it offers: a new version of a plugin is a new provider under the same id, and calls in flight end on the one they
/// began with.
///
/// One that stands before another, to change a part of what that offers, says which in [`Self::inner`]: what it does not say itself is as that one says
/// it. Its tools and their definitions are always its own to say.
pub trait Provider: Send + Sync {
    /// The provider that this one stands before, if it does.
    fn inner(&self) -> Option<&dyn Provider> {
        None
    }

    /// Its name. Unique in the catalog: a second provider with the same id takes the place of the first.
    fn id(&self) -> &ProviderId;

    /// What it offers, in its own order.
    fn tools(&self) -> &[Arc<Tool>];

    /// Names of tools that it has, and that were not read since the configuration leaves them out.
    fn unread(&self) -> &[String] {
        self.inner().map_or(&[], |inner| inner.unread())
    }

    /// What its source says of each of [`Self::tools`], in their order, before anybody changed a word of it: by the source's own name.
    fn definitions(&self) -> Vec<(String, Definition)> {
        self.tools().iter().map(|tool| (tool.name.to_string(), Definition::of(tool))).collect()
    }

    /// The same of its prompts, in their order.
    fn prompt_definitions(&self) -> Vec<(String, Definition)> {
        self.offers().prompts.iter().map(|prompt| (prompt.key.clone(), Definition::of_entry(&prompt.json))).collect()
    }

    /// The same of its resources, by URI. An operator changes nothing of these.
    fn resource_definitions(&self) -> Vec<(String, Definition)> {
        self.offers().resources.iter().map(|resource| (resource.key.clone(), Definition::of_resource(&resource.json))).collect()
    }

    /// The same of its resource templates, by their texts.
    fn template_definitions(&self) -> Vec<(String, Definition)> {
        self.offers().templates.iter().map(|template| (template.key.clone(), Definition::of_resource(&template.json))).collect()
    }

    /// The digest of its code (BLAKE3, in hex), where that decides what it says and does: of a plugin.
    fn code(&self) -> Option<String> {
        self.inner()?.code()
    }

    /// Runs a tool. Dropping the future ends the call: whatever runs for it is stopped at its next yield, within some 10 ms.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>>;

    /// The tool that is meant where a caller names none, by its name in [`Self::tools`]. Only callers without MCP may do that.
    fn default_tool(&self) -> Option<&str> {
        self.inner()?.default_tool()
    }

    /// Which tools its own may call: patterns of names, as roles have them. None: none of them calls any, and nothing is made ready for that.
    fn calls(&self) -> Option<&[String]> {
        self.inner()?.calls()
    }

    /// What the calls of its tools come through, in a word: for the log and the audit.
    fn calls_through(&self) -> &'static str {
        self.inner().map_or("plugin", |inner| inner.calls_through())
    }

    /// The guard that it is, if it is one. A guard offers nothing else.
    fn guard(&self) -> Option<&dyn Guard> {
        self.inner()?.guard()
    }

    /// How to use it, for models: MCP's `instructions`.
    fn instructions(&self) -> Option<&str> {
        self.inner()?.instructions()
    }

    /// The same as its source says it, before an operator put others in their place.
    fn own_instructions(&self) -> Option<&str> {
        self.inner().map_or_else(|| self.instructions(), |inner| inner.own_instructions())
    }

    /// What it offers beside tools.
    fn offers(&self) -> &Offers {
        static NOTHING: Offers = Offers { resources: Vec::new(), templates: Vec::new(), prompts: Vec::new(), completes: false };
        self.inner().map_or(&NOTHING, |inner| inner.offers())
    }

    /// Whether it may have resources that it does not list: its answers can link to them.
    fn reads_unlisted(&self) -> bool {
        self.inner().is_some_and(|inner| inner.reads_unlisted())
    }

    /// Reads a resource: MCP's `contents`, each as JSON text of an object.
    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        match self.inner() {
            Some(inner) => inner.read_resource(uri, context),
            None => Box::pin(async move { Err(CallError::UnknownResource(uri.to_owned())) }),
        }
    }

    /// Somebody wants to hear of updates of a resource, by the provider's own URI, until what is returned is dropped. Called once for each who does; must not
    /// block. None: it tells of updates in any case, or never.
    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        self.inner()?.subscribe(uri)
    }

    /// Fills in a prompt, by its own name.
    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        match self.inner() {
            Some(inner) => inner.get_prompt(name, arguments, context),
            None => Box::pin(async move { Err(CallError::UnknownPrompt(name.to_owned())) }),
        }
    }

    /// Values for an argument of a prompt or a template. Nothing, where it has none to offer.
    fn complete(&self, completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        match self.inner() {
            Some(inner) => inner.complete(completion, context),
            None => Box::pin(async { Ok(Completions::default()) }),
        }
    }
}

/// That one client wants to hear of updates of one resource. Dropping it ends that.
pub type Subscription = Box<dyn Any + Send + Sync>;

/// A change in what is on offer, sent upwards by whoever watches a source of providers.
pub enum ProviderChange {
    /// New, or in place of the one with the same id.
    Put(Arc<dyn Provider>),
    /// Gone.
    Remove(ProviderId),
    /// What a resource holds has changed: whoever subscribed to it is told. The URI is the provider's own.
    Updated(ProviderId, String),
}
