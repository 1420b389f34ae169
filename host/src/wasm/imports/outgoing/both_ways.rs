//! The same requests by both ways, `wasi:http` and `toolbay:plugin/fetch`: they are let through or refused alike, and have the same answers. And what only whole
//! answers have.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request as Asked},
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::{any, get},
};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpHooks};

use super::{
    Room,
    tests::{Plugin, clients, limits, read_head, serve, serve_bytes},
};
use crate::{
    config::PluginLimits,
    wasm::{
        imports::{
            bindings::toolbay::plugin::fetch::{Answer, FetchError as Problem, Request as Whole},
            fetch::{Fetched, exchange, exchange_all, problem, unfit},
        },
        limits::FIELDS,
        memory::HostMemory,
    },
};

/// Bytes that an answer may have.
const BODY: u64 = 20_000;

/// As much memory as no test needs.
const PLENTY: usize = 64 << 20;

/// Of a call that is traced.
const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn room(bytes: usize) -> Arc<Room> {
    Room::new(bytes, HostMemory::new(PLENTY).plugin().instance())
}

fn whole(url: &str) -> Whole {
    Whole {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: None,
        max_body: None,
        wanted: None,
    }
}

/// By `wasi:http`, as its crate makes a request of what a guest sets, piece by piece.
async fn piecewise(plugin: &mut Plugin, asked: &Whole) -> Fetched {
    let limit = plugin.outgoing.at_once();
    let invalid = |why: &str| Problem::Invalid(why.to_owned());
    let hooks: &mut dyn WasiHttpHooks = &mut plugin.outgoing;
    let mut fields = FieldMap::new_mutable(FIELDS);
    for (name, value) in &asked.headers {
        fields.append(hooks, name.clone(), value.clone()).map_err(|error| Problem::Invalid(unfit(name, error)))?;
    }
    let method = Method::from_bytes(asked.method.as_bytes()).map_err(|_| invalid("its method is none"))?;
    let uri: Uri = asked.url.parse().map_err(|_| invalid("its URL is none"))?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let body = Full::new(Bytes::from(asked.body.clone())).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, fields.into());
    let sent = hooks.send_request(request, None, Box::new(std::future::ready(Ok(()))));
    let told = |error: Error| match error {
        // What it says of the scheme, and of servers that speak something else.
        Error::HttpProtocolError if !is_web => invalid("its URL is not one of http or https"),
        error => problem(error, limit),
    };
    let (response, _) = Box::into_pin(sent).await.map_err(told)?;
    let (head, body) = response.into_parts();
    let headers = FieldMap::new_immutable(&mut plugin.outgoing, head.headers);
    let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let body = body.collect().await.map_err(told)?.to_bytes().to_vec();
    Ok(Answer { status: head.status.as_u16(), headers, body })
}

/// What came of it, as text that can be compared: headers in order and without the time, errors by their kind and text. Of several things that are wrong with a
/// request, each way names another one.
fn shown(fetched: Fetched) -> String {
    match fetched {
        Ok(Answer { status, mut headers, body }) => {
            headers.retain(|(name, _)| name != "date");
            headers.sort();
            format!("{status} {headers:?} {}", String::from_utf8_lossy(&body))
        }
        Err(Problem::Invalid(_)) => "invalid".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// A server with answers of all kinds, which tells what it was asked.
async fn server() -> SocketAddr {
    let echo = |asked: Asked| async {
        let (head, body) = asked.into_parts();
        let mut headers: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        format!("{} {} {headers:?} {}", head.method, head.uri, body.len())
    };
    let sized = |Path(bytes): Path<usize>| async move { "x".repeat(bytes) };
    let pieces = |Path(bytes): Path<usize>| async move {
        let pieces = vec![b'y'; bytes].chunks(1000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
        Body::from_stream(futures::stream::iter(pieces))
    };
    let status =
        |Path(status): Path<u16>| async move { (StatusCode::from_u16(status).unwrap(), [("connection", "keep-alive"), ("x-a", "b")]) };
    let moved = || async { Redirect::temporary("http://elsewhere.test/").into_response() };
    serve(
        Router::new()
            .route("/echo", any(echo))
            .route("/sized/{bytes}", any(sized))
            .route("/pieces/{bytes}", any(pieces))
            .route("/status/{status}", any(status))
            .route("/moved", any(moved)),
    )
    .await
}

/// Addresses, with `PORT`, `BROKEN` and `CLOSED` in place of ports.
fn url() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just("echo?a=%20b".to_owned()),
        Just("moved".to_owned()),
        (0..40_000usize).prop_map(|bytes| format!("sized/{bytes}")),
        (0..40_000usize).prop_map(|bytes| format!("pieces/{bytes}")),
        prop_oneof![Just(204), Just(304), Just(404), Just(500)].prop_map(|status: u16| format!("status/{status}")),
    ];
    prop_oneof![
        8 => path.prop_map(|path| format!("http://svc.test:PORT/{path}")),
        3 => prop::sample::select(vec![
            "http://SVC.test.:PORT/echo", "https://svc.test:PORT/echo", "http://other.test:PORT/echo", "http://open.test:PORT/echo",
            "http://127.0.0.1:PORT/echo", "http://me:pw@svc.test:PORT/echo", "http://me@svc.test:PORT/echo", "ftp://svc.test:PORT/", "svc.test:PORT",
            "/echo", "", "http://", "http://svc.test:PORT/a b", "http://svc.test:0/", "http://svc.test:99999/", "http://svc.test:BROKEN/",
            "http://svc.test:CLOSED/", "http://svc.test:PORT/../echo", "http://svc.test:PORT?q", "http://nowhere:81/", "http://svc.test:PORT/echo#part",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,40}",
    ]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "accept",
            "Accept",
            "X-One",
            "user-agent",
            "Host",
            "connection",
            "Transfer-Encoding",
            "upgrade",
            "keep-alive",
            "proxy-connection",
            "traceparent",
            "proxy-authorization",
            "te",
            "http2-settings",
            "cookie",
            "",
            "a b",
            "é",
        ])
        .prop_map(str::to_owned),
        "[a-z-]{1,12}",
    ];
    // A length that is wrong is refused by one way before, and by the other while it is sent.
    let name = name.prop_filter("its own", |name: &String| !name.eq_ignore_ascii_case("content-length"));
    (name, prop_oneof![8 => "[ -~]{0,20}".prop_map(String::into_bytes), 1 => prop::collection::vec(any_byte(), 0..20)])
}

fn any_byte() -> impl Strategy<Value = u8> {
    0..=255u8
}

fn asked() -> impl Strategy<Value = Whole> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "ODD", "G T", ""]);
    (method, url(), prop::collection::vec(header(), 0..3), prop::collection::vec(any_byte(), 0..2000)).prop_map(
        |(method, url, headers, body)| Whole {
            method: method.to_owned(),
            headers,
            body: if matches!(method, "POST" | "PUT") { body } else { Vec::new() },
            ..whole(&url)
        },
    )
}

#[test]
fn both_ways_decide_and_answer_alike() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (port, broken, closed) = runtime.block_on(async {
        let broken = serve_bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", false).await;
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        (server().await.port(), broken.port(), closed.port())
    });
    let clients = clients();
    let private: Vec<String> = [port, broken, closed].iter().map(|port| format!("svc.test:{port}")).collect();
    let open = [format!("open.test:{port}"), "nowhere:81".to_owned()];
    let limits = || limits(|limits| limits.http_body = BODY);
    let answered = AtomicUsize::new(0);
    let config = ProptestConfig { cases: 96, ..ProptestConfig::default() };
    proptest!(config, |(requests in prop::collection::vec(asked(), 1..5), traced: bool)| {
        let (mut one, mut other) = (Plugin::new(&clients, &open, &private, limits()), Plugin::new(&clients, &open, &private, limits()));
        one.outgoing.trace_parent = traced.then(|| TRACE_PARENT.into());
        other.outgoing.trace_parent = one.outgoing.trace_parent.clone();
        for mut asked in requests {
            for (word, port) in [("PORT", port), ("BROKEN", broken), ("CLOSED", closed)] {
                asked.url = asked.url.replace(word, &port.to_string());
            }
            let piecewise = shown(runtime.block_on(piecewise(&mut one, &asked)));
            let at_once = runtime.block_on(exchange(&mut other.outgoing, asked.clone(), &room(PLENTY)));
            answered.fetch_add(usize::from(at_once.is_ok()), Ordering::Relaxed);
            prop_assert_eq!(shown(at_once), piecewise, "{:?}", asked);
            prop_assert_eq!(other.refusals.messages(), one.refusals.messages(), "{:?}", asked);
        }
    });
    assert!(answered.into_inner() > 20, "hardly any request was answered");
}

#[tokio::test]
async fn all_of_a_list_are_answered_in_its_order_and_no_more_are_open_than_may_be() {
    let (open, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&open), Arc::clone(&peak));
    let number = move |Path(number): Path<usize>| {
        let (open, peak) = counted.clone();
        async move {
            peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            open.fetch_sub(1, Ordering::SeqCst);
            number.to_string()
        }
    };
    let address = serve(Router::new().route("/{number}", get(number))).await;
    let mut plugin = Plugin::for_server(address, limits(|limits| limits.http_connections = 3));
    let mut requests: Vec<_> = (0..40).map(|number| whole(&format!("http://svc.test:{}/{number}", address.port()))).collect();
    requests[7].url = "http://other.test/".to_owned();
    let answers = exchange_all(&mut plugin.outgoing, requests, &room(PLENTY)).await;
    assert_eq!(answers.len(), 40);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer.body, number.to_string().into_bytes()),
            Err(error) => assert!(number == 7 && matches!(error, Problem::Denied(_)), "{number}: {error:?}"),
        }
    }
    assert!((1..=3).contains(&peak.load(Ordering::SeqCst)), "{peak:?} at once");
}

#[tokio::test]
async fn a_plugin_may_wish_for_less_and_only_what_it_names() {
    let address = server().await;
    let url = |path: &str| format!("http://svc.test:{}/{path}", address.port());
    let mut plugin = Plugin::for_server(address, limits(|limits| limits.http_body = BODY));
    let mut fetch = async |asked: Whole, bytes: usize| exchange(&mut plugin.outgoing, asked, &room(bytes)).await;

    let some = Whole { wanted: Some(vec!["x-a".to_owned()]), ..whole(&url("status/404")) };
    assert_eq!(fetch(some, PLENTY).await.unwrap().headers, [("x-a".to_owned(), b"b".to_vec())]);
    for path in ["sized/1000", "pieces/1000"] {
        let less = |most| Whole { max_body: Some(most), ..whole(&url(path)) };
        assert_eq!(fetch(less(1000), PLENTY).await.unwrap().body.len(), 1000);
        assert!(matches!(fetch(less(999), PLENTY).await, Err(Problem::TooLarge(why)) if why.contains("999")), "{path}");
        // More than the guest could hold.
        assert!(matches!(fetch(whole(&url(path)), 999).await, Err(Problem::TooLarge(why)) if why.contains("memory")), "{path}");
    }
    let wrong = Whole {
        headers: vec![("Content-Length".to_owned(), b"3".to_vec())],
        body: b"four".to_vec(),
        method: "POST".to_owned(),
        ..whole(&url("echo"))
    };
    assert!(matches!(fetch(wrong, PLENTY).await, Err(Problem::Invalid(why)) if why.contains("4 bytes")));
    assert!(plugin.refusals.messages().is_empty(), "what the plugin wished for was not denied: {:?}", plugin.refusals.messages());

    let much = exchange(&mut plugin.outgoing, Whole { max_body: Some(u64::MAX), ..whole(&url("sized/20001")) }, &room(PLENTY)).await;
    assert!(matches!(much, Err(Problem::TooLarge(_))));
    assert!(plugin.refusals.messages()[0].contains("http_body"));
}

#[tokio::test]
async fn answers_that_do_not_come_are_given_up_and_leave_no_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://svc.test:{}/", address.port());
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"] {
        // The plugin's own time, the host's, and a caller who leaves.
        for way in 0..3 {
            let limits = limits(|limits| limits.http_timeout = Duration::from_millis(if way == 1 { 3000 } else { 60_000 }));
            let mut plugin = Plugin::for_server(address, limits);
            let asked = Whole { timeout_ms: (way == 0).then_some(3000), ..whole(&url) };
            let waiting = tokio::spawn(exchange(&mut plugin.outgoing, asked, &room(PLENTY)));
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            if way == 2 {
                waiting.abort();
            } else {
                assert!(matches!(waiting.await.unwrap(), Err(Problem::TimedOut(_))));
            }
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "the connection is closed");
            assert_eq!(plugin.refusals.messages().len(), usize::from(way == 1), "{:?}", plugin.refusals.messages());
        }
    }
}

#[tokio::test]
async fn what_bodies_take_is_given_back_when_they_are_handed_over() {
    let address = server().await;
    let memory = HostMemory::new(100_000);
    let limits = PluginLimits::default();
    let mut plugin = Plugin::for_server(address, limits);
    let url = format!("http://svc.test:{}/sized/30000", address.port());
    let of_plugin = memory.plugin();
    let room = Room::new(PLENTY, of_plugin.instance());
    assert_eq!(exchange(&mut plugin.outgoing, whole(&url), &room).await.unwrap().body.len(), 30_000);
    assert_eq!(memory.counts().0, 30_000);
    // A plugin has half of what there is.
    assert!(matches!(exchange(&mut plugin.outgoing, whole(&url), &room).await, Err(Problem::TooLarge(why)) if why.contains("memory")));
    drop(room);
    assert_eq!(memory.counts().0, 0);
}
