//! What is answered where, to whom.

use std::time::SystemTime;

use super::*;
use crate::{
    config::{AuthConfig, Tokens},
    provider::{OfferNames, ProviderKind, ProviderState, ProviderStatus, StatusSource},
};

struct Source(Mutex<bool>, &'static str);

impl StatusSource for Source {
    fn statuses(&self) -> Vec<ProviderStatus> {
        vec![ProviderStatus {
            tools: vec!["add".to_owned()],
            offers: OfferNames { prompts: vec!["greet".to_owned()], ..OfferNames::default() },
            in_flight: 1,
            since: SystemTime::UNIX_EPOCH,
            ..ProviderStatus::new(self.1, ProviderKind::Wasm, ProviderState::Serving, "plugins/x.wasm")
        }]
    }
    fn until_ready(&self) -> futures::future::BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    fn ready(&self) -> bool {
        *self.0.lock().unwrap()
    }
}

async fn with_tokens() -> Server {
    let tokens = Tokens::parse([("ann", "aaaaaaaaaaaaaaaa"), ("bob", "bbbbbbbbbbbbbbbb")]).unwrap();
    Server::with(|state, _| {
        let config = state.settings.load().config.clone();
        state.settings.put(config, Authenticator::from_config(&AuthConfig { tokens, ..AuthConfig::default() }));
    })
    .await
}

#[tokio::test]
async fn readiness_follows_the_sources_and_health_does_not() {
    let sources = [Arc::new(Source(Mutex::new(false), "zeta")), Arc::new(Source(Mutex::new(true), "alpha"))];
    let server =
        Server::with(|state, _| state.statuses = sources.iter().map(|source| source.clone() as Arc<dyn StatusSource>).collect()).await;
    let health = server.ask("GET /healthz\nhost: 10.1.2.3").await;
    assert_eq!((health.status, &*health.body, health.header("cache-control")), (200, "ok\n", "no-store"));
    let loading = server.ask("GET /readyz\nhost: anything.example").await;
    assert_eq!((loading.status, &*loading.body), (503, "loading\n"));
    assert_eq!(server.ask("GET /status").await.json()["ready"], false);
    *sources[0].0.lock().unwrap() = true;
    assert_eq!(server.ask("GET /readyz").await.status, 200);
    let status = server.ask("GET /status").await;
    let json = status.json();
    assert_eq!((&json["version"], &json["ready"]), (&"1.2.3".into(), &true.into()));
    assert_eq!((&json["plugins"][0]["name"], &json["plugins"][1]["name"]), (&"alpha".into(), &"zeta".into()));
    assert_eq!(json["plugins"][0]["prompts"], serde_json::json!(["greet"]));
    assert_eq!(status.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn those_who_are_lost_are_told_where_to_go() {
    let server = Server::start().await;
    let page = server.ask("GET /").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert!(page.body.contains("/mcp") && page.body.contains("1.2.3"), "{}", page.body);
    for path in ["/mcp//", "/sse", "/.well-known/oauth-protected-resource", "/healthz/x"] {
        let lost = server.ask(&format!("POST {path}")).await;
        assert_eq!((lost.status, lost.json()["try"].as_str()), (404, Some("/mcp")), "{path}");
    }
    let lost = server.ask("POST /sse").await.json();
    assert_eq!(lost["error"]["message"], "there is nothing at \"/sse\"; the MCP endpoint is /mcp");
    assert_eq!(server.ask("GET /sse").await.json()["error"], "there is nothing at \"/sse\"");
    let long = server.ask(&format!("GET /{}", "x".repeat(5000))).await;
    assert!(long.status == 404 && long.body.len() < 300, "{}", long.body);
    for path in ["/", "/healthz", "/readyz", "/status"] {
        let wrong = server.ask(&format!("POST {path}")).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD"), "{path}");
        assert!(wrong.json()["error"].as_str().unwrap().contains("POST"));
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for path in ["/", "/healthz", "/status", "/nothing"] {
        let head = client.ask(&format!("HEAD {path}"), "").await;
        let get = client.ask(&format!("GET {path}"), "").await;
        assert_eq!((head.status, head.header("content-length")), (get.status, get.header("content-length")), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty());
    }
}

#[tokio::test]
async fn every_method_reaches_the_endpoint_but_options() {
    let server = Server::start().await;
    for method in ["GET", "POST", "DELETE", "PUT"] {
        let answer = server.connect().await.ask(&format!("{method} /mcp?x=1"), "hello").await;
        assert_eq!(answer.body, format!("{method} None b\"hello\""));
    }
    let options = server.ask("OPTIONS /mcp").await;
    assert_eq!((options.status, options.header("allow")), (204, "GET, POST, DELETE, OPTIONS"));
}

#[tokio::test]
async fn a_token_lets_in_and_gives_a_name() {
    let server = with_tokens().await;
    let mut client = server.connect().await;
    let ann = client.ask("POST /mcp\nauthorization: Bearer aaaaaaaaaaaaaaaa", "x").await;
    assert_eq!((ann.status, &*ann.body), (200, "POST Some(\"ann\") b\"x\""));
    // The name is that of the request, not of the connection.
    assert_eq!(client.ask("POST /mcp\nauthorization: bearer bbbbbbbbbbbbbbbb", "x").await.body, "POST Some(\"bob\") b\"x\"");
    assert_eq!(client.ask("POST /mcp", "").await.status, 401);
    assert_eq!(client.ask("GET /status\nauthorization: Bearer aaaaaaaaaaaaaaaa", "").await.status, 200);
}

#[tokio::test]
async fn without_a_token_of_ours_nobody_comes_in() {
    let server = with_tokens().await;
    for path in ["/mcp", "/status", "/mcp?token=aaaaaaaaaaaaaaaa", "/mcp?access_token=aaaaaaaaaaaaaaaa"] {
        let missing = server.ask(&format!("GET {path}")).await;
        assert_eq!((missing.status, missing.header("www-authenticate")), (401, "Bearer realm=\"toolbay\""), "{path}");
        assert!(missing.json()["try"].as_str().unwrap().contains("Authorization: Bearer"));
        let wrong = server.ask(&format!("GET {path}\nauthorization: Bearer cccccccccccccccc")).await;
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Bearer realm=\"toolbay\", error=\"invalid_token\""));
        assert!(!wrong.body.contains("cccc"));
    }
    let twice = server.ask("GET /mcp\nauthorization: Bearer aaaaaaaaaaaaaaaa\nauthorization: Bearer aaaaaaaaaaaaaaaa").await;
    assert_eq!(twice.status, 400);
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(server.ask(&format!("GET {path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_client_of_mcp_reads_why_it_is_not_let_in_and_that_there_is_no_oauth() {
    let server = with_tokens().await;
    for path in ["/mcp", "/mcp/", "/weather/mcp"] {
        let refused = server.ask(&format!("POST {path}")).await;
        let message = refused.json();
        assert_eq!((refused.status, &message["jsonrpc"], &message["id"]), (401, &"2.0".into(), &serde_json::Value::Null));
        let text = message["error"]["message"].as_str().unwrap();
        assert!(text.contains("requires a bearer token") && text.contains("Authorization: Bearer TOKEN"), "{text}");
        assert!(message["error"]["code"].is_i64(), "{message}");
    }
    assert!(server.ask("GET /status").await.json()["error"].is_string(), "who speaks no MCP reads plain JSON");
    let open = Server::start().await;
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/register", "/authorize?x=1"] {
        for (server, words) in [(&server, "[auth.tokens]"), (&open, "needs no authentication")] {
            for method in ["GET", "POST"] {
                let none = server.ask(&format!("{method} {path}")).await;
                let json = none.json();
                assert_eq!((none.status, json["error"].as_str()), (404, Some("invalid_request")), "{path}");
                assert!(json["error_description"].as_str().unwrap().contains(words), "{path}: {json}");
            }
        }
    }
}

#[tokio::test]
async fn a_browser_may_ask_first_and_see_the_answer() {
    let server = Server::start().await;
    for origin in ["http://localhost:6274", "https://app.example.com"] {
        let preflight = server
            .ask(&format!(
                "OPTIONS /mcp\norigin: {origin}\naccess-control-request-method: POST\n\
                 access-control-request-headers: content-type,mcp-protocol-version,mcp-param-city,x-evil"
            ))
            .await;
        assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, origin));
        let headers: Vec<_> = preflight.header("access-control-allow-headers").split(", ").collect();
        for header in ["content-type", "authorization", "mcp-session-id", "mcp-protocol-version", "last-event-id", "mcp-param-city"] {
            assert!(headers.contains(&header), "{header} in {headers:?}");
        }
        assert!(!headers.contains(&"x-evil"));
        assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, DELETE, OPTIONS");
        assert_eq!((preflight.header("access-control-max-age"), preflight.header("vary")), ("7200", "Origin"));

        let answer = server.connect().await.ask(&format!("POST /mcp\norigin: {origin}"), "x").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin"), answer.header("vary")), (200, origin, "Origin"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After, DPoP-Nonce"
        );
    }
}

#[tokio::test]
async fn a_foreign_page_sees_nothing_and_learns_how_it_could() {
    let server = Server::start().await;
    let preflight = server.ask("OPTIONS /mcp\norigin: https://evil.example\naccess-control-request-method: POST").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (403, ""));
    assert!(preflight.body.contains("https://evil.example") && preflight.body.contains("allowed_origins"));
    let answer = server.ask("GET /status\norigin: https://evil.example").await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), ("", "Origin"));
    let plain = server.ask("GET /status").await;
    assert_eq!((plain.header("access-control-allow-origin"), plain.header("vary")), ("", ""));
}

#[tokio::test]
async fn a_caller_who_is_refused_early_can_send_everything_and_sees_the_answer() {
    let server = with_tokens().await;
    let body = "x".repeat(3 << 20);
    for (head, status) in [
        ("POST /mcp", 401),
        ("POST /mcp\nauthorization: Bearer aaaaaaaaaaaaaaaa\nauthorization: Bearer aaaaaaaaaaaaaaaa", 400),
        ("POST /status", 405),
        ("POST /nothing", 404),
    ] {
        let mut client = server.connect().await;
        // The connection lives on, too.
        for _ in 0..2 {
            assert_eq!(client.ask(head, &body).await.status, status, "{head}");
        }
    }
}

#[tokio::test]
async fn a_caller_who_asks_before_it_sends_is_refused_without_being_asked_to() {
    let server = with_tokens().await;
    let mut client = server.connect().await;
    client.send("POST /mcp HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 3145728\r\n\r\n").await;
    assert_eq!(client.answer(false).await.status, 401);
    assert!(!client.rest().await.contains("100 Continue"));
}

#[tokio::test]
async fn a_page_sees_refusals_too_and_may_ask_first_without_a_token() {
    let server = with_tokens().await;
    let refused = server.ask("POST /mcp\norigin: http://localhost:1").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "http://localhost:1"));
    assert!(refused.header("access-control-expose-headers").contains("WWW-Authenticate"));
    let preflight = server.ask("OPTIONS /mcp\norigin: http://localhost:1\naccess-control-request-method: POST").await;
    assert_eq!(preflight.status, 204);
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_but_for_probes() {
    let server = Server::start().await;
    for (path, status) in [("/", 403), ("/status", 403), ("/healthz", 200), ("/readyz", 200)] {
        assert_eq!(server.ask(&format!("GET {path}\nhost: evil.example")).await.status, status, "{path}");
        assert_eq!(server.ask(&format!("GET {path}\nhost: localhost")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let answer = client.ask("POST /mcp\ndo: panic\norigin: http://localhost:1", "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (500, "http://localhost:1"));
    assert!(answer.json()["try"].as_str().unwrap().contains("log") && !answer.body.contains("as asked"));
    assert_eq!(client.ask("GET /healthz", "").await.status, 200);
}

#[tokio::test]
async fn the_rest_face_is_for_those_who_may_come_in() {
    let server = with_tokens().await;
    for path in ["/tools", "/call", "/weather/tools", "/weather/call", "/openapi.json"] {
        assert_eq!(server.ask(&format!("GET {path}")).await.status, 401, "{path}");
        assert_eq!(server.ask(&format!("GET {path}\nhost: evil.example\nauthorization: Bearer aaaaaaaaaaaaaaaa")).await.status, 403);
        let seen = server.ask(&format!("GET {path}\nauthorization: Bearer aaaaaaaaaaaaaaaa")).await;
        assert_eq!((seen.status, seen.body), (200, format!("{:?} Some(\"ann\")", rest::Route::of(path).unwrap())));
    }
}

#[tokio::test]
async fn a_provider_can_have_any_name_and_shadows_no_route() {
    let server = with_tokens().await;
    let token = "authorization: Bearer aaaaaaaaaaaaaaaa";
    for name in ["weather", "mcp", "tools", "call", "status", "healthz", "openapi.json"] {
        let to = server.connect().await.ask(&format!("POST /{name}/mcp\n{token}"), "?").await;
        assert!(to.status == 200 && to.body.starts_with(&format!("{name}: POST Some(\"ann\")")), "{name}: {}", to.body);
        assert_eq!(server.ask(&format!("POST /{name}/mcp")).await.status, 401, "{name}");
        let options = server.ask(&format!("OPTIONS /{name}/mcp")).await;
        assert_eq!((options.status, options.header("allow")), (204, "GET, POST, DELETE, OPTIONS"));
        let slash = server.connect().await.ask(&format!("POST /{name}/mcp/\n{token}"), "?").await;
        assert_eq!(slash.body, to.body, "a slash at the end changes nothing");
    }
    let slash = server.connect().await.ask(&format!("POST /mcp/\n{token}"), "?").await;
    assert!(slash.body.starts_with("POST Some"), "{}", slash.body);
    let whole = server.connect().await.ask(&format!("POST /mcp\n{token}"), "?").await;
    assert!(whole.body.starts_with("POST Some"), "{}", whole.body);
    assert_eq!(server.ask("GET /healthz").await.body, "ok\n");
    for path in ["//mcp", "/a/b/mcp", "/a/mcp//", "/mcp//", "/a/mcp/mcp", "/a/MCP", "/amcp"] {
        assert_eq!(server.ask(&format!("POST {path}\n{token}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn from_where_a_request_comes_is_checked_before_who_sends_it_everywhere() {
    let server = with_tokens().await;
    for path in ["/mcp", "/weather/mcp", "/status", "/tools", "/call", "/weather/tools", "/weather/call", "/openapi.json"] {
        for foreign in ["host: evil.example", "origin: https://evil.example"] {
            for token in ["", "\nauthorization: Bearer cccccccccccccccc", "\nauthorization: Bearer aaaaaaaaaaaaaaaa"] {
                let answer = server.ask(&format!("GET {path}\n{foreign}{token}")).await;
                assert_eq!(answer.status, 403, "{path} {foreign} {token}");
                assert_eq!(answer.json()["jsonrpc"], "2.0");
            }
        }
        assert_eq!(server.ask(&format!("GET {path}\nhost: a b")).await.status, 400, "{path}");
        assert_eq!(server.ask(&format!("GET {path}")).await.status, 401, "{path}");
    }
}
