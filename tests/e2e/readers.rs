//! What is published is read by every client: the SDKs list it, and the converters of the model APIs convert it.
//!
//! One tool that one reader fails on costs its users the whole list, so nothing of what is here may be a problem to anybody: all WIT types, raw schemas
//! of plugins, real servers, and kept corpora of odd tools and of an odd OpenAPI document.

use serde_json::json;
use toolbay_tests::{Client, Server, Setup, Value, files, lab::Lab};

/// Everything that there is to be read: plugins of all types, real servers, odd tools.
async fn everything(lab: &Lab) -> Server {
    let servers = files::root().join("tests/servers");
    let folder = tempfile::tempdir().expect("a folder").keep();
    let real = [
        // Not under the name of the plugin below.
        ("demo", lab.node_server("everything", &[])),
        ("files", lab.node_server("filesystem", &[folder.to_str().expect("UTF-8")])),
        ("memory", lab.node_server("memory", &[])),
        ("time", lab.python_server("mcp_server_time", &[])),
        ("odd", words(&["python3", &path(&servers.join("listed.py")), &path(&servers.join("odd_tools.json"))])),
    ];
    let config: String = real.iter().map(|(name, command)| format!("[server.{name}]\ncommand = {command:?}\n")).collect();
    // Shapes of schemas that real documents have; those themselves are read by scripts/clients-lint.sh.
    let config = format!("{config}[server.api]\nopenapi = {:?}\n", path(&servers.join("odd_api.json")));
    Setup::new()
        .plugin("calculator")
        .plugin("text-tools")
        .test_plugin("kinds")
        .test_plugin("everything")
        .test_plugin("notes")
        .config(&config)
        .start()
        .await
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn every_client_and_every_converter_reads_everything() {
    let lab = Lab::find();
    let server = everything(&lab).await;
    let url = format!("http://{}/mcp", server.address());
    let mut counts = Vec::new();
    let runs = [
        lab.client("lint_tools.mjs", &[&url]).await,
        lab.client("lint_tools.py", &[&url]).await,
        lab.converters("lint_tools.py", &[&url]).await,
    ];
    let mut readers = 0;
    for ran in &runs {
        assert!(ran.success, "{}", ran.all);
        let said: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{}", ran.all));
        assert_eq!(said["problems"], json!([]), "{}", said["readers"]);
        readers += said["readers"].as_array().map_or(0, Vec::len);
        counts.push(said["tools"].as_u64().expect("a number"));
    }
    assert!(readers >= 10, "some reader is missing: {readers}");
    assert!(counts[0] > 200 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[tokio::test]
async fn a_call_that_was_done_is_never_reported_as_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, value: Value| {
        let file = folder.path().join(name);
        std::fs::write(&file, value.to_string()).expect("a file");
        path(&file)
    };
    let tools = file(
        "tools.json",
        json!([{"name": "t", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "required": ["id"],
            "properties": {"id": {"type": "integer"}}}}]),
    );
    let script = path(&files::root().join("tests/servers/listed.py"));
    let answers = [
        ("kept", json!({"content": [], "structuredContent": {"id": 1}})),
        ("missing", json!({"content": [{"type": "text", "text": "done"}]})),
        ("broken", json!({"content": [], "structuredContent": {"id": "one"}})),
        ("list", json!({"content": [], "structuredContent": [1]})),
        ("odd", json!({"content": "done"})),
    ];
    let mut config = String::new();
    for (name, answer) in &answers {
        let command = words(&["python3", &script, &tools, &file(&format!("{name}.json"), answer.clone())]);
        config += &format!("[server.{name}]\ncommand = {command:?}\n");
    }
    let server = Setup::new().config(&config).start().await;
    let lab = Lab::find();
    let url = format!("http://{}/mcp", server.address());
    let calls: Vec<Value> = answers.iter().map(|(name, _)| json!([format!("{name}__t"), {}])).collect();
    for ran in [
        lab.client("sdk1_client.mjs", &[&url, &json!(calls).to_string()]).await,
        lab.client("client2_client.mjs", &[&url, "auto", &json!(calls).to_string()]).await,
    ] {
        assert!(ran.success, "{}", ran.all);
        let said: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{}", ran.all));
        for (result, (name, _)) in said["results"].as_array().expect("results").iter().zip(&answers) {
            assert_ne!(result["isError"], true, "{name}: {result}");
            let marked = result["_meta"]["io.toolbay/output"].is_string();
            assert_eq!(marked, *name != "kept", "{name}: {result}");
        }
    }
}

/// The command of a server that offers these tools and answers each call by its arguments, in a folder that has to stay.
fn listed(folder: &tempfile::TempDir, tools: &Value) -> Vec<String> {
    let file = folder.path().join("tools.json");
    std::fs::write(&file, tools.to_string()).expect("a file");
    words(&["python3", &path(&files::root().join("tests/servers/listed.py")), &path(&file)])
}

#[tokio::test]
async fn check_says_what_clients_cannot_read() {
    let lab = Lab::find();
    let clients = format!("--clients={}", lab.folder().display());
    let setup = Setup::new().plugin("calculator").test_plugin("kinds");
    let fine = setup.run(["check", "plugins", &clients]).await.expect_code(0).all();
    for reader in
        ["built-in rules", "TypeScript SDK 1.x", "TypeScript SDK 2.x", "Ajv 2020-12", "google-genai", "openai-agents", "anthropic"]
    {
        assert!(fine.contains(reader), "{reader}: {fine}");
    }
    assert!(fine.contains(": 0 problems"), "{fine}");

    let folder = tempfile::tempdir().expect("a folder");
    let tools = json!([{"name": "t", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "required": ["s"],
        "properties": {"s": {"type": "integer", "maximum": u64::MAX}}}}]);
    let config = format!("[server.s]\ncommand = {:?}\noutput_schema = \"as-is\"\n", listed(&folder, &tools));
    let setup = Setup::new().config(&config);
    let finished = setup.run(["check", "plugins", "--clients"]).await;
    let all = finished.expect_code(1).all();
    assert!(all.contains("CLIENTS built-in rules: tool t: its outputSchema/properties/s/maximum: has a number beyond"), "{all}");
    let json = setup.run(["check", "plugins", "--clients", "--json"]).await;
    assert!(json.expect_code(1).all().contains("\"problems\": ["), "{}", json.all());
}

#[tokio::test]
async fn names_parameters_hints_and_instructions_are_the_operators() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = json!({"name": "github_search", "description": "Searches.", "inputSchema": {"type": "object", "required": ["q"],
        "properties": {"q": {"type": "string"}, "per_page": {"type": "integer"}}}});
    let odd = json!({"name": " list\tall ", "inputSchema": {"type": "object"}});
    let command = listed(&folder, &json!([search, odd]));
    let config = format!(
        "[server.github]\ncommand = {command:?}\nenv = {{ INSTRUCTIONS = \"Search first.\" }}\nrename = {{ \"github_*\" = \"gh_*\" }}\n\
         [server.github.tools.github_search]\nrename_params = {{ q = \"query\" }}\nread_only = true\n\
         [server.other]\ncommand = {command:?}\ninclude = [\"none*\"]\ninstructions = \"Never first.\"\n"
    );
    let server = Setup::new().config(&config).start().await;
    let url = format!("http://{}", server.address());
    let (all, one) = (Client::modern(&server), Client::at(&format!("{url}/github/mcp")));
    let tools = all.tools().await;
    let search = &tools[0];
    assert_eq!((&search["name"], &search["annotations"]["readOnlyHint"]), (&json!("gh_search"), &json!(true)));
    assert_eq!(search["inputSchema"]["required"], json!(["query"]));
    assert_eq!(all.call("gh_search", json!({"query": "x", "per_page": 5})).await.ok(), r#"{"q": "x", "per_page": 5}"#);
    assert_eq!(all.call("gh_search", json!({"q": "x"})).await.ok(), r#"{"q": "x"}"#);
    assert!(all.call("gh_search", json!({"per_page": 5})).await.failure().contains("\"query\""));
    // A name that nobody could type is published under one that anybody can.
    assert_eq!(tools[1]["name"], "list_all");
    assert_eq!(all.call("list_all", json!({})).await.ok(), "{}");
    assert_eq!(Client::legacy(&server).await.call(" list\tall ", json!({})).await.ok(), "{}");

    let both = "# github\n\nSearch first.\n\n# other\n\nNever first.";
    assert_eq!(all.rpc("server/discover", json!({})).await.result()["instructions"], both);
    assert_eq!(Client::legacy(&server).await.greeting["instructions"], both);
    assert_eq!(one.rpc("server/discover", json!({})).await.result()["instructions"], "Search first.");
    assert_eq!(Client::legacy_at(&format!("{url}/github/mcp")).await.greeting["instructions"], "Search first.");
}

#[tokio::test]
async fn links_lead_to_what_their_server_means_by_them() {
    let script = path(&files::root().join("tests/servers/linked.py"));
    let config: String = ["a", "b"]
        .iter()
        .map(|name| {
            format!("[server.{name}]\ncommand = {:?}\nprefix = \"{name}_\"\n", words(&["python3", &script, &format!("word-{name}")]))
        })
        .collect();
    let server = Setup::new().config(&config).start().await;
    let one = Client::at(&format!("http://{}/b/mcp", server.address()));
    for client in [Client::modern(&server), Client::legacy(&server).await] {
        let listed = client.rpc("resources/list", json!({})).await.result()["resources"].clone();
        let uris: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|entry| entry["uri"].as_str()).collect();
        assert_eq!(uris, ["note://zebra", "note://one", "toolbay://b/note://zebra", "toolbay://b/note://one"]);
        let read = async |uri: &str| client.rpc("resources/read", json!({"uri": uri})).await.result()["contents"][0]["text"].clone();
        assert_eq!(read("note://one").await, "word-a note://one");
        assert_eq!(read("toolbay://b/note://one").await, "word-b note://one");

        let wanted = json!({"uris": ["note://one", "file:///made/1?x=2#y", "https://example.com/"]});
        for (tool, word) in [("a_link", "word-a"), ("b_link", "word-b")] {
            let answer = client.call(tool, wanted.clone()).await.result()["content"].clone();
            let links: Vec<&str> = answer.as_array().expect("a list").iter().filter_map(|link| link["uri"].as_str()).collect();
            assert_eq!(links[2], "https://example.com/", "which clients fetch themselves");
            assert_eq!(read(links[0]).await, format!("{word} note://one"), "{links:?}");
            assert_eq!(read(links[1]).await, format!("{word} file:///made/1?x=2#y"), "{links:?}");
        }
        let missing = client.rpc("resources/read", json!({"uri": "file:///made/1"})).await;
        assert!(missing.answer()["error"].is_object(), "of nobody in particular: {missing:?}");
    }
    // At its own endpoint a server's addresses are its own.
    let answer = one.call("b_link", json!({"uris": ["file:///made/1"]})).await.result()["content"].clone();
    assert_eq!(answer[0]["uri"], "file:///made/1");
    let read = one.rpc("resources/read", json!({"uri": "file:///made/1"})).await;
    assert_eq!(read.result()["contents"][0]["text"], "word-b file:///made/1");
}
