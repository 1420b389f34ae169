//! A plugin author's day: from an empty folder to a tool that a client calls, and from an edit to the next call, in each language and each kind.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use toolbay_tests::{Client, Setup, Value, eventually, files, json, lab::Lab, secs};

/// From nothing, on a machine that does other things too.
const BUILD: Duration = secs(600);

/// A project in an empty folder.
pub(crate) struct Author {
    setup: Setup,
    lab: PathBuf,
    name: String,
}

/// A `toolbay dev` that runs.
struct Dev {
    client: Client,
    _child: Child,
}

impl Author {
    /// `toolbay new`.
    async fn new(lang: &str, kind: &str) -> Self {
        Self::named(&format!("{lang}-{kind}"), lang, Some(kind)).await
    }

    /// The same under another name, and of the kind that the language has.
    pub(crate) async fn named(name: &str, lang: &str, kind: Option<&str>) -> Self {
        let author = Self { setup: Setup::new(), lab: lab(), name: name.to_owned() };
        let mut words = vec!["new", name, "--lang", lang];
        words.extend(kind.into_iter().flat_map(|kind| ["--kind", kind]));
        let made = author.setup.run(words).await;
        assert!(made.expect_code(0).stdout.contains("toolbay dev"), "{}", made.stdout);
        // What `npm install` in the project would bring.
        if matches!(lang, "js" | "ts") {
            let modules = author.folder().join("node_modules");
            std::os::unix::fs::symlink(author.lab.join("node_modules"), modules).expect("a link");
        }
        author
    }

    /// A plugin of one source file, built, and what `toolbay build` said.
    pub(crate) async fn builds(name: &str, lang: &str, source: &str) -> (Self, String) {
        let author = Self::named(name, lang, None).await;
        let file = if lang == "python" { "app.py" } else { "src/index.js" };
        std::fs::write(author.folder().join(file), source).expect("it can be written");
        let (is_well, said) = author.run(&["build", name]).await;
        assert!(is_well, "{said}");
        (author, said)
    }

    /// A host for that plugin.
    pub(crate) fn serves(&self) -> Setup {
        Setup::new().file(&self.folder().join(format!("dist/{}.wasm", self.name)), &self.name)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.setup.home().join(&self.name)
    }

    /// The search path with the tools of the lab, as if they were installed.
    fn path(&self) -> OsString {
        let mut path: Vec<PathBuf> = vec![self.lab.join("node_modules/.bin"), self.lab.join("python/bin")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        std::env::join_paths(path).expect("a search path")
    }

    /// Another program of the lab.
    pub(crate) fn tool(&self, program: &str) -> Command {
        let path = self.path();
        let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
        let mut command = Command::new(found.unwrap_or_else(|| panic!("{program} is not in the lab")));
        command.env("PATH", path);
        command
    }

    /// `toolbay` with the tools of the lab.
    fn toolbay(&self, arguments: &[&str]) -> Command {
        let path = self.path();
        let mut command = self.setup.command();
        command.args(arguments).env("PATH", path).env("CARGO_TARGET_DIR", files::root().join("target/author-projects"));
        // The toolchain of the machine is kept in the cache of the machine, and not in that of the tests.
        let cache = std::env::var_os("XDG_CACHE_HOME");
        match cache {
            Some(cache) => command.env("XDG_CACHE_HOME", cache),
            None => command.env_remove("XDG_CACHE_HOME"),
        };
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.toolbay(arguments);
        let output = tokio::time::timeout(BUILD, command.output()).await.expect("it ends by itself").expect("it can be started");
        let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Starts `toolbay dev` and waits until its tool can be called.
    async fn dev(&self) -> Dev {
        let mut command = self.toolbay(&["dev", &self.name, "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = tokio::time::timeout(BUILD, async {
            loop {
                let line = lines.next_line().await.expect("its output is text").expect("it serves");
                if let Some(url) = line.trim().strip_prefix("http://") {
                    return format!("http://{url}");
                }
            }
        });
        let url = url.await.expect("it serves in time");
        // Nobody reads the rest: a full pipe would hold it up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Dev { client: Client::at(&url), _child: child }
    }

    /// Replaces text in a file of the project.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder().join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(from), "{from} in {}", path.display());
        std::fs::write(path, text.replace(from, to)).expect("it can be written");
    }
}

impl Dev {
    /// Waits until the tool greets like this, and says how long that took.
    async fn greets(&self, wanted: &str) -> Duration {
        let begun = Instant::now();
        eventually(wanted, BUILD, || async {
            let reply = self.client.call("greet", json!({ "name": "Ann" })).await;
            let text = reply.answer().pointer("/result/content/0/text").and_then(|text| text.as_str().map(str::to_owned));
            (text.as_deref() == Some(wanted)).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// The Python SDK's client lists the tool and calls it.
    async fn greets_a_real_client(&self, wanted: &str) {
        let calls = json!([["greet", { "name": "Ann" }]]).to_string();
        let ran = Lab::find().client("mcp_client.py", &[self.client.url(), "auto", &calls]).await;
        let report: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_default();
        assert!(ran.success && report["tools"][0]["name"] == "greet", "{}", ran.all);
        assert_eq!(report["results"][0]["content"][0]["text"], wanted, "{report}");
    }
}

/// Keeps how long something took for the table that scripts/test.sh prints at its end.
fn record(lang: &str, kind: &str, live: f64, edit: f64) {
    println!("{lang} {kind}: new to live in {live:.1} s, edit to live in {edit:.1} s");
    let folder = files::root().join("target/author-times");
    let row = format!("{lang}\t{kind}\t{live:.1}\t{edit:.1}\n");
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(format!("{lang}-{kind}")), row)).expect("it can be kept");
}

/// What plugins in languages other than Rust are built with: `TOOLBAY_AUTHOR_LAB`, or as the script installs it.
pub(crate) fn lab() -> PathBuf {
    if let Some(folder) = std::env::var_os("TOOLBAY_AUTHOR_LAB") {
        return PathBuf::from(folder);
    }
    let output =
        std::process::Command::new(files::root().join("scripts/lab.sh")).arg("authors").output().expect("the script can be started");
    assert!(output.status.success(), "scripts/lab.sh authors failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    PathBuf::from(said.lines().last().expect("its last line is the folder"))
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

/// Whether C can be compiled. Where `CI` is set, it has to be.
pub(crate) fn has_clang() -> bool {
    let is_there = which("clang").is_some() || std::env::var_os("CI").is_some();
    if !is_there {
        eprintln!("skipped: there is no clang");
    }
    is_there
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| Path::is_file(path))
}

/// A tool that calls another one, keeps what it said, and counts.
const JS: &str = r"import { call, callAll, fetch, store, tool } from 'toolbay-plugin';

tool({
  name: 'page',
  description: 'Fetches a page, by POST first.',
  input: { url: { type: 'string' } },
  run({ url }) {
    const { status, headers } = fetch(url, { method: 'POST', json: { a: 'é' }, redirects: 0 });
    const page = fetch(url, { timeout: 20_000 });
    const denied = (() => { try { fetch('http://127.0.0.1:9/'); } catch (error) { return error.message; } })();
    return `${status} ${headers['content-type'] ?? '-'} ${page.ok} ${page.text().length} ${denied}`;
  },
});

tool({
  name: 'total',
  description: 'Adds by another tool, and keeps the sum.',
  input: { a: { type: 'number' }, b: { type: 'number' } },
  run({ a, b }) {
    const sum = Number(call('add', { a, b }).result ?? call('add', { a, b }));
    const [first, second] = callAll([['add', { a: 1, b: 1 }], ['nowhere', {}]]);
    store.set('sum', { sum, 'größe': '€' });
    const { value, version } = store.entry('sum');
    const swapped = [store.set('sum', value, { version }), store.set('sum', value, { version })];
    const denied = (() => { try { call('divide', { a, b }); } catch (error) { return error.message; } })();
    return `${sum} ${first.error ?? 'well'} ${second.error.message} ${value['größe']} ${swapped} ${store.increment('calls')} ${store.keys()} ${denied}`;
  },
});

let served = 0;

tool({
  name: 'count',
  description: 'How many calls this instance has served.',
  run() {
    served += 1;
    return String(served);
  },
});
";

/// The interface of the contract by hand, and what its functions throw.
const BY_HAND: &str = r#"const tool = (name) => ({ name, inputSchema: '{"type":"object"}', icons: [] });
const kinds = {
  contract: () => { throw { code: -32001, message: 'as it is' }; },
  error: () => { throw new Error('an error', { cause: 'its cause' }); },
  text: () => { throw 'a text'; },
  late: async () => { throw new TypeError('late'); },
};
export const tools = {
  listTools: () => Object.keys(kinds).map(tool),
  callTool: (name) => kinds[name](),
};
"#;

#[tokio::test]
async fn what_the_contracts_functions_throw_in_javascript_is_their_error() {
    let (author, _) = Author::builds("by-hand", "js", BY_HAND).await;
    let server = author.serves().start().await;
    let client = Client::modern(&server);
    for (tool, code, wanted) in
        [("contract", -32001, "as it is"), ("error", -32603, "an error: its cause"), ("text", -32603, "a text"), ("late", -32603, "late")]
    {
        let reply = client.call(tool, json!({})).await;
        assert_eq!((reply.code(), reply.error()["message"].as_str()), (code, Some(wanted)), "{tool}: {reply:?}");
    }
}

/// Tools that wait: for promises of every kind, for timers, and for answers of the web's `fetch`.
const WAITS: &str = r"import { env, files, tool } from 'toolbay-plugin';

const sleep = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
async function* count(to) {
  for (let at = 1; at <= to; at += 1) yield sleep(1, at);
}
class Later extends Promise {}
const order = [];
const kinds = {
  timers: async () => (await Promise.all([sleep(20, 'slow'), sleep(1, 'quick'), 'now'])).join(),
  race: () => Promise.race([sleep(1000, 'slow'), sleep(1, 'quick')]),
  any: () => Promise.any([Promise.reject(new Error('no')), sleep(1, 'yes')]),
  all_settled: async () => (await Promise.allSettled([1, Promise.reject(new Error('no'))])).map(({ status }) => status).join(),
  generator: async () => { let sum = 0; for await (const each of count(4)) sum += each; return String(sum); },
  order: async () => {
    setTimeout(() => order.push('timer'), 0);
    queueMicrotask(() => order.push('micro'));
    Promise.resolve().then(() => order.push('then'));
    order.push('first');
    await sleep(5);
    return order.join();
  },
  finally_: () => Promise.resolve('kept').finally(() => 'lost'),
  thenable: async () => await { then: (resolve) => resolve('thenable') },
  subclass: async () => String(Later.resolve(1) instanceof Later && Later.resolve(1) instanceof Promise),
  text: () => new TextDecoder().decode(Uint8Array.from([...new TextEncoder().encode('€ß'), 0xff, 0xe2, 0x82])),
  cleared: async () => { let is_run = false; clearTimeout(setTimeout(() => { is_run = true; }, 1)); await sleep(5); return String(is_run); },
  environment: () => `${env('WHO')} ${env('NOBODY')}`,
  folder: () => { files.write('/data/sub.txt', 'ü'); files.makeFolder('/data/sub'); return `${files.list('/data')} ${files.text('/data/../data/./sub.txt')}`; },
  gone: () => { files.delete('/data/sub.txt'); return files.list('/data/').join(); },
  throws: async () => { await sleep(1); throw new Error('late'); },
  rejects: () => Promise.reject(new Error('outer', { cause: 'inner' })),
  never: () => new Promise(() => {}),
  itself: () => { const promise = sleep(1).then(() => promise); return promise; },
  missing: () => files.text('/data/none'),
  outside: () => files.text('/else/none'),
  folder_as_file: () => files.text('/data/sub'),
};
for (const [name, run] of Object.entries(kinds)) tool({ name, description: name, run });
tool({
  name: 'web',
  description: 'The fetch of the web.',
  input: { url: { type: 'string' } },
  async run({ url }) {
    const answers = await Promise.all([fetch(url), fetch(url, { method: 'POST', body: 'b', headers: new Headers({ 'X-Key': '1' }) })]);
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    return `${texts.map((text) => text.length)} ${answers[0].headers.get('Content-Type')} ${answers[1].ok}`;
  },
});
";

#[tokio::test]
async fn async_tools_in_javascript_are_waited_for() {
    let (author, _) = Author::builds("waits", "js", WAITS).await;
    let outside = toolbay_tests::outside::Outside::start().await;
    let setup = author.serves();
    let data = setup.home().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let config = format!(
        "[plugin.waits]\nhttp_private = [\"127.0.0.1:{}\"]\nenv = {{ WHO = \"ann\" }}\ndirs = [{{ host = {data:?}, guest = \"/data\", write = true }}]\n",
        outside.port()
    );
    let server = setup.config(&config).start().await;
    let client = Client::modern(&server);
    for (tool, wanted) in [
        ("timers", "slow,quick,now"),
        ("race", "quick"),
        ("any", "yes"),
        ("all_settled", "fulfilled,rejected"),
        ("generator", "10"),
        ("order", "first,micro,then,timer"),
        ("finally_", "kept"),
        ("thenable", "thenable"),
        ("subclass", "true"),
        ("text", "€ß\u{fffd}\u{fffd}"),
        ("cleared", "false"),
        ("environment", "ann undefined"),
        ("folder", "sub.txt,sub/ ü"),
        ("gone", "sub/"),
    ] {
        assert_eq!(client.call(tool, json!({})).await.ok(), wanted, "{tool}");
    }
    for (tool, wanted) in [
        ("throws", "late"),
        ("rejects", "outer: inner"),
        ("never", "it awaits something that never comes"),
        ("itself", "a Promise cannot wait for itself"),
        ("missing", "/data/none: there is no such file or folder"),
        ("outside", "guest = \"/else\""),
        ("folder_as_file", "/data/sub: this is a folder"),
    ] {
        let told = client.call(tool, json!({})).await.failure();
        assert!(told.contains(wanted), "{tool}: {told}");
        assert!(tool == "outside" || !told.contains("guest ="), "{tool}: {told}");
    }
    let web = client.call("web", json!({ "url": format!("{}/hello", outside.base()) })).await.ok();
    assert_eq!(web, "18,18 text/plain; charset=utf-8 true");
    assert!(outside.visits().iter().any(|visit| visit.header("x-key") == Some("1")));
}

/// Tools that leave timers and promises behind, and one that waits while these could come.
const LEAVES: &str = r"import { tool } from 'toolbay-plugin';

const seen = [];
let calls = 0;
const leave = (name) => {
  setTimeout(() => seen.push(`${name} timer`), 1);
  queueMicrotask(() => seen.push(`${name} micro`));
  Promise.resolve().then(() => seen.push(`${name} then`)).then(() => seen.push(`${name} again`));
  new Promise((resolve) => setTimeout(resolve, 1)).then(() => seen.push(`${name} late`));
};
leave('top');
const kinds = {
  leaves: () => leave('sync'),
  leaves_async: async () => leave('async'),
  throws: () => { leave('thrown'); throw new Error('thrown'); },
  never: async () => { leave('never'); await new Promise(() => {}); },
  seen: async () => {
    calls += 1;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return `${calls}: ${seen.join()}`;
  },
};
for (const [name, run] of Object.entries(kinds)) tool({ name, description: name, run });
";

#[tokio::test]
async fn what_a_call_in_javascript_leaves_behind_does_not_come_in_the_next_one() {
    let (author, _) = Author::builds("leaves", "js", LEAVES).await;
    let config = "[plugin.leaves]\nreuse = 1000\nreuse_across = \"all\"\n";
    let server = author.serves().config(config).start().await;
    let client = Client::modern(&server);
    let call = async |tool: &str| client.call(tool, json!({})).await;
    let at_build = "top micro,top then,top again";
    assert_eq!(call("seen").await.ok(), format!("1: {at_build}"));
    call("leaves").await.ok();
    call("leaves_async").await.ok();
    call("throws").await.failure();
    let told = call("seen").await.ok();
    let names = ["sync", "async", "thrown"].map(|name| format!("{name} micro,{name} then,{name} again"));
    assert_eq!(told, format!("2: {at_build},{}", names.join(",")));
    // Here its own timers come first: nothing else could settle it.
    assert!(call("never").await.failure().contains("it awaits something that never comes"));
    let told = call("seen").await.ok();
    assert!(told.starts_with("3: ") && told.ends_with("never micro,never then,never again,never timer,never late"), "{told}");
}

/// Tools that throw whatever can be thrown, and answer what JSON has not.
const THROWS: &str = r"import { tool } from 'toolbay-plugin';

const circle = new Error('a');
circle.cause = new Error('b', { cause: circle });
const looped = {};
looped.loop = looped;
const kinds = {
  text: () => { throw 'plain'; },
  object: () => { throw { code: 7 }; },
  message: () => { throw { message: 'in a message' }; },
  nothing: () => { throw undefined; },
  cause: () => { throw new Error('outer', { cause: new TypeError('inner') }); },
  circle: () => { throw circle; },
  looped: () => { throw looped; },
  getter: () => { throw { get message() { throw new Error('again'); } }; },
  symbol: () => { throw Symbol('s'); },
  unnamed: () => { throw new RangeError(); },
  several: () => Promise.any([Promise.reject(new Error('one')), Promise.reject(new TypeError('two'))]),
  deep: () => { const deeper = (n) => deeper(n + 1) + 1; return deeper(0); },
  memory: () => { const held = []; for (;;) held.push(new Uint8Array(1 << 20).fill(1)); },
  answers_function: () => () => 1,
  answers_bigint: () => ({ a: 1n }),
};
for (const [name, run] of Object.entries(kinds)) tool({ name, description: name, run });
";

#[tokio::test]
async fn whatever_a_tool_in_javascript_throws_is_told() {
    let (author, _) = Author::builds("throws", "js", THROWS).await;
    let server = author.serves().start().await;
    let client = Client::modern(&server);
    for (tool, wanted) in [
        ("text", "plain"),
        ("object", "{\"code\":7}"),
        ("message", "in a message"),
        ("nothing", "undefined"),
        ("cause", "outer: inner"),
        ("circle", "a: b"),
        ("looped", "[object Object]"),
        ("getter", "[object Object]"),
        ("symbol", "Symbol(s)"),
        ("unnamed", "RangeError"),
        ("several", "each of the promises was rejected: one; two"),
        ("deep", "plugin throws went over its stack limit"),
        ("memory", "out of memory"),
        ("answers_function", "the answer is a function"),
        ("answers_bigint", "BigInt"),
    ] {
        let told = client.call(tool, json!({})).await.failure();
        assert!(told.starts_with(wanted), "{tool}: {told}");
    }
}

/// The same.
const PYTHON: &str = r#"from toolbay_plugin import call_all, call_tool, fetch, store, tool


@tool
def page(url: str) -> str:
    "Fetches a page, by POST first."
    posted = fetch(url, "POST", json_body={"a": "é"}, redirects=0)
    page = fetch(url, timeout=20)
    try:
        denied = fetch("http://127.0.0.1:9/")
    except RuntimeError as error:
        denied = error
    well = str(200 <= page.status < 300).lower()
    return f"{posted.status} {posted.headers.get('content-type', '-')} {well} {len(page.body)} {denied}"


@tool
def total(a: float, b: float) -> str:
    "Adds by another tool, and keeps the sum."
    answer = call_tool("add", a=a, b=b)
    sum = float(answer["result"] if isinstance(answer, dict) else answer)
    first, second = call_all([("add", {"a": 1, "b": 1}), ("nowhere", {})])
    well = first if isinstance(first, Exception) else "well"
    store.set("sum", {"sum": sum, "größe": "€"})
    value, version = store.entry("sum")
    swapped = [store.set("sum", value, version=version), store.set("sum", value, version=version)]
    try:
        denied = call_tool("divide", a=a, b=b)
    except RuntimeError as error:
        denied = str(error)
    kept = f"{str(swapped[0]).lower()},{str(swapped[1]).lower()} {store.increment('calls')} {','.join(store.keys())}"
    return f"{sum:g} {well} {second} {value['größe']} {kept} {denied}"


served = 0


@tool
def count() -> str:
    "How many calls this instance has served."
    global served
    served += 1
    return str(served)
"#;

#[tokio::test]
async fn plugins_in_javascript_and_python_call_other_tools_and_keep_things() {
    for (lang, file, code) in [("js", "src/index.js", JS), ("python", "app.py", PYTHON)] {
        let author = Author::new(lang, "tools").await;
        std::fs::write(author.folder().join(file), code).expect("it can be written");
        let (is_well, said) = author.run(&["build", &author.name]).await;
        assert!(is_well, "{said}");
        let name = &author.name;
        let component = author.folder().join(format!("dist/{name}.wasm"));
        let outside = toolbay_tests::outside::Outside::start().await;
        let reached = format!("http_private = [\"127.0.0.1:{}\"]", outside.port());
        let grants = format!("[plugin.{name}]\ncalls = [\"add\"]\nstore = true\n{reached}\n[store]\npath = \":memory:\"\n");
        let server = Setup::new().plugin("calculator").file(&component, name).config(&grants).start().await;
        let client = Client::modern(&server);
        for count in 1..=2 {
            let total = client.call("total", json!({ "a": 2, "b": 3 })).await.ok();
            let line = format!("plugin {name} may not call tool \"divide\"; to grant it, put  calls = [\"add\", \"divide\"]");
            let wanted = format!("5 well there is no tool \"nowhere\" € true,false {count} calls,sum {line}");
            assert!(total.starts_with(&wanted), "{total}\n{wanted}");
            assert_eq!(client.call("count", json!({})).await.ok(), "1");
        }
        // By a redirect, which a POST follows where it is wanted only.
        let page = client.call("page", json!({ "url": format!("{}/redirect//hello", outside.base()) })).await.ok();
        let (well, denied) = ("302 - true 18 http://127.0.0.1:9/ cannot be fetched", "it is not granted");
        assert!(page.starts_with(well) && page.contains(denied), "{lang}: {page}");
        let visits = outside.visits();
        assert_eq!(
            visits.iter().map(|visit| visit.header("content-type")).collect::<Vec<_>>(),
            [Some("application/json"), None, None],
            "{lang}"
        );
        serves_several_calls(name, &component).await;
    }
}

/// `reuse`: the calls of one caller in one instance, and never two callers' unless the operator says so.
async fn serves_several_calls(name: &str, component: &Path) {
    let tokens = "[auth.tokens]\nann = { from_env = \"ANN\" }\nbob = { from_env = \"BOB\" }\n";
    let [ann, bob] = ["ann-0123456789abcdef", "bob-0123456789abcdef"];
    for (across, counted) in [("", ["1", "1", "2", "3", "1"]), ("reuse_across = \"all\"\n", ["1", "2", "3", "1", "2"])] {
        let config = format!("[plugin.{name}]\nreuse = 3\n{across}[store]\npath = \":memory:\"\n{tokens}");
        let server = Setup::new().file(component, name).config(&config).env("ANN", ann).env("BOB", bob).start().await;
        for (token, turn) in [ann, bob, ann, ann, ann].into_iter().zip(counted) {
            assert_eq!(Client::modern(&server).token(token).call("count", json!({})).await.ok(), turn, "{name}, {across}");
        }
    }
}
