//! A plugin author's day: from an empty folder to a tool that a client calls, and from an edit to the next call, in each language and each kind.

use std::time::Instant;

use toolbay_tests::{Client, Setup, files, json};

use crate::author::{Author, has_clang, which};

/// Keeps how long something took for the table that scripts/test.sh prints at its end.
fn record(lang: &str, kind: &str, live: f64, edit: f64) {
    println!("{lang} {kind}: new to live in {live:.1} s, edit to live in {edit:.1} s");
    let folder = files::root().join("target/author-times");
    let row = format!("{lang}\t{kind}\t{live:.1}\t{edit:.1}\n");
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(format!("{lang}-{kind}")), row)).expect("it can be kept");
}

/// new → dev → called → its cases → edit → called.
async fn day(lang: &str, kind: &str, code: &str) -> Author {
    let begun = Instant::now();
    let author = Author::new(lang, kind).await;
    let dev = author.dev().await;
    dev.greets("Hello, Ann!").await;
    let (live, name) = (begun.elapsed().as_secs_f64(), author.name.clone());
    dev.greets_a_real_client("Hello, Ann!").await;
    let tools = dev.client.tools().await;
    let tool = tools.iter().find(|tool| tool["name"] == "greet").expect("it is listed");
    assert_eq!(tool["description"], "Greets somebody.", "{tool}");
    assert_eq!(tool["inputSchema"]["properties"]["name"]["description"], "Whom.", "{tool}");
    assert_eq!(tools.len(), 1, "nothing is left over from the build: {tools:?}");
    assert!(dev.client.call("greet", json!({ "name": "" })).await.failure().contains("whom should I greet?"));
    let (is_well, said) = author.run(&["test", &name, "--no-build"]).await;
    assert!(is_well && said.contains("2 cases, 0 failed"), "{said}");
    author.edit(code, "Hello, ", "Hi, ");
    let edit = dev.greets("Hi, Ann!").await.as_secs_f64();
    dev.greets_a_real_client("Hi, Ann!").await;
    drop(dev);
    record(lang, kind, live, edit);
    // What is another answer now, its cases show.
    let (is_well, said) = author.run(&["test", &name, "--no-build"]).await;
    assert!(!is_well && said.contains("- Hello, Ann!") && said.contains("+ Hi, Ann!") && said.contains("2 cases, 1 failed"), "{said}");
    author
}

#[tokio::test]
async fn rust_from_nothing_to_a_live_tool_and_from_an_edit() {
    let author = day("rust", "tools", "src/lib.rs").await;
    // What a plugin said before it failed is shown, its panic too.
    author.edit("src/lib.rs", "    Ok(format!(\"Hi, {name}!\"))", "    println!(\"on stdout\");\n    panic!(\"the author's own text\")");
    let (is_well, said) = author.run(&["build", &author.name]).await;
    assert!(is_well && said.contains("greet  Greets somebody."), "{said}");
    let (is_well, said) = author.run(&["call", "greet", r#"{"name":"x"}"#, "--plugins", &format!("{}/dist", author.name)]).await;
    assert!(!is_well && said.contains("stdout: on stdout") && said.contains("the author's own text"), "{said}");
    day("rust", "typed", "src/lib.rs").await;
}

#[tokio::test]
async fn javascript_from_nothing_to_a_live_tool_and_from_an_edit() {
    let author = day("js", "typed", "src/index.js").await;
    // A function without a `result` has no way to say what it threw, so it is logged.
    author.edit("wit/world.wit", " -> result<string, string>", " -> string");
    let (is_well, said) = author.run(&["build", &author.name]).await;
    assert!(is_well, "{said}");
    let (is_well, said) = author.run(&["call", "greet", r#"{"name":""}"#, "--plugins", &format!("{}/dist", author.name)]).await;
    assert!(!is_well && said.contains("log: Error: whom should I greet?"), "{said}");
    day("js", "tools", "src/index.js").await;
    day("js", "http", "src/index.js").await;
}

#[tokio::test]
async fn typescript_from_nothing_to_a_live_tool_and_from_an_edit() {
    day("ts", "tools", "src/index.ts").await;
    day("ts", "typed", "src/index.ts").await;
    let author = day("ts", "http", "src/index.ts").await;
    // What the template leaves to the author has types.
    let mut compiler = author.tool("tsc");
    let output = compiler.args(["--noEmit", "-p", "."]).current_dir(author.folder()).output().await.expect("TypeScript is in the lab");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn python_from_nothing_to_a_live_tool_and_from_an_edit() {
    day("python", "tools", "app.py").await;
}

#[tokio::test]
async fn python_functions_from_nothing_to_a_live_tool_and_from_an_edit() {
    day("python", "typed", "app.py").await;
}

#[tokio::test]
async fn a_server_in_python_from_nothing_to_a_live_tool_and_from_an_edit() {
    day("python", "http", "app.py").await;
}

#[tokio::test]
async fn what_goes_wrong_in_python_is_told_without_advice_that_is_false() {
    let author = Author::named("wrong-python", "python", Some("tools")).await;
    let greeting = "    return f\"Hello, {name}!\"";
    let odd = r#"    odd = {
        "loop": lambda: asyncio.run(None),
        "mimes": lambda: mimetypes.guess_type("a.png") and 1 / 0,
        "late": lambda: __import__("colorsys"),
        "temporary": tempfile.mkdtemp,
        "socket": lambda: socket.create_connection(("example.com", 80)),
        "exit": lambda: sys.exit(3),
        "zone": lambda: zoneinfo.ZoneInfo("Europe/Zurich"),
        "device": lambda: open("/dev/null"),
        "folder": lambda: os.listdir("/data"),
    }
    return str(odd[name]() if name in odd else os.environ[name])"#;
    author.edit("app.py", greeting, odd);
    author.edit("app.py", "from typing", "import asyncio, mimetypes, os, socket, sys, tempfile, zoneinfo\nfrom typing");
    let (is_well, said) = author.run(&["build", &author.name]).await;
    assert!(is_well, "{said}");
    // What CPython looks for by itself is not told to the caller: nobody could grant it. The same where a module that is frozen into CPython is in the
    // traceback, and what an event loop lacks is told.
    for (name, wanted, advice) in [
        ("", "ValueError: whom should I greet?", None),
        ("HOME_TOWN", "KeyError: 'HOME_TOWN'", None),
        ("loop", "needs sockets", None),
        ("mimes", "ZeroDivisionError", None),
        ("late", "import it at the top of the module", None),
        ("socket", "plugins have no sockets", None),
        ("exit", "the tool ended itself by exit(3)", None),
        ("device", "plugins have no devices", None),
        // Here a grant helps, and one is named.
        ("temporary", "No usable temporary directory", Some("guest = \"/tmp\"")),
        ("zone", "No time zone found", Some("guest = \"/usr/share/zoneinfo/Europe\"")),
        ("folder", "FileNotFoundError", Some("guest = \"/data\"")),
    ] {
        let arguments = json!({ "name": name }).to_string();
        let (is_well, said) = author.run(&["call", "greet", &arguments, "--plugins", &format!("{}/dist", author.name)]).await;
        assert!(!is_well && said.contains(wanted), "{name}: {said}");
        assert_eq!(said.matches("dirs =").count(), usize::from(advice.is_some()), "{name}: {said}");
        assert!(advice.is_none_or(|advice| said.contains(advice)), "{name}: {said}");
    }
}

#[tokio::test]
async fn c_from_nothing_to_a_live_tool_and_from_an_edit() {
    if !has_clang() {
        return;
    }
    let author = day("c", "typed", "src/plugin.c").await;
    // What the compiler says is shown, with the place, and nothing is put into the folder.
    author.edit("src/plugin.c", "return tb_answer", "retrun tb_answer");
    let (is_well, said) = author.run(&["build", &author.name]).await;
    assert!(!is_well && said.contains("src/plugin.c:5:") && said.contains("clang failed"), "{said}");
    day("c", "tools", "src/plugin.c").await;
    day("c", "http", "src/plugin.c").await;
}

#[tokio::test]
async fn a_server_in_rust_from_nothing_to_a_live_tool_and_from_an_edit() {
    day("rust", "http", "src/lib.rs").await;
}

/// The world of Wassette's public example `get-weather-js`: a plain function, and its key by the draft of `wasi:config`.
const FOREIGN_WORLD: &str = "package microsoft:get-weather-js@0.1.0;

/// Weather.
world get-weather-js {
    import wasi:config/store@0.2.0-draft;

    /// The weather in a city.
    export get-weather: func(city: string) -> result<string, string>;
}
";

const FOREIGN_CONFIG: &str = "package wasi:config@0.2.0-draft;

interface store {
    variant error { upstream(string), io(string) }
    get: func(key: string) -> result<option<string>, error>;
    get-all: func() -> result<list<tuple<string, string>>, error>;
}
";

const FOREIGN_CODE: &str = "import { get, getAll } from 'wasi:config/store@0.2.0-draft';

export async function getWeather(city) {
  const key = await get('OPENWEATHER_API_KEY');
  if (!key) throw 'there is no key';
  const answer = await fetch(`SERVICE/geo?q=${city}&appid=${key}`);
  if (!answer.ok) throw `the service answered ${answer.status}`;
  return `${city} by ${key} of ${getAll().length}: ${(await answer.text()).length}`;
}
";

#[tokio::test]
async fn a_component_for_a_world_of_wassette_works_as_it_is() {
    let author = Author::named("get-weather-js", "js", Some("typed")).await;
    let service = toolbay_tests::outside::Outside::start().await;
    std::fs::remove_dir_all(author.folder().join("wit")).expect("it is there");
    let code = FOREIGN_CODE.replace("SERVICE", &service.base());
    for (file, text) in [("wit/world.wit", FOREIGN_WORLD), ("wit/deps/wasi-config.wit", FOREIGN_CONFIG), ("src/index.js", code.as_str())] {
        let path = author.folder().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("it can be written");
    }
    let (is_well, said) = author.run(&["build", &author.name]).await;
    assert!(is_well && said.contains("get_weather  The weather in a city."), "{said}");
    let component = author.folder().join("dist/get-weather-js.wasm");
    let reached = format!("http_private = [\"127.0.0.1:{}\"]\n", service.port());
    let config = format!("[plugin.granted]\n{reached}env = {{ OPENWEATHER_API_KEY = \"k-1\", OTHER = \"x\" }}\n[plugin.bare]\n");
    let server = Setup::new().file(&component, "granted").file(&component, "bare").config(&config).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("granted__get_weather", json!({ "city": "Bern" })).await.ok(), "Bern by k-1 of 2: 18");
    assert!(client.call("bare__get_weather", json!({ "city": "Bern" })).await.failure().contains("there is no key"));
}

#[tokio::test]
async fn the_kind_that_a_language_is_meant_for_need_not_be_said() {
    let setup = Setup::new();
    assert!(setup.run(["new", "x", "--lang", "c"]).await.expect_code(0).stdout.contains("src/plugin.c"));
}

#[tokio::test]
async fn what_is_missing_is_told_with_the_command_that_installs_it() {
    let setup = Setup::new();
    for (lang, command) in [("js", "npm install"), ("python", "pip install componentize-py"), ("c", "apt-get install clang lld")] {
        setup.run(["new", &format!("x-{lang}"), "--lang", lang]).await.expect_code(0);
        let empty = setup.home().join("bin");
        std::fs::create_dir_all(&empty).expect("a folder");
        if let Some(node) = which("node") {
            let _ = std::os::unix::fs::symlink(node, empty.join("node"));
        }
        let mut build = setup.command();
        let output = build.args(["build", &format!("x-{lang}")]).env("PATH", &empty).output().await.expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(command), "{said}");
    }
    let nothing = setup.run(["build", "plugins"]).await;
    assert!(nothing.expect_code(1).stderr.contains("toolbay new NAME"), "{}", nothing.stderr);
    let again = setup.run(["new", "x-js", "--lang", "js"]).await;
    assert!(again.expect_code(1).stderr.contains("is not empty"), "{}", again.stderr);
}
