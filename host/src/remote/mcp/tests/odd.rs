//! Servers that do as servers do in the world: streams in pieces, questions on a stream of their own, pages in place of answers, tokens, redirects.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::support::{Down, Person, Port, soon, source};
use crate::{
    config::{ServerLimits, UpstreamAuth, UrlSource},
    provider::{Call, CallError},
};

fn answer(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    if !kind.is_empty() {
        response = response.header("content-type", kind);
    }
    response.header("mcp-session-id", "s1").body(body.into()).unwrap()
}

fn result(id: &Value, result: Value) -> Response<Body> {
    answer(200, "application/json", json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

/// A stream that sends what is put into the sender.
fn stream() -> (mpsc::UnboundedSender<String>, Response<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let bytes = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|text| (Ok::<_, std::convert::Infallible>(Bytes::from(text)), receiver))
    });
    (sender, answer(200, "text/event-stream", Body::from_stream(bytes.boxed())))
}

/// A server of the older era, whose `tools/call`, GET and further words are for `more` to answer.
async fn legacy(more: impl Fn(Method, http::HeaderMap, Value) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static) -> Port {
    let more = Arc::new(more);
    Port::open(
        None,
        Arc::new(move |request: Request<Body>| {
            let more = more.clone();
            async move {
                let (parts, body) = request.into_parts();
                let message: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
                let id = &message["id"];
                match message["method"].as_str() {
                    Some("server/discover") => answer(404, "text/html", "<html>not here</html>"),
                    Some("initialize") => result(
                        id,
                        json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}}),
                    ),
                    Some("notifications/initialized") => answer(202, "", ""),
                    Some("tools/list") => result(id, json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]})),
                    _ => more(parts.method, parts.headers, message).await,
                }
            }
            .boxed()
        }),
    )
    .await
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

#[tokio::test]
async fn a_stream_is_read_in_any_form_and_goes_on_where_it_was_cut() {
    let resumed = Arc::new(Mutex::new(Vec::new()));
    let port = legacy({
        let resumed = resumed.clone();
        move |method, headers, message| {
            let resumed = resumed.clone();
            async move {
                if method == Method::GET {
                    let Some(last) = headers.get("last-event-id") else { return answer(405, "", "") };
                    resumed.lock().unwrap().push(last.to_str().unwrap().to_owned());
                    return answer(
                        200,
                        "text/event-stream; charset=utf-8",
                        ": again\r\n\r\nid: 2\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":7777,\"result\":{}}\r\n\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":ID,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"whole\"}]}}\r\n\r\n"
                            .replace("ID", "4"),
                    );
                }
                assert_eq!(message["method"], "tools/call");
                assert_eq!(headers["mcp-protocol-version"], "2025-06-18");
                assert_eq!(message["id"], 4, "the ids are counted: discover, initialize, tools/list, this");
                answer(200, "text/event-stream", ": hello\r\n\r\nid: 1\r\nretry: 5\r\ndata:\r\n\r\ndata: {\"half\":")
            }
            .boxed()
        }
    })
    .await;
    let mut down = Down::start(&port.url());
    // The stream of changes is asked for in vain, and takes no id.
    let output = down.call("t", json!({}), Box::default()).await.unwrap();
    assert!(format!("{output:?}").contains("whole"), "{output:?}");
    assert_eq!(*resumed.lock().unwrap(), ["1"]);
}

#[tokio::test]
async fn what_comes_on_a_stream_of_its_own_is_for_the_only_call_there_is() {
    let (listening, heard) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
    let answered = Arc::new(Mutex::new(None::<String>));
    let go_on = Arc::new(Notify::new());
    let port = legacy({
        let (listening, heard, answered, go_on) = (listening.clone(), heard.clone(), answered.clone(), go_on.clone());
        move |method, _, message| {
            let (listening, heard, answered, go_on) = (listening.clone(), heard.clone(), answered.clone(), go_on.clone());
            async move {
                if method == Method::GET {
                    let (sender, response) = stream();
                    *listening.lock().unwrap() = Some(sender);
                    heard.notify_one();
                    return response;
                }
                match message["method"].as_str() {
                    Some("tools/call") => {
                        let say =
                            |message: Value| listening.lock().unwrap().as_ref().unwrap().send(format!("data: {message}\n\n")).unwrap();
                        say(json!({"jsonrpc": "2.0", "id": "ping-1", "method": "ping"}));
                        say(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "oh"}}));
                        let params = json!({"message": "Who?", "requestedSchema": {}});
                        // What it keeps for its session, which is everybody's.
                        say(json!({"jsonrpc": "2.0", "id": "roots", "method": "roots/list"}));
                        say(json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": params}));
                        go_on.notified().await;
                        let answer = answered.lock().unwrap().clone().unwrap_or_default();
                        result(&message["id"], text(&answer))
                    }
                    None if message["id"] == "q" => {
                        *answered.lock().unwrap() = Some(message.to_string());
                        go_on.notify_one();
                        answer(202, "", "")
                    }
                    _ => answer(202, "", ""),
                }
            }
            .boxed()
        }
    })
    .await;
    let mut down = Down::start(&port.url());
    down.provider().await;
    soon("the stream", heard.notified()).await;
    let person = Person::answering(Ok(json!({"action": "accept", "content": {"who": "Ann"}})));
    let output = down.call("t", json!({}), person.context()).await.unwrap();
    assert!(format!("{output:?}").contains("Ann"), "{output:?}");
    let heard = person.heard.lock().unwrap();
    assert!(heard.iter().any(|line| line.starts_with("log Error")) && heard.iter().any(|line| line.contains("Who?")), "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains("Roots")), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_asks_on_a_stream_of_its_own_has_its_calls_made_one_at_a_time() {
    let (listening, heard) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
    let answers = Arc::new(Mutex::new(BTreeMap::<String, tokio::sync::oneshot::Sender<Value>>::new()));
    let (calls, both, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let port = legacy({
        let (heard, most) = (heard.clone(), most.clone());
        move |method, _, message| {
            let (listening, heard, answers) = (listening.clone(), heard.clone(), answers.clone());
            let (calls, both, running, most) = (calls.clone(), both.clone(), running.clone(), most.clone());
            async move {
                if method == Method::GET {
                    let (sender, response) = stream();
                    *listening.lock().unwrap() = Some(sender);
                    heard.notify_one();
                    return response;
                }
                if message["method"] != "tools/call" {
                    if let Some(answered) = message["id"].as_str().and_then(|id| answers.lock().unwrap().remove(id)) {
                        answered.send(message).unwrap();
                    }
                    return answer(202, "", "");
                }
                let number = calls.fetch_add(1, SeqCst);
                let now = running.fetch_add(1, SeqCst) + 1;
                if number < 2 {
                    // Nobody knows yet that it asks: both are made at the same time.
                    both.wait().await;
                } else {
                    most.fetch_max(now, SeqCst);
                }
                let (answered, is_answered) = tokio::sync::oneshot::channel();
                answers.lock().unwrap().insert(format!("q-{number}"), answered);
                let params = json!({"message": "Who?", "requestedSchema": {}});
                let question = json!({"jsonrpc": "2.0", "id": format!("q-{number}"), "method": "elicitation/create", "params": params});
                listening.lock().unwrap().as_ref().unwrap().send(format!("data: {question}\n\n")).unwrap();
                let said = is_answered.await.unwrap();
                if number < 2 {
                    // Neither ends before the other has asked.
                    both.wait().await;
                }
                running.fetch_sub(1, SeqCst);
                result(&message["id"], text(&said.to_string()))
            }
            .boxed()
        }
    })
    .await;
    let mut down = Down::start(&port.url());
    let provider = down.provider().await;
    soon("the stream", heard.notified()).await;
    let call = async |name: &str| {
        let person = Person::answering(Ok(json!({"action": "accept", "content": {"who": name}})));
        let output = provider.call(Call { tool: "t", arguments: "{}", context: person.context() }).await.unwrap();
        format!("{output:?}")
    };
    for said in soon("both", futures::future::join_all([call("Ann"), call("Bob")])).await {
        assert!(said.contains("from now on calls run one at a time"), "{said}");
    }
    let names = ["Ann", "Bob", "Cid", "Dan"];
    for (name, said) in names.iter().zip(soon("all", futures::future::join_all(names.map(call))).await) {
        assert!(said.contains(name), "{name} answers for itself: {said}");
    }
    assert_eq!(most.load(SeqCst), 1, "one at a time");
}

/// The error of a server that cannot be reached, as `/status` and `toolbay check` show it.
async fn trouble(source: UrlSource) -> String {
    let down = Down::with(source, ServerLimits { ping: Duration::ZERO, ..ServerLimits::default() });
    soon("the first attempt", down.server.settled()).await;
    down.server.status().error.unwrap()
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_with_what_to_do() {
    let asked = Arc::new(AtomicUsize::new(0));
    let elsewhere = Port::open(None, {
        let asked = asked.clone();
        Arc::new(move |_| {
            asked.fetch_add(1, SeqCst);
            async { answer(200, "text/html", "<html>") }.boxed()
        })
    })
    .await;
    let target = elsewhere.url();
    let port = Port::open(
        None,
        Arc::new(move |request: Request<Body>| {
            let target = target.clone();
            async move {
                match request.uri().path() {
                    "/401" => answer(401, "", "who are\nyou"),
                    "/307" => {
                        Response::builder().status(307).header("location", format!("{target}?key=secret")).body(Body::empty()).unwrap()
                    }
                    "/html" => answer(200, "text/html", "<html>"),
                    "/500" => answer(500, "text/plain", "out of order"),
                    _ => answer(404, "text/plain", "nothing here"),
                }
            }
            .boxed()
        }),
    )
    .await;
    let at = |path: &str| format!("http://{}{path}?token=secret", port.address);
    let open = |path: &str| UrlSource { url: at(path).parse().unwrap(), headers: HeaderMap::new(), auth: UpstreamAuth::default() };
    let error = trouble(open("/401")).await;
    assert!(error.contains("401") && error.contains("who are you") && error.contains("[server.up] bearer = { from_env"), "{error}");
    let error = trouble(source(&at("/401"))).await;
    assert!(error.contains("is not accepted") && !error.contains("the-token") && !error.contains("secret"), "{error}");
    let error = trouble(source(&at("/307"))).await;
    assert!(error.contains("307") && error.contains(&elsewhere.url()) && !error.contains("secret"), "{error}");
    assert_eq!(asked.load(SeqCst), 0, "nobody else is shown the token");
    let error = trouble(open("/html")).await;
    assert!(error.contains("text/html") && error.contains("MCP endpoint"), "{error}");
    let error = trouble(open("/500")).await;
    assert!(error.contains("500") && error.contains("out of order"), "{error}");
    let error = trouble(open("/else")).await;
    assert!(error.contains("404") && error.contains("nothing here") && error.contains("/else"), "{error}");
    let nobody = Port::open(None, Arc::new(|_| async { answer(200, "", "") }.boxed())).await.close().await;
    let error = trouble(UrlSource {
        url: format!("http://{nobody}/mcp").parse().unwrap(),
        headers: HeaderMap::new(),
        auth: UpstreamAuth::default(),
    })
    .await;
    assert!(error.contains(&nobody.to_string()) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_has_a_limit_and_a_call_is_sent_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let port = legacy({
        let calls = calls.clone();
        move |method, _, message| {
            let calls = calls.clone();
            async move {
                if method == Method::GET || message["method"] != "tools/call" {
                    return answer(405, "", "");
                }
                match calls.fetch_add(1, SeqCst) {
                    0 => result(&message["id"], text(&"x".repeat(100_000))),
                    1 => answer(200, "text/event-stream", format!("data: {}\n\n", "x".repeat(100_000))),
                    // The connection ends in the middle of the answer.
                    2 => {
                        let (sender, response) = stream();
                        drop(sender);
                        response
                    }
                    _ => answer(503, "text/plain", "later"),
                }
            }
            .boxed()
        }
    })
    .await;
    let limits = ServerLimits { ping: Duration::ZERO, max_message: 50_000, ..ServerLimits::default() };
    let mut down = Down::with(source(&port.url()), limits);
    for want in ["max_message", "max_message", "ended before the answer", "503"] {
        let error = down.call("t", json!({}), Box::default()).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(calls.load(SeqCst), 4, "each call was made once");
}

#[tokio::test]
async fn a_server_that_says_when_to_come_again_is_not_asked_before_and_its_callers_are_told() {
    let asked = Arc::new(AtomicUsize::new(0));
    let port = legacy({
        let asked = asked.clone();
        move |method, _, message| {
            let asked = asked.clone();
            async move {
                if method == Method::GET || message["method"] == "notifications/cancelled" {
                    return answer(405, "", "");
                }
                let refuse = |status: u16, after: &str, body: String| {
                    Response::builder().status(status).header("retry-after", after).body(body.into()).unwrap()
                };
                let error = json!({"code": -32000, "message": "all full; try again in 7 s"});
                match asked.fetch_add(1, SeqCst) {
                    0 => refuse(503, "7", json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string()),
                    _ => refuse(429, "8", "slow down".to_owned()),
                }
            }
            .boxed()
        }
    })
    .await;
    let mut down = Down::start(&port.url());
    let provider = down.provider().await;
    let busy = |error: CallError| match error {
        CallError::Busy { what, retry_after } => (what, retry_after.as_secs()),
        other => panic!("{other}"),
    };
    let (what, after) = busy(down.call("t", json!({}), Box::default()).await.unwrap_err());
    assert!(what.starts_with("server up is busy: ") && what.ends_with("503 Service Unavailable: all full") && after == 7, "{what} {after}");
    // Reading would be tried again at once where nothing is said of when.
    let (what, after) = busy(provider.read_resource("up://a", Box::default()).await.unwrap_err());
    assert!(what.ends_with("429 Too Many Requests: slow down") && after == 8, "{what} {after}");
    assert_eq!(asked.load(SeqCst), 2, "each was sent once");
    assert_eq!(down.server.status().error, None, "the server is not away");
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed_with_all_that_was_sent() {
    let port = Port::open(
        None,
        Arc::new(|request: Request<Body>| {
            async move {
                // As web frameworks do with an address that lacks its last slash.
                if request.uri().path() == "/mcp" {
                    return Response::builder().status(307).header("location", "/mcp/").body(Body::empty()).unwrap();
                }
                assert_eq!(
                    (&request.headers()["authorization"], &request.headers()["x-key"]),
                    (&"Bearer the-token".parse().unwrap(), &"k".parse().unwrap())
                );
                let message: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                let id = &message["id"];
                match message["method"].as_str() {
                    Some("server/discover") => result(id, json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
                    Some("tools/list") => result(id, json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]})),
                    Some("tools/call") => result(id, text("here")),
                    other => answer(404, "text/plain", format!("{other:?}")),
                }
            }
            .boxed()
        }),
    )
    .await;
    let mut down = Down::start(&port.url());
    let output = down.call("t", json!({}), Box::default()).await.unwrap();
    assert!(format!("{output:?}").contains("here"), "{output:?}");
}
