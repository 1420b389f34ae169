//! The REST face over a real front and a provider in this process.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::{
    config::{HttpConfig, RestResult},
    http::{Authenticator, HttpSettings},
    mcp::FrontOptions,
    provider::{Call, CallError, CallOutput, Content, JsonText, Principal, Provider, ProviderChange, ProviderId, Tool, ToolName},
};

struct Local {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    default: Option<&'static str>,
    events: mpsc::UnboundedSender<&'static str>,
}

impl Provider for Local {
    fn id(&self) -> &ProviderId {
        &self.id
    }
    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }
    fn default_tool(&self) -> Option<&str> {
        self.default
    }
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        let block = |text: &str| Content::Block(JsonText::parse(text.to_owned()).unwrap());
        let content = |content| Ok(CallOutput { content, ..CallOutput::default() });
        async move {
            assert!(call.context.notifier.is_none());
            match call.tool {
                "echo" => content(vec![Content::text(call.arguments)]),
                "who" => content(vec![Content::text(format!(
                    "{:?} {:?}",
                    call.context.principal.as_ref().map(Principal::subject),
                    call.context.trace_parent()
                ))]),
                "structured" => Ok(CallOutput {
                    content: vec![Content::text("for people")],
                    structured: Some(JsonText::parse("{\"n\": 1.50}".to_owned()).unwrap()),
                    ..CallOutput::default()
                }),
                "block" => content(vec![block(r#"{"type":"text","text":"in a block","annotations":{"priority":1}}"#)]),
                "blocks" => content(vec![Content::text("a"), block(r#"{"type":"image","data":"AA==","mimeType":"image/png"}"#)]),
                "nothing" => content(Vec::new()),
                "fails" => Ok(CallOutput::error("it said no")),
                "busy" => Err(CallError::Busy { what: "all full".to_owned(), retry_after: std::time::Duration::from_millis(2500) }),
                "asks" => Err(CallError::InputRequired),
                "asks_and_goes_on" => match call.context.asker.expect("somebody to ask").ask(Vec::new()).await {
                    Ok(_) => panic!("nobody answers"),
                    Err(error) => Ok(CallOutput::error(error.to_string())),
                },
                "broken" => Err(CallError::Internal("the host's fault".to_owned())),
                "hangs" => {
                    struct Watch(mpsc::UnboundedSender<&'static str>);
                    impl Drop for Watch {
                        fn drop(&mut self) {
                            let _ = self.0.send("dropped");
                        }
                    }
                    let _watch = Watch(self.events.clone());
                    self.events.send("started").unwrap();
                    std::future::pending().await
                }
                other => Err(CallError::UnknownTool(other.to_owned())),
            }
        }
        .boxed()
    }
}

fn tool(name: &str, input_schema: &Value, output_schema: Option<Value>) -> Arc<Tool> {
    let object = |value: &Value| Arc::new(value.as_object().cloned().unwrap());
    Arc::new(Tool {
        name: ToolName::new(name).unwrap(),
        title: None,
        description: (name != "nothing").then(|| format!("the tool {name}")),
        input_schema: object(input_schema),
        output_schema: output_schema.as_ref().map(object),
        annotations: None,
        icons: None,
        meta: None,
        extra: Map::new(),
        notifies: true,
    })
}

struct Lab {
    rest: Arc<Rest>,
    events: mpsc::UnboundedReceiver<&'static str>,
}

const ALL: [&str; 12] =
    ["asks_and_goes_on", "echo", "who", "structured", "block", "blocks", "nothing", "fails", "busy", "asks", "broken", "hangs"];

fn rest(front: Arc<Front>, http: HttpConfig) -> Arc<Rest> {
    let settings = HttpSettings::new(http, Authenticator::Open);
    let bodies = Arc::new(Bodies::new(Arc::clone(&settings), Arc::clone(front.dispatcher().metrics())));
    Arc::new(Rest { front, bodies, settings, lists: lists::Lists::default() })
}

fn lab() -> Lab {
    let (sender, events) = mpsc::unbounded_channel();
    let catalog = Catalog::new();
    let put = |id: &str, names: &[&str], default| {
        let tools = names.iter().map(|name| tool(name, &json!({"type": "object"}), None)).collect();
        ProviderChange::Put(Arc::new(Local { id: ProviderId::new(id).unwrap(), tools, default, events: sender.clone() }))
    };
    catalog.apply(vec![put("all", &ALL, None), put("one", &["echo"], None), put("chosen", &["fails", "who", "echo"], Some("echo"))]);
    catalog.apply(vec![put("stale", &["fails", "who"], Some("gone"))]);
    let front = Front::new(catalog, FrontOptions::default());
    let http = HttpConfig { max_body: 4096, max_bodies: 1 << 20, ..HttpConfig::default() };
    Lab { rest: rest(front, http), events }
}

impl Lab {
    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value, http::HeaderMap) {
        let mut request =
            Request::builder().method(method).uri(path).header("host", "localhost").body(Body::from(body.to_owned())).unwrap();
        request.headers_mut().insert("traceparent", HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        request.extensions_mut().insert(Principal::new("ann"));
        let route = Route::of(path.split('?').next().unwrap()).expect("a route");
        let response = answer(&self.rest, route, request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{body:?}")), parts.headers)
    }

    async fn call(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, body, _) = self.ask(Method::POST, path, &body.to_string()).await;
        (status, body)
    }
}

#[test]
fn only_these_paths_are_routes() {
    let name = || Some("a".to_owned());
    for (path, route) in [
        ("/tools", Route::Tools(None)),
        ("/call", Route::Call(None)),
        ("/a/tools", Route::Tools(name())),
        ("/a/call", Route::Call(name())),
        ("/openapi.json", Route::OpenApi),
        ("/tools/tools", Route::Tools(Some("tools".to_owned()))),
        ("/openapi.json/call", Route::Call(Some("openapi.json".to_owned()))),
    ] {
        assert_eq!(Route::of(path), Some(route), "{path}");
    }
    for path in ["/", "", "/a", "//tools", "/tools/", "/a/b/tools", "/a/openapi.json", "/Tools", "tools"] {
        assert_eq!(Route::of(path), None, "{path}");
    }
}

#[tokio::test]
async fn tools_are_listed_with_their_schemas() {
    let lab = lab();
    let (status, list, _) = lab.ask(Method::GET, "/one/tools", "").await;
    let echo = json!({"name": "echo", "description": "the tool echo", "input_schema": {"type": "object"}});
    assert_eq!((status, list), (200, json!({"tools": [echo]})));
    let (_, list, _) = lab.ask(Method::GET, "/tools", "").await;
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.contains(&"one__echo".to_owned()) && names.contains(&"blocks".to_owned()), "{names:?}");
    let nothing = list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "nothing").unwrap();
    assert_eq!(nothing["description"], "");
}

/// `GET /tools` of what there is now, with these headers.
async fn listed(rest: &Rest, headers: &[(header::HeaderName, &str)]) -> (u16, http::HeaderMap, Vec<u8>) {
    let asked = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect();
    let answer = rest.lists.answer(&rest.front.catalog().snapshot(), &asked);
    let (parts, body) = answer.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_list_is_written_once_sent_once_and_compressed_for_who_takes_that() {
    let sender = mpsc::unbounded_channel().0;
    let catalog = Catalog::new();
    let names: Vec<String> = (0..500).map(|number| format!("tool{number:03}")).collect();
    let put = |names: &[String]| {
        let tools = names.iter().map(|name| tool(name, &json!({"type": "object"}), None)).collect();
        ProviderChange::Put(Arc::new(Local { id: ProviderId::new("many").unwrap(), tools, default: None, events: sender.clone() }))
    };
    catalog.apply(vec![put(&names)]);
    let rest = rest(Front::new(catalog.clone(), FrontOptions::default()), HttpConfig::default());
    let (status, headers, plain) = listed(&rest, &[]).await;
    let tag = headers[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!((status, headers[header::VARY].to_str().unwrap()), (200, "accept-encoding"));
    assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap()["tools"].as_array().unwrap().len(), 500);
    let gzip = (header::ACCEPT_ENCODING, "br, gzip");
    let (headers, packed) = loop {
        // Until it is compressed, it is sent as it is.
        let (status, headers, body) = listed(&rest, std::slice::from_ref(&gzip)).await;
        assert_eq!(status, 200);
        if headers.contains_key(header::CONTENT_ENCODING) {
            break (headers, body);
        }
        assert_eq!(body, plain);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let packed_tag = headers[header::ETAG].to_str().unwrap().to_owned();
    assert_ne!(tag, packed_tag, "they are two representations");
    assert!(packed.len() < plain.len() / 10, "{} of {}", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    for known in [&tag, &packed_tag] {
        for asked in [&[(header::IF_NONE_MATCH, known.as_str())][..], &[(header::IF_NONE_MATCH, known), gzip.clone()]] {
            let (status, headers, body) = listed(&rest, asked).await;
            assert!(status == 304 && body.is_empty() && headers.contains_key(header::ETAG), "{known}: {status}");
            assert!(!headers.contains_key(header::CONTENT_ENCODING));
        }
    }
    catalog.apply(vec![put(&names[1..])]);
    let (status, headers, _) = listed(&rest, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert!(status == 200 && headers[header::ETAG] != *tag, "{status}");
}

#[tokio::test]
async fn a_result_is_what_a_caller_would_want_of_it() {
    let lab = lab();
    for (name, result) in [
        ("structured", json!({"n": 1.5})),
        ("block", json!("in a block")),
        ("blocks", json!([{"type": "text", "text": "a"}, {"type": "image", "data": "AA==", "mimeType": "image/png"}])),
        ("nothing", json!([])),
        ("who", json!("Some(\"ann\") Some(\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\")")),
        ("all__echo", json!("{\"a\" : \"\u{e4}\"}")),
    ] {
        let body = format!("{{\"tool_name\": \"{name}\", \"tool_args\": {{\"a\" : \"\u{e4}\"}}, \"more\": 1}}");
        let (status, answer, _) = lab.ask(Method::POST, if name == "all__echo" { "/call" } else { "/all/call" }, &body).await;
        assert_eq!((status, answer), (200, json!({"result": result})), "{name}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_in_the_fixed_words() {
    let lab = lab();
    let (name, args) = ("Missing 'tool_name' or 'tool_args'", "must include 'tool_args'");
    for (path, body, detail) in [
        ("/call", "{}", name),
        ("/call", "{\"tool_name\": \"who\"}", name),
        ("/call", "{\"tool_args\": {}}", name),
        ("/call", "{\"tool_name\": null, \"tool_args\": {}}", name),
        ("/call", "{\"tool_name\": \"who\", \"tool_args\": null}", name),
        ("/call", "{\"tool_name\": 5, \"tool_args\": {}}", name),
        ("/call", "{\"tool_name\": \"who\", \"tool_args\": [1]}", name),
        ("/call", "", name),
        ("/call", "[\"who\", {}]", name),
        ("/call", "{\"tool_name\": \"who\", ", name),
        ("/all/call", "{\"tool_args\": {}}", name),
        ("/chosen/call", "{}", args),
        ("/chosen/call", "{\"tool_name\": \"who\"}", args),
        ("/one/call", "{\"tool_args\": \"x\"}", args),
        ("/one/call", "nonsense", args),
    ] {
        let (status, answer, _) = lab.ask(Method::POST, path, body).await;
        assert_eq!((status, answer["detail"].as_str()), (400, Some(detail)), "{path} {body}: {answer}");
        assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
    let deep = format!("{{\"tool_name\": \"who\", \"tool_args\": {}{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    assert_eq!(lab.ask(Method::POST, "/call", &deep).await.0, 400);
    let (status, answer, _) = lab.ask(Method::POST, "/call", &"x".repeat(5000)).await;
    assert_eq!((status, answer["detail"].as_str()), (413, Some("Request body too large")));
}

#[tokio::test]
async fn a_default_tool_is_the_configured_or_the_only_one() {
    let lab = lab();
    for path in ["/one/call", "/chosen/call"] {
        assert_eq!(lab.call(path, json!({"tool_args": {"x": 1}})).await, (200, json!({"result": "{\"x\":1}"})), "{path}");
    }
    let (status, answer) = lab.call("/stale/call", json!({"tool_args": {}})).await;
    assert_eq!((status, &answer["detail"]), (404, &json!("Tool gone not found")));
}

#[tokio::test]
async fn the_whole_result_is_given_to_who_asks_for_it() {
    let lab = lab();
    let body = |tool: &str| json!({"tool_name": tool, "tool_args": {"a": 1}}).to_string();
    for (tool, result) in [
        ("echo", json!({"content": [{"type": "text", "text": "{\"a\":1}"}], "isError": false})),
        ("structured", json!({"content": [{"type": "text", "text": "for people"}], "structuredContent": {"n": 1.5}, "isError": false})),
        ("fails", json!({"content": [{"type": "text", "text": "it said no"}], "isError": true})),
        ("nothing", json!({"content": [], "isError": false})),
    ] {
        let (status, answer, _) = lab.ask(Method::POST, "/all/call?result=mcp", &body(tool)).await;
        assert_eq!((status, answer), (200, json!({"result": result})), "{tool}");
    }
    let (status, answer, _) = lab.ask(Method::POST, "/all/call?result=html", &body("echo")).await;
    assert!(status == 400 && answer["reason"].as_str().unwrap().contains("\"value\" or \"mcp\""), "{answer}");
    let (status, answer, _) = lab.ask(Method::POST, "/all/call?result=mcp", &body("broken")).await;
    assert_eq!((status, answer["detail"].as_str()), (500, Some("Tool execution error")), "what is no result stays an error");
    lab.rest.settings.change(|http| http.rest_result = RestResult::Mcp);
    assert_eq!(lab.ask(Method::POST, "/all/call", &body("fails")).await.1["result"]["isError"], true);
    assert_eq!(lab.ask(Method::POST, "/all/call?x=1&result=value", &body("fails")).await.0, 500);
}

#[tokio::test]
async fn a_call_of_everything_has_a_default_tool_where_one_is_configured_or_only_one_is_there() {
    let mut lab = lab();
    lab.rest.settings.change(|http| http.rest_default_tool = Some("one__echo".to_owned()));
    assert_eq!(lab.call("/call", json!({"tool_args": {"x": 1}})).await, (200, json!({"result": "{\"x\":1}"})));
    assert_eq!(lab.call("/call", json!({})).await.1["detail"], "must include 'tool_args'");
    assert_eq!(lab.call("/all/call", json!({"tool_args": {}})).await.0, 400, "it is that of everything");

    let (sender, _events) = mpsc::unbounded_channel();
    let catalog = Catalog::new();
    let tools = vec![tool("who", &json!({"type": "object"}), None), tool("echo", &json!({"type": "object"}), None)];
    let only = Local { id: ProviderId::new("only").unwrap(), tools, default: Some("echo"), events: sender };
    catalog.apply(vec![ProviderChange::Put(Arc::new(only))]);
    let front = Front::new(catalog, FrontOptions::default());
    lab.rest = rest(front, HttpConfig::default());
    assert_eq!(lab.call("/call", json!({"tool_args": {"x": 1}})).await, (200, json!({"result": "{\"x\":1}"})));
}

#[tokio::test]
async fn failures_have_their_status_their_words_and_a_reason() {
    let lab = lab();
    for (path, tool, status, detail, reason) in [
        ("/nobody/call", "echo", 404, "MCP nobody not found", "all, chosen, one"),
        ("/call", "ech", 404, "Tool ech not found", "tools"),
        ("/call", "structure", 404, "Tool structure not found", "structured"),
        ("/all/call", "fails", 500, "Tool execution error", "it said no"),
        ("/all/call", "broken", 500, "Tool execution error", "the host's fault"),
        ("/all/call", "asks", 500, "Tool execution error", "requests input from its caller"),
        ("/all/call", "asks_and_goes_on", 500, "Tool execution error", "call this tool over MCP"),
        ("/all/call", "busy", 503, "Too many calls", "all full"),
    ] {
        let body = json!({"tool_name": tool, "tool_args": {}}).to_string();
        let (seen, answer, headers) = lab.ask(Method::POST, path, &body).await;
        assert_eq!((seen, answer["detail"].as_str()), (status, Some(detail)), "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{answer}");
        assert_eq!(headers.get("retry-after").map(|value| value.to_str().unwrap()), (status == 503).then_some("3"));
    }
    let (status, answer, _) = lab.ask(Method::GET, "/nobody/tools", "").await;
    assert_eq!((status, answer["detail"].as_str()), (404, Some("MCP nobody not found")));
    for (method, path, allow) in
        [(Method::GET, "/call", "POST"), (Method::POST, "/tools", "GET, HEAD"), (Method::PUT, "/openapi.json", "GET, HEAD")]
    {
        let (status, _, headers) = lab.ask(method, path, "").await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, allow));
    }
}

#[tokio::test]
async fn a_call_counts_while_it_runs_and_ends_with_its_connection() {
    let mut lab = lab();
    let call = {
        let rest = Arc::clone(&lab.rest);
        let request = Request::post("/call").body(Body::from(r#"{"tool_name": "hangs", "tool_args": {}}"#)).unwrap();
        tokio::spawn(async move { answer(&rest, Route::Call(None), request).await })
    };
    assert_eq!(lab.events.recv().await, Some("started"));
    assert_eq!(lab.rest.front.in_flight(), 1);
    call.abort();
    assert_eq!(lab.events.recv().await, Some("dropped"));
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(lab.rest.front.in_flight(), 0);
}

#[tokio::test]
async fn the_document_describes_every_tool_and_its_references_lead_somewhere() {
    let (sender, _events) = mpsc::unbounded_channel();
    let catalog = Catalog::new();
    let recursive = json!({
        "type": "object",
        "properties": { "tree": { "$ref": "#/$defs/node" }, "again": { "$ref": "#" }, "default": { "$ref": "#/$defs/node" } },
        "default": { "$ref": "#/not/a/reference" },
        "$defs": { "node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/node" } } } }
    });
    let tools = vec![tool("a/b", &recursive, None), tool("a.b", &json!({"type": "object"}), Some(recursive.clone()))];
    let local = Local { id: ProviderId::new("x").unwrap(), tools, default: None, events: sender };
    catalog.apply(vec![ProviderChange::Put(Arc::new(local))]);
    let front = Front::new(catalog, FrontOptions { authenticated: true, ..FrontOptions::default() });
    let document = openapi::document(&front, None);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["paths"]["/{server}/call"]["parameters"][0]["schema"]["enum"], json!(["x"]));
    assert_eq!(document["security"], json!([{"bearer": []}]));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(schemas["Call"]["oneOf"].as_array().unwrap().len(), 2);
    assert!(schemas.keys().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))), "{:?}", schemas.keys());

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if name == "$ref" => found.push(text.clone()),
                        member => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    let dangling: Vec<_> = found.iter().filter(|reference| document.pointer(&reference[1..]).is_none()).collect();
    assert_eq!(dangling, ["#/not/a/reference", "#/not/a/reference"], "only what is not a reference leads nowhere");
    // The schema of a body, taken from the document, accepts a call and refuses another.
    let call = json!({"$ref": "#/components/schemas/Call", "components": document["components"]});
    let validator = jsonschema::validator_for(&call).unwrap();
    let args = json!({"tree": {"next": {"next": {}}}});
    // Under the name that it is published by, which has no slash.
    let snapshot = Arc::clone(&front.catalog().snapshot());
    let name = snapshot.tools().find(|entry| entry.own_name() == "a/b").unwrap().name().to_owned();
    assert!(validator.is_valid(&json!({"tool_name": name, "tool_args": args})), "{name}: {call}");
    assert!(!validator.is_valid(&json!({"tool_name": name, "tool_args": {"tree": {"next": 5}}})));
    assert!(!validator.is_valid(&json!({"tool_name": "c", "tool_args": {}})));
}
