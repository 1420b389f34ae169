//! What tools in JavaScript and Python do by their SDKs: call other tools, keep things, fetch, and serve several calls in one instance.

use std::path::Path;

use toolbay_tests::{Client, Setup, json};

use crate::author::Author;

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

/// The same in Python.
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
