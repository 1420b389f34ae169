//! The same plugin in every language of the SDKs, and as a server of FastMCP: each fetches, asks, calls another tool, keeps things, tells how far it is,
//! reads a granted file and logs, and the Python SDK's client finds the same in all of them. They are in `examples/author`.

use toolbay_tests::{Client, Server, Setup, Value, files, json, lab::Lab, outside::Outside};

use crate::author::{Author, has_clang};

const PAGE: &str = "/hello";

/// The language, where its code is in `examples/author`, and in a project.
const LANGUAGES: [(&str, &[(&str, &str)]); 4] = [
    ("js", &[("js/index.js", "src/index.js")]),
    ("ts", &[("ts/index.ts", "src/index.ts")]),
    ("python", &[("python/app.py", "app.py")]),
    ("c", &[("c/plugin.c", "src/plugin.c"), ("c/world.wit", "wit/world.wit")]),
];

/// A note in a folder that is granted, and what is fetched.
async fn world(setup: &Setup) -> (Outside, String) {
    let notes = setup.home().join("notes");
    std::fs::create_dir_all(&notes).expect("a folder");
    std::fs::write(notes.join("ann.txt"), "Größe: 9 €").expect("it can be written");
    let outside = Outside::start().await;
    let grants = format!(
        "calls = [\"add\"]\nstore = true\nhttp_private = [\"127.0.0.1:{}\"]\ndirs = [{{ host = {notes:?}, guest = \"/notes\" }}]\n",
        outside.port()
    );
    (outside, grants)
}

/// Calls all of it by a real client. `target`: a URL, or a command as a list of JSON.
async fn seven(target: &str, prefix: &str, mode: &str, outside: &Outside) {
    let name = prefix;
    let tool = |tool: &str| format!("{prefix}{tool}");
    let calls = json!([
        [tool("length"), { "url": format!("{}{PAGE}", outside.base()) }],
        [tool("order"), {}],
        [tool("double"), { "number": 2.25 }],
        [tool("visit"), { "name": "ann" }],
        [tool("visit"), { "name": "ann" }],
        [tool("note"), { "name": "ann" }],
    ]);
    let ran = Lab::find().client("seven_client.py", &[target, mode, &calls.to_string()]).await;
    assert!(ran.success, "{name}: {}", ran.all);
    let report: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).expect("a report");
    let texts: Vec<&str> = report["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    assert_eq!(texts, ["18", "2 pieces of apple", "4.5", "1", "2", "Größe: 9 €"], "{name}");
    assert!(report["progress"].as_array().is_some_and(|told| told.contains(&json!([1.0, 2.0, "adding"]))), "{name}: {report}");
}

/// What is not granted, or not there, is told.
async fn fails_well(server: &Server, name: &str) {
    let client = Client::modern(server);
    let missing = client.call(&format!("{name}__note"), json!({ "name": "nobody" })).await.failure();
    assert!(missing.contains("nobody.txt") || missing.to_lowercase().contains("no such file"), "{name}: {missing}");
    let denied = client.call(&format!("{name}__length"), json!({ "url": "http://127.0.0.1:9/" })).await.failure();
    assert!(denied.contains("http_private = [\"127.0.0.1:9\"]") && !denied.contains("dirs ="), "{name}: {denied}");
}

async fn logged(server: &Server, name: &str) {
    server.wait_log(&format!("what {name} logs"), |line| line.contains("ann is here") && line.contains(name)).await;
}

/// Builds the project of a language and serves it beside the calculator.
async fn in_language(lang: &str) {
    let (_, sources) = LANGUAGES.iter().find(|(known, _)| *known == lang).expect("it is one");
    let author = Author::named(&format!("seven-{lang}"), lang, None).await;
    for (from, to) in *sources {
        std::fs::copy(files::root().join("examples/author").join(from), author.folder().join(to)).expect("the example is there");
    }
    let (is_well, said) = author.run(&["build", &format!("seven-{lang}")]).await;
    assert!(is_well, "{said}");
    let component = author.folder().join("dist").read_dir().expect("it was built").filter_map(Result::ok).map(|entry| entry.path());
    let component = component.into_iter().find(|path| path.extension().is_some_and(|end| end == "wasm")).expect("a component");
    serve(&component, lang).await;
}

async fn serve(component: &std::path::Path, lang: &str) {
    let name = format!("seven_{lang}");
    let setup = Setup::new().plugin("calculator").file(component, &name);
    let (outside, grants) = world(&setup).await;
    let server = setup.config(&format!("[plugin.{name}]\n{grants}[store]\npath = \":memory:\"\n")).start().await;
    seven(&server.url, &format!("{name}__"), "auto", &outside).await;
    logged(&server, &name).await;
    fails_well(&server, &name).await;
}

#[tokio::test]
async fn rust_has_all_seven_features() {
    serve(&files::test_plugin("seven"), "rust").await;
}

#[tokio::test]
async fn javascript_has_all_seven_features() {
    in_language("js").await;
}

#[tokio::test]
async fn typescript_has_all_seven_features() {
    in_language("ts").await;
}

#[tokio::test]
async fn python_has_all_seven_features() {
    in_language("python").await;
}

#[tokio::test]
async fn c_has_all_seven_features() {
    if has_clang() {
        in_language("c").await;
    }
}

/// The server of FastMCP, as a command, beside a host with the tool that it calls.
async fn fastmcp() -> (Server, Setup, Outside, Value) {
    let tools = Setup::new().plugin("calculator").start().await;
    let setup = Setup::new();
    let (outside, _) = world(&setup).await;
    let code = std::fs::read_to_string(files::root().join("examples/author/fastmcp/seven.py")).expect("the example is there");
    let script = setup.home().join("seven.py");
    std::fs::write(&script, code.replace("\"/notes\"", &format!("{:?}", setup.home().join("notes")))).expect("it can be written");
    let python = Lab::find().folder().join("python/bin/python");
    let url = format!("TOOLS_URL={}", tools.url);
    let command = json!(["/usr/bin/env", "-C", setup.home(), url, "NO_PROXY=*", python, script]);
    (tools, setup, outside, command)
}

/// What the others are compared with has to do the same. By itself: FastMCP asks clients of 2025-11-25 only.
#[tokio::test]
async fn the_same_by_fastmcp_does_the_same() {
    let (_tools, _setup, outside, command) = fastmcp().await;
    seven(&command.to_string(), "", "legacy", &outside).await;
}

/// Behind the host it asks clients of both eras, if the host speaks the older one with it. Otherwise the log says how it would.
#[tokio::test]
async fn a_server_of_fastmcp_asks_every_client_through_the_host() {
    let (_tools, setup, outside, command) = fastmcp().await;
    for mode in ["auto", "legacy"] {
        // Each begins to count anew.
        for file in std::fs::read_dir(setup.home()).expect("a folder").filter_map(Result::ok) {
            if file.file_name().to_string_lossy().starts_with("visits") {
                std::fs::remove_file(file.path()).expect("it can be removed");
            }
        }
        let config = format!("[server.fast]\ncommand = {command}\nprotocol = \"2025-11-25\"\n");
        let server = Setup::new().config(&config).start().await;
        seven(&server.url, "", mode, &outside).await;
    }
    let server = Setup::new().config(&format!("[server.fast]\ncommand = {command}\n")).start().await;
    let refused = Client::modern(&server).able(json!({ "elicitation": {} })).call("order", json!({})).await.failure();
    assert!(refused.contains("unavailable on 2026-07-28"), "{refused}");
    server.wait_log("how it could ask", |line| line.contains("protocol = \"2025-11-25\"  into [server.fast]")).await;
}
