//! More plugins than are to be in memory: all are listed, and the code of each is there when it is called.

use std::path::Path;

use toolbay_tests::{Client, Server, Setup, Value, eventually, files, json, secs};

const PLUGINS: usize = 120;
const LOADED: usize = 8;

/// A plugin of a few bytes whose tool `number` answers this one.
fn plugin(number: usize) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component (core module $m (func (export "number") (result i32) i32.const {number})) (core instance $i (instantiate $m))
            (func (export "number") (result u32) (canon lift (core func $i "number"))))"#
    ))
    .expect("the text is right")
}

/// A folder of them, and a cache that is kept from one server to the next.
fn many(cache: &Path, config: &str) -> Setup {
    let setup = (0..PLUGINS).fold(Setup::new(), |setup, number| setup.bytes(&format!("p{number:03}.wasm"), &plugin(number)));
    setup.env("XDG_CACHE_HOME", &cache.display().to_string()).config(&format!("[host]\nloaded_plugins = {LOADED}\n{config}"))
}

async fn answers(client: &Client, plugin: usize, number: usize) {
    let reply = client.call(&format!("p{plugin:03}__number"), json!({})).await;
    assert_eq!(reply.result()["structuredContent"]["result"].as_u64(), u64::try_from(number).ok(), "{:?}", reply.answer());
}

/// Names of the plugins whose code is in memory.
async fn loaded(server: &Server) -> Vec<String> {
    let status = server.status().await;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    assert_eq!(plugins.len(), PLUGINS, "{status:.500}");
    let is_loaded = |plugin: &&Value| plugin["loaded"].as_bool().expect("it says whether it is loaded");
    plugins.iter().filter(is_loaded).map(|plugin| plugin["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn code_of(cache: &Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(cache.join("toolbay/compiled")).expect("there is a cache").flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_listed_from_the_cache_and_loaded_when_they_are_called() {
    let cache = tempfile::tempdir().expect("a folder");
    let first = many(cache.path(), "").start().await;
    let client = Client::modern(&first);
    let tools = client.tools().await;
    assert_eq!(tools.len(), PLUGINS);
    assert!(loaded(&first).await.len() <= LOADED + 1);
    for number in (0..PLUGINS).step_by(7) {
        answers(&client, number, number).await;
    }
    assert!(loaded(&first).await.len() <= LOADED + 1);
    drop(first);

    let server = many(cache.path(), "").start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tools().await, tools);
    assert_eq!(loaded(&server).await, [] as [&str; 0], "nothing was loaded to list it");
    for number in 0..PLUGINS {
        answers(&client, number, number).await;
        answers(&client, 3, 3).await;
    }
    assert!(loaded(&server).await.len() <= LOADED + 1);
    assert!(loaded(&server).await.contains(&"p003".to_owned()), "what is called all the time stays");
    // The same for Prometheus, in as many series as with one plugin.
    let page = toolbay_tests::client::http().get(format!("{}/metrics", server.base)).send().await.expect("an answer");
    let page = page.text().await.expect("a page");
    let number = |name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().expect("a number")
    };
    let in_memory = number("toolbay_plugins_in_memory");
    let (loads, dropped) = (number("toolbay_plugin_loads_total{result=\"loaded\"}"), number("toolbay_plugin_evictions_total"));
    assert!(in_memory <= LOADED as u64 + 1, "{in_memory}");
    assert!(loads >= PLUGINS as u64 && loads - dropped == in_memory, "{loads} {dropped} {in_memory}");
    assert_eq!(number("toolbay_plugin_loads_total{result=\"failed\"}"), 0);
    assert_eq!(page.lines().filter(|line| line.starts_with("toolbay_plugin_")).count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_files_of_plugins_that_are_not_loaded_is_noticed() {
    let cache = tempfile::tempdir().expect("a folder");
    drop(many(cache.path(), "").start().await);
    let server = many(cache.path(), "").start().await;
    let client = Client::modern(&server);
    // Every file of code has a bit that is another one.
    for code in code_of(cache.path()) {
        let mut bytes = std::fs::read(&code).expect("it can be read");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&code, bytes).expect("it can be written");
    }
    for number in [0, 50, 119] {
        answers(&client, number, number).await;
    }
    files::put(&plugin(7000), &server.plugin_file("p007"));
    eventually("the new version answers", secs(60), || async {
        // Until it serves, the version before cannot: its code is damaged, and its file is gone.
        let reply = client.call("p007__number", json!({})).await;
        (reply.answer()["result"]["structuredContent"]["result"].as_u64() == Some(7000)).then_some(())
    })
    .await;
    // Without its code and without its file: who calls is told why, and the operator is.
    for code in code_of(cache.path()) {
        std::fs::remove_file(code).expect("it can be removed");
    }
    std::fs::remove_file(server.plugin_file("p011")).expect("it can be removed");
    eventually("the plugin is gone", secs(60), || async {
        let names = client.tool_names().await;
        (names.len() == PLUGINS - 1 && !names.iter().any(|name| name == "p011__number")).then_some(())
    })
    .await;
    answers(&client, 100, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_pipelines_and_checks_know_plugins_that_are_not_loaded() {
    let cache = tempfile::tempdir().expect("a folder");
    let pipeline = "[pipeline.both]\n[[pipeline.both.steps]]\nname = \"one\"\ntool = \"p001__number\"\n";
    let setup = || many(cache.path(), pipeline);
    drop(setup().start().await);
    let server = setup().start().await;
    let client = Client::modern(&server);
    let reply = client.call("both", json!({})).await;
    assert!(!reply.is_error(), "{:?}", reply.answer());
    assert!(reply.text().contains('1'), "{:?}", reply.answer());
    let checked = server.setup().run(["check", "--config", "toolbay.toml"]).await;
    checked.expect_code(0);
    assert!(checked.all().contains("p119"), "{}", checked.all());
    let called = server.setup().run(["call", "p044__number", "{}", "--plugins", "plugins"]).await;
    called.expect_code(0);
    assert!(called.stdout.contains("44"), "{}", called.all());
}
