//! What a message of the client is, as far as it decides its way.

use serde::Deserialize;
use serde_json::value::RawValue;

/// `notifications/cancelled`, by which a client gives a request up.
pub(super) const CANCELLED: &str = "notifications/cancelled";

/// A message, not yet checked: what does not fit is left to the endpoint, which says what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The id as JSON text.
    pub(super) id: Option<String>,
    /// None: an answer to a request of the server's.
    pub(super) method: Option<String>,
    /// The params as JSON text.
    pub(super) params: Option<String>,
    /// The revision that a request of 2026-07-28 or later names in its `_meta`.
    pub(super) revision: Option<String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Params {
    #[serde(default, rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    revision: Option<String>,
}

impl Message {
    /// Reads a line.
    pub(super) fn of(line: &[u8]) -> Self {
        let Ok(Raw { id, method, params }) = serde_json::from_slice(line) else { return Self::default() };
        let params = params.map(RawValue::get);
        let revision = params.and_then(|params| serde_json::from_str::<Params>(params).ok()).and_then(|params| params.meta?.revision);
        let id = id.map(RawValue::get).filter(|id| *id != "null").map(str::to_owned);
        Self { id, method, params: params.map(str::to_owned), revision }
    }

    /// Whether it is a request, so that its sender waits for an answer.
    pub(super) fn is_request(&self) -> bool {
        self.id.is_some() && self.method.is_some()
    }

    /// Whether it is no message at all, so that what the endpoint says of it is for the client to read.
    pub(super) fn is_none(&self) -> bool {
        self.id.is_none() && self.method.is_none()
    }

    /// The id, as JSON text, of the request that this one gives up.
    pub(super) fn cancels(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, rename = "requestId")]
            id: &'a RawValue,
        }
        if self.method.as_deref() != Some(CANCELLED) {
            return None;
        }
        serde_json::from_str::<Params<'_>>(self.params.as_deref()?).ok().map(|params| params.id.get().to_owned())
    }

    /// A string of the params.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let params: serde_json::Value = serde_json::from_str(self.params.as_deref()?).ok()?;
        params.get(key)?.as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_it_is() {
        let call = Message::of(br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"add","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#);
        assert!(call.is_request());
        assert_eq!((call.id.as_deref(), call.revision.as_deref()), (Some("\"a\""), Some("2026-07-28")));
        assert_eq!(call.text("name").as_deref(), Some("add"));
        let answer = Message::of(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        assert!(!answer.is_request() && !answer.is_none());
        let cancelled = Message::of(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#);
        assert_eq!((cancelled.is_request(), cancelled.cancels().as_deref()), (false, Some("7")));
        for nothing in ["", "[]", "no JSON", r#"{"id":1,"method":5}"#, r#"{"id":null}"#] {
            assert!(Message::of(nothing.as_bytes()).is_none(), "{nothing}");
        }
    }

    #[test]
    fn params_that_do_not_fit_are_left_to_the_endpoint() {
        for params in ["5", "[]", r#"{"_meta":5}"#, r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":5}}"#] {
            let message = Message::of(format!(r#"{{"id":1,"method":"ping","params":{params}}}"#).as_bytes());
            assert_eq!((message.is_request(), message.revision.as_deref(), message.params.as_deref()), (true, None, Some(params)));
        }
    }
}
