//! The headers of an MCP request over HTTP: version and session, and what 2026-07-28 wants repeated of the body, so that proxies can route by it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{Era, MODERN_VERSION, raw::RawObject};

pub(crate) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// How requests are made up.
#[derive(Clone, Debug)]
pub(crate) struct SessionHeaders {
    pub(crate) era: Era,
    /// None: before `initialize` was answered.
    pub(crate) version: Option<HeaderValue>,
    /// Legacy servers give one, or none.
    pub(crate) session: Option<HeaderValue>,
}

impl SessionHeaders {
    pub(crate) fn modern() -> Self {
        Self { era: Era::Modern, version: Some(HeaderValue::from_static(MODERN_VERSION)), session: None }
    }

    /// For `initialize` itself.
    pub(crate) fn legacy() -> Self {
        Self { era: Era::Legacy, version: None, session: None }
    }

    /// What goes with every message.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(VERSION, &self.version), (SESSION, &self.session)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

/// The arguments of each tool that are repeated in headers: the schemas' `x-mcp-header`. Learnt from the lists that go by.
#[derive(Debug, Default)]
pub(crate) struct ParamHeaders(Mutex<HashMap<String, Arc<[ParamHeader]>>>);

#[derive(Debug)]
struct ParamHeader {
    /// Names of properties from the root of the arguments to the argument.
    path: Vec<String>,
    header: HeaderName,
}

impl ParamHeaders {
    /// Takes one page of `tools/list`.
    pub(crate) fn learn(&self, result: &str) {
        // Nearly no tool has any.
        let mentions = result.contains("x-mcp-header");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !mentions && known.is_empty() {
            return;
        }
        let tools: Vec<Value> = RawObject::parse(result).and_then(|result| result.read("tools")).unwrap_or_default();
        for tool in tools {
            let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
            let mut found = Vec::new();
            collect(tool.get("inputSchema").and_then(|schema| schema.get("properties")), &mut Vec::new(), &mut found);
            if found.is_empty() {
                known.remove(name);
            } else {
                known.insert(name.to_owned(), found.into());
            }
        }
    }

    /// What goes with one request of 2026-07-28 beside what goes with all.
    pub(crate) fn write(&self, headers: &mut HeaderMap, method: &str, params: &str) {
        insert(headers, METHOD, method);
        let key = match method {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return,
        };
        let Some(params) = RawObject::parse(params) else { return };
        let Some(name) = params.read::<String>(key) else { return };
        insert(headers, NAME, &name);
        if method != "tools/call" {
            return;
        }
        let Some(wanted) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned() else { return };
        let arguments: Value = params.read("arguments").unwrap_or_default();
        for ParamHeader { path, header } in &*wanted {
            match path.iter().try_fold(&arguments, |value, name| value.get(name)) {
                Some(Value::String(text)) => insert(headers, header.clone(), text),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => insert(headers, header.clone(), &value.to_string()),
                _ => {}
            }
        }
    }
}

/// Annotations along chains of `properties` alone.
fn collect(properties: Option<&Value>, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    let Some(Value::Object(properties)) = properties else { return };
    for (name, schema) in properties {
        path.push(name.clone());
        if let Some(header) = schema.get("x-mcp-header").and_then(Value::as_str).filter(|header| !header.is_empty())
            && let Ok(header) = HeaderName::try_from(format!("mcp-param-{}", header.to_ascii_lowercase()))
        {
            found.push(ParamHeader { path: path.clone(), header });
        }
        collect(schema.get("properties"), path, found);
        path.pop();
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::try_from(encoded(text)) {
        headers.insert(name, value);
    }
}

/// Text as a header's value: as it is where that comes through unharmed, else `=?base64?…?=`.
fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text && !text.starts_with("=?base64?");
    if plain { text.to_owned() } else { format!("=?base64?{}?=", BASE64_STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_schema_marks_goes_into_headers() {
        let params = ParamHeaders::default();
        params.learn(r#"{"tools":[{"name":"t","inputSchema":{"properties":{"region":{"x-mcp-header":"Region"},"in":{"properties":{"n":{"x-mcp-header":"N"}}},"other":{}}}}]}"#);
        let written = |method, text: &str| {
            let mut headers = HeaderMap::new();
            params.write(&mut headers, method, text);
            let mut lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            lines
        };
        let seen = written("tools/call", r#"{"name":"t","arguments":{"region":" é","in":{"n":-1.50},"other":"x"}}"#);
        assert_eq!(seen, ["mcp-method: tools/call", "mcp-name: t", "mcp-param-n: -1.5", "mcp-param-region: =?base64?IMOp?="]);
        assert_eq!(written("tools/call", r#"{"name":"u","arguments":{"region":"x"}}"#), ["mcp-method: tools/call", "mcp-name: u"]);
        assert_eq!(written("resources/read", r#"{"uri":"x://y"}"#), ["mcp-method: resources/read", "mcp-name: x://y"]);
        assert_eq!(written("tools/list", "{}"), ["mcp-method: tools/list"]);
        params.learn(r#"{"tools":[{"name":"t","inputSchema":{}}]}"#);
        assert_eq!(written("tools/call", r#"{"name":"t","arguments":{"region":"x"}}"#).len(), 2, "a newer list counts");
    }

    #[test]
    fn text_that_a_header_would_spoil_is_encoded() {
        assert_eq!(
            [encoded("a b"), encoded(""), encoded("a "), encoded("=?base64?x?=")].map(|text| text.starts_with("=?base64?")),
            [false, false, true, true]
        );
    }
}
