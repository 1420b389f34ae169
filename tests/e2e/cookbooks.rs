//! The cookbooks for authors: the blocks of each page are put together into one project, built once, and every case of the page is called. What
//! `toolbay test` cannot call, such as resources, a client reads.

use std::{collections::BTreeMap, path::Path};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use toolbay_tests::{Client, Setup, files, json, outside::Outside};

use crate::author::{Author, has_clang};

/// What the pages fetch from, and grant.
const SERVICE: &str = "https://api.example.com";
const GRANT: &str = "http = [\"api.example.com\"]";

/// The files of a page: blocks that name the same file stand in it one after another.
fn files_of(page: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Option<Option<String>> = None;
    for line in page.lines() {
        match (&open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                // The last word is a file, where there is more than the language.
                let file = info.split_once(' ').and_then(|(_, rest)| rest.split_whitespace().last());
                if let Some(text) = file.and_then(|file| found.get_mut(file)) {
                    text.push('\n');
                }
                open = Some(file.map(str::to_owned));
            }
            (Some(_), Some("")) => open = None,
            (Some(Some(file)), _) => {
                let text = found.entry(file.clone()).or_default();
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    found
}

/// The weather in Bern.
async fn weather() -> Outside {
    let answers = |path: &str| -> Option<Response> {
        Some(if path == "/weather/Bern" { r#"{"degrees":7}"#.into_response() } else { StatusCode::NOT_FOUND.into_response() })
    };
    Outside::with("127.0.0.1:0", |_| std::sync::Arc::new(answers)).await
}

/// Builds the project of a page, and calls its cases.
async fn cook(lang: &str, page: &str) -> (Author, Outside) {
    let outside = weather().await;
    let author = Author::named("cookbook", lang, None).await;
    let text = std::fs::read_to_string(files::root().join("docs/cookbook").join(page)).expect("the page is there");
    let own = format!("http_private = [\"{}\"]", outside.address);
    let mut cases = 0;
    for (file, text) in files_of(&text) {
        cases += text.matches("[[case]]").count();
        // The native tests of a page have doubles, and fetch from nowhere.
        let is_test = file.contains("test_");
        let here = if is_test { text } else { text.replace(SERVICE, &format!("http://{}", outside.address)).replace(GRANT, &own) };
        let path = author.folder().join(&file);
        std::fs::create_dir_all(path.parent().expect("it is in the project")).expect("a folder");
        std::fs::write(&path, here).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let begun = std::time::Instant::now();
    let (is_well, said) = author.run(&["test", "cookbook"]).await;
    assert!(is_well && said.contains(&format!("{cases} cases, 0 failed")), "{page}: {said}");
    println!("{page}: built, and {cases} cases called, in {:.1} s", begun.elapsed().as_secs_f64());
    (author, outside)
}

/// The resources and prompts of a page, as clients see them: they are the same in each language.
async fn offers(author: &Author) {
    let component = author.folder().join("dist/cookbook.wasm");
    let server = Setup::new().file(&component, "cookbook").start().await;
    let client = Client::modern(&server);
    let listed = client.rpc("resources/list", json!({})).await;
    assert_eq!(listed.result()["resources"][0]["uri"], "house://rules", "{listed:?}");
    assert_eq!(listed.result()["resources"][0]["mimeType"], "text/markdown", "{listed:?}");
    assert_eq!(listed.result()["resources"][0]["description"], "The rules of the house.", "{listed:?}");
    let templates = client.rpc("resources/templates/list", json!({})).await;
    assert_eq!(templates.result()["resourceTemplates"][0]["uriTemplate"], "house://rooms/{number}", "{templates:?}");
    for (uri, wanted) in [("house://rules", "Be kind."), ("house://rooms/2", "Room 2 is free.")] {
        let read = client.rpc("resources/read", json!({ "uri": uri })).await;
        assert_eq!(read.result()["contents"][0]["text"], wanted, "{read:?}");
    }
    let missing = client.rpc("resources/read", json!({ "uri": "house://rooms/9" })).await;
    assert!(missing.error().is_object(), "{missing:?}");

    let prompts = client.rpc("prompts/list", json!({})).await;
    let review = &prompts.result()["prompts"][0];
    assert_eq!((&review["name"], &review["description"]), (&json!("review"), &json!("Reviews code.")), "{review}");
    assert_eq!(review["arguments"][0]["description"], "The code.", "{review}");
    let filled = client.rpc("prompts/get", json!({ "name": "review", "arguments": { "code": "x", "language": "rust" } })).await;
    assert_eq!(filled.result()["messages"][0]["content"]["text"], "Review this rust code:\nx", "{filled:?}");
    assert_eq!(filled.result()["messages"][1]["role"], "assistant", "{filled:?}");
    for (reference, argument, typed, wanted) in [
        (json!({ "type": "ref/prompt", "name": "review" }), "language", "R", json!(["rust"])),
        (json!({ "type": "ref/resource", "uri": "house://rooms/{number}" }), "number", "", json!(["1", "2"])),
        (json!({ "type": "ref/prompt", "name": "review" }), "code", "x", json!([])),
    ] {
        let completed =
            client.rpc("completion/complete", json!({ "ref": reference, "argument": { "name": argument, "value": typed } })).await;
        assert_eq!(completed.result()["completion"]["values"], wanted, "{completed:?}");
    }
}

#[tokio::test]
async fn the_cookbook_for_rust_runs() {
    let (author, _outside) = cook("rust", "rust.md").await;
    offers(&author).await;
    // Its tests run natively, against the double of the host.
    let mut cargo = tokio::process::Command::new("cargo");
    let target = files::root().join("target/author-projects");
    let output =
        cargo.args(["test", "--quiet"]).current_dir(author.folder()).env("CARGO_TARGET_DIR", target).output().await.expect("cargo");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("3 passed"), "{said}");
}

#[tokio::test]
async fn the_cookbook_for_javascript_and_typescript_runs() {
    let (author, _outside) = cook("ts", "javascript.md").await;
    offers(&author).await;
    // The types that Zod's schemas give to a tool's arguments are checked: first as the page has it, then with a member that there is not.
    types(&author, true).await;
    author.edit("src/index.ts", "each * scale", "each * skale");
    author.edit("src/index.ts", "run({ numbers, scale })", "run({ numbers, skale })");
    types(&author, false).await;
    // The SDK's own tests of Zod's schemas, of both versions.
    let name = "schemas.test.mjs";
    std::fs::copy(files::root().join("tests/authors").join(name), author.folder().join(name)).expect("the tests are there");
    let output = author.tool("node").args(["--test", name]).current_dir(author.folder()).output().await.expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn types(author: &Author, are_right: bool) {
    let mut compiler = author.tool("tsc");
    let output = compiler.args(["--noEmit", "-p", "."]).current_dir(author.folder()).output().await.expect("TypeScript is in the lab");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), are_right, "{said}");
    assert!(are_right || said.contains("skale"), "{said}");
}

#[tokio::test]
async fn the_cookbook_for_python_runs() {
    let (author, _outside) = cook("python", "python.md").await;
    offers(&author).await;
    // Its tests need no host, and fetch from the address that the page has.
    let page = std::fs::read_to_string(files::root().join("docs/cookbook/python.md")).expect("the page is there");
    std::fs::write(author.folder().join("app.py"), &files_of(&page)["app.py"]).expect("written");
    let code = "import tests.test_app as t; [f() for n, f in vars(t).items() if n.startswith('test_')]; print('well')";
    let output = author.tool("python3").args(["-c", code]).current_dir(author.folder()).output().await.expect("python3");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "well", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_cookbook_for_c_runs() {
    if has_clang() {
        cook("c", "c.md").await;
    }
}

#[test]
fn the_blocks_of_a_page_are_put_together() {
    let page = "```sh\nls\n```\n\n```rust src/lib.rs\na\n```\nb\n```toml sidecar x.toml\nc\n```\n```rust src/lib.rs\nd\n```\n";
    let found = files_of(page);
    assert_eq!(found.get("src/lib.rs").map(String::as_str), Some("a\n\nd\n"));
    assert_eq!(found.get("x.toml").map(String::as_str), Some("c\n"));
    assert_eq!(found.len(), 2);
    assert!(Path::new("src/lib.rs").is_relative());
}
