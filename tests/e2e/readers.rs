//! What is published is read by every client: the SDKs list it, and the converters of the model APIs convert it.
//!
//! One tool that one reader fails on costs its users the whole list, so nothing of what is here may be a problem to anybody: all WIT types, raw schemas
//! of plugins, real servers, and a kept corpus of odd tools.

use serde_json::json;
use toolbay_tests::{Server, Setup, Value, files, lab::Lab};

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
