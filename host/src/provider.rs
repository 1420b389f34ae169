//! The one seam: what anything that offers tools looks like to everything above it.
//!
//! The layers above (`catalog`, `mcp`, `http`) know providers only by this file; the layers below (`wasm`, and `bridge` and `remote` beside it) know nothing of
//! MCP's wire format. What has to cross unharmed (schemas, structured content, `_meta`) crosses as JSON text.

mod asking;
mod deferral;
mod notifier;
pub mod turn;

use std::{
    any::Any,
    borrow::Borrow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value};

pub use asking::{AskError, Asker, Question, QuestionKind};
pub use deferral::{Deferral, NotDeferred};
pub use notifier::{LogLevel, Notifier};

/// Longest name that a tool may have: MCP 2025-11-25, "Tool Names".
pub const MAX_TOOL_NAME: usize = 128;

/// The name of a provider: `weather` for `weather.wasm`. Lower-case letters, digits, `-`, `_`, `.`; never empty, never with `__` in it, which separates
/// provider from tool in a qualified name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

/// The name of a tool: 1 to [`MAX_TOOL_NAME`] of `A-Z a-z 0-9 _ - .`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName(Arc<str>);

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not allowed: {rule}")]
pub struct NameError {
    kind: &'static str,
    name: String,
    rule: &'static str,
}

macro_rules! name_type {
    ($type:ident, $kind:literal, $max:expr, $allowed:expr, $rule:literal) => {
        impl $type {
            /// Checks the name and takes it.
            ///
            /// # Errors
            ///
            /// [`NameError`], with the rule that was broken.
            pub fn new(name: impl Into<Arc<str>>) -> Result<Self, NameError> {
                let name = name.into();
                let allowed: fn(&str) -> bool = $allowed;
                if name.is_empty() || name.len() > $max || !allowed(&name) {
                    return Err(NameError { kind: $kind, name: name.chars().take(200).collect(), rule: $rule });
                }
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name_type!(
    ProviderId,
    "plugin",
    64,
    |name| {
        !name.contains("__")
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
    },
    "1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit, without '__'"
);
name_type!(
    ToolName,
    "tool",
    MAX_TOOL_NAME,
    |name| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')),
    "1 to 128 of A-Z, a-z, 0-9, '_', '-', '.' and '/'"
);

/// Text that is known to be one JSON value, so that it can be written into an answer as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(String);

impl JsonText {
    /// Serializes a value.
    ///
    /// # Errors
    ///
    /// Where the value cannot be JSON (a map with keys that are no strings).
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self)
    }

    /// Takes text that somebody else wrote, after a look whether it is JSON.
    ///
    /// # Errors
    ///
    /// Where it is not one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&serde_json::value::RawValue>(&text)?;
        Ok(Self(text))
    }

    /// Takes text that the caller has just made as JSON, without a second look. Only for writers of JSON: text from outside goes through [`Self::parse`].
    #[must_use]
    pub fn from_writer(text: String) -> Self {
        debug_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "not JSON: {text}");
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, given away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

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

/// Who was let in, as the layer that checks tokens puts it into a request's extensions: the token's name, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(pub Arc<str>);

/// A call on its way down. Borrowed from the request: nothing is copied for a provider that does not need it.
pub struct Call<'a> {
    /// The provider's own name of the tool.
    pub tool: &'a str,
    /// JSON text of the arguments: an object.
    pub arguments: &'a str,
    /// Who calls, and how to reach them.
    pub context: CallContext,
}

/// What is known of a call beside its arguments.
#[derive(Clone, Default)]
pub struct CallContext {
    /// The log's id of this call.
    pub call_id: u64,
    /// The name under which the caller was let in.
    pub principal: Option<Arc<str>>,
    /// W3C `traceparent`.
    pub trace_parent: Option<Arc<str>>,
    /// `_meta` of the request: JSON text of an object.
    pub meta: Option<Arc<str>>,
    /// The way to tell the caller something before the answer. None: the caller takes nothing.
    pub notifier: Option<Arc<dyn Notifier>>,
    /// The way to ask the caller something. None: the caller cannot be asked.
    pub asker: Option<Arc<dyn Asker>>,
    /// The way to let the caller go while the call runs on. None: it waits for the answer.
    pub deferral: Option<Arc<dyn Deferral>>,
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
}

impl CallOutput {
    /// An answer that says in one block of text what went wrong.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { content: vec![Content::text(message)], is_error: true, ..Self::default() }
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
    /// The provider has no resource at that address (any more).
    #[error("there is no resource {0:?}")]
    UnknownResource(String),
    /// The provider has no prompt of that name (any more).
    #[error("there is no prompt {0:?}")]
    UnknownPrompt(String),
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
pub trait Provider: Send + Sync {
    /// Its name. Unique in the catalog: a second provider with the same id takes the place of the first.
    fn id(&self) -> &ProviderId;

    /// What it offers, in its own order.
    fn tools(&self) -> &[Arc<Tool>];

    /// Runs a tool. Dropping the future ends the call: whatever runs for it is stopped at its next yield, within some 10 ms.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>>;

    /// The tool that is meant where a caller names none, by its name in [`Self::tools`]. Only callers without MCP may do that.
    fn default_tool(&self) -> Option<&str> {
        None
    }

    /// What it offers beside tools.
    fn offers(&self) -> &Offers {
        static NOTHING: Offers = Offers { resources: Vec::new(), templates: Vec::new(), prompts: Vec::new(), completes: false };
        &NOTHING
    }

    /// Reads a resource: MCP's `contents`, each as JSON text of an object.
    fn read_resource<'a>(&'a self, uri: &'a str, context: CallContext) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        let _ = context;
        Box::pin(async move { Err(CallError::UnknownResource(uri.to_owned())) })
    }

    /// Somebody wants to hear of updates of a resource, by the provider's own URI, until what is returned is dropped. Called once for each who does; must not
    /// block. None: it tells of updates in any case, or never.
    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        let _ = uri;
        None
    }

    /// Fills in a prompt, by its own name.
    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: CallContext,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        let _ = (arguments, context);
        Box::pin(async move { Err(CallError::UnknownPrompt(name.to_owned())) })
    }

    /// Values for an argument of a prompt or a template. Nothing, where it has none to offer.
    fn complete(&self, completion: Completion, context: CallContext) -> BoxFuture<'_, Result<Completions, CallError>> {
        let _ = (completion, context);
        Box::pin(async { Ok(Completions::default()) })
    }
}

/// That one client wants to hear of updates of one resource. Dropping it ends that.
pub type Subscription = Box<dyn Any + Send + Sync>;

/// A resource, a resource template or a prompt as it is published: MCP's object, so that nothing of it is lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What it is called by: the URI, the URI template, or the prompt's own name.
    pub key: String,
    /// All members, the key's own among them.
    pub json: Map<String, Value>,
}

/// What a provider offers beside tools, each list in its own order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offers {
    /// Resources, by URI.
    pub resources: Vec<Arc<Offer>>,
    /// Resource templates, by RFC 6570 template.
    pub templates: Vec<Arc<Offer>>,
    /// Prompts, by name.
    pub prompts: Vec<Arc<Offer>>,
    /// Whether it completes arguments of its prompts and templates.
    pub completes: bool,
}

/// A prompt filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptOutput {
    /// What it does.
    pub description: Option<String>,
    /// MCP's `messages`: JSON text of an array.
    pub messages: JsonText,
    /// `_meta` of the result: an object.
    pub meta: Option<JsonText>,
}

/// What is being completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A prompt, by the provider's own name.
    Prompt(String),
    /// A resource template, by its text.
    Template(String),
}

/// A question for values of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What is being completed.
    pub reference: Reference,
    /// Which argument or variable.
    pub argument: String,
    /// What was typed so far.
    pub value: String,
    /// Arguments that are filled in already.
    pub others: Vec<(String, String)>,
}

/// Values for an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// The best first.
    pub values: Vec<String>,
    /// How many there are in all.
    pub total: Option<u32>,
    /// Whether there are more.
    pub has_more: bool,
}

/// A change in what is on offer, sent upwards by whoever watches a source of providers.
pub enum ProviderChange {
    /// New, or in place of the one with the same id.
    Put(Arc<dyn Provider>),
    /// Gone.
    Remove(ProviderId),
    /// What a resource holds has changed: whoever subscribed to it is told. The URI is the provider's own.
    Updated(ProviderId, String),
}

/// What an operator sees of a provider, served or not.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderStatus {
    /// Its name, or the file's name where that cannot be one.
    pub name: String,
    /// `wasm`, `bridge`, `remote`.
    pub kind: &'static str,
    /// Whether it serves, and what.
    pub state: ProviderState,
    /// Where it comes from.
    pub source: String,
    /// What serves: the first 16 hex digits of the BLAKE3 of the file's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The provider's own names of its tools.
    pub tools: Vec<String>,
    /// What it offers beside tools.
    #[serde(flatten)]
    pub offers: OfferNames,
    /// What is wrong with the newest version, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is not wrong but worth knowing: a function that cannot be a tool, for example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the plugin wants to reach: the interfaces that it imports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
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
    /// Why it offers nothing. Only for one that is not in the catalog.
    #[must_use]
    pub fn absence(&self) -> Absence {
        /// One that is being started is up within seconds, or is known not to be.
        const SOON: Duration = Duration::from_secs(1);
        let (what, is_not) = if self.kind == "wasm" { ("plugin", "is broken") } else { ("server", "is configured and not running") };
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
