//! `POST /call`: which tool is meant with which arguments, and what came of it.

use std::{borrow::Cow, sync::Arc};

use axum::body::Body;
use http::{Request, Response, StatusCode, request::Parts};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Refusal, Rest, answer, catalog, shape};
use crate::{
    catalog::{Catalog, Seen},
    config::RestResult,
    dispatch::{CallRequest, Operation, OperationResult, TurnedAway},
    json::is_too_deep,
    offload,
    provider::{CallError, CallOutput, CallerAddress, Content, Deferral, NoClientRequests, NotDeferred, Principal},
    similar,
    telemetry::traces::trace_parent,
    threads,
};

/// The fixed sentences.
const NO_ARGS: &str = "must include 'tool_args'";
const NO_NAME: &str = "Missing 'tool_name' or 'tool_args'";
const FAILED: &str = "Tool execution error";
const FULL: &str = "Too many calls";

/// These callers in the log and the audit.
const FACE: &str = "rest";

/// Nobody notifies or asks these callers.
const NO_CLIENT: NoClientRequests =
    NoClientRequests { reason: "callers over plain HTTP cannot be asked for input: call this tool over MCP, at /mcp" };

/// Nor can they be let go: they have no handle to come back with.
struct Attached;

impl Deferral for Attached {
    fn defer(&self) -> Result<(), NotDeferred> {
        Err(NotDeferred::Unavailable("a caller by plain HTTP waits for the answer: call this tool by MCP, at /mcp".to_owned()))
    }
}

/// The body. `null` is the same as nothing; other members are nobody's business.
#[derive(Deserialize, Default)]
struct Asked<'a> {
    #[serde(borrow)]
    tool_name: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_args: Option<&'a RawValue>,
}

/// Answers a call. The media type of the body does not matter: pages of other origins were refused before, which is what it could protect from.
pub(super) async fn call(rest: &Arc<Rest>, provider: Option<&str>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let principal = head.extensions.get::<Principal>();
    if provider.is_some_and(|provider| rest.front.catalog_of(provider, principal).is_none()) && !rest.front.pending().is_ready() {
        rest.front.pending().wait().await;
    }
    let catalog = catalog(&rest.front, provider, principal)?;
    let (result, configured) = {
        let current = rest.settings.load();
        (shape::of(&head, current.config.rest_result), current.config.rest_default_tool.clone())
    };
    let result = result.map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, NO_NAME, reason))?;
    let default = {
        let seen = rest.front.seen_of(&catalog, principal);
        // To who may not use it, it is not there.
        let configured = configured.filter(|name| provider.is_none() && (!seen.is_limited() || seen.resolve(name).is_some()));
        configured.or_else(|| default_tool(&catalog, &seen))
    };
    let missing = if default.is_some() { NO_ARGS } else { NO_NAME };
    // Held to the end of the call, and its share of the room for bodies with it.
    let received = rest.bodies.read(&head.headers, body).await.map_err(|refused| {
        let detail = match refused.status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request body too large",
            StatusCode::SERVICE_UNAVAILABLE => FULL,
            _ => missing,
        };
        Refusal { retry_after: refused.retry_after, ..Refusal::new(refused.status, detail, refused.message) }
    })?;
    let size = received.bytes.len();
    let asks = Asks { catalog, default, missing, result };
    if size <= offload::SMALL {
        return asks.answer(rest, &head, &received.bytes).await;
    }
    // Reading megabytes takes long, before it is known what is asked for.
    let rest = Arc::clone(rest);
    let answered = Box::pin(threads::sized(size, async move { asks.answer(&rest, &head, &received.bytes).await }));
    answered.await.unwrap_or_else(|_| Err(failed("the host is shutting down")))
}

/// What is known of a call before its body is read.
struct Asks {
    catalog: Arc<Catalog>,
    /// What is meant where no tool is named.
    default: Option<String>,
    /// The sentence for who names none.
    missing: &'static str,
    result: RestResult,
}

impl Asks {
    async fn answer(self, rest: &Rest, head: &Parts, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let Self { catalog, default, missing, result } = self;
        let principal = head.extensions.get::<Principal>();
        let refuse = |reason: &str| Refusal::new(StatusCode::BAD_REQUEST, missing, reason);
        if is_too_deep(body) {
            return Err(refuse("the request's body is nested too deep"));
        }
        let text = std::str::from_utf8(body).map_err(|_| refuse("the body is not UTF-8"))?;
        // A list would be taken for the members in order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(refuse("send a JSON object: {\"tool_name\": \"…\", \"tool_args\": {…}}"));
        }
        let Asked { tool_name, tool_args } =
            serde_json::from_str(text).map_err(|error| refuse(&format!("the body is not the JSON object that is wanted: {error}")))?;
        let name: Cow<'_, str> = match (tool_name, &default) {
            (Some(name), _) => serde_json::from_str::<String>(name.get()).map_err(|_| refuse("'tool_name' must be a string"))?.into(),
            (None, Some(default)) => default.into(),
            (None, None) => return Err(refuse("'tool_name' is missing; GET tools next to this address lists them")),
        };
        let arguments = tool_args.ok_or_else(|| refuse("'tool_args' is missing; {} is not arguments"))?.get();
        if !arguments.starts_with('{') {
            return Err(refuse("'tool_args' must be an object"));
        }
        if rest.front.seen_of(&catalog, principal).resolve(&name).is_none() && !rest.front.pending().is_ready() {
            rest.front.pending().wait().await;
        }
        let operation = find(rest, &rest.front.seen_of(&catalog, principal), &name, arguments, head)?;
        let deferral = operation.notifies().then(|| Arc::new(Attached) as _);
        let request = CallRequest::new(principal.cloned(), operation)
            .with_front(FACE)
            .with_face(FACE)
            .with_caller_headers(head.extensions.get().cloned())
            .with_address(CallerAddress::of(head))
            .with_trace_parent(trace_parent(&head.headers).map(Arc::from))
            .with_asker(Arc::new(NO_CLIENT))
            .with_deferral(deferral);
        match rest.front.dispatcher().run(request).await {
            Ok(OperationResult::Call(output)) => {
                let size = bytes(&output);
                if size <= offload::SMALL {
                    return shown(&output, result);
                }
                // Boxed, as all that is rare: what every call carries stays small.
                let shown = Box::pin(threads::sized(size, async move { shown(&output, result) }));
                shown.await.unwrap_or_else(|_| Err(failed("the host is shutting down")))
            }
            // MCP's servers answer arguments that do not fit by a result.
            Err(CallError::InvalidParams(message)) if result == RestResult::Mcp => Ok(as_mcp(&CallOutput::error(message))),
            Ok(_) => Err(failed("a tool answered as something else does")),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// What came of a call, in the shape that is wanted.
fn shown(output: &CallOutput, result: RestResult) -> Result<Response<Body>, Refusal> {
    match result {
        RestResult::Mcp => Ok(as_mcp(output)),
        RestResult::Value if output.is_error => Err(failed(said(output))),
        RestResult::Value => Ok(answer::json_text(StatusCode::OK, format!("{{\"result\":{}}}", value(output)))),
    }
}

/// About how long an answer is.
fn bytes(output: &CallOutput) -> usize {
    let content = output.content.iter().map(|content| match content {
        Content::Text(text) => text.len(),
        Content::Block(block) => block.as_str().len(),
    });
    content.sum::<usize>() + output.structured.as_ref().map_or(0, |structured| structured.as_str().len())
}

fn as_mcp(output: &CallOutput) -> Response<Body> {
    answer::json_text(StatusCode::OK, format!("{{\"result\":{}}}", shape::whole(output)))
}

/// What is meant where no tool is named: the configured tool of the only provider, or the only tool.
fn default_tool(catalog: &Catalog, seen: &Seen) -> Option<String> {
    let mut providers = catalog.providers();
    providers.retain(|provider| seen.shows(provider.id().as_str()));
    if let [only] = providers.as_slice()
        && let Some(name) = only.default_tool()
        && (!seen.is_limited() || seen.resolve(name).is_some())
    {
        return Some(name.to_owned());
    }
    let mut tools = seen.tools();
    match (tools.next(), tools.next()) {
        (Some(only), None) => Some(only.name().to_owned()),
        _ => None,
    }
}

fn find<'a>(rest: &Rest, seen: &Seen, name: &str, arguments: &'a str, head: &Parts) -> Result<Operation<'a>, Refusal> {
    let name = match seen.called(name, Cow::Borrowed(arguments)) {
        Ok(called) => return Ok(Operation::of(called)),
        Err(name) => name,
    };
    let error = CallError::UnknownTool(name.clone());
    let (principal, trace_parent) = (head.extensions.get(), trace_parent(&head.headers));
    let denied = rest.front.dispatcher().log_denied(seen, principal, &error);
    let error = rest.front.pending().in_place_of(error);
    rest.front.dispatcher().turned_away(&TurnedAway { principal, face: FACE, trace_parent, error: &error, denied });
    if let CallError::Busy { retry_after, .. } = error {
        let detail = format!("Tool {} not available yet", answer::echo(&name));
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail, error.to_string());
        return Err(Refusal { retry_after: Some(retry_after), ..refusal });
    }
    let reason = match similar::nearest(&name, seen.callable().map(|entry| entry.name())) {
        Some(near) => format!("did you mean {near:?}?"),
        None if seen.limits().is_some() => "GET tools next to this address lists those that your roles allow".to_owned(),
        None => "GET tools next to this address lists them".to_owned(),
    };
    Err(Refusal::new(StatusCode::NOT_FOUND, format!("Tool {} not found", answer::echo(&name)), reason))
}

/// The member `result`: structured content where there is some, else the text of a single block of text, else MCP's content blocks as they are.
fn value(output: &CallOutput) -> String {
    if let Some(structured) = &output.structured {
        return structured.as_str().to_owned();
    }
    if let [Content::Text(text)] = output.content.as_slice() {
        return shape::quoted(text);
    }
    let blocks = shape::blocks(output);
    // A plugin writes its blocks by itself, even where there is one and it is text.
    if let [block] = blocks.as_slice()
        && let Some(text) = block_text(block)
    {
        return shape::quoted(&text);
    }
    format!("[{}]", blocks.join(","))
}

/// The text of a block of text.
fn block_text(block: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        text: Option<String>,
    }
    let block: Block<'_> = serde_json::from_str(block).ok()?;
    block.text.filter(|_| block.kind == "text")
}

/// What a tool that failed has said.
fn said(output: &CallOutput) -> String {
    let texts: Vec<String> = output
        .content
        .iter()
        .filter_map(|content| match content {
            Content::Text(text) => Some(text.clone()),
            Content::Block(block) => block_text(block.as_str()),
        })
        .collect();
    match (&output.structured, texts.is_empty()) {
        (_, false) => texts.join("\n"),
        (Some(structured), true) => structured.as_str().to_owned(),
        (None, true) => "the tool failed without a message".to_owned(),
    }
}

fn failed(reason: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, FAILED, reason)
}

fn refusal(error: CallError) -> Refusal {
    match error {
        CallError::Busy { retry_after, .. } | CallError::Uncounted { retry_after, .. } => {
            Refusal { retry_after: Some(retry_after), ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, FULL, error.to_string()) }
        }
        CallError::Limited { retry_after, .. } => {
            Refusal { retry_after: Some(retry_after), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, FULL, error.to_string()) }
        }
        CallError::Denied { .. } => Refusal::new(StatusCode::FORBIDDEN, FAILED, error.to_string()),
        CallError::UnknownTool(ref name) => {
            Refusal::new(StatusCode::NOT_FOUND, format!("Tool {} not found", answer::echo(name)), error.to_string())
        }
        CallError::InputRequired | CallError::MissingCapability(_) => failed(
            "this tool requests input from its caller (elicitation, sampling), which plain HTTP cannot answer: call it over MCP, at /mcp",
        ),
        error => failed(error.to_string()),
    }
}
