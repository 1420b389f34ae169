//! A request's JSON, borrowed: what the lean path reads of it, and nothing copied.
//!
//! Each of these takes the members it knows and no others, so that a request with anything unusual in it goes the general way.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON-RPC request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
}

/// The parameters of `tools/call` and `prompts/get`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallParams<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(rename = "requestState")]
    pub(super) state: Option<String>,
    #[serde(borrow, rename = "inputResponses")]
    pub(super) responses: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
}

/// The parameters of `resources/read`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParams<'a> {
    #[serde(borrow)]
    pub(super) uri: Cow<'a, str>,
    #[serde(rename = "requestState")]
    pub(super) state: Option<String>,
    #[serde(borrow, rename = "inputResponses")]
    pub(super) responses: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
}

/// The parameters of `completion/complete`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteParams<'a> {
    #[serde(borrow, rename = "ref")]
    pub(super) reference: &'a RawValue,
    #[serde(borrow)]
    pub(super) argument: &'a RawValue,
    #[serde(borrow)]
    pub(super) context: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
}

/// What is completed: the prompt or the template.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum RefParams {
    #[serde(rename = "ref/prompt")]
    Prompt { name: String },
    #[serde(rename = "ref/resource")]
    Resource { uri: String },
}

/// The argument that is completed.
#[derive(Deserialize)]
pub(super) struct ArgumentParams {
    pub(super) name: String,
    pub(super) value: String,
}

/// What is known when something is completed.
#[derive(Deserialize, Default)]
pub(super) struct ContextParams {
    /// Sorted, so that a plugin gets the same for the same question.
    pub(super) arguments: Option<BTreeMap<String, String>>,
}

/// The parameters of a list; a cursor is unusual, since there is one page.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams<'a> {
    #[serde(borrow)]
    pub(super) cursor: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
}

/// What the protocol reads of a `_meta`. Everything else in it is passed on as it is.
#[derive(Deserialize, Default)]
pub(super) struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub(super) version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(super) capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/logLevel")]
    pub(super) log_level: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "progressToken")]
    pub(super) progress_token: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) traceparent: Option<Cow<'a, str>>,
}

/// A parameter that has to be an object.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    if is_object(raw.get()) { serde_json::from_str(raw.get()).ok() } else { None }
}

/// Whether this JSON text is an object. The structs here would also take an array, member by member.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

/// Whether this JSON text is a usual id or token: a string without escapes, or a whole number without sign, fraction or exponent that fits 64 bits.
pub(super) fn is_plain_id(text: &str) -> bool {
    /// Digits that always fit.
    const DIGITS: usize = 18;
    match text.as_bytes() {
        [b'"', rest @ ..] => !rest.contains(&b'\\'),
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < DIGITS && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// An id as a key: the same for the same id, however its string is escaped.
pub(super) fn id_key(text: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(text).ok()? {
        serde_json::Value::String(text) => Some(format!("\"{text}")),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
