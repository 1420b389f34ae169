//! One line: what is known of a decision or a call, and its JSON.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use super::redact::{self, Redactor};

/// What is known of the arguments.
#[derive(Debug, Default)]
pub enum Arguments {
    /// There are none.
    #[default]
    None,
    /// All of them, as JSON text.
    Text(Box<str>),
    /// Only their SHA-256: they are too long.
    Digest([u8; 32]),
}

impl Arguments {
    pub(super) fn digest(text: &str) -> Self {
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self::Digest(sum)
    }

    /// Bytes that they take.
    pub(super) fn len(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }

    fn sha256(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Text(text) => Self::digest(text).sha256(),
            Self::Digest(sum) => Some(sum.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

/// A decision, or a call that has ended.
#[derive(Debug)]
pub struct Record {
    /// When it began.
    pub begin: SystemTime,
    /// `call`, or `authentication` for a request that was not let in.
    pub event: &'static str,
    /// The log's id of the call.
    pub id: Option<u64>,
    /// The id of the call that made this one.
    pub parent: Option<u64>,
    /// The W3C trace id.
    pub trace: Option<Box<str>>,
    /// Who.
    pub caller: Option<Box<str>>,
    /// From which address.
    pub peer: Option<Box<str>>,
    /// By which way: `mcp`, `rest`, `stdio`, `cli`.
    pub front: &'static str,
    /// What was done: `tools/call`.
    pub operation: Option<&'static str>,
    /// Whose tool, resource or prompt.
    pub provider: Option<Box<str>>,
    /// Which one, by the provider's own name.
    pub name: Option<Box<str>>,
    /// With what.
    pub arguments: Arguments,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// Why not well: a word, or a code of JSON-RPC.
    pub error: Option<Cow<'static, str>>,
    /// How long it took. None: nothing ran.
    pub took: Option<Duration>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            begin: SystemTime::now(),
            event: "call",
            id: None,
            parent: None,
            trace: None,
            caller: None,
            peer: None,
            front: "",
            operation: None,
            provider: None,
            name: None,
            arguments: Arguments::None,
            outcome: "",
            error: None,
            took: None,
        }
    }
}

/// Its members, in the order in which they are written. They are API: they are not renamed.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    /// `null`: callers are not told apart.
    caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    front: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
}

impl Record {
    /// Its line, with the newline. Arguments are in it where there is somebody to remove their secrets.
    pub(super) fn line(&self, redactor: Option<&Redactor>) -> Vec<u8> {
        let arguments = match (redactor, &self.arguments) {
            (Some(redactor), Arguments::Text(text)) => redactor.arguments(text),
            _ => None,
        };
        // The address of a resource can hold a key.
        let name = self.name.as_deref().map(|name| redact::known(name));
        let line = Line {
            time: DateTime::<Utc>::from(self.begin).to_rfc3339_opts(SecondsFormat::Micros, true),
            event: self.event,
            id: self.id,
            parent: self.parent,
            trace: self.trace.as_deref(),
            caller: self.caller.as_deref(),
            peer: self.peer.as_deref(),
            front: self.front,
            operation: self.operation,
            provider: self.provider.as_deref(),
            name,
            arguments_sha256: self.arguments.sha256(),
            arguments,
            outcome: self.outcome,
            error: self.error.as_deref(),
            duration_ms: self.took.map(|took| took.as_micros() as f64 / 1000.0),
        };
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }
}
