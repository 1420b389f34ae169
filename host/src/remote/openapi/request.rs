//! The request of a call: its address, its headers and its body, out of the arguments.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use url::Url;

use super::{
    content::{deep, text},
    operation::{Operation, Slot},
    parameter::{Place, Style},
};
use crate::provider::Span;

/// A request, written but not sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// With its media type.
    pub(super) body: Option<(String, Vec<u8>)>,
}

impl Request {
    /// Tells the span of its sending what it was, and what came of it. Its URL is not told: there may be secrets in it.
    pub(super) fn trace(&self, span: &dyn Span, status: Option<StatusCode>) {
        span.set("http.request.method", self.method.as_str().into());
        if let Some(host) = self.url.host_str() {
            span.set("server.address", host.into());
        }
        if let Some(port) = self.url.port_or_known_default() {
            span.set("server.port", port.into());
        }
        match status {
            Some(status) => {
                span.set("http.response.status_code", status.as_u16().into());
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_str());
                }
            }
            None => span.fail("unreachable"),
        }
    }
}

/// Puts every argument in its place.
pub(super) fn build(operation: &Operation, arguments: &Map<String, Value>) -> Result<Request, String> {
    let (mut path, mut query, mut cookies, mut headers) = (operation.path.clone(), Vec::new(), Vec::new(), Vec::new());
    for slot in &operation.slots {
        let name = operation.names.get(slot.argument).map(String::as_str).unwrap_or_default();
        // What is null is left out: there is no other way to write it.
        let Some(value) = arguments.get(name).filter(|value| !value.is_null()) else { continue };
        match slot.place {
            Place::Path => path = path.replace(&format!("{{{}}}", slot.name), &segment(slot, name, value)?),
            Place::Query => query.extend(pairs(slot, value)),
            Place::QueryString => query.push(whole_query(slot, value)),
            Place::Cookie => cookies.extend(pairs(slot, value)),
            Place::Header => {
                let header = HeaderName::try_from(slot.name.as_str()).map_err(|_| format!("{:?} is not a name of a header", slot.name))?;
                let value = HeaderValue::try_from(joined(slot, value))
                    .map_err(|_| format!("argument `{name}` has characters that a header cannot have"))?;
                headers.push((header, value));
            }
            Place::Body | Place::Field => {}
        }
    }
    let applied = &operation.applied;
    let pair = |name: &str, value: &str| format!("{}={}", form_encoded(name, false), form_encoded(value, false));
    query.extend(applied.query.iter().map(|(name, value)| pair(name, &value.0)));
    cookies.extend(applied.cookies.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(&value.0))));
    headers.extend(applied.headers.iter().cloned());
    // A piece of a segment can make a whole one that leads elsewhere.
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("these arguments make an address of {:?} that leads elsewhere", operation.path));
    }
    if !cookies.is_empty() {
        let value = HeaderValue::try_from(cookies.join("; ")).map_err(|_| "the cookies cannot be written".to_owned())?;
        headers.push((header::COOKIE, value));
    }
    let mut url = address(&operation.base, &path)?;
    if !query.is_empty() {
        // Sets of parameters: of the address that was configured, of the path itself, of the arguments.
        let all = url.query().filter(|own| !own.is_empty()).into_iter().map(str::to_owned).chain(query).collect::<Vec<_>>().join("&");
        url.set_query(Some(&all));
    }
    let body = match &operation.body {
        Some(body) => body.write(&operation.names, arguments)?,
        None => None,
    };
    Ok(Request { method: operation.method.clone(), url, headers, body })
}

/// The address of a path, with the query that the base and the path themselves have.
fn address(base: &Url, path: &str) -> Result<Url, String> {
    let mut start = base.clone();
    start.set_query(None);
    start.set_fragment(None);
    let whole = format!("{}{path}", start.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&whole).map_err(|error| format!("{whole:?} is not an address: {error}"))?;
    url.set_fragment(None);
    if let Some(own) = base.query().filter(|own| !own.is_empty()) {
        let all = [Some(own), url.query()].into_iter().flatten().collect::<Vec<_>>().join("&");
        url.set_query(Some(&all));
    }
    Ok(url)
}

/// A value in the path. It stays one segment, whatever is in it.
fn segment(slot: &Slot, argument: &str, value: &Value) -> Result<String, String> {
    let written = match slot.style {
        Style::Label => {
            let parts: Vec<String> = pairs_of(value).into_iter().map(|part| encoded_part(&part, slot.explode)).collect();
            format!(".{}", parts.join(if slot.explode { "." } else { "," }))
        }
        Style::Matrix => match (slot.explode, value) {
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
        return Err(format!("argument `{argument}` is part of the address and cannot be {:?}", text(value)));
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

/// A value in the query or in cookies, as `name=value` each.
fn pairs(slot: &Slot, value: &Value) -> Vec<String> {
    let write = |text: &str| if slot.place == Place::Cookie { encoded(text) } else { form_encoded(text, slot.reserved) };
    let pair = |name: &str, value: &str| format!("{}={}", write(name), write(value));
    if slot.json {
        return vec![pair(&slot.name, &value.to_string())];
    }
    match (slot.style, value) {
        (Style::Deep, Value::Object(_)) => {
            let mut found = Vec::new();
            deep(&slot.name, value, &mut found);
            found.iter().map(|(name, value)| pair(name, value)).collect()
        }
        (_, Value::Object(members)) if slot.explode => members.iter().map(|(name, value)| pair(name, &text(value))).collect(),
        (_, Value::Array(items)) if slot.explode => items.iter().map(|item| pair(&slot.name, &text(item))).collect(),
        (style, Value::Array(_) | Value::Object(_)) => {
            // A comma between two values is none in a value: only those are encoded.
            let separator = match style {
                Style::Spaces => "%20",
                Style::Pipes => "%7C",
                Style::Tabs => "%09",
                _ => ",",
            };
            let parts = pairs_of(value).into_iter().flat_map(|(name, value)| name.into_iter().chain([value]));
            let parts: Vec<String> = parts.map(|part| write(&part)).collect();
            vec![format!("{}={}", write(&slot.name), parts.join(separator))]
        }
        (_, value) => vec![pair(&slot.name, &text(value))],
    }
}

/// A value that is all of the query (OpenAPI 3.2).
fn whole_query(slot: &Slot, value: &Value) -> String {
    match value {
        _ if slot.json => form_encoded(&value.to_string(), false),
        Value::Object(members) => {
            let mut pairs = Vec::new();
            for (name, value) in members {
                match value {
                    Value::Array(items) => pairs.extend(items.iter().map(|item| (name.clone(), text(item)))),
                    value => pairs.push((name.clone(), text(value))),
                }
            }
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        }
        // As the caller wrote it, but for what cannot stand in an address.
        value => text(value).trim_start_matches('?').replace('#', "%23").replace(' ', "%20"),
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

/// As forms write it. `reserved`: what has a meaning in addresses stays, but for what ends a value in a query.
fn form_encoded(text: &str, reserved: bool) -> String {
    if !reserved {
        return url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let mut bytes = [0; 4];
        match c {
            ':' | '/' | '?' | '[' | ']' | '@' | '!' | '$' | '\'' | '(' | ')' | '*' | ',' | ';' => out.push(c),
            c => out.push_str(&encoded(c.encode_utf8(&mut bytes))),
        }
    }
    out
}
