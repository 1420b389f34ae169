//! Being found: server cards, the catalog, and lists that are asked for again only when they are others.

use toolbay_tests::{Server, Setup, Value, client::http, json};

const HOST: &str = "tools.example";
const TOKEN: &str = "operator-0123456789abcdef";

/// A page of any origin asks for it. The status, the headers and the document.
async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, Value) {
    let mut request = http().get(format!("{}{path}", server.base)).header("origin", "https://anywhere.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, serde_json::from_str(&response.text().await.expect("a body")).unwrap_or_default())
}

fn text<'h>(headers: &'h reqwest::header::HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_str().expect("text")
}

#[tokio::test]
async fn every_endpoint_has_a_card_that_anybody_may_read_and_keep() {
    let config = "[http]\nallowed_hosts = [\"tools.example\"]\ncard_name = \"com.example/tools\"\ncard_title = \"Tools\"\n[endpoint.some]\ntools = [\"add\"]\n";
    let server = Setup::new().plugin("calculator").config(config).start().await;
    for (path, endpoint, name, title) in [
        ("/mcp/server-card", "/mcp", "com.example/tools", "Tools"),
        ("/.well-known/mcp/server-card", "/mcp", "com.example/tools", "Tools"),
        ("/some/mcp/server-card", "/some/mcp", "com.example/tools-some", "Tools: some"),
        ("/calculator/mcp/server-card", "/calculator/mcp", "com.example/tools-calculator", "Tools: calculator"),
    ] {
        let (status, headers, card) = get(&server, path, &[("host", HOST)]).await;
        assert_eq!((status, text(&headers, "content-type")), (200, "application/mcp-server-card+json"), "{path}: {card}");
        assert_eq!((text(&headers, "access-control-allow-origin"), text(&headers, "cache-control")), ("*", "public, max-age=3600"));
        assert_eq!((&card["name"], &card["title"]), (&json!(name), &json!(title)), "{path}");
        assert_eq!(card["$schema"], "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json");
        let remote = &card["remotes"][0];
        assert_eq!((&remote["type"], &remote["url"]), (&json!("streamable-http"), &json!(format!("http://{HOST}{endpoint}"))));
        assert!(remote["headers"].is_null() && card["tools"].is_null(), "{card}");
        let again = get(&server, path, &[("host", HOST), ("if-none-match", text(&headers, "etag"))]).await;
        assert_eq!((again.0, text(&again.1, "etag")), (304, text(&headers, "etag")), "{path}");
        let ask = |host: &str| {
            let question = http().request(reqwest::Method::OPTIONS, format!("{}{path}", server.base)).header("host", host);
            question.header("origin", "https://anywhere.example").header("access-control-request-method", "GET").send()
        };
        let answer = ask(HOST).await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), text(answer.headers(), "access-control-allow-headers")),
            (204, "Content-Type, If-None-Match")
        );
        // No page in the web learns what runs on a person's own machine.
        assert_eq!(ask("localhost").await.expect("an answer").status().as_u16(), 403);
        let (status, headers, _) = get(&server, path, &[]).await;
        assert_eq!((status, headers.get("access-control-allow-origin")), (200, None));
    }
    assert_eq!(get(&server, "/none/mcp/server-card", &[]).await.0, 404);
    let (status, headers, catalog) = get(&server, "/.well-known/ai-catalog.json", &[]).await;
    assert_eq!((status, text(&headers, "content-type")), (200, "application/ai-catalog+json"));
    let urls: Vec<&Value> = catalog["entries"].as_array().expect("entries").iter().map(|entry| &entry["url"]).collect();
    assert_eq!(urls, [&json!(format!("{}/mcp/server-card", server.base)), &json!(format!("{}/some/mcp/server-card", server.base))]);
    // Under a name that is not this server's nothing is said.
    assert_eq!(get(&server, "/mcp/server-card", &[("host", "evil.example")]).await.0, 403);
}

#[tokio::test]
async fn behind_a_proxy_cards_have_the_address_that_clients_reach() {
    let config = "[http]\ncard_url = \"https://tools.example/base/path/mcp\"\n[endpoint.some]\ntools = [\"add\"]\n";
    let server = Setup::new().plugin("calculator").config(config).start().await;
    for (path, url) in
        [("/mcp/server-card", "/mcp"), ("/some/mcp/server-card", "/some/mcp"), ("/calculator/mcp/server-card", "/calculator/mcp")]
    {
        // The proxy asks by the address of this machine.
        let (status, headers, card) = get(&server, path, &[]).await;
        assert_eq!((status, text(&headers, "access-control-allow-origin")), (200, "*"), "{card}");
        assert_eq!(card["remotes"][0]["url"], format!("https://tools.example/base/path{url}"));
        assert!(card["name"].as_str().is_some_and(|name| name.starts_with("example.tools/toolbay")), "{card}");
        assert!(card["remotes"][0]["headers"].is_null(), "nobody has to authenticate: {card}");
        let question = http().request(reqwest::Method::OPTIONS, format!("{}{path}", server.base));
        let question = question.header("origin", "https://anywhere.example").header("access-control-request-method", "GET");
        assert_eq!(question.send().await.expect("an answer").status().as_u16(), 204);
    }
    let (_, _, catalog) = get(&server, "/.well-known/ai-catalog.json", &[]).await;
    assert_eq!(catalog["entries"][1]["url"], "https://tools.example/base/path/some/mcp/server-card", "{catalog}");
    for wrong in [
        "tools.example/mcp",
        "https://tools.example/",
        "ftp://tools.example/mcp",
        "https://u:p@tools.example/mcp",
        "https://tools.example/mcp?x",
    ] {
        let refused = Setup::new().plugin("calculator").config(&format!("[http]\ncard_url = {wrong:?}")).refused().await;
        assert!(refused.stderr.contains("https://example.com/tools/mcp"), "{wrong}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn who_needs_a_token_finds_nothing_unless_the_operator_says_so() {
    let config = "[auth.tokens]\nann = { from_env = \"TOKEN\" }\n[endpoint.open]\ntools = [\"add\"]\n[endpoint.closed]\ntools = [\"add\"]\ncallers = [\"ann\"]\n";
    let start = |more: &str| Setup::new().plugin("calculator").config(more).config(config).env("TOKEN", TOKEN).start();
    let server = start("").await;
    for path in ["/mcp/server-card", "/open/mcp/server-card", "/.well-known/ai-catalog.json"] {
        assert_eq!(get(&server, path, &[]).await.0, 404, "{path}");
    }
    let server = start("[http]\ncard = true\n").await;
    let (status, _, card) = get(&server, "/mcp/server-card", &[]).await;
    assert_eq!((status, &card["remotes"][0]["headers"][0]["name"]), (200, &json!("Authorization")), "{card}");
    let (_, _, catalog) = get(&server, "/.well-known/ai-catalog.json", &[]).await;
    assert!(catalog.to_string().contains("/open/mcp") && !catalog.to_string().contains("closed"), "{catalog}");
    for (path, status) in [("/open/mcp/server-card", 200), ("/closed/mcp/server-card", 404), ("/calculator/mcp/server-card", 404)] {
        assert_eq!(get(&server, path, &[]).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn lists_are_sent_again_when_they_are_others() {
    let server = Setup::new().plugin("calculator").start().await;
    for path in ["/tools", "/calculator/tools", "/openapi.json"] {
        let ask = |tag: Option<String>| {
            let request = http().get(format!("{}{path}", server.base));
            let request = tag.into_iter().fold(request, |request, tag| request.header("if-none-match", tag));
            async move { request.send().await.expect("an answer") }
        };
        let first = ask(None).await;
        assert_eq!((first.status().as_u16(), text(first.headers(), "cache-control")), (200, "private, no-cache"), "{path}");
        let tag = text(first.headers(), "etag").to_owned();
        assert_eq!(ask(Some(tag.clone())).await.status().as_u16(), 304, "{path}");
        assert_eq!(ask(Some("\"other\"".to_owned())).await.status().as_u16(), 200, "{path}");
    }
}
