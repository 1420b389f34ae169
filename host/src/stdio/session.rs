//! The session of a client before 2026-07-28, and what opens it anew where the other end has lost it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use super::message::Message;
use crate::upstream::http_headers::{SESSION, VERSION};

/// What goes with every message of an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// None: the other end keeps no sessions.
    pub(super) id: Option<HeaderValue>,
    /// The revision that was agreed on.
    version: Option<HeaderValue>,
}

impl Session {
    /// As the answer to `initialize` has it. None: it is an error.
    pub(super) fn of(headers: &HeaderMap, answer: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            result: Result,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Result {
            protocol_version: String,
        }
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let version = HeaderValue::try_from(answer.result.protocol_version).ok();
        Some(Self { id: headers.get(SESSION).cloned(), version })
    }

    pub(super) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [(SESSION, &self.id), (VERSION, &self.version)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// What the client has said that a new session has to hear again, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    pub(super) initialize: Option<Bytes>,
    pub(super) initialized: Option<Bytes>,
    level: Option<Bytes>,
    subscriptions: BTreeMap<String, Bytes>,
}

impl Greeting {
    /// Of a session that begins with this message.
    pub(super) fn begun(initialize: Bytes) -> Self {
        Self { initialize: Some(initialize), ..Self::default() }
    }

    /// Takes note of a request that outlives its answer.
    pub(super) fn note(&mut self, message: &Message, line: &Bytes) {
        match message.method.as_deref() {
            Some("logging/setLevel") => self.level = Some(line.clone()),
            Some("resources/subscribe") => {
                if let Some(uri) = message.text("uri") {
                    self.subscriptions.insert(uri, line.clone());
                }
            }
            Some("resources/unsubscribe") => {
                if let Some(uri) = message.text("uri") {
                    self.subscriptions.remove(&uri);
                }
            }
            _ => {}
        }
    }

    /// What follows `initialize`.
    pub(super) fn rest(&self) -> impl Iterator<Item = &Bytes> {
        self.initialized.iter().chain(&self.level).chain(self.subscriptions.values())
    }
}
