//! Two compilers: what serves early is swapped for optimised code without a lost call, and both answer the same. That both keep every limit is in
//! `hostile`.

use std::time::Duration;

use rustix::process::Signal;
use toolbay_tests::{Client, Server, Setup, Value, client::http, eventually, json};

/// How long a busy machine may take to compile what ships.
const COMPILED: Duration = Duration::from_secs(180);

/// With a cache of its own, which has nothing in it.
fn cold(setup: Setup) -> Setup {
    let cache = setup.home().join("cold-cache").display().to_string();
    setup.env("XDG_CACHE_HOME", &cache)
}

fn compiler(status: &Value) -> &str {
    status["compiled"]["by"].as_str().unwrap_or_default()
}

async fn wait_compiler(server: &Server, plugin: &str, name: &str) {
    eventually(&format!("{plugin} serves from code of {name}"), COMPILED, || async {
        server.plugin_status(plugin).await.filter(|status| compiler(status) == name).map(drop)
    })
    .await;
}

async fn metrics(server: &Server) -> String {
    http().get(format!("{}/metrics", server.base)).send().await.expect("an answer").text().await.expect("a body")
}

/// Calls without an end. Each answer has to be right.
async fn call_on(client: &Client) {
    // The calculator is too small to be compiled twice.
    let first = client.call("morse_code", json!({ "text": "sos" })).await.result().clone();
    for calls in 0_u32.. {
        assert_eq!(client.call("morse_code", json!({ "text": "sos" })).await.result(), &first);
        assert_eq!(client.call("add", json!({ "a": calls, "b": 1 })).await.ok(), format!("{}.0", calls + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_host_serves_early_and_optimised_code_takes_over_while_it_is_called() {
    let server = cold(Setup::new().plugin("calculator").plugin("text-tools")).start().await;
    let client = Client::modern(&server);
    let before = client.tools().await;
    let log = server.log();
    assert!(log.contains("winch"), "nothing is served early: {log}");
    tokio::select! {
        () = call_on(&client) => {}
        () = async {
            wait_compiler(&server, "calculator", "cranelift").await;
            wait_compiler(&server, "text-tools", "cranelift").await;
        } => {}
    }
    assert_eq!(client.tools().await, before);
    server.wait_log("that the code was swapped", |line| line.contains("optimised code serves from now on")).await;
    let page = metrics(&server).await;
    assert!(page.contains("toolbay_compiled_plugins{compiler=\"cranelift\"} 2"), "{page}");
    // A second host finds it all in the cache, and nothing that was only early.
    let home = server.home().join("cold-cache/toolbay/compiled");
    let early: Vec<_> = std::fs::read_dir(&home)
        .expect("the cache is there")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("winch"))
        .flat_map(|entry| std::fs::read_dir(entry.path()).into_iter().flatten().flatten())
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

#[tokio::test]
async fn the_operator_says_who_compiles() {
    for name in ["winch", "cranelift"] {
        let setup = cold(Setup::new().plugin("calculator").config(&format!("[host]\ncompiler = \"{name}\"")));
        let server = setup.start().await;
        assert_eq!(compiler(&server.plugin_status("calculator").await.expect("it is there")), name);
        assert_eq!(Client::modern(&server).call("add", json!({ "a": 2, "b": 40 })).await.ok(), "42.0");
        let page = metrics(&server).await;
        assert!(page.contains(&format!("toolbay_compiled_plugins{{compiler=\"{name}\"}} 1")), "{page}");
    }
    let refused = Setup::new().config("[host]\ncompiler = \"gcc\"").refused().await;
    refused.expect_code(2);
    assert!(refused.stderr.contains("\"auto\", \"winch\" or \"cranelift\""), "{}", refused.stderr);
}

#[tokio::test]
async fn a_check_fills_the_cache_with_code_that_stays_and_a_call_does_not_wait_for_it() {
    let setup = cold(Setup::new().plugin("text-tools"));
    let called = setup.run(["call", "morse_code", r#"{"text": "sos"}"#, "--plugins", "plugins"]).await;
    called.expect_code(0);
    let folders = || {
        let compiled = setup.home().join("cold-cache/toolbay/compiled");
        let mut names: Vec<_> = std::fs::read_dir(compiled)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.rsplit_once('-')?.0.to_owned()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(folders(), ["winch-plain"]);
    setup.run(["check", "plugins"]).await.expect_code(0);
    assert_eq!(folders(), ["plain", "winch-plain"]);
}

#[tokio::test]
async fn nothing_goes_on_compiling_when_the_host_has_ended() {
    let mut setup = cold(Setup::new());
    for name in ["calculator", "text-tools", "charts", "redact", "weather"] {
        setup = setup.plugin(name);
    }
    let mut server = setup.start().await;
    let children = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid)).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    // There may be none: a quick machine is done.
    let started = children();
    server.signal(Signal::TERM);
    server.wait_exit(COMPILED).await;
    eventually("what compiled has ended", COMPILED, || async {
        started.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    })
    .await;
}

/// Letters of texts: of all lengths in UTF-8, and some that JSON escapes.
const LETTERS: [char; 10] = ['a', 'B', '9', ' ', ',', '.', 'é', '🦀', '\n', '"'];

/// A value that a schema allows, mostly.
fn value(schema: &Value, random: &mut fastrand::Rng) -> Value {
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.is_empty()) {
        return words[random.usize(0..words.len())].clone();
    }
    if let Some(either) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()).filter(|either| !either.is_empty()) {
        return value(&either[random.usize(0..either.len())], random);
    }
    let ty = match &schema["type"] {
        Value::Array(types) if !types.is_empty() => types[random.usize(0..types.len())].as_str().unwrap_or_default().to_owned(),
        ty => ty.as_str().unwrap_or_default().to_owned(),
    };
    match ty.as_str() {
        "object" => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let is_required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
            let kept = properties.into_iter().filter(|(name, _)| is_required(name) || random.bool()).collect::<Vec<_>>();
            Value::Object(kept.into_iter().map(|(name, schema)| (name, value(&schema, random))).collect())
        }
        "array" => (0..random.usize(0..5)).map(|_| value(&schema["items"], random)).collect(),
        "integer" => match random.u8(0..4) {
            0 => json!(random.i64(..)),
            1 => json!(random.i32(..)),
            _ => json!(random.u8(..)),
        },
        "number" => match random.u8(0..3) {
            0 => json!(f64::from_bits(random.u64(..)).clamp(-1e300, 1e300)),
            1 => json!(random.i16(..)),
            _ => json!(f64::from(random.i32(..)) / 64.0),
        },
        "boolean" => json!(random.bool()),
        "null" => Value::Null,
        _ => json!((0..random.usize(0..200)).map(|_| LETTERS[random.usize(0..LETTERS.len())]).collect::<String>()),
    }
}

/// An answer without what is each call's own.
fn answer(reply: &toolbay_tests::Reply) -> String {
    let text = reply.answer().to_string();
    let mut kept = String::new();
    let mut parts = text.split("call=");
    kept.push_str(parts.next().unwrap_or_default());
    for part in parts {
        kept.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    kept.split_once("\"id\":")
        .map_or(kept.clone(), |(before, after)| format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '"')))
}

#[tokio::test]
async fn generated_arguments_are_answered_the_same_by_code_of_both_compilers() {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("PROPTEST_RNG_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let start = async |name: &str| {
        let mut setup = cold(Setup::new().config(&format!("[host]\ncompiler = \"{name}\"")));
        for plugin in ["calculator", "text-tools", "charts", "redact"] {
            setup = setup.plugin(plugin);
        }
        let server = setup.test_plugin("kinds").start().await;
        let client = Client::modern(&server);
        (server, client)
    };
    let ((_one, winch), (_other, cranelift)) = tokio::join!(start("winch"), start("cranelift"));
    let tools = winch.tools().await;
    assert_eq!(tools, cranelift.tools().await);
    assert!(tools.len() > 20, "{}", tools.len());
    for tool in tools {
        let name = tool["name"].as_str().expect("a name");
        for _ in 0..20 {
            let arguments = value(&tool["inputSchema"], &mut random);
            let (first, second) = tokio::join!(winch.call(name, arguments.clone()), cranelift.call(name, arguments.clone()));
            assert_eq!(answer(&first), answer(&second), "{name} {arguments}");
        }
    }
}
