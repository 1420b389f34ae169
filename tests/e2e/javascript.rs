//! What tools in JavaScript throw, wait for and leave behind, as callers see it.

use toolbay_tests::{Client, json};

use crate::author::Author;

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
