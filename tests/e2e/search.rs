//! Tools found by what they mean, by a real model of sentences.

use toolbay_tests::{Client, Server, Setup, Value, eventually, files, json, models, secs};

const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

/// Tools of a server, with what each does in words that nobody asks in.
const TOOLS: &[(&str, &str)] = &[
    ("precipitation_outlook", "Forecasts rainfall and snowfall of a region for the coming days"),
    ("remittance", "Transfers an amount from one account to another"),
    ("itinerary", "Computes a road route between two places"),
    ("lexicon", "Gives the meaning of an English term"),
    ("playback", "Plays a piece of music on the speakers"),
];

fn tools(of: &[(&str, &str)]) -> String {
    let tool = |(name, about): &(&str, &str)| json!({ "name": name, "description": about, "inputSchema": { "type": "object" } });
    Value::Array(of.iter().map(tool).collect()).to_string()
}

/// A host with these tools of two servers, whose search goes by the model in this folder.
fn setup(folder: &str) -> Setup {
    let script = files::root().join("tests/servers/listed.py");
    let config = format!(
        r#"
[model.sentences]
path = {folder:?}

[search]
model = "sentences"
cache = "vectors"

[endpoint.everything]
search = true

[server.one]
command = ["python3", {script:?}, "one.json"]
[server.two]
command = ["python3", {script:?}, "two.json"]

[auth.tokens]
ann = {{ from_env = "ANN", roles = ["all"] }}
bob = {{ from_env = "BOB", roles = ["some"] }}
[role.all]
servers = ["*"]
[role.some]
servers = ["two"]
"#
    );
    let setup = models::with_library(Setup::new()).config(&config).env("ANN", ANN).env("BOB", BOB);
    std::fs::write(setup.home().join("one.json"), tools(&TOOLS[..3])).expect("it can be written");
    std::fs::write(setup.home().join("two.json"), tools(&TOOLS[3..])).expect("it can be written");
    setup
}

async fn status(server: &Server) -> Value {
    server.status_as(ANN).await
}

/// Waits until so many tools have been read.
async fn read(server: &Server, tools: usize) -> Value {
    eventually("the model has read all tools", secs(60), || async {
        let status = status(server).await;
        (status["search"]["embedded"] == json!(tools) && status["search"]["tools"] == json!(tools)).then_some(status)
    })
    .await
}

/// The names of what is found, the best first.
async fn found(server: &Server, token: &str, query: &str) -> Vec<String> {
    let client = Client::at(&server.url_of("everything")).token(token);
    let reply = client.call("find_tools", json!({ "query": query })).await;
    let tools = reply.result()["structuredContent"]["tools"].as_array().expect("tools").clone();
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn tools_are_found_by_meaning_within_the_callers_view_and_read_once() {
    let Some(folder) = models::sentences() else { return };
    let setup = setup(folder.to_str().expect("a path in UTF-8"));
    let home = setup.home().to_owned();
    let server = setup.start().await;
    let before = read(&server, TOOLS.len()).await;
    assert_eq!(before["search"]["error"], Value::Null);
    for (query, first) in [
        ("do I need an umbrella on Sunday", "precipitation_outlook"),
        ("send 20 euros to my sister", "remittance"),
        ("how do I drive to Salzburg", "itinerary"),
        ("what does this word mean", "lexicon"),
        ("put on a song", "playback"),
        ("playback", "playback"),
    ] {
        assert_eq!(found(&server, ANN, query).await.first().map(String::as_str), Some(first), "{query}");
    }
    let of_bob = found(&server, BOB, "do I need an umbrella on Sunday").await;
    assert!(of_bob.iter().all(|name| ["lexicon", "playback"].contains(&name.as_str())), "{of_bob:?}");
    // A server that lists one more: it alone is read.
    let computes = async || status(&server).await["models"][0]["computes"].as_u64().expect("a number");
    let so_far = computes().await;
    let more = [TOOLS, &[("shears", "Cuts a hedge into shape")]].concat();
    std::fs::write(home.join("more.json"), tools(&more[3..])).expect("it can be written");
    let path = home.join("toolbay.toml");
    let config = std::fs::read_to_string(&path).expect("it can be read");
    std::fs::write(&path, config.replace("two.json", "more.json")).expect("it can be written");
    read(&server, more.len()).await;
    assert_eq!(computes().await, so_far + 1);
    assert_eq!(found(&server, BOB, "trim the bushes in the garden").await[0], "shears");
}
