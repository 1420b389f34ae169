//! Policies in Cedar: two callers of one server, arguments and times that decide, files that change and files that are wrong.

use std::path::Path;

use toolbay_tests::{
    Balancer, Client, Server, Setup, Value,
    balancer::Kind::{HaProxy, Nginx},
    client, eventually, json, secs,
};

const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const ROOT: &str = "root-0123456789abcdef";

const CONFIG: &str = r#"
[auth.tokens]
ann = { from_env = "ANN", roles = ["analyst"] }
bob = { from_env = "BOB", roles = ["clerk"] }
root = { from_env = "ROOT", roles = ["root"] }

[role.analyst]
servers = ["*"]

[role.root]
servers = ["*"]

[role.clerk]
servers = ["*"]
deny = ["calculator__power"]

[policy]
files = ["policies/*.cedar"]

[policy.arguments]
a = "decimal"

[audit]
file = "audit.log"

[metrics]
authenticate = false
"#;

/// Of these nothing is about the role root but what permits all.
const CHANGED: &str = r#"
permit(principal in Role::"root", action, resource);
permit(principal in Role::"analyst", action, resource in Server::"calculator");

permit(principal in Role::"analyst", action in Action::"use", resource in Server::"everything");

@id("not yet")
forbid(principal in Role::"analyst", action == Action::"call", resource == Tool::"calculator__subtract")
when { context.time < datetime("2100-01-01") };
"#;

const POLICIES: &str = r#"
@id("everybody calculates")
permit(principal, action, resource in Server::"calculator");

@id("analysts")
permit(principal in Role::"analyst", action in Action::"use", resource in Server::"everything");

@id("small sums")
@reason("clerks add up to 100")
forbid(principal in Role::"clerk", action == Action::"call", resource == Tool::"calculator__add")
when { context.arguments has a && context.arguments.a.greaterThan(decimal("100.0")) };

@id("out of sight")
forbid(principal, action == Action::"list", resource == Tool::"calculator__multiply");

@id("not yet")
forbid(principal, action == Action::"call", resource == Tool::"calculator__subtract")
when { context.time < datetime("2100-01-01") };

@id("texts only")
forbid(principal, action == Action::"read", resource in Server::"everything")
when { !(resource.uri like "test://static-text*") && context.weekday > 0 };
"#;

fn write(home: &Path, text: &str) {
    std::fs::create_dir_all(home.join("policies")).expect("a folder");
    // As an editor does: nobody sees half of it.
    std::fs::write(home.join("policies/.new"), text).expect("it can be written");
    std::fs::rename(home.join("policies/.new"), home.join("policies/all.cedar")).expect("it can be renamed");
}

fn setup() -> Setup {
    let setup =
        Setup::new().plugin("calculator").test_plugin("everything").env("ANN", ANN).env("BOB", BOB).env("ROOT", ROOT).config(CONFIG);
    write(setup.home(), POLICIES);
    setup
}

async fn get(server: &Server, path: &str, token: &str) -> String {
    let url = format!("http://{}{path}", server.address());
    client::http().get(url).bearer_auth(token).send().await.expect("an answer").text().await.expect("a body")
}

#[tokio::test]
async fn two_callers_see_what_policies_permit_and_are_told_nothing_of_the_rest() {
    let server = setup().start().await;
    let (ann, bob) = (Client::modern(&server).token(ANN), Client::modern(&server).token(BOB));
    let (of_ann, of_bob) = (ann.tool_names().await, bob.tool_names().await);
    let has = |names: &[String], name: &str| names.iter().any(|known| known == name);
    assert!(has(&of_ann, "test_simple_text") && has(&of_ann, "power") && has(&of_ann, "add"), "{of_ann:?}");
    assert!(has(&of_bob, "add") && has(&of_bob, "subtract"), "{of_bob:?}");
    // Roles and policies both have to allow.
    assert!(!has(&of_bob, "power") && !has(&of_bob, "test_simple_text"), "{of_bob:?}");
    for path in ["/tools", "/openapi.json", "/status"] {
        let (told, whole) = (get(&server, path, BOB).await, get(&server, path, ANN).await);
        assert!(!told.contains("test_simple_text") && !told.contains("test://"), "{path}: {told}");
        assert!(whole.contains("test_simple_text"), "{path}: {whole}");
    }
    assert_eq!(bob.rpc("resources/list", json!({})).await.result()["resources"], json!([]));
    assert_eq!(bob.rpc("prompts/list", json!({})).await.result()["prompts"], json!([]));
    let denied = bob.call("test_simple_text", json!({})).await;
    assert_eq!(denied.code(), -32602, "{denied:?}");
    let unknown = bob.call("test_simplest_texts", json!({})).await.body.replace("test_simplest_texts", "test_simple_text");
    let without_id = |body: &str| {
        let mut message: Value = serde_json_of(body);
        message["id"] = Value::Null;
        message
    };
    assert_eq!(without_id(&denied.body), without_id(&unknown), "what is denied answers as what is unknown");
    server.wait_log("why", |log| log.contains("was denied: no policy permits it")).await;
    // Kept out of lists, and callable.
    assert!(!has(&of_ann, "multiply") && !get(&server, "/tools", ANN).await.contains("multiply"));
    assert_eq!(ann.call("multiply", json!({ "a": 6, "b": 7 })).await.ok(), "42.0");
}

fn serde_json_of(body: &str) -> Value {
    let text = body.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(body);
    text.parse().unwrap_or_else(|_| panic!("{body}"))
}

#[tokio::test]
async fn arguments_and_the_time_decide_on_each_call() {
    let server = setup().start().await;
    let (ann, bob) = (Client::modern(&server).token(ANN), Client::modern(&server).token(BOB));
    assert_eq!(bob.call("add", json!({ "a": 100, "b": 1 })).await.ok(), "101.0");
    let said = bob.call("add", json!({ "a": 100.5, "b": 1 })).await;
    assert_eq!(said.failure(), "denied by policy \"small sums\": clerks add up to 100; nothing was done");
    assert_eq!(ann.call("add", json!({ "a": 100.5, "b": 1 })).await.ok(), "101.5");
    // What cannot be read as it was declared is no way around.
    for (arguments, words) in [(json!({ "a": "200", "b": 1 }), "no decimal"), (json!({ "a": 0.00001, "b": 1 }), "no decimal")] {
        let said = bob.call("add", arguments).await.failure();
        assert!(said.contains(words) && said.starts_with("denied"), "{said}");
    }
    let old = Client::legacy_as(&server.url, BOB).await;
    assert!(old.call("add", json!({ "a": 1000, "b": 1 })).await.failure().contains("small sums"));
    let url = format!("http://{}/call", server.address());
    let body = json!({ "tool_name": "add", "tool_args": { "a": 1000, "b": 1 } }).to_string();
    let rest = client::http().post(url).bearer_auth(BOB).body(body).send().await.expect("an answer").text().await.expect("a body");
    assert!(rest.contains("small sums"), "{rest}");
    for caller in [&ann, &bob] {
        assert!(caller.call("subtract", json!({ "a": 2, "b": 1 })).await.failure().contains("denied by policy \"not yet\""));
    }
    let read = async |uri: &str| ann.rpc("resources/read", json!({ "uri": uri })).await;
    assert!(read("test://static-text").await.result()["contents"][0]["text"].is_string());
    let denied = read("test://static-binary").await;
    assert!(denied.error()["message"].as_str().is_some_and(|said| said.contains("denied by policy \"texts only\"")), "{denied:?}");
    // What was done in the name of a policy can be counted and looked up.
    let page = get(&server, "/metrics", ANN).await;
    let counted = page.lines().find_map(|line| line.strip_prefix("toolbay_refusals_total{reason=\"policy\"} ")).expect("a sample");
    assert!(counted.parse::<f64>().is_ok_and(|count| count >= 8.0), "{counted}");
    let audit = eventually("the audit", secs(20), || async {
        let text = std::fs::read_to_string(server.home().join("audit.log")).unwrap_or_default();
        Some(text).filter(|text| text.contains("\"error\":\"policy.texts only\"") && text.contains("\"error\":\"policy.small sums\""))
    });
    assert!(audit.await.contains("\"outcome\":\"denied\""));
}

#[tokio::test]
async fn a_changed_file_counts_at_once_and_a_wrong_one_changes_nothing_and_is_told() {
    let setup = setup();
    write(setup.home(), CHANGED);
    let server = setup.start().await;
    let ann = Client::modern(&server).token(ANN);
    let mut stream = ann.listen_modern().await;
    let subtract = async || ann.call("subtract", json!({ "a": 2, "b": 1 })).await;
    assert!(subtract().await.is_error());
    write(server.home(), &CHANGED.replace("2100-01-01", "2000-01-01"));
    eventually("the time has come", secs(30), || async { (!subtract().await.is_error()).then_some(()) }).await;
    // What is wrong is told with its place, and what was right before goes on.
    write(server.home(), &CHANGED.replace("datetime(\"2100-01-01\")", "datetime(\"2100-01-01\") &&"));
    let log = server.wait_log("the mistake", |log| log.contains("the configuration was rejected")).await;
    let line = CHANGED.lines().position(|line| line.contains("2100-01-01")).expect("a line") + 1;
    assert!(log.contains(&format!("policies/all.cedar:{line}:")), "{log}");
    let status = server.status_as(ROOT).await;
    let problem = &status["configuration"]["error"]["problems"][0];
    assert_eq!((&status["configuration"]["state"], &problem["line"]), (&json!("rejected"), &json!(line)), "{status}");
    assert!(problem["file"].as_str().is_some_and(|file| file.ends_with("policies/all.cedar")), "{problem}");
    assert_eq!(subtract().await.ok(), "1.0");
    // Lists follow, and who listens is told.
    write(server.home(), &CHANGED.replace("principal in Role::\"analyst\", action in", "principal in Role::\"clerk\", action in"));
    stream.wait_method("notifications/tools/list_changed").await;
    eventually("the list has changed", secs(30), || async {
        (!ann.tool_names().await.contains(&"test_simple_text".to_owned())).then_some(())
    })
    .await;
    // A file more.
    std::fs::write(server.home().join("policies/more.cedar"), "permit(principal in Role::\"analyst\", action, resource);")
        .expect("written");
    stream.wait_method("notifications/tools/list_changed").await;
    eventually("it counts too", secs(30), || async { ann.tool_names().await.contains(&"test_simple_text".to_owned()).then_some(()) }).await;
}

#[tokio::test]
async fn the_operator_is_shown_what_a_caller_sees_by_which_policy_and_what_is_wrong() {
    let setup = setup();
    let run = async |args: &[&str]| setup.run([&["check", "--plugins", "plugins", "--config", "toolbay.toml"], args].concat()).await;
    let told = run(&["--as", "bob"]).await.expect_code(0).all();
    for words in [
        "decided for each call by policy \"small sums\"",
        "permitted by policy \"everybody calculates\"",
        "no policy permits it",
        "denied by \"calculator__power\" in deny of [role.clerk]",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(run(&["--role", "analyst"]).await.expect_code(0).all().contains("permitted by policy \"analysts\""));
    write(setup.home(), &POLICIES.replace("Role::\"analyst\"", "Role::\"analist\"").replace("__multiply", "__multipy"));
    let told = run(&[]).await.expect_code(0).all();
    for words in ["names Role::\"analist\", and there is no [role.analist]", "is about Tool::\"calculator__multipy\""] {
        assert!(told.contains(words), "{words}: {told}");
    }
    write(setup.home(), "permit(principal, action, resource)\nwhen { resource.readOnlyHnt };\n");
    let told = run(&[]).await.expect_code(2).all();
    assert!(told.contains("all.cedar:2:8") || told.contains("all.cedar:2:"), "{told}");
    assert!(told.contains("readOnlyHnt"), "{told}");
    // The schema is there for who mends them.
    let schema = setup.run(["schema", "--policy"]).await.expect_code(0).all();
    assert!(schema.contains("\"a\"?: decimal") && schema.contains("entity Tool in [Server]"), "{schema}");
}

/// Sums are made from one address alone.
const NEAR: &str = r#"
permit(principal, action, resource);

@id("near")
@reason("sums are made at the office")
forbid(principal, action == Action::"call", resource == Tool::"calculator__add")
unless { context has address && context.address.isInRange(ip("127.0.0.2/31")) && context.address != ip("127.0.0.3") };

@id("texts at the office")
forbid(principal, action == Action::"read", resource in Server::"everything")
unless { context has address && context.address == ip("127.0.0.2") };
"#;

const ADDRESSES: &str = r#"
[auth.tokens]
ann = { from_env = "ANN" }

[policy]
files = ["policies/*.cedar"]

[audit]
file = "audit.log"

[pipeline.sum]

[[pipeline.sum.steps]]
tool = "add"
"#;

async fn near(more: &str) -> Server {
    let setup = Setup::new().plugin("calculator").test_plugin("everything").env("ANN", ANN).config(ADDRESSES).config(more);
    write(setup.home(), NEAR);
    setup.start().await
}

/// Whether who calls from this address, with this header, is let make sums: by all ways alike.
async fn may(url: &str, from: &str, forwarded: Option<&str>) -> bool {
    let mut headers = reqwest::header::HeaderMap::new();
    if let Some(forwarded) = forwarded {
        headers.insert("x-forwarded-for", forwarded.parse().expect("a header"));
    }
    let http = client::http_from(from);
    let numbers = json!({ "a": 1, "b": 2 });
    let mut seen = Vec::new();
    let modern = Client::at(url).through(&http).token(ANN);
    let old = Client::legacy_as(url, ANN).await.through(&http);
    for caller in [&modern, &old] {
        for (method, params) in [
            ("tools/call", json!({ "name": "add", "arguments": numbers })),
            // One call of another.
            ("tools/call", json!({ "name": "sum", "arguments": numbers })),
            ("resources/read", json!({ "uri": "test://static-text" })),
        ] {
            let (_, request) = caller.request(method, params);
            let answer = request.headers(headers.clone()).send().await.expect("an answer").text().await.expect("a body");
            let answer = serde_json_of(&answer);
            let denied = answer["error"].is_object() || answer["result"]["isError"] == true;
            assert!(!denied || answer.to_string().contains("denied by policy"), "{method}: {answer}");
            seen.push(!denied);
        }
    }
    let rest = url.replace("/mcp", "/call");
    let body = json!({ "tool_name": "add", "tool_args": numbers }).to_string();
    let request = http.post(rest).bearer_auth(ANN).headers(headers).body(body);
    let answer = request.send().await.expect("an answer").text().await.expect("a body");
    seen.push(!answer.contains("denied by policy"));
    assert!(seen.iter().all(|one| *one == seen[0]), "{from} {forwarded:?}: {seen:?}");
    seen[0]
}

#[tokio::test]
async fn where_a_caller_is_decides_and_nobody_but_a_trusted_proxy_says_where() {
    let (plain, trusting) = (near("").await, near("[http]\ntrusted_proxies = [\"127.0.0.1\", \"127.0.0.16/28\"]\n").await);
    for server in [&plain, &trusting] {
        assert!(may(&server.url, "127.0.0.2", None).await);
        assert!(!may(&server.url, "127.0.0.3", None).await);
        // A caller says that it is elsewhere.
        assert!(!may(&server.url, "127.0.0.3", Some("127.0.0.2")).await);
        assert!(may(&server.url, "127.0.0.2", Some("127.0.0.3")).await);
        assert!(!may(&server.url, "127.0.0.1", None).await, "the proxy itself");
    }
    assert!(!may(&plain.url, "127.0.0.1", Some("127.0.0.2")).await, "nobody is trusted unless the operator says so");
    assert!(may(&trusting.url, "127.0.0.1", Some("127.0.0.2")).await);
    assert!(may(&trusting.url, "127.0.0.1", Some("127.0.0.9, 127.0.0.2, 127.0.0.20")).await, "through two of them");
    for wrong in ["127.0.0.2, 127.0.0.9", "127.0.0.2, unknown", "127.0.0.2,", "127.0.0.2 127.0.0.2", ""] {
        assert!(!may(&trusting.url, "127.0.0.1", Some(wrong)).await, "{wrong}");
    }

    // Real ones.
    for kind in [HaProxy, Nginx] {
        let [before_plain, before_trusting] = [&plain, &trusting].map(|server| [server.address(); 3]);
        let Some(blind) = Balancer::start(kind, before_plain).await else { return };
        let Some(balancer) = Balancer::start(kind, before_trusting).await else { return };
        let url = balancer.url();
        assert!(!may(&blind.url(), "127.0.0.2", None).await, "{kind:?}: it is not believed");
        assert!(may(&url, "127.0.0.2", None).await, "{kind:?}");
        assert!(may(&url, "127.0.0.2", Some("127.0.0.3, nonsense")).await, "{kind:?}");
        assert!(!may(&url, "127.0.0.3", None).await, "{kind:?}");
        for forged in ["127.0.0.2", "127.0.0.2, 127.0.0.2", "127.0.0.2, 127.0.0.20"] {
            assert!(!may(&url, "127.0.0.3", Some(forged)).await, "{kind:?} {forged}");
        }
        // The operator reads where somebody was who was not let in.
        let http = client::http_from("127.0.0.3");
        let refused = http.get(url.replace("/mcp", "/tools")).bearer_auth("nobody-knows-this").send().await.expect("an answer");
        assert_eq!(refused.status(), 401);
    }
    trusting.wait_log("where it was", |line| line.contains("authentication failed") && line.contains("client=127.0.0.3")).await;
    // A line comes after the answer that it is about.
    let told = eventually("the audit", secs(20), async || {
        let audit = std::fs::read_to_string(trusting.home().join("audit.log")).unwrap_or_default();
        Some(audit.matches("\"peer\":\"127.0.0.3\"").count()).filter(|told| *told >= 2)
    });
    assert_eq!(told.await, 2);

    // It changes without a restart.
    std::fs::write(trusting.home().join("toolbay.toml"), ADDRESSES).expect("it can be written");
    trusting.wait_log("the change", |line| line.contains("configuration reloaded")).await;
    assert!(!may(&trusting.url, "127.0.0.1", Some("127.0.0.2")).await, "the proxy is not trusted any more");
}
