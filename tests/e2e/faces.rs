//! The other ways in: one plugin's own endpoint, and plain HTTP.

use toolbay_tests::{
    Client, Server, Setup, eventually, files, json,
    lab::Lab,
    secs,
    wat::{self, binary},
};

/// Two plugins that both offer `version`, and one with a name that looks like a route.
async fn three() -> Server {
    let setup = Setup::new().bytes("one.wasm", &binary(&wat::version(1))).bytes("two.wasm", &binary(&wat::version(2)));
    setup.bytes("mcp.wasm", &binary(&wat::version(3))).start().await
}

#[tokio::test]
async fn a_plugin_has_an_endpoint_of_its_own_with_its_own_names_in_both_eras() {
    let server = three().await;
    let whole = Client::modern(&server);
    let names = whole.tool_names().await;
    assert!(names.contains(&"one__version".to_owned()) && !names.contains(&"version".to_owned()), "{names:?}");
    for (name, number) in [("one", 1), ("two", 2), ("mcp", 3)] {
        for client in [Client::at(&server.url_of(name)), Client::legacy_at(&server.url_of(name)).await] {
            assert_eq!(client.tool_names().await, ["slow_version", "version"]);
            let reply = client.call("version", json!({})).await;
            assert_eq!(reply.result()["structuredContent"]["result"], number, "{reply:?}");
            let foreign = client.call(if name == "one" { "two__version" } else { "one__version" }, json!({})).await;
            assert_eq!(foreign.code(), -32602, "{foreign:?}");
        }
    }
    let nobody = Client::at(&server.url_of("nobody")).rpc("tools/list", json!({})).await;
    assert_eq!(nobody.status, 404);
    assert!(nobody.error()["message"].as_str().is_some_and(|text| text.contains("mcp, one, two")), "{nobody:?}");
}

#[tokio::test]
async fn a_plugins_endpoint_follows_its_file() {
    let server = three().await;
    let client = Client::legacy_at(&server.url_of("one")).await;
    let mut told = client.listen_legacy().await;
    let mut listening = Client::at(&server.url_of("one")).listen_modern().await;
    // Nothing of this concerns the endpoint of `one`.
    files::put(&binary(&wat::version_and(2, Some("more"))), &server.plugin_file("two"));
    let all = Client::modern(&server);
    eventually("two has more", secs(30), || async { all.tool_names().await.contains(&"more".to_owned()).then_some(()) }).await;
    files::put(&binary(&wat::version_and(1, Some("another"))), &server.plugin_file("one"));
    for stream in [&mut told, &mut listening] {
        assert_eq!(stream.next().await.expect("it is told")["method"], "notifications/tools/list_changed");
    }
    assert_eq!(client.tool_names().await, ["another", "slow_version", "version"]);
    std::fs::remove_file(server.plugin_file("one")).expect("the file can be removed");
    while listening.next().await.is_some() {}
    let gone = client.rpc("tools/list", json!({})).await;
    assert_eq!(gone.status, 404, "{gone:?}");
}

#[tokio::test]
async fn real_clients_use_a_plugins_endpoint() {
    let lab = Lab::find();
    let server = Setup::new().plugin("calculator").bytes("other.wasm", &binary(&wat::version(1))).start().await;
    let (url, calls) = (server.url_of("calculator"), r#"[["add", {"a": 2, "b": 40}]]"#);
    for (script, mode, negotiated) in
        [("mcp_client.py", Some("auto"), "2026-07-28"), ("mcp_client.py", Some("legacy"), "2025-11-25"), ("sdk1_client.mjs", None, "2025-11-25")]
    {
        let arguments: Vec<&str> = std::iter::once(url.as_str()).chain(mode).chain([calls]).collect();
        let ran = lab.client(script, &arguments).await;
        assert!(ran.success, "{}", ran.all);
        let report: toolbay_tests::Value = serde_json::from_str(ran.stdout.lines().last().expect("a report")).expect("it is JSON");
        assert_eq!(report["negotiated"], negotiated);
        let tools = report["tools"].as_array().expect("a list of tools");
        assert!(tools.iter().all(|tool| tool["name"] != "version") && tools.iter().any(|tool| tool["name"] == "add"), "{tools:?}");
        assert_eq!(report["results"][0]["structuredContent"]["result"].as_f64(), Some(42.0), "{report}");
    }
}
