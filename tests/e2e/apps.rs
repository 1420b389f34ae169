//! MCP Apps: pages that tools show, from plugins and servers, under whatever names these are published.

use std::path::Path;

use toolbay_tests::{Client, Server, Setup, Value, files, json, lab::Lab};

const TYPE: &str = "text/html;profile=mcp-app";

/// A server with a page at the address of the plugin's own.
fn pages(name: &str) -> String {
    let script = files::root().join("tests/servers/pages.py");
    format!("[server.{name}]\ncommand = [\"python3\", {script:?}]\n")
}

async fn serving(server: &Server, names: &[&str]) {
    for name in names {
        server.wait_plugin(name, "serves", |status| status["state"] == "serving").await;
    }
}

/// The address of the page of a tool, in both places where clients look.
async fn page_of(client: &Client, tool: &str) -> Option<String> {
    let tools = client.tools().await;
    let meta = &tools.iter().find(|one| one["name"] == tool).unwrap_or_else(|| panic!("no {tool} in {tools:?}"))["_meta"];
    assert_eq!(meta["ui"]["resourceUri"], meta["ui/resourceUri"], "{meta}");
    meta["ui"]["resourceUri"].as_str().map(str::to_owned)
}

async fn read(client: &Client, uri: &str) -> Result<Value, Value> {
    let answer = client.rpc("resources/read", json!({ "uri": uri })).await.answer().clone();
    match answer["result"]["contents"].as_array() {
        Some(contents) => {
            assert_eq!((contents.len(), &contents[0]["uri"], &contents[0]["mimeType"]), (1, &json!(uri), &json!(TYPE)), "{answer}");
            Ok(contents[0].clone())
        }
        None => Err(answer["error"].clone()),
    }
}

/// Whose page it is.
fn is_of_the_server(page: &Value) -> bool {
    page["text"].as_str().expect("text").contains("of the server")
}

#[tokio::test]
async fn pages_of_one_address_are_each_reached_by_their_own_tool() {
    let upstream = Setup::new().plugin("charts").start().await;
    let far = format!("[server.far]\nurl = \"{}\"\n", upstream.url);
    let endpoint = "[endpoint.some]\ntools = [\"pages__*\"]\n[endpoint.none]\ntools = [\"pages__*\"]\ndeny = [\"ui://*\"]\n";
    let server = Setup::new().plugin("charts").config(&pages("pages")).config(&far).config(endpoint).start().await;
    serving(&server, &["pages", "far"]).await;
    for client in [Client::modern(&server), Client::legacy(&server).await] {
        // Two chains of Toolbay, a plugin and a server: all have the same address of their own.
        for (tool, of_server) in
            [("charts__show_chart", false), ("far__show_chart", false), ("pages__show_chart", true), ("secret_page", true), ("seen", true)]
        {
            let uri = page_of(&client, tool).await.expect("a page");
            assert!(uri.starts_with("ui://"), "clients refuse another scheme: {uri}");
            let page = read(&client, &uri).await.unwrap_or_else(|error| panic!("{tool} {uri}: {error}"));
            assert_eq!(is_of_the_server(&page), of_server, "{tool} {uri}");
            let csp = &page["_meta"]["ui"]["csp"]["connectDomains"];
            assert_eq!(*csp, if of_server { json!(["https://api.example.com"]) } else { Value::Null });
        }
        let listed = client.rpc("resources/list", json!({})).await.answer().clone();
        let mut uris: Vec<&str> =
            listed["result"]["resources"].as_array().expect("resources").iter().map(|one| one["uri"].as_str().expect("text")).collect();
        uris.sort_unstable();
        assert_eq!(
            uris,
            ["ui://charts/chart.html", "ui://toolbay/far/ui://charts/chart.html", "ui://toolbay/pages/ui://charts/chart.html"]
        );
        let answer = client.call("pages__show_chart", json!({})).await.answer().clone();
        assert_eq!(answer["result"]["_meta"], json!({ "com.example/k": 1 }), "a page gets all of a result");
    }
    // Alone, everything has its own name. What an endpoint offers brings its page with it, unless that is denied.
    let alone = Client::at(&format!("{}/pages/mcp", server.base));
    assert_eq!(page_of(&alone, "show_chart").await.as_deref(), Some("ui://charts/chart.html"));
    assert!(is_of_the_server(&read(&alone, "ui://charts/chart.html").await.expect("the page")));
    let (some, none) = (Client::at(&format!("{}/some/mcp", server.base)), Client::at(&format!("{}/none/mcp", server.base)));
    for tool in ["pages__show_chart", "secret_page"] {
        let uri = page_of(&some, tool).await.expect("a page");
        assert!(is_of_the_server(&read(&some, &uri).await.expect("the page")), "{uri}");
        assert!(read(&none, &uri).await.is_err(), "{uri}");
        assert!(read(&some, "ui://charts/chart.html").await.is_err(), "the page of another provider");
    }
}

#[tokio::test]
async fn what_clients_declare_reaches_servers_and_what_they_have_is_declared() {
    let upstream = Setup::new().test_plugin("probe").start().await;
    let far = format!("[server.far]\nurl = \"{}\"\n", upstream.url);
    let server = Setup::new().config(&pages("pages")).config(&far).start().await;
    serving(&server, &["pages", "far"]).await;
    let ui = json!({ "io.modelcontextprotocol/ui": { "mimeTypes": [TYPE] } });
    let seen = Client::modern(&server).call("seen", json!({})).await.answer().clone();
    assert_eq!(seen["result"]["structuredContent"]["extensions"], ui, "a session of all callers: {seen}");
    let able = json!({ "extensions": { "io.modelcontextprotocol/ui": { "mimeTypes": [TYPE] }, "com.acme/x": { "y": 1 } } });
    let legacy = Client::legacy_able(&server, able.clone()).await;
    assert!(legacy.greeting["capabilities"]["extensions"]["io.modelcontextprotocol/ui"].is_object(), "{}", legacy.greeting);
    for (client, extensions) in [
        (Client::modern(&server).able(able.clone()), able["extensions"].clone()),
        (legacy, able["extensions"].clone()),
        (Client::modern(&server), Value::Null),
    ] {
        let said = client.call("context", json!({})).await.ok();
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["client_capabilities"]["extensions"], extensions, "{said}");
    }
    let discovered = Client::modern(&server).rpc("server/discover", json!({})).await.answer().clone();
    assert!(discovered["result"]["capabilities"]["extensions"]["io.modelcontextprotocol/ui"].is_object(), "{discovered}");
}

#[tokio::test]
async fn an_operator_gives_pages_and_takes_them_away() {
    let config = format!("{}apps = false\n[plugin.charts.tools.show_chart]\napp = \"\"\n", pages("pages"));
    let server = Setup::new().plugin("charts").config(&config).start().await;
    serving(&server, &["pages"]).await;
    let client = Client::modern(&server);
    for tool in ["charts__show_chart", "pages__show_chart", "secret_page"] {
        assert_eq!(page_of(&client, tool).await, None, "{tool}");
    }
    assert!(page_of(&client, "sort_chart").await.is_some());
    assert!(read(&client, "toolbay://pages/ui://charts/hidden.html").await.is_err());
    assert!(!is_of_the_server(&read(&client, "ui://charts/chart.html").await.expect("the plugin's own")));
}

/// The official bridge of clients, and the plugin's page in a sandbox of a real browser.
#[tokio::test]
async fn a_page_draws_sorts_and_fails_in_a_browser() {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&chromium).exists() {
        assert!(std::env::var_os("CI").is_none(), "{chromium} is missing: apt-get install chromium");
        eprintln!("skipped: {chromium} is missing: apt-get install chromium, or set CHROMIUM to a browser");
        return;
    }
    let alone = Setup::new().plugin("charts").start().await;
    // Another tool of its name, another page at its address, and a prefix.
    let config = format!("{}[plugin.charts]\nprefix = \"my_\"\n", pages("pages"));
    let prefixed = Setup::new().plugin("charts").config(&config).start().await;
    let collides = Setup::new().plugin("charts").config(&pages("aaa")).start().await;
    serving(&collides, &["aaa"]).await;
    let shown = |server: &Server, mode: &'static str, tool: &'static str| {
        let (url, pictures) = (server.url.clone(), files::root().join("target/apps"));
        async move { Lab::find().client("apps.mjs", &[&url, mode, tool, pictures.to_str().expect("text")]).await }
    };
    for (server, mode, tool, sort) in [
        (&alone, "auto", "show_chart", "sort_chart"),
        (&prefixed, "auto", "my_show_chart", "my_sort_chart"),
        (&collides, "legacy", "charts__show_chart", "charts__sort_chart"),
    ] {
        let ran = shown(server, mode, tool).await;
        assert!(ran.success, "{tool}: pictures are in target/apps\n{}", ran.all);
        assert!(ran.all.contains(&format!("\"calls\":[\"{sort}\"]")), "{}", ran.all);
    }
}
