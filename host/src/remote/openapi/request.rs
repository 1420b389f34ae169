//! The request of a call: its address, its headers and its body, out of the arguments.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, Method, header};
use oas3::spec::{ParameterIn, ParameterStyle};
use serde_json::{Map, Value};
use url::Url;

use super::{
    body::text,
    operation::{Operation, Slot},
};

/// A request, written but not sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// With its media type.
    pub(super) body: Option<(String, Vec<u8>)>,
}

/// Puts every argument in its place.
pub(super) fn build(operation: &Operation, arguments: &Map<String, Value>) -> Result<Request, String> {
    let (mut path, mut query, mut cookies, mut headers) = (operation.path.clone(), Vec::new(), Vec::new(), Vec::new());
    for slot in &operation.slots {
        // What is null is left out: there is no other way to write it.
        let Some(value) = arguments.get(&slot.argument).filter(|value| !value.is_null()) else { continue };
        match slot.place {
            ParameterIn::Path => path = path.replace(&format!("{{{}}}", slot.name), &segment(slot, value)?),
            ParameterIn::Query => query.extend(pairs(slot, value)),
            ParameterIn::Cookie => cookies.extend(pairs(slot, value)),
            ParameterIn::Header => {
                let name = HeaderName::try_from(slot.name.as_str()).map_err(|_| format!("{:?} is not a name of a header", slot.name))?;
                let value = HeaderValue::try_from(joined(slot, value))
                    .map_err(|_| format!("argument `{}` has characters that a header cannot have", slot.argument))?;
                headers.push((name, value));
            }
        }
    }
    // A piece of a segment can make a whole one that leads elsewhere.
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("these arguments make an address of {:?} that leads elsewhere", operation.path));
    }
    if !cookies.is_empty() {
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let value = HeaderValue::try_from(cookies.join("; ")).map_err(|_| "the cookies cannot be written".to_owned())?;
        headers.push((header::COOKIE, value));
    }
    let mut url = operation.base.clone();
    url.set_query(None);
    url.set_fragment(None);
    let whole = format!("{}{path}", url.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&whole).map_err(|error| format!("{whole:?} is not an address: {error}"))?;
    if !query.is_empty() {
        let mut all = url.query_pairs_mut();
        for (name, value) in &query {
            all.append_pair(name, value);
        }
    }
    let body = match &operation.body {
        Some(body) => body.write(arguments)?,
        None => None,
    };
    Ok(Request { method: operation.method.clone(), url, headers, body })
}

/// A value in the path. It stays one segment, whatever is in it.
fn segment(slot: &Slot, value: &Value) -> Result<String, String> {
    let written = match slot.style {
        ParameterStyle::Label => {
            let parts: Vec<String> = pairs_of(value).into_iter().map(|part| encoded_part(&part, slot.explode)).collect();
            format!(".{}", parts.join(if slot.explode { "." } else { "," }))
        }
        ParameterStyle::Matrix => match (slot.explode, value) {
            (true, Value::Array(_) | Value::Object(_)) => {
                let mut text = String::new();
                for (name, value) in pairs_of(value) {
                    // Writing to a String cannot fail.
                    let _ = write!(text, ";{}={}", encoded(name.as_deref().unwrap_or(&slot.name)), encoded(&value));
                }
                text
            }
            _ => format!(";{}={}", encoded(&slot.name), encoded_list(value, false)),
        },
        _ if slot.json => encoded(&value.to_string()),
        _ => encoded_list(value, slot.explode),
    };
    // The address is made shorter by these, and would lead elsewhere; and nothing at all is another address too.
    if written.is_empty() || written == "." || written == ".." {
        return Err(format!("argument `{}` is part of the address and cannot be {:?}", slot.argument, text(value)));
    }
    Ok(written)
}

fn encoded_list(value: &Value, explode: bool) -> String {
    pairs_of(value).iter().map(|part| encoded_part(part, explode)).collect::<Vec<_>>().join(",")
}

fn encoded_part((name, value): &(Option<String>, String), explode: bool) -> String {
    match name {
        Some(name) => format!("{}{}{}", encoded(name), if explode { "=" } else { "," }, encoded(value)),
        None => encoded(value),
    }
}

/// The values in a value: of an object with their names, of a list one by one, of anything else itself.
fn pairs_of(value: &Value) -> Vec<(Option<String>, String)> {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (Some(name.clone()), text(value))).collect(),
        Value::Array(items) => items.iter().map(|item| (None, text(item))).collect(),
        other => vec![(None, text(other))],
    }
}

/// A value in the query or in cookies.
fn pairs(slot: &Slot, value: &Value) -> Vec<(String, String)> {
    let name = || slot.name.clone();
    if slot.json {
        return vec![(name(), value.to_string())];
    }
    match (slot.style, value) {
        (ParameterStyle::DeepObject, Value::Object(members)) => {
            let mut pairs = Vec::new();
            deep(&slot.name, members, &mut pairs);
            pairs
        }
        (_, Value::Object(members)) if slot.explode => members.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        (_, Value::Array(items)) if slot.explode => items.iter().map(|item| (name(), text(item))).collect(),
        (style, Value::Array(_) | Value::Object(_)) => {
            let separator = match style {
                ParameterStyle::SpaceDelimited => " ",
                ParameterStyle::PipeDelimited => "|",
                _ => ",",
            };
            let parts: Vec<String> = pairs_of(value).into_iter().flat_map(|(name, value)| name.into_iter().chain([value])).collect();
            vec![(name(), parts.join(separator))]
        }
        (_, value) => vec![(name(), text(value))],
    }
}

/// `filter[a][b]=…`
fn deep(prefix: &str, members: &Map<String, Value>, pairs: &mut Vec<(String, String)>) {
    for (name, value) in members {
        let name = format!("{prefix}[{name}]");
        match value {
            Value::Object(members) => deep(&name, members, pairs),
            Value::Array(items) => pairs.extend(items.iter().map(|item| (name.clone(), text(item)))),
            value => pairs.push((name, text(value))),
        }
    }
}

/// A value in a header.
fn joined(slot: &Slot, value: &Value) -> String {
    if slot.json {
        return value.to_string();
    }
    let separator = if slot.explode { "=" } else { "," };
    let part = |(name, value): (Option<String>, String)| name.map_or_else(|| value.clone(), |name| format!("{name}{separator}{value}"));
    pairs_of(value).into_iter().map(part).collect::<Vec<_>>().join(",")
}

/// Percent-encoded but for letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
