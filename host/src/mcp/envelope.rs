//! A request's JSON, borrowed: what the lean path reads of it, and nothing copied.
//!
//! Each of these takes the members it knows and no others, so that a request with anything unusual in it goes the general way.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
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
    #[serde(borrow, default)]
    pub(super) params: Option<Params<'a>>,
}

/// The parameters of every method here in one, so that a message is read once: which of them it may have is known when it has been read.
///
/// None is a member that is not there. One that is null is there.
#[derive(Default)]
pub(super) struct Params<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) meta: Option<RawMeta<'a>>,
    state: Option<&'a RawValue>,
    responses: Option<&'a RawValue>,
    rare: Rare<'a>,
}

/// What calls and prompts do not have.
#[derive(Default)]
struct Rare<'a> {
    uri: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    argument: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    cursor: Option<&'a RawValue>,
    task: Option<&'a RawValue>,
}

/// A `_meta`, and its JSON text.
pub(super) struct RawMeta<'a> {
    pub(super) text: &'a str,
    pub(super) known: Meta<'a>,
}

/// The parameters of `tools/call` and `prompts/get`.
pub(super) struct CallParams<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) state: Option<String>,
    pub(super) responses: Option<&'a RawValue>,
    pub(super) meta: Option<RawMeta<'a>>,
}

/// The parameters of `resources/read`.
pub(super) struct ReadParams<'a> {
    pub(super) uri: Cow<'a, str>,
    pub(super) state: Option<String>,
    pub(super) responses: Option<&'a RawValue>,
    pub(super) meta: Option<RawMeta<'a>>,
}

/// The parameters of `completion/complete`.
pub(super) struct CompleteParams<'a> {
    pub(super) reference: &'a RawValue,
    pub(super) argument: &'a RawValue,
    pub(super) context: Option<&'a RawValue>,
    pub(super) meta: Option<RawMeta<'a>>,
}

/// The parameters of `tasks/get`, `tasks/update` and `tasks/cancel`.
pub(super) struct TaskParams<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) responses: Option<&'a RawValue>,
    pub(super) meta: Option<RawMeta<'a>>,
}

/// The parameters of a list; a cursor is unusual, since there is one page.
pub(super) struct ListParams<'a> {
    pub(super) meta: Option<RawMeta<'a>>,
}

impl<'a> Params<'a> {
    pub(super) fn call(self) -> Option<CallParams<'a>> {
        match self {
            Self { name: Some(name), arguments, meta, state, responses, rare } if rare.is_empty() => {
                let (state, responses) = (text(state)?, present(responses));
                Some(CallParams { name, arguments: present(arguments), state, responses, meta })
            }
            _ => None,
        }
    }

    pub(super) fn read(self) -> Option<ReadParams<'a>> {
        match self {
            Self {
                name: None,
                arguments: None,
                meta,
                state,
                responses,
                rare: Rare { uri: Some(uri), reference: None, argument: None, context: None, cursor: None, task: None },
            } => {
                let Text(uri) = serde_json::from_str(uri.get()).ok()?;
                Some(ReadParams { uri, state: text(state)?, responses: present(responses), meta })
            }
            _ => None,
        }
    }

    pub(super) fn complete(self) -> Option<CompleteParams<'a>> {
        match self {
            Self {
                name: None,
                arguments: None,
                meta,
                state: None,
                responses: None,
                rare: Rare { uri: None, reference: Some(reference), argument: Some(argument), context, cursor: None, task: None },
            } => Some(CompleteParams { reference, argument, context: present(context), meta }),
            _ => None,
        }
    }

    pub(super) fn list(self) -> Option<ListParams<'a>> {
        match self {
            Self {
                name: None,
                arguments: None,
                meta,
                state: None,
                responses: None,
                rare: Rare { uri: None, reference: None, argument: None, context: None, cursor, task: None },
            } if present(cursor).is_none() => Some(ListParams { meta }),
            _ => None,
        }
    }

    pub(super) fn task(self) -> Option<TaskParams<'a>> {
        match self {
            Self {
                name: None,
                arguments: None,
                meta,
                state: None,
                responses,
                rare: Rare { uri: None, reference: None, argument: None, context: None, cursor: None, task: Some(task) },
            } => {
                let Text(id) = serde_json::from_str(task.get()).ok()?;
                Some(TaskParams { id, responses: present(responses), meta })
            }
            _ => None,
        }
    }
}

impl Rare<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Self { uri: None, reference: None, argument: None, context: None, cursor: None, task: None })
    }
}

/// What is there and not null.
fn present(member: Option<&RawValue>) -> Option<&RawValue> {
    member.filter(|member| member.get() != "null")
}

/// The text that is there, if one is. The outer None: it is no text.
#[allow(clippy::option_option, reason = "the outer None leaves the request to the general way")]
fn text(member: Option<&RawValue>) -> Option<Option<String>> {
    present(member).map(|member| serde_json::from_str(member.get())).transpose().ok()
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
enum Member {
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "arguments")]
    Arguments,
    #[serde(rename = "_meta")]
    Meta,
    #[serde(rename = "requestState")]
    State,
    #[serde(rename = "inputResponses")]
    Responses,
    #[serde(rename = "uri")]
    Uri,
    #[serde(rename = "ref")]
    Reference,
    #[serde(rename = "argument")]
    Argument,
    #[serde(rename = "context")]
    Context,
    #[serde(rename = "cursor")]
    Cursor,
    #[serde(rename = "taskId")]
    Task,
}

// By hand, since what serde derives would take an array too, member by member, and could not keep the text of `_meta`.
impl<'a, 'de: 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Params<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params<'de>, A::Error> {
                let mut params = Params::default();
                let mut has_meta = false;
                while let Some(member) = map.next_key()? {
                    let place = match member {
                        Member::Name => {
                            let Text(name) = map.next_value()?;
                            once(params.name.replace(name).is_none())?;
                            continue;
                        }
                        Member::Meta => {
                            let meta: Option<&'de RawValue> = map.next_value()?;
                            let meta = meta.map(|meta| RawMeta::read(meta.get())).transpose().map_err(A::Error::custom)?;
                            once(!std::mem::replace(&mut has_meta, true))?;
                            params.meta = meta;
                            continue;
                        }
                        Member::Arguments => &mut params.arguments,
                        Member::State => &mut params.state,
                        Member::Responses => &mut params.responses,
                        Member::Uri => &mut params.rare.uri,
                        Member::Reference => &mut params.rare.reference,
                        Member::Argument => &mut params.rare.argument,
                        Member::Context => &mut params.rare.context,
                        Member::Cursor => &mut params.rare.cursor,
                        Member::Task => &mut params.rare.task,
                    };
                    once(place.replace(map.next_value()?).is_none())?;
                }
                Ok(params)
            }
        }
        fn once<E: Error>(first: bool) -> Result<(), E> {
            if first { Ok(()) } else { Err(E::custom("a member is there twice")) }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> RawMeta<'a> {
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        if !is_object(text) {
            return Err(serde_json::Error::custom("_meta is not an object"));
        }
        Ok(Self { text, known: serde_json::from_str(text)? })
    }
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
