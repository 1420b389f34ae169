//! The requests, as bytes, and whether an answer to them is right.

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::weather;

/// The name of the function of the calculator that everything calls.
pub(crate) const TOOL: &str = "add";
/// The tool that calls another one: of the plugin `chain` of the tests.
pub(crate) const CALLER: &str = "chain_call";

/// Which revision of MCP the clients speak, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Era {
    /// 2026-07-28
    Modern,
    /// 2025-11-25
    Legacy,
    /// No MCP: arguments by POST to `/TOOL`, the sum as the answer's body, as mcpo has it
    Plain,
}

impl Era {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
            Self::Plain => "plain",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Modern => "2026-07-28",
            Self::Legacy => "2025-11-25",
            Self::Plain => "none",
        }
    }
}

/// How a client talks to a server.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    /// `HOST:PORT`
    pub(crate) host: String,
    pub(crate) era: Era,
    /// The id that a legacy server gave to this client.
    pub(crate) session: Option<String>,
}

impl Dialect {
    pub(crate) fn modern(host: &str) -> Self {
        Self { host: host.to_owned(), era: Era::Modern, session: None }
    }

    /// One call: the bytes of the request, and what has to come back.
    pub(crate) fn call(&self, tool: &str, id: u32) -> (Vec<u8>, Expected) {
        // Eighths are exact in binary, so that every server prints the same sum.
        let (a, b) = (f64::from(id) + 0.125, f64::from(id) * 2.0 + 0.5);
        let terms = format!("{{\"a\":{a},\"b\":{b}}}");
        let (arguments, result) = match tool {
            CALLER => (format!("{{\"tool\":\"{TOOL}\",\"arguments\":{terms}}}"), Right::Sum(a + b)),
            weather::TOOL => ("{\"state\":\"CA\"}".to_owned(), Right::Text(&weather::TOLD)),
            _ => (terms, Right::Sum(a + b)),
        };
        let (request, id) = match self.era {
            Era::Plain => (self.post(tool, "", &arguments), None),
            Era::Modern | Era::Legacy => {
                let params = format!("\"name\":\"{tool}\",\"arguments\":{arguments}");
                (self.request("tools/call", Some(tool), id, &params), Some(id))
            }
        };
        (request, Expected { id, result })
    }

    pub(crate) fn list(&self, id: u32, cursor: Option<&str>) -> Vec<u8> {
        let params = cursor.map(|cursor| format!("\"cursor\":{}", Value::from(cursor))).unwrap_or_default();
        self.request("tools/list", None, id, &params)
    }

    pub(crate) fn initialize(&self) -> Vec<u8> {
        let version = self.era.version();
        let client = r#"{"name":"toolbay-bench","version":"1"}"#;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{client}}}}}"#
        );
        self.post("mcp", "", &body)
    }

    pub(crate) fn initialized(&self) -> Vec<u8> {
        self.post("mcp", &self.headers("notifications/initialized", None), r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
    }

    fn request(&self, method: &str, name: Option<&str>, id: u32, params: &str) -> Vec<u8> {
        let meta = match self.era {
            Era::Legacy | Era::Plain => "",
            Era::Modern => concat!(
                r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                r#""io.modelcontextprotocol/clientInfo":{"name":"toolbay-bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#,
            ),
        };
        let comma = if meta.is_empty() || params.is_empty() { "" } else { "," };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}{comma}{params}}}}}"#);
        self.post("mcp", &self.headers(method, name), &body)
    }

    fn headers(&self, method: &str, name: Option<&str>) -> String {
        let mut headers = format!("MCP-Protocol-Version: {}\r\n", self.era.version());
        if self.era == Era::Modern {
            headers += &format!("Mcp-Method: {method}\r\n");
            if let Some(name) = name {
                headers += &format!("Mcp-Name: {name}\r\n");
            }
        }
        if let Some(session) = &self.session {
            headers += &format!("Mcp-Session-Id: {session}\r\n");
        }
        headers
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let (host, length) = (&self.host, body.len());
        format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: toolbay-bench/1\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What the answer to a call has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// None: the answer is the result alone.
    id: Option<u32>,
    result: Right,
}

#[derive(Clone, Copy, Debug)]
enum Right {
    Sum(f64),
    Text(&'static str),
}

impl Right {
    /// As the structured value has it.
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Sum(sum) => value.as_f64() == Some(sum),
            Self::Text(text) => value.as_str() == Some(text),
        }
    }

    /// As the copy in text has it.
    fn is_told(self, told: &str) -> bool {
        match self {
            Self::Sum(sum) => told.parse() == Ok(sum),
            Self::Text(text) => told == text,
        }
    }
}

impl Expected {
    /// Reads the whole answer: its id, that it is no error, the structured value and its copy in text.
    pub(crate) fn check(&self, status: u16, body: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(body);
        ensure!(status == 200, "the server answered {status}: {text}");
        let answer: Value = serde_json::from_str(message(&text)).with_context(|| format!("the answer is not JSON: {text:?}"))?;
        let Some(id) = self.id else {
            ensure!(self.result.is(&answer), "wrong answer: {:?} was expected, this came: {text}", self.result);
            return Ok(());
        };
        let at = |pointer: &str| answer.pointer(pointer);
        let right = at("/id").and_then(Value::as_u64) == Some(u64::from(id))
            && at("/result/isError").and_then(Value::as_bool) != Some(true)
            && at("/result/structuredContent/result").is_some_and(|value| self.result.is(value))
            && at("/result/content/0/text").and_then(Value::as_str).is_some_and(|text| self.result.is_told(text));
        ensure!(right, "wrong answer: id {id} and {:?} were expected, this came: {text}", self.result);
        Ok(())
    }
}

/// The message in a body: all of it, or where it came as a stream of events, in chunks, the first event's data.
fn message(body: &str) -> &str {
    match body.split_once("data: ") {
        Some((_, data)) if !body.starts_with('{') => data.lines().next().unwrap_or_default(),
        _ => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(body: &str) -> bool {
        let (_, expected) = Dialect::modern("127.0.0.1:1").call(TOOL, 2);
        expected.check(200, body.as_bytes()).is_ok()
    }

    #[test]
    fn only_the_right_sum_under_the_right_id_is_right() {
        let body = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"6.625"}],"structuredContent":{"result":6.625}}}"#;
        assert!(right(body));
        assert!(!right(&body.replace("\"id\":2", "\"id\":3")));
        assert!(!right(&body.replace("{\"result\":6.625}", "{\"result\":6.5}")));
        assert!(!right(&body.replace("\"6.625\"", "\"6\"")));
        assert!(!right(&body.replace("\"content\"", "\"isError\":true,\"content\"")));
        assert!(!right("{}"));
        let event = format!("94\r\nevent: message\ndata: {body}\n\n\r\n0\r\n\r\n");
        assert!(right(&event));
        assert!(!right(&event.replace("6.625", "6.5")));
    }

    #[test]
    fn without_mcp_the_answer_is_the_sum() {
        let dialect = Dialect { host: "127.0.0.1:1".to_owned(), era: Era::Plain, session: None };
        let (request, expected) = dialect.call(TOOL, 2);
        assert!(String::from_utf8(request).unwrap().starts_with("POST /add HTTP/1.1\r\n"));
        assert!(expected.check(200, b"6.625").is_ok());
        assert!(expected.check(200, b"6.5").is_err());
        assert!(expected.check(422, b"6.625").is_err());
    }

    #[test]
    fn a_request_says_how_long_it_is() {
        let (bytes, _) = Dialect::modern("127.0.0.1:1").call(TOOL, 1);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
    }
}
