//! The requests, as bytes, and whether an answer to them is right.

use std::{fs, path::Path, rc::Rc};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    /// 2025-06-18, which older servers know at most
    Earlier,
    /// No MCP: arguments by POST to `/TOOL`, the sum as the answer's body, as mcpo has it
    Plain,
}

impl Era {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
            Self::Earlier => "earlier",
            Self::Plain => "plain",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Modern => "2026-07-28",
            Self::Legacy => "2025-11-25",
            Self::Earlier => "2025-06-18",
            Self::Plain => "none",
        }
    }
}

/// A call that is none of those that the clients know, and what has to come back. It is read from a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) tool: String,
    pub(crate) arguments: Value,
    /// The structured content. Its copy in text has to be the same.
    #[serde(default)]
    pub(crate) structured: Value,
    /// In place of that: members of the result, by pointers into it.
    #[serde(default)]
    pub(crate) holds: Vec<(String, Value)>,
    #[serde(default)]
    pub(crate) way: Way,
    /// Members of the request's `params` beside those of every call.
    #[serde(default)]
    pub(crate) more: Map<String, Value>,
    /// What the client can do.
    #[serde(default)]
    pub(crate) capabilities: Map<String, Value>,
}

/// How the request of a [`Case`] is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// As clients do.
    #[default]
    Plain,
    /// With a member that the fast path does not know, so that the SDK answers it.
    Unusual,
    /// With a token for progress, so that the answer is a stream of events.
    Progress,
    /// Without MCP, by `POST /call`.
    Rest,
}

impl Case {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no call", path.display()))
    }

    /// The call of `add` that a way has.
    pub(crate) fn adding(way: Way) -> Self {
        Self { structured: json!({ "result": 3.625 }), way, ..Self::of(TOOL, json!({ "a": 1.125, "b": 2.5 })) }
    }

    /// A call of a tool, of whose answer nothing is known.
    pub(crate) fn of(tool: &str, arguments: Value) -> Self {
        Self {
            tool: tool.to_owned(),
            arguments,
            structured: Value::Null,
            holds: Vec::new(),
            way: Way::Plain,
            more: Map::new(),
            capabilities: Map::new(),
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
    /// Where MCP is served, without the first slash.
    pub(crate) path: String,
    /// A bearer token.
    pub(crate) token: Option<String>,
}

/// Where MCP is served, if nothing else is said.
pub(crate) const PATH: &str = "mcp";

impl Dialect {
    pub(crate) fn new(host: &str, era: Era) -> Self {
        Self { host: host.to_owned(), era, session: None, path: PATH.to_owned(), token: None }
    }

    pub(crate) fn modern(host: &str) -> Self {
        Self::new(host, Era::Modern)
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
            Era::Modern | Era::Legacy | Era::Earlier => {
                let params = format!("\"name\":\"{tool}\",\"arguments\":{arguments}");
                (self.request("tools/call", Some(tool), id, &params), Some(id))
            }
        };
        (request, Expected { id, result })
    }

    /// The same of a call that was read from a file.
    pub(crate) fn case(&self, case: &Case, id: u32) -> (Vec<u8>, Expected) {
        let Case { tool, arguments, structured, holds, way, more, capabilities } = case;
        let result = match &holds[..] {
            [] => Right::Structured(Rc::new(structured.clone())),
            holds => Right::Holds(holds.into()),
        };
        if *way == Way::Rest {
            let body = json!({ "tool_name": tool, "tool_args": arguments }).to_string();
            return (self.post("call", "Toolbay-Result: mcp\r\n", &body), Expected { id: None, result });
        }
        let unusual = if *way == Way::Unusual { ",\"unusual\":true" } else { "" };
        let more: String = more.iter().map(|(name, value)| format!(",{}:{value}", Value::from(name.as_str()))).collect();
        let params = format!("\"name\":\"{tool}\",\"arguments\":{arguments}{unusual}{more}");
        let token = (*way == Way::Progress).then_some(id);
        let can = Value::Object(capabilities.clone()).to_string();
        let body = self.body("tools/call", id, &params, token, &can);
        let request = self.post(&self.path, &self.headers("tools/call", Some(tool)), &body);
        (request, Expected { id: Some(id), result })
    }

    /// One of another tool, whose answer is looked at by who asks.
    pub(crate) fn call_with(&self, tool: &str, id: u32, arguments: &Value) -> Vec<u8> {
        self.request("tools/call", Some(tool), id, &format!("\"name\":\"{tool}\",\"arguments\":{arguments}"))
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
        self.post(&self.path, "", &body)
    }

    pub(crate) fn initialized(&self) -> Vec<u8> {
        self.post(&self.path, &self.headers("notifications/initialized", None), r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
    }

    fn request(&self, method: &str, name: Option<&str>, id: u32, params: &str) -> Vec<u8> {
        self.post(&self.path, &self.headers(method, name), &self.body(method, id, params, None, "{}"))
    }

    /// `token`: for progress. `can`: the client's capabilities.
    fn body(&self, method: &str, id: u32, params: &str, token: Option<u32>, can: &str) -> String {
        let token = token.map(|token| format!("\"progressToken\":{token}"));
        let meta = match (self.era, token) {
            (Era::Legacy | Era::Earlier | Era::Plain, None) => String::new(),
            (Era::Legacy | Era::Earlier | Era::Plain, Some(token)) => format!("\"_meta\":{{{token}}}"),
            (Era::Modern, token) => {
                let token = token.map(|token| format!(",{token}")).unwrap_or_default();
                let client = concat!(
                    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                    r#""io.modelcontextprotocol/clientInfo":{"name":"toolbay-bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":"#,
                );
                format!("\"_meta\":{{{client}{can}{token}}}")
            }
        };
        let comma = if meta.is_empty() || params.is_empty() { "" } else { "," };
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}{comma}{params}}}}}"#)
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
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: toolbay-bench/1\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{token}{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What the answer to a call has to be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// None: the answer is the result alone.
    id: Option<u32>,
    result: Right,
}

#[derive(Clone, Debug)]
enum Right {
    Sum(f64),
    Text(&'static str),
    /// All of the structured content, and in text the same.
    Structured(Rc<Value>),
    /// Members of the result, by pointers into it.
    Holds(Rc<[(String, Value)]>),
}

impl Right {
    /// As the structured content has it.
    fn is(&self, structured: &Value) -> bool {
        let value = structured.get("result");
        match self {
            Self::Sum(sum) => value.and_then(Value::as_f64) == Some(*sum),
            Self::Text(text) => value.and_then(Value::as_str) == Some(*text),
            Self::Structured(whole) => **whole == *structured,
            Self::Holds(_) => false,
        }
    }

    /// As the copy in text has it: of a structured value that is nothing but a result, that by itself.
    fn is_told(&self, told: &str) -> bool {
        match self {
            Self::Sum(sum) => told.parse() == Ok(*sum),
            Self::Text(text) => told == *text,
            Self::Structured(whole) => {
                let alone = whole.get("result").filter(|_| whole.as_object().is_some_and(|members| members.len() == 1));
                alone.is_some_and(|value| {
                    value.as_str() == Some(told) || serde_json::from_str::<Value>(told).is_ok_and(|told| told == *value)
                }) || serde_json::from_str::<Value>(told).is_ok_and(|told| told == **whole)
            }
            Self::Holds(_) => false,
        }
    }
}

impl Expected {
    /// Reads the whole answer: its id, that it is no error, the structured value and its copy in text.
    pub(crate) fn check(&self, status: u16, body: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(body);
        ensure!(status == 200, "the server answered {status}: {text}");
        let answer: Value = serde_json::from_str(message(&text)).with_context(|| format!("the answer is not JSON: {text:?}"))?;
        let plain = |sum: f64| answer.as_f64() == Some(sum);
        if let (None, Right::Sum(sum)) = (self.id, &self.result)
            && !answer.is_object()
        {
            ensure!(plain(*sum), "wrong answer: {:?} was expected, this came: {text}", self.result);
            return Ok(());
        }
        // Without MCP, what is asked for as a result of MCP comes in an object.
        let wrapped = || answer.get("result").filter(|result| result.get("structuredContent").is_some());
        let result = if self.id.is_some() { answer.get("result") } else { wrapped().or(Some(&answer)) };
        let at = |pointer: &str| result?.pointer(pointer);
        let says = match &self.result {
            Right::Holds(members) => members.iter().all(|(pointer, value)| at(pointer) == Some(value)),
            right => {
                at("/structuredContent").is_some_and(|value| right.is(value))
                    && at("/content/0/text").and_then(Value::as_str).is_some_and(|text| right.is_told(text))
            }
        };
        let right = self.id.is_none_or(|id| answer.get("id").and_then(Value::as_u64) == Some(u64::from(id)))
            && at("/isError").and_then(Value::as_bool) != Some(true)
            && says;
        let shown: String = text.chars().take(2000).collect();
        ensure!(right, "wrong answer: id {:?} and {:?} were expected, this came: {shown}", self.id, self.result);
        Ok(())
    }
}

/// The message in a body: all of it, or where it came as a stream of events, in chunks, the last event's data, or where it came in one chunk, its line.
fn message(body: &str) -> &str {
    if body.starts_with('{') {
        return body;
    }
    match body.rsplit_once("data: ") {
        Some((_, data)) => data.lines().next().unwrap_or_default(),
        None => body.lines().find(|line| line.starts_with('{')).unwrap_or(body),
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
        let chunk = format!("7a\r\n{body}\r\n0\r\n\r\n");
        assert!(right(&chunk));
        assert!(!right(&chunk.replace("6.625", "6.5")));
    }

    #[test]
    fn a_case_can_say_what_the_client_can_and_what_the_result_holds() {
        let members = |value: Value| value.as_object().cloned().unwrap_or_default();
        let case = Case {
            holds: vec![("/resultType".to_owned(), json!("input_required"))],
            more: members(json!({ "requestState": "s" })),
            capabilities: members(json!({ "elicitation": {} })),
            ..Case::of("ask", json!({}))
        };
        let dialect = Dialect { token: Some("t".to_owned()), ..Dialect::modern("127.0.0.1:1") };
        let (request, expected) = dialect.case(&case, 1);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(head.contains("\r\nAuthorization: Bearer t\r\n"), "{head}");
        assert_eq!((&body["params"]["requestState"], &body["params"]["name"]), (&json!("s"), &json!("ask")));
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({ "elicitation": {} }));
        assert!(expected.check(200, br#"{"id":1,"result":{"resultType":"input_required"}}"#).is_ok());
        assert!(expected.check(200, br#"{"id":1,"result":{"resultType":"complete"}}"#).is_err());
    }

    #[test]
    fn without_mcp_the_answer_is_the_sum() {
        let dialect = Dialect::new("127.0.0.1:1", Era::Plain);
        let (request, expected) = dialect.call(TOOL, 2);
        assert!(String::from_utf8(request).unwrap().starts_with("POST /add HTTP/1.1\r\n"));
        assert!(expected.check(200, b"6.625").is_ok());
        assert!(expected.check(200, b"6.5").is_err());
        assert!(expected.check(422, b"6.625").is_err());
        let (_, expected) = dialect.case(&Case::adding(Way::Rest), 1);
        let whole = br#"{"result":{"content":[{"type":"text","text":"3.625"}],"structuredContent":{"result":3.625},"isError":false}}"#;
        assert!(expected.check(200, whole).is_ok());
        assert!(expected.check(200, br#"{"result":{"content":[],"structuredContent":{"result":3.625}}}"#).is_err());
    }

    #[test]
    fn the_path_is_the_one_that_was_told() {
        let dialect = Dialect { path: "mcp/".to_owned(), ..Dialect::modern("127.0.0.1:1") };
        let (request, _) = dialect.call(TOOL, 1);
        assert!(String::from_utf8(request).unwrap().starts_with("POST /mcp/ HTTP/1.1\r\n"));
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
