//! JSON-RPC messages as text: those that a server sends, and those that are sent to it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    ChannelError,
    raw::{inside, write_json},
};

/// JSON-RPC: what is asked for is not known.
pub const METHOD_NOT_FOUND: i32 = -32601;

/// JSON-RPC: something inside went wrong.
pub const INTERNAL_ERROR: i32 = -32603;

/// A message of a server, borrowed from the line that it came in.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The answer to a request of ours.
    Answer {
        /// The id of the request. None: not one of ours (ours are whole numbers).
        id: Option<u64>,
        /// The id as the server wrote it, as JSON text. None: it wrote none, or null.
        written: Option<&'a str>,
        /// The `result`, as JSON text, or the error.
        result: Result<&'a str, ChannelError>,
    },
    /// A request of the server.
    Request {
        /// Its id, as JSON text.
        id: &'a str,
        /// What it wants.
        method: Cow<'a, str>,
        /// JSON text.
        params: Option<&'a str>,
    },
    /// A notification.
    Notification {
        /// Which.
        method: Cow<'a, str>,
        /// JSON text.
        params: Option<&'a str>,
    },
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    data: Option<Value>,
}

impl<'a> Incoming<'a> {
    /// Reads one message. None: it is none.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let Wire { id, method, params, result, error } = serde_json::from_slice(bytes).ok()?;
        let id = id.map(RawValue::get).filter(|id| *id != "null");
        let params = params.map(RawValue::get);
        match (id, method) {
            (Some(id), Some(method)) => Some(Self::Request { id, method, params }),
            (None, Some(method)) => Some(Self::Notification { method, params }),
            (id, None) => {
                let result = match (result, error) {
                    (_, Some(error)) => Err(error.into()),
                    (Some(result), None) => Ok(result.get()),
                    (None, None) => return None,
                };
                Some(Self::Answer { id: id.and_then(own_id), written: id, result })
            }
        }
    }
}

/// An id or a token of ours as a server sends it back.
///
/// Ours are whole numbers. Some servers return them as text, and those whose JSON library knows only
/// floating point as `1.0` or `1e0`.
#[must_use]
pub fn own_id(written: &str) -> Option<u64> {
    /// Up to here each whole number has a floating-point number of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let written = written.trim_matches('"').trim();
    written.parse().ok().or_else(|| {
        let number: f64 = written.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a whole number in the range of u64")]
        (number.fract() == 0.0 && (0.0..EXACT).contains(&number)).then_some(number as u64)
    })
}

impl From<WireError> for ChannelError {
    fn from(error: WireError) -> Self {
        let code = error.code.as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(INTERNAL_ERROR);
        let message = match error.message {
            Value::String(message) => message,
            Value::Null => "the server answered by an error without a message".to_owned(),
            other => other.to_string(),
        };
        Self::Rpc { code, message, data: error.data }
    }
}

/// A request with a whole number as its id. `params` is JSON text of an object; `meta` is put into it.
#[must_use]
pub fn request(id: u64, method: &str, params: &str, meta: Option<&str>) -> String {
    let mut text = String::with_capacity(params.len() + meta.map_or(0, str::len) + method.len() + 80);
    text.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
    text.push_str(itoa::Buffer::new().format(id));
    text.push_str(",\"method\":");
    write_json(&mut text, method);
    text.push_str(",\"params\":");
    write_params(&mut text, params, meta);
    text.push('}');
    one_line(text)
}

/// A notification.
#[must_use]
pub fn notification(method: &str, params: &str) -> String {
    one_line(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params}}}"))
}

/// The answer to a request of the server, whose id is JSON text.
#[must_use]
pub fn answer(id: &str, result: &str) -> String {
    one_line(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"))
}

/// The same by an error.
#[must_use]
pub fn refusal(id: &str, code: i32, message: &str) -> String {
    let mut text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":");
    write_json(&mut text, message);
    text.push_str("}}");
    one_line(text)
}

/// Appends `params` with `meta` as its `_meta`.
pub fn write_params(to: &mut String, params: &str, meta: Option<&str>) {
    let Some(meta) = meta else {
        to.push_str(params);
        return;
    };
    let members = inside(params);
    to.push_str("{\"_meta\":");
    to.push_str(meta);
    if !members.is_empty() {
        to.push(',');
        to.push_str(members);
    }
    to.push('}');
}

/// A newline ends a message on stdio. In JSON one stands only between tokens, where a space is as good: inside of strings it is escaped.
fn one_line(mut text: String) -> String {
    if text.contains(['\n', '\r']) {
        text = text.replace(['\n', '\r'], " ");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_told_apart() {
        let parse = |text: &'static str| Incoming::parse(text.as_bytes());
        assert!(matches!(
            parse(r#"{"result":{"a": 1.0},"jsonrpc":"2.0","id":7}"#),
            Some(Incoming::Answer { id: Some(7), result: Ok("{\"a\": 1.0}"), .. })
        ));
        assert!(matches!(parse(r#"{"id":"7","result":{}}"#), Some(Incoming::Answer { id: Some(7), result: Ok("{}"), .. })));
        assert!(matches!(
            parse(r#"{"id":null,"error":{"code":-1,"message":"m"}}"#),
            Some(Incoming::Answer { id: None, written: None, result: Err(_) })
        ));
        assert!(matches!(parse(r#"{"id":"x","method":"ping"}"#), Some(Incoming::Request { id: "\"x\"", params: None, .. })));
        assert!(matches!(parse(r#"{"method":"n","params":[1]}"#), Some(Incoming::Notification { params: Some("[1]"), .. })));
        for text in ["", "hello", "{}", "[]", "{\"id\":1}", "7", "[{\"id\":1,\"result\":{}}]"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_id_is_known_again_however_the_servers_json_library_writes_it() {
        for written in ["7", "7.0", "7.000", "\"7\"", "\"7.0\"", "7e0", "0.7e1", "70E-1", "\" 7 \""] {
            assert_eq!(own_id(written), Some(7), "{written}");
        }
        for written in ["7.5", "\"x\"", "-7", "-7.0", "null", "true", "1e30", "\"\"", "NaN", "inf", "{}", "[7]"] {
            assert_eq!(own_id(written), None, "{written}");
        }
        assert_eq!(own_id("18446744073709551615"), Some(u64::MAX), "whole numbers stay exact");
    }

    #[test]
    fn an_error_keeps_its_parts_even_where_they_are_odd() {
        let error = |text: &'static str| match Incoming::parse(text.as_bytes()) {
            Some(Incoming::Answer { result: Err(error), .. }) => error,
            other => panic!("{other:?}"),
        };
        let rpc = |code, message: &str, data| ChannelError::Rpc { code, message: message.into(), data };
        assert_eq!(error(r#"{"id":1,"error":{"code":-32602,"message":"m","data":[1]}}"#), rpc(-32602, "m", Some(serde_json::json!([1]))));
        assert!(matches!(error(r#"{"id":1,"error":{"code":"E","message":{"a":1}}}"#), ChannelError::Rpc { code: INTERNAL_ERROR, .. }));
    }

    #[test]
    fn what_is_sent_is_one_line_with_its_meta() {
        assert_eq!(request(1, "m", "{}", None), r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#);
        assert_eq!(request(1, "m", "{}", Some("{\"k\":1}")), r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"k":1}}}"#);
        let text = request(1, "m", "{\n\"a\":\r\n\"x\\ny\"}", Some("{}"));
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{},"a":  "x\ny"}}"#);
        assert_eq!(refusal("\"q\"", -1, "no\n"), r#"{"jsonrpc":"2.0","id":"q","error":{"code":-1,"message":"no\n"}}"#);
    }
}
