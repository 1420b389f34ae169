//! Requests through the real clients to real servers on loopback.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::HeaderMap, response::Redirect, routing::get};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{Outgoing, OutgoingClients};
use crate::{
    config::{Grants, HostMatch, HostPattern, PluginLimits},
    provider::CallContext,
    wasm::permissions::{HttpPolicy, Refusals},
};

/// `x.test:80`, `*:80`: the port is always given.
fn pattern(text: &str) -> HostPattern {
    match text.strip_prefix("*:") {
        Some(port) => HostPattern { host: HostMatch::Any, port: Some(port.parse().unwrap()) },
        None => HostPattern::parse(text, false).unwrap(),
    }
}

pub(super) fn clients() -> Arc<OutgoingClients> {
    Arc::new(OutgoingClients::with_lookup(lookup).unwrap())
}

/// Every name under `.test` is on loopback, `nowhere` is nowhere, `many.test` has private addresses of all kinds.
fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses: &[&str] = match name {
        "many.test" => &["10.0.0.1", "::1", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
        name if name.ends_with(".test") || name == "localhost" => &["127.0.0.1"],
        _ => return Err(io::Error::other("Name or service not known")),
    };
    Ok(addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect())
}

/// The HTTP of one call, and what it was refused.
pub(super) struct Plugin {
    pub(super) outgoing: Outgoing,
    pub(super) refusals: Refusals,
}

impl Plugin {
    pub(super) fn new(clients: &Arc<OutgoingClients>, http: &[String], http_private: &[String], limits: PluginLimits) -> Self {
        let grants = Grants {
            http: http.iter().map(|p| pattern(p)).collect(),
            http_private: http_private.iter().map(|p| pattern(p)).collect(),
            ..Grants::default()
        };
        let refusals = Refusals::default();
        let policy = Arc::new(HttpPolicy::new("weather", &grants));
        Self { outgoing: Outgoing::new(clients.clone(), policy, &limits, refusals.clone(), &CallContext::default()), refusals }
    }

    /// One that may reach a server on loopback by the name `svc.test`.
    pub(super) fn for_server(address: SocketAddr, limits: PluginLimits) -> Self {
        Self::new(&clients(), &[], &[format!("svc.test:{}", address.port())], limits)
    }

    async fn get(&mut self, url: &str) -> Result<Response<WasiBody>, Error> {
        self.get_with(url, None).await
    }

    async fn get_with(&mut self, url: &str, options: Option<RequestOptions>) -> Result<Response<WasiBody>, Error> {
        self.outgoing.send(request(Method::GET, url, empty()), options).await
    }
}

fn request(method: Method, url: &str, body: WasiBody) -> Request<WasiBody> {
    Request::builder().method(method).uri(url).body(body).unwrap()
}

fn empty() -> WasiBody {
    full("")
}

pub(super) fn full(text: &'static str) -> WasiBody {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

async fn text(response: Response<WasiBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The error, as text that can be compared.
fn code<T>(result: Result<T, Error>) -> String {
    result.err().map_or_else(|| "no error".to_owned(), |err| format!("{err:?}"))
}

pub(super) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server that answers each connection with the same bytes, and then closes it, or with `hold` keeps it open.
pub(super) async fn serve_bytes(answer: &'static [u8], hold: bool) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(answer).await;
                if hold {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    address
}

/// Reads until the empty line, or until it is clear that TLS is spoken.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&0x16) {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(super) fn limits(change: impl FnOnce(&mut PluginLimits)) -> PluginLimits {
    let mut limits = PluginLimits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_made() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut plugin = Plugin::for_server(address, PluginLimits::default());
    let request = Request::builder()
        .uri(format!("http://SVC.test:{}/points/39.7,-97?a=%20b", address.port()))
        .header("host", "evil.example")
        .header("accept", "application/geo+json")
        .header("x-two", "a")
        .header("x-two", "b")
        .body(empty())
        .unwrap();
    let (head, response) = tokio::join!(
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00").await.unwrap();
            head
        },
        plugin.outgoing.send(request, None)
    );
    let response = response.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), &b"\x1f\x8b\x08\x00"[..], "bodies are not decompressed");
    let mut lines: Vec<_> = head.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /points/39.7,-97?a=%20b HTTP/1.1");
    lines.sort_unstable();
    let user_agent = format!("user-agent: toolbay/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: svc.test:{}", address.port());
    assert_eq!(lines, ["accept: application/geo+json", &host, &user_agent, "x-two: a", "x-two: b"]);
}

#[tokio::test]
async fn a_request_carries_the_trace_of_its_call_unless_the_plugin_sets_one() {
    let echo = |headers: HeaderMap| async move { format!("{:?}", headers.get_all("traceparent").iter().collect::<Vec<_>>()) };
    let address = serve(Router::new().route("/", get(echo))).await;
    let mut plugin = Plugin::for_server(address, PluginLimits::default());
    let url = format!("http://svc.test:{}/", address.port());
    assert_eq!(text(plugin.get(&url).await.unwrap()).await, "[]");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    plugin.outgoing.trace_parent = Some(parent.into());
    assert_eq!(text(plugin.get(&url).await.unwrap()).await, format!("[{parent:?}]"));
    let mut own = request(Method::GET, &url, empty());
    own.headers_mut().insert("traceparent", HeaderValue::from_static("00-own"));
    assert_eq!(text(plugin.outgoing.send(own, None).await.unwrap()).await, "[\"00-own\"]");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let echo = |headers: HeaderMap, body: Body| async move {
        let length = headers.get("content-length").cloned().unwrap_or_else(|| "unknown".parse().unwrap());
        ([("x-length", length)], body)
    };
    let address = serve(Router::new().route("/", axum::routing::post(echo))).await;
    let mut plugin = Plugin::for_server(address, PluginLimits::default());
    let url = format!("http://svc.test:{}/", address.port());
    let (send, receive) = futures::channel::mpsc::unbounded::<Result<http_body::Frame<Bytes>, Error>>();
    let say = |text: &'static str| send.unbounded_send(Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))).unwrap();
    say("one");
    let body = StreamBody::new(receive).boxed_unsync();
    let response = plugin.outgoing.send(request(Method::POST, &url, body), None).await.unwrap();
    assert_eq!(response.headers()["x-length"], "unknown");
    // The answer has begun while the request is still being made: nothing is gathered first.
    let mut answer = response.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    say("two");
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    send.close_channel();
    assert!(answer.frame().await.is_none());

    let response = plugin.outgoing.send(request(Method::POST, &url, full("hello")), None).await.unwrap();
    assert_eq!(response.headers()["x-length"], "5");
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_needs_its_own_grant() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let address = serve(Router::new().route("/", get(move || async move { counted.fetch_add(1, Ordering::Relaxed).to_string() }))).await;
    let port = address.port();
    let clients = clients();
    for host in [
        "svc.test",
        "localhost",
        "many.test",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "LOCALHOST.",
    ] {
        // All that can be granted by `http`.
        let open: Vec<_> =
            ["*", "svc.test", "many.test", "localhost", "127.0.0.1", "[::1]"].iter().map(|host| format!("{host}:{port}")).collect();
        let mut plugin = Plugin::new(&clients, &open, &[], PluginLimits::default());
        assert_eq!(code(plugin.get(&format!("http://{host}:{port}/")).await), "HttpRequestDenied", "{host}");
        let messages = plugin.refusals.messages();
        assert!(messages.len() == 1 && messages[0].contains("http_private = [\""), "{host}: {messages:?}");
    }
    assert_eq!(hits.load(Ordering::Relaxed), 0);
    for (host, grant) in [
        ("svc.test", "svc.test"),
        ("localhost", "localhost"),
        ("127.1", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("svc.test", "*"),
    ] {
        let mut plugin = Plugin::new(&clients, &[], &[format!("{grant}:{port}")], PluginLimits::default());
        let response = plugin.get(&format!("http://{host}:{port}/")).await;
        assert_eq!(response.unwrap().status(), 200, "{host}");
        assert!(plugin.refusals.messages().is_empty());
    }
    assert_eq!(hits.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn the_system_resolves_localhost() {
    let address = serve(Router::new().route("/", get(|| async { "here" }))).await;
    let clients = Arc::new(OutgoingClients::new().unwrap());
    let mut plugin = Plugin::new(&clients, &[], &[format!("localhost:{}", address.port())], PluginLimits::default());
    assert_eq!(text(plugin.get(&format!("http://localhost:{}/", address.port())).await.unwrap()).await, "here");
}

#[tokio::test]
async fn what_is_not_granted_is_named() {
    let mut plugin = Plugin::new(&clients(), &["other.test:1".to_owned()], &[], PluginLimits::default());
    assert_eq!(code(plugin.get("https://api.example.com/x").await), "HttpRequestDenied");
    assert_eq!(
        plugin.refusals.messages(),
        [
            "plugin weather may not reach api.example.com:443 over https; to allow it, put  http = [\"api.example.com\"]  into [plugin.weather] of toolbay.toml or into weather.toml"
        ]
    );
    assert_eq!(code(plugin.get("http://good.example@other.test:1/").await), "HttpRequestUriInvalid");
    for url in ["ftp://other.test:1/", "ws://other.test:1/"] {
        assert_eq!(code(plugin.get(url).await), "HttpProtocolError", "{url}");
    }
    let connect = request(Method::CONNECT, "http://other.test:1/", empty());
    assert_eq!(code(plugin.outgoing.send(connect, None).await), "HttpRequestMethodInvalid");
}

#[tokio::test]
async fn redirects_are_left_to_the_plugin_and_checked_anew() {
    let router = Router::new().route("/secret", get(|| async { "secret" }));
    let inside = serve(router).await;
    let location = format!("http://127.0.0.1:{}/secret", inside.port());
    let to = location.clone();
    let outside = serve(Router::new().route("/", get(move || async move { Redirect::temporary(&to) }))).await;
    let mut plugin =
        Plugin::new(&clients(), &[format!("*:{}", inside.port())], &[format!("svc.test:{}", outside.port())], PluginLimits::default());
    let response = plugin.get(&format!("http://svc.test:{}/", outside.port())).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["location"], location);
    assert_eq!(code(plugin.get(&location).await), "HttpRequestDenied");
}

#[tokio::test]
async fn kept_connections_serve_only_those_who_may_open_them() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while read_head(&mut stream).await.ends_with("\r\n\r\n") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    let clients = clients();
    let url = format!("http://svc.test:{port}/");
    let granted = format!("svc.test:{port}");
    let mut first = Plugin::new(&clients, &[], std::slice::from_ref(&granted), PluginLimits::default());
    assert_eq!(text(first.get(&url).await.unwrap()).await, "ok");

    let mut public_only = Plugin::new(&clients, std::slice::from_ref(&granted), &[], PluginLimits::default());
    assert_eq!(code(public_only.get(&url).await), "HttpRequestDenied");
    let mut other_host = Plugin::new(&clients, &[], &[format!("other.test:{port}")], PluginLimits::default());
    assert_eq!(code(other_host.get(&url).await), "HttpRequestDenied");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    // The same server by the name that was granted: a connection of its own.
    assert_eq!(text(other_host.get(&format!("http://other.test:{port}/")).await.unwrap()).await, "ok");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    // A second plugin with the grant takes over the first one's.
    let mut second = Plugin::new(&clients, &[], &[granted], PluginLimits::default());
    assert_eq!(text(second.get(&url).await.unwrap()).await, "ok");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn slow_servers_are_given_up_on() {
    let silent = serve_bytes(b"", true).await;
    let stalling = serve_bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", true).await;
    let soon = Some(Duration::from_millis(50));
    let url = |address: SocketAddr, scheme: &str| format!("{scheme}://svc.test:{}/", address.port());

    // The plugin's own times.
    let mut plugin = Plugin::for_server(silent, PluginLimits::default());
    let options = RequestOptions { first_byte_timeout: soon, ..RequestOptions::default() };
    assert_eq!(code(plugin.get_with(&url(silent, "http"), Some(options)).await), "ConnectionReadTimeout");
    let options = RequestOptions { connect_timeout: soon, ..RequestOptions::default() };
    assert_eq!(code(plugin.get_with(&url(silent, "https"), Some(options)).await), "ConnectionTimeout", "a TLS handshake that never ends");
    let options = RequestOptions { first_byte_timeout: Some(Duration::ZERO), ..RequestOptions::default() };
    assert_eq!(code(plugin.get_with(&url(silent, "http"), Some(options)).await), "ConnectionReadTimeout");
    assert!(plugin.refusals.messages().is_empty(), "what the plugin asked for is not a refusal");

    let mut plugin = Plugin::for_server(stalling, PluginLimits::default());
    let options = RequestOptions { between_bytes_timeout: soon, ..RequestOptions::default() };
    let response = plugin.get_with(&url(stalling, "http"), Some(options)).await.unwrap();
    assert_eq!(code(response.into_body().collect().await), "ConnectionReadTimeout");

    // The host's, which the plugin's cannot lengthen.
    let forever = Some(Duration::MAX);
    let options = RequestOptions { connect_timeout: forever, first_byte_timeout: forever, between_bytes_timeout: forever };
    // Long enough for the head of an answer on a busy machine.
    let short = || limits(|limits| limits.http_timeout = Duration::from_millis(500));
    let mut plugin = Plugin::for_server(silent, short());
    assert_eq!(code(plugin.get_with(&url(silent, "http"), Some(options)).await), "HttpResponseTimeout");
    assert!(plugin.refusals.messages()[0].contains("http_timeout"), "{:?}", plugin.refusals.messages());
    let mut plugin = Plugin::for_server(stalling, short());
    let response = plugin.get_with(&url(stalling, "http"), Some(options)).await.unwrap();
    assert_eq!(code(response.into_body().collect().await), "HttpResponseTimeout");
    assert!(plugin.refusals.messages()[0].contains("http_timeout"), "{:?}", plugin.refusals.messages());
}

#[tokio::test]
async fn answers_that_are_too_large_are_cut_off() {
    let endless = || async { Body::from_stream(futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 1024])))) };
    let address = serve(Router::new().route("/endless", get(endless)).route("/just", get(|| async { vec![0; 10_000] }))).await;
    let mut plugin = Plugin::for_server(address, limits(|limits| limits.http_body = 10_000));
    let url = |path| format!("http://svc.test:{}/{path}", address.port());
    let just = plugin.get(&url("just")).await.unwrap();
    assert_eq!(just.into_body().collect().await.unwrap().to_bytes().len(), 10_000);

    let mut body = plugin.get(&url("endless")).await.unwrap().into_body();
    let mut got = 0;
    let err = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => got += frame.into_data().unwrap().len(),
            Err(err) => break err,
        }
    };
    assert!(matches!(err, Error::HttpResponseBodySize(Some(10_000))), "{err:?}");
    assert!(got <= 10_000, "{got} bytes were let through");
    assert!(body.frame().await.is_none());
    assert!(plugin.refusals.messages()[0].contains("more than 10000 bytes by svc.test"), "{:?}", plugin.refusals.messages());
    assert!(plugin.refusals.messages()[0].contains("http_body"), "{:?}", plugin.refusals.messages());
}

#[tokio::test]
async fn broken_servers_are_told_apart() {
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let many: &'static [u8] = Vec::leak([b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'a'; 1 << 20], b"\r\n\r\n"].concat());
    for (address, scheme, expected) in [
        (closed, "http", "ConnectionRefused"),
        (closed, "https", "ConnectionRefused"),
        (serve_bytes(b"", false).await, "http", "ConnectionTerminated"),
        (serve_bytes(b"HTTP/1.1 200 OK\r\ncontent-le", false).await, "http", "ConnectionTerminated"),
        (serve_bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", true).await, "http", "HttpProtocolError"),
        (serve_bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", true).await, "http", "HttpProtocolError"),
        (serve_bytes(many, true).await, "http", "HttpResponseHeaderSectionSize(None)"),
        (serve(Router::new()).await, "https", "TlsProtocolError"),
        // A fatal alert of TLS 1.2: handshake_failure.
        (
            serve_bytes(b"\x15\x03\x03\x00\x02\x02\x28", true).await,
            "https",
            "TlsAlertReceived { alert_id: Some(40), alert_message: Some(\"HandshakeFailure\") }",
        ),
    ] {
        let mut plugin = Plugin::for_server(address, PluginLimits::default());
        let url = format!("{scheme}://svc.test:{}/", address.port());
        assert_eq!(code(plugin.get(&url).await), expected, "{url}");
    }
    for (answer, expected) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"[..], "HttpResponseIncomplete"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "HttpResponseIncomplete"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n", "HttpProtocolError"),
    ] {
        let address = serve_bytes(answer, false).await;
        let mut plugin = Plugin::for_server(address, PluginLimits::default());
        let response = plugin.get(&format!("http://svc.test:{}/", address.port())).await.unwrap();
        assert_eq!(code(response.into_body().collect().await), expected, "{}", String::from_utf8_lossy(answer));
    }
    let mut plugin = Plugin::new(&clients(), &["nowhere:80".to_owned()], &[], PluginLimits::default());
    assert_eq!(code(plugin.get("http://nowhere/").await), "DnsError { rcode: Some(\"Name or service not known\"), info_code: None }");
}

#[tokio::test]
async fn requests_open_at_once_are_counted() {
    let address = serve(Router::new().route("/", get(|| async { "ok" }))).await;
    let mut plugin = Plugin::for_server(address, limits(|limits| limits.http_connections = 2));
    let url = format!("http://svc.test:{}/", address.port());
    let first = plugin.get(&url).await.unwrap();
    let waiting = plugin.outgoing.send(request(Method::GET, &url, empty()), None);
    assert_eq!(code(plugin.get(&url).await), "ConnectionLimitReached");
    assert!(plugin.refusals.messages()[0].contains("http_connections"), "{:?}", plugin.refusals.messages());
    drop(waiting);
    let second = plugin.get(&url).await.unwrap();
    assert_eq!(code(plugin.get(&url).await), "ConnectionLimitReached");
    drop(first);
    let third = plugin.get(&url).await.unwrap();
    // An answer that was read to its end is no longer open, whoever holds its body.
    let mut body = second.into_body();
    while body.frame().await.is_some() {}
    assert_eq!(plugin.get(&url).await.unwrap().status(), 200);
    drop((body, third));
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut plugin = Plugin::for_server(address, PluginLimits::default());
    let url = format!("http://svc.test:{}/", address.port());

    let sending = tokio::spawn(plugin.outgoing.send(request(Method::GET, &url, empty()), None));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    sending.abort();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "dropped before the answer");

    let sending = tokio::spawn(plugin.outgoing.send(request(Method::GET, &url, empty()), None));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    drop(sending.await.unwrap().unwrap());
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "dropped within the answer");
}

#[tokio::test]
async fn plugins_come_in_by_the_hook() {
    let address = serve(Router::new().route("/", get(|| async { "ok" }))).await;
    let mut plugin = Plugin::for_server(address, PluginLimits::default());
    let hooks: &mut dyn WasiHttpHooks = &mut plugin.outgoing;
    assert!(!hooks.set_host_header());
    assert!(hooks.is_forbidden_header(&http::header::HOST) && hooks.is_forbidden_header(&http::header::TRANSFER_ENCODING));
    let url = format!("http://svc.test:{}/", address.port());
    let sent = hooks.send_request(request(Method::GET, &url, empty()), None, Box::new(std::future::ready(Ok(()))));
    let (response, after) = Box::into_pin(sent).await.unwrap();
    Box::into_pin(after).await.unwrap();
    assert_eq!(text(response).await, "ok");
    let sent = hooks.send_request(request(Method::GET, "https://example.com/", empty()), None, Box::new(std::future::ready(Ok(()))));
    assert_eq!(code(Box::into_pin(sent).await), "HttpRequestDenied");
}
