//! What a caller sees of an application's response.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::{
    document::{is_json, is_json_lines},
    operation::Operation,
    promise::Deviations,
    send::Response,
};
use crate::{
    provider::{CallError, CallOutput, Content, JsonText, ProviderId},
    remote::client::retry_after,
};

/// Characters of a body that says what went wrong.
const SHOWN: usize = 4000;

/// Headers of an answer that say something to whoever called, beside those that the document speaks of.
const TELLING: [&str; 4] = ["location", "content-location", "link", "retry-after"];

/// Characters of such a header, and how many there are.
const HEADER: usize = 1000;
const HEADERS: usize = 20;

/// Where `_meta` says how an answer differs from what the document promises.
const DEVIATIONS: &str = "io.toolbay/deviations";

/// The error where the application has too much to do and says when to come again: that is for who calls the tool, and no answer of the tool.
pub(super) fn busy(server: &ProviderId, response: &Response) -> Option<CallError> {
    let retry_after = retry_after(response.status, &response.headers)?;
    Some(CallError::Busy { what: format!("server {server} is busy: the application answers {}", failure(response)), retry_after })
}

/// The result of a call.
pub(super) fn output(server: &ProviderId, operation: &Operation, response: Response) -> CallOutput {
    if !response.status.is_success() {
        return CallOutput::error(with_headers(failure(&response), &told(operation, &response.headers)));
    }
    let told = told(operation, &response.headers);
    let mut output = body(server, operation, &response);
    if let Some(why) = &response.cut {
        output.content.push(Content::Text(format!("This is the beginning of a stream of events: {why}.")));
    }
    if response.body.is_empty() && response.cut.is_none() {
        output.content = vec![Content::Text(with_headers(status(response.status), &told))];
    } else if !told.is_empty() {
        output.content.push(Content::Text(told.join("\n")));
    }
    // Whoever was promised an object gets one.
    if operation.promise.is_some() && output.structured.is_none() {
        output.structured = JsonText::from_value(&json!({})).ok();
    }
    output
}

fn body(server: &ProviderId, operation: &Operation, response: &Response) -> CallOutput {
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let block = |kind: &str| json!({ "type": kind, "data": BASE64_STANDARD.encode(&response.body), "mimeType": bare });
    if bare.starts_with("image/") && bare != "image/svg+xml" {
        return blocks(&block("image"));
    }
    if bare.starts_with("audio/") {
        return blocks(&block("audio"));
    }
    match text(&response.body, kind) {
        Some(text) if is_events(&response.headers) => content(vec![Content::Text(events(&text))]),
        Some(text) if is_json(kind) || is_json_lines(kind) => json_output(server, operation, text),
        Some(text) => content(vec![Content::Text(text)]),
        None => {
            let mime = if bare.is_empty() { "application/octet-stream" } else { bare.as_str() };
            let uri = format!("urn:toolbay:{server}:{}", operation.tool().name);
            let resource = json!({ "uri": uri, "mimeType": mime, "blob": BASE64_STANDARD.encode(&response.body) });
            blocks(&json!({ "type": "resource", "resource": resource }))
        }
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The data of each event on lines of its own, with the event's name before it where it has one.
fn events(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::new();
    for event in text.split("\n\n") {
        let field = |name: &str| {
            let lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        let (name, data) = (field("event"), field("data"));
        // How some streams say that they end.
        if data.is_empty() || data == "[DONE]" {
            continue;
        }
        if !(name.is_empty() || name == "message") {
            out.push_str(&name);
            out.push_str(": ");
        }
        out.push_str(&data);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

/// A body as text, by its mark or by what its media type says. None: it is none.
fn text(body: &[u8], kind: &str) -> Option<String> {
    let said = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    let is_text = said.is_some() || is_json(kind) || is_json_lines(kind) || kind.trim_start().to_ascii_lowercase().starts_with("text/");
    // In other bodies two bytes are no mark.
    let mark = encoding_rs::Encoding::for_bom(body).map(|(encoding, _)| encoding);
    let encoding = mark.filter(|mark| is_text || *mark == encoding_rs::UTF_8);
    let encoding = encoding.or_else(|| encoding_rs::Encoding::for_label(said?.as_bytes()));
    match encoding {
        Some(encoding) => {
            let (text, _, is_broken) = encoding.decode(body);
            // Text with a few wrong characters is still text where it says so.
            (!is_broken || said.is_some() || is_json(kind)).then(|| text.into_owned())
        }
        None if is_json(kind) || is_json_lines(kind) => Some(String::from_utf8_lossy(body).into_owned()),
        None => std::str::from_utf8(body).ok().map(str::to_owned),
    }
}

fn json_output(server: &ProviderId, operation: &Operation, text: String) -> CallOutput {
    let value = match values(&text) {
        Ok(value) => value,
        // It was done, whatever it says of it.
        Err(error) => {
            let note = format!("The application says that this is JSON, and it is not: {error}");
            return content(vec![Content::Text(text), Content::Text(note)]);
        }
    };
    let mut structured = value;
    let deviations = operation.promise.as_ref().map(|promise| promise.settle(&mut structured)).unwrap_or_default();
    let structured = JsonText::from_value(&structured).ok();
    let mut output = CallOutput { content: vec![Content::Text(text)], structured, ..CallOutput::default() };
    if !deviations.is_empty() {
        note(server, operation, &deviations, &mut output);
    }
    output
}

/// Says how an answer differs from what the document promises.
fn note(server: &ProviderId, operation: &Operation, deviations: &Deviations, output: &mut CallOutput) {
    let all: Vec<&String> = deviations.others.iter().chain(&deviations.nulls).collect();
    let text = all.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("; ");
    tracing::info!(server = %server, tool = operation.tool().name.as_str(), "the answer differs from what the OpenAPI document says: {text}");
    output.meta = JsonText::from_value(&json!({ DEVIATIONS: all })).ok();
    // Null says what it is by itself.
    if !deviations.others.is_empty() {
        output.content.push(Content::Text(format!(
            "This answer differs from what the application's OpenAPI document says of it ({}); structured content has null there.",
            deviations.others.join("; ")
        )));
    }
}

/// JSON, or several pieces of it one after the other, as a list.
fn values(text: &str) -> Result<Value, serde_json::Error> {
    let plain = text.trim_start_matches(['\u{feff}', '\u{1e}']);
    serde_json::from_str(plain).or_else(|error| {
        let plain = plain.replace('\u{1e}', "\n");
        let all: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&plain).into_iter().collect();
        match all {
            Ok(all) if all.len() > 1 => Ok(Value::Array(all)),
            _ => Err(error),
        }
    })
}

/// Headers that say something to whoever called.
fn told(operation: &Operation, headers: &HeaderMap) -> Vec<String> {
    let is_telling = |name: &str| TELLING.contains(&name) || operation.headers.iter().any(|said| said == name);
    let told = headers.iter().filter(|(name, _)| is_telling(name.as_str()));
    let told = told.filter_map(|(name, value)| {
        let words: Vec<String> = name.as_str().split('-').map(capital).collect();
        Some(format!("{}: {}", words.join("-"), value.to_str().ok()?.chars().take(HEADER).collect::<String>()))
    });
    told.take(HEADERS).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn with_headers(text: String, headers: &[String]) -> String {
    if headers.is_empty() { text } else { format!("{text}\n{}", headers.join("\n")) }
}

fn failure(response: &Response) -> String {
    let mut said = status(response.status);
    if response.status.is_redirection() {
        let to = response.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        said = format!("{said}: it leads to {}, and only redirects within the application are followed", short(to));
    }
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body = text(&response.body, kind).unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    match body.trim() {
        "" => said,
        body => format!("{said}: {}", short(body)),
    }
}

fn status(status: StatusCode) -> String {
    status.canonical_reason().map_or_else(|| status.as_str().to_owned(), |reason| format!("{} {reason}", status.as_str()))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

fn blocks(block: &Value) -> CallOutput {
    content(JsonText::from_value(block).ok().map(Content::Block).into_iter().collect())
}

fn content(content: Vec<Content>) -> CallOutput {
    CallOutput { content, ..CallOutput::default() }
}
