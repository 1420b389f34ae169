//! The host, as a component reaches it: from the SDK's types to the contract's and back.

use std::time::Duration;

use crate::{
    Answer, AskError, Audio, Block, Body, CallError, Callable, Ctx, Entry, HttpError, Image, Level, Reply, Response, StoreError, Tool,
    When,
    ask::{Answered, Question},
    bindings::{
        exports::toolbay::plugin::tools as wit,
        toolbay::plugin::{
            calls, client, context, fetch, log as wit_log, progress as wit_progress, store, task,
            types::{BinaryContent, Content, EmbeddedResource, Error, LogLevel, ResourceBody, ResourceLink, Role, TextContent},
        },
    },
    http::Exchange,
};

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

/// The tools as the contract lists them. For the macros only.
#[doc(hidden)]
#[must_use]
pub fn list(tools: &[Tool]) -> Vec<wit::Tool> {
    tools.iter().map(published).collect()
}

/// Runs one. For the macros only.
///
/// # Errors
///
/// There is no such tool.
#[doc(hidden)]
pub fn call(tools: &[Tool], name: &str, arguments: &str) -> Result<wit::CallResult, Error> {
    let Some(tool) = tools.iter().find(|tool| tool.name == name) else {
        return Err(Error { code: INVALID_PARAMS, message: format!("there is no tool {name}"), data: None });
    };
    let answer: Answer = (tool.run)(&Ctx { host: std::marker::PhantomData }, arguments);
    Ok(wit::CallResult {
        content: answer.content.into_iter().map(content).collect(),
        structured_content: answer.structured.map(|value| value.to_string()),
        is_error: answer.is_error,
        meta: None,
    })
}

fn published(tool: &Tool) -> wit::Tool {
    let hints = tool.hints;
    let any = hints != crate::Hints::default();
    wit::Tool {
        name: tool.name.to_owned(),
        title: tool.title.map(str::to_owned),
        description: tool.description.map(str::to_owned),
        input_schema: (tool.input)().to_string(),
        output_schema: (tool.output)().map(|schema| schema.to_string()),
        annotations: any.then_some(wit::ToolAnnotations {
            title: None,
            read_only_hint: hints.read_only,
            destructive_hint: hints.destructive,
            idempotent_hint: hints.idempotent,
            open_world_hint: hints.open_world,
        }),
        icons: Vec::new(),
        meta: None,
        extra: None,
    }
}

pub(crate) fn content(block: Block) -> Content {
    let binary = |data, mime_type| BinaryContent { data, mime_type, annotations: None, meta: None };
    match block {
        Block::Text(text) => Content::Text(TextContent { text, annotations: None, meta: None }),
        Block::Image(image) => Content::Image(binary(image.data, image.mime_type)),
        Block::Audio(audio) => Content::Audio(binary(audio.data, audio.mime_type)),
        Block::Link { uri, name } => Content::ResourceLink(ResourceLink {
            uri,
            name,
            title: None,
            description: None,
            mime_type: None,
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
        }),
        Block::Resource { uri, mime_type, body } => {
            let body = match body {
                Body::Text(text) => ResourceBody::Text(text),
                Body::Bytes(bytes) => ResourceBody::Blob(bytes),
            };
            Content::EmbeddedResource(EmbeddedResource { uri, mime_type, body, annotations: None, meta: None })
        }
        Block::Other(json) => Content::Other(json.to_string()),
    }
}

fn block(content: Content) -> Block {
    match content {
        Content::Text(content) => Block::Text(content.text),
        Content::Image(content) => Block::Image(Image { data: content.data, mime_type: content.mime_type }),
        Content::Audio(content) => Block::Audio(Audio { data: content.data, mime_type: content.mime_type }),
        Content::ResourceLink(link) => Block::Link { uri: link.uri, name: link.name },
        Content::EmbeddedResource(resource) => {
            let body = match resource.body {
                ResourceBody::Text(text) => Body::Text(text),
                ResourceBody::Blob(bytes) => Body::Bytes(bytes),
            };
            Block::Resource { uri: resource.uri, mime_type: resource.mime_type, body }
        }
        Content::Other(json) => Block::Other(serde_json::from_str(&json).unwrap_or_default()),
    }
}

pub(crate) fn call_other(_: &Ctx<'_>, name: &str, arguments: serde_json::Value) -> Result<Answer, CallError> {
    answered(calls::call(name, &arguments.to_string()))
}

pub(crate) fn call_others(_: &Ctx<'_>, calls: Vec<(String, serde_json::Value)>) -> Vec<Result<Answer, CallError>> {
    let request = |(name, arguments): (String, serde_json::Value)| calls::Request { name, arguments: arguments.to_string() };
    let requests: Vec<_> = calls.into_iter().map(request).collect();
    calls::call_all(&requests).into_iter().map(answered).collect()
}

pub(crate) fn callable(_: &Ctx<'_>) -> Vec<Callable> {
    let json = |text: String| serde_json::from_str(&text).unwrap_or_default();
    let callable = |tool: calls::Tool| Callable {
        name: tool.name,
        description: tool.description,
        input: json(tool.input_schema),
        output: tool.output_schema.map(json),
    };
    calls::list_tools().into_iter().map(callable).collect()
}

fn answered(called: Result<calls::Answer, calls::CallError>) -> Result<Answer, CallError> {
    match called {
        Ok(answer) => Ok(Answer {
            content: answer.content.into_iter().map(block).collect(),
            structured: answer.structured_content.and_then(|text| serde_json::from_str(&text).ok()),
            is_error: answer.is_error,
        }),
        Err(calls::CallError::Unknown(why)) => Err(CallError::Unknown(why)),
        Err(calls::CallError::Denied(why)) => Err(CallError::Denied(why)),
        Err(calls::CallError::Circular(why)) => Err(CallError::Circular(why)),
        Err(calls::CallError::Busy(why)) => Err(CallError::Busy(why)),
        Err(calls::CallError::Failed(error)) => Err(CallError::Failed(error.message)),
    }
}

pub(crate) fn progress(_: &Ctx<'_>, done: f64, total: Option<f64>, text: &str) {
    wit_progress::report(done, total, (!text.is_empty()).then_some(text));
}

pub(crate) fn log(_: &Ctx<'_>, level: Level, text: &str) {
    wit_log::message(level_of(level), text);
}

pub(crate) fn log_data(_: &Ctx<'_>, level: Level, part: &str, json: String) {
    wit_log::data(level_of(level), Some(part), &json);
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Notice => LogLevel::Notice,
        Level::Warning => LogLevel::Warning,
        Level::Error => LogLevel::Error,
        Level::Critical => LogLevel::Critical,
        Level::Alert => LogLevel::Alert,
        Level::Emergency => LogLevel::Emergency,
    }
}

pub(crate) fn ask(_: &Ctx<'_>, question: Question) -> Result<Answered, AskError> {
    let question = match question {
        Question::Form { message, schema } => client::Question::Form(client::Form { message, schema, extra: None }),
        Question::Link { message, url } => client::Question::Link(client::Link { message, url, id: None, extra: None }),
        Question::Model { prompt, max_tokens } => {
            let text = Content::Text(TextContent { text: prompt, annotations: None, meta: None });
            let messages = vec![client::Message { role: Role::User, content: vec![text] }];
            client::Question::Prompt(client::Prompt { messages, max_tokens, system: None, extra: None })
        }
    };
    let answers = client::ask(&[client::Request { key: None, question }]).map_err(|error| match error {
        client::AskError::Unsupported(why) => AskError::Unsupported(why),
        client::AskError::Invalid(why) => AskError::Invalid(why),
        client::AskError::Refused(error) => AskError::Refused(error.message),
        client::AskError::Unanswered(why) => AskError::Unanswered(why),
    })?;
    match answers.into_iter().next() {
        Some(client::Answer::Reply(reply)) => Ok(Answered::Reply(match reply.action {
            client::Action::Accept => Reply::Accepted(reply.content),
            client::Action::Decline => Reply::Declined,
            client::Action::Cancel => Reply::Cancelled,
        })),
        Some(client::Answer::Completion(completion)) => Ok(Answered::Text(completion.text)),
        Some(client::Answer::Roots(_)) | None => Err(AskError::Unanswered("the answer is of another kind".to_owned())),
    }
}

pub(crate) fn store_get(_: &Ctx<'_>, key: &str) -> Result<Option<Entry>, StoreError> {
    let found = store::get(key).map_err(store_error)?;
    Ok(found.map(|entry| Entry { value: entry.value, version: entry.version }))
}

pub(crate) fn store_set(_: &Ctx<'_>, key: &str, value: &[u8], ttl: Option<Duration>, when: When) -> Result<Option<u64>, StoreError> {
    let when = match when {
        When::Always => store::Condition::Always,
        When::Absent => store::Condition::Absent,
        When::Version(version) => store::Condition::Version(version),
    };
    let ttl = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    store::set(key, value, ttl, when).map_err(store_error)
}

pub(crate) fn store_delete(_: &Ctx<'_>, key: &str) -> Result<bool, StoreError> {
    store::delete(key, store::Condition::Always).map_err(store_error)
}

pub(crate) fn store_increment(_: &Ctx<'_>, key: &str, by: i64) -> Result<i64, StoreError> {
    store::increment(key, by).map_err(store_error)
}

pub(crate) fn store_keys(_: &Ctx<'_>, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
    store::keys(prefix, after, u32::MAX).map_err(store_error)
}

fn store_error(error: store::StoreError) -> StoreError {
    match error {
        store::StoreError::Denied(why) => StoreError::Denied(why),
        store::StoreError::Invalid(why) => StoreError::Invalid(why),
        store::StoreError::Full(why) => StoreError::Full(why),
        store::StoreError::Unavailable(why) => StoreError::Unavailable(why),
    }
}

pub(crate) fn call_id(_: &Ctx<'_>) -> String {
    context::call_id()
}

pub(crate) fn principal(_: &Ctx<'_>) -> Option<String> {
    context::principal()
}

pub(crate) fn roles(_: &Ctx<'_>) -> Vec<String> {
    context::roles()
}

pub(crate) fn claims(_: &Ctx<'_>) -> Option<String> {
    context::claims()
}

pub(crate) fn trace_parent(_: &Ctx<'_>) -> Option<String> {
    context::trace_parent()
}

pub(crate) fn meta(_: &Ctx<'_>) -> Option<String> {
    context::meta()
}

pub(crate) fn client_capabilities(_: &Ctx<'_>) -> String {
    context::client_capabilities()
}

pub(crate) fn remaining(_: &Ctx<'_>) -> Duration {
    Duration::from_millis(context::remaining_ms())
}

pub(crate) fn begin_task(_: &Ctx<'_>) -> bool {
    task::begin()
}

pub(crate) fn exchange(_: &Ctx<'_>, exchange: &Exchange<'_>) -> Result<Response, HttpError> {
    let url = exchange.url.to_string();
    let mut headers: Vec<_> = exchange.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    if !headers.iter().any(|(name, _)| name == "user-agent") {
        headers.push(("user-agent".to_owned(), b"toolbay-plugin/0.1".to_vec()));
    }
    let request = fetch::Request {
        method: exchange.method.as_str().to_owned(),
        url: url.clone(),
        headers,
        body: exchange.body.to_vec(),
        timeout_ms: Some(u64::try_from(exchange.left.as_millis()).unwrap_or(u64::MAX)),
        max_body: Some(exchange.max_body as u64),
        wanted: None,
    };
    let answer = fetch::fetch(&request).map_err(|error| match error {
        fetch::FetchError::Denied(_) => HttpError::Denied(url.clone()),
        fetch::FetchError::Invalid(why) => HttpError::BadRequest(why),
        fetch::FetchError::TimedOut(_) => HttpError::TimedOut(url.clone()),
        fetch::FetchError::Busy(why) | fetch::FetchError::Unreachable(why) => HttpError::Unreachable(url.clone(), why),
        fetch::FetchError::TooLarge(_) => HttpError::TooLarge(url.clone(), exchange.max_body),
    })?;
    let headers = answer.headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    Ok(Response { status: answer.status, headers: headers.collect(), body: answer.body, url })
}
