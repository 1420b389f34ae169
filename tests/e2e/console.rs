//! The console: who may see it and who may act, what it answers, and all of it in a real browser.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use toolbay_tests::{Client, Load, Server, Setup, Value, client::http, eventually, files, json, lab::Lab, secs};

const OPERATOR: &str = "operator-0123456789abcdef";
const VIEWER: &str = "viewer-0123456789abcdef";
const CALLER: &str = "caller-0123456789abcdef";

const ACCESS: &str = r#"
[console]
enabled = true
view = ["viewer"]
operate = ["operator"]

[auth.tokens]
ann = { from_env = "OPERATOR", roles = ["operator", "all"] }
vera = { from_env = "VIEWER", roles = ["viewer", "all"] }
carl = { from_env = "CALLER", roles = ["caller"] }

[role.operator]
[role.viewer]
[role.all]
servers = ["*"]
[role.caller]
servers = ["calculator", "everything"]
deny = ["everything__test_logging_tool"]
"#;

/// Names of tools that no page may take for anything else.
const ODD: [&str; 6] = [
    "<img src=x onerror=alert(1)>",
    "quote\"and\\back",
    "a/b?c#d&e=f%20g",
    "überprüfen 測試",
    "turned\u{202e}dnuora",
    "long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_long_lon",
];

/// A host with roles, a plugin with everything, a server with odd names, a server that runs and one that does not.
async fn start() -> Server {
    let worker = files::root().join("tests/servers/worker.py");
    let listed = files::root().join("tests/servers/listed.py");
    let servers = format!(
        "[server.worker]\ncommand = [\"python3\", {worker:?}]\nstop_timeout = \"1s\"\n[server.gone]\ncommand = [\"false\"]\n\
         [server.odd]\ncommand = [\"python3\", {listed:?}, \"odd.json\"]\n"
    );
    let setup = Setup::new().plugin("calculator").test_plugin("everything").config(ACCESS).config("[audit]\nfile = \"audit.jsonl\"");
    let odd = ODD.map(|name| json!({ "name": name, "description": format!("{name} of a server that makes up names"), "inputSchema": { "type": "object" } }));
    std::fs::write(setup.home().join("odd.json"), json!(odd).to_string()).expect("it can be written");
    setup.config(&servers).env("OPERATOR", OPERATOR).env("VIEWER", VIEWER).env("CALLER", CALLER).start().await
}

async fn get(server: &Server, path: &str, token: Option<&str>, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = http().get(format!("{}{path}", server.base));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

async fn post(server: &Server, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = http().post(format!("{}{path}", server.base)).header("content-type", "application/json").body(body.to_string());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"))
}

async fn is_answered(client: &Client) -> bool {
    client.call("add", json!({ "a": 1, "b": 2 })).await.answer()["result"]["isError"] == json!(false)
}

#[tokio::test]
async fn there_is_no_console_unless_it_is_asked_for() {
    let server = Setup::new().plugin("calculator").start().await;
    for path in ["/console", "/console/app.js", "/console/api/live"] {
        assert_eq!(get(&server, path, None, &[]).await.0, 404, "{path}");
    }
    let server = Setup::new().plugin("calculator").arg("--console").start().await;
    assert_eq!(get(&server, "/console", None, &[]).await.0, 200);
    assert!(server.stdout().contains("/console"), "{}", server.stdout());
    assert_eq!(server.status().await["configuration"]["command_line"][2], "console.enabled");
}

#[tokio::test]
async fn the_page_is_for_anybody_and_everything_behind_it_for_roles() {
    let server = start().await;
    let page = http().get(format!("{}/console", server.base)).send().await.expect("an answer");
    let policy = page.headers()["content-security-policy"].to_str().expect("text");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
        assert!(policy.contains(part), "{policy}");
    }
    let tag = page.headers()["etag"].to_str().expect("text").to_owned();
    // A proxy that compresses makes a tag weak, and browsers may know several.
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        assert_eq!(get(&server, "/console", None, &[("if-none-match", &known)]).await, (304, String::new()), "{known}");
    }
    for path in [
        "/session",
        "/live",
        "/history",
        "/status",
        "/offers",
        "/tool?name=add",
        "/calls",
        "/lock",
        "/log",
        "/present",
        "/roles",
        "/seen?roles=caller",
    ] {
        let path = format!("/console/api{path}");
        assert_eq!(get(&server, &path, None, &[]).await.0, 401, "{path}");
        let (status, problem) = get(&server, &path, Some(CALLER), &[]).await;
        assert!(status == 403 && problem.contains("your roles are caller") && problem.contains("`view` in [console]"), "{path}: {problem}");
        for token in [VIEWER, OPERATOR] {
            let (status, answer) = get(&server, &path, Some(token), &[]).await;
            assert!(status == 200 && serde_json::from_str::<Value>(&answer).is_ok(), "{path}: {status} {answer}");
            assert!([OPERATOR, VIEWER, CALLER].iter().all(|secret| !answer.contains(secret)), "{path} shows a token: {answer}");
        }
        // A page of another origin, on loopback too, and one that a browser says is another site's.
        for header in [("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(get(&server, &path, Some(OPERATOR), &[header]).await.0, 403, "{path} {header:?}");
        }
    }
    assert_eq!(get(&server, "/console/api/nothing", Some(OPERATOR), &[]).await.0, 404);
    let (_, seen) = get(&server, "/console/api/seen?token=carl", Some(VIEWER), &[]).await;
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    let offer =
        |name: &str| seen["offers"].as_array().expect("offers").iter().find(|offer| offer["name"] == name).expect("an offer").clone();
    assert_eq!((offer("add")["allowed"].clone(), offer("echo")["allowed"].clone()), (json!(true), json!(false)));
    assert_eq!(offer("test_logging_tool")["why"], "denied by \"everything__test_logging_tool\" in deny of [role.caller]");
}

#[tokio::test]
async fn only_operators_act_and_every_action_is_audited() {
    let server = start().await;
    let actions = [
        ("restart", json!({ "server": "worker" })),
        ("disable", json!({ "provider": "calculator", "tool": "add", "disabled": true })),
        ("disable", json!({ "provider": "calculator", "tool": "add", "disabled": false })),
        ("reload", json!({})),
    ];
    for (action, body) in &actions {
        let path = format!("/console/api/{action}");
        assert_eq!(post(&server, &path, None, body).await.0, 401);
        let (status, problem) = post(&server, &path, Some(VIEWER), body).await;
        assert!(status == 403 && problem["try"].as_str().expect("a hint").contains("`operate` in [console]"), "{problem}");
        assert_eq!(get(&server, &path, Some(OPERATOR), &[]).await.0, 405);
    }
    let client = Client::modern(&server).token(CALLER);
    for (action, body) in &actions {
        assert_eq!(post(&server, &format!("/console/api/{action}"), Some(OPERATOR), body).await, (200, json!({})), "{action} {body}");
        let can_add = is_answered(&client).await;
        assert_eq!(can_add, body["disabled"] != json!(true), "{action} {body}");
    }
    for (action, body) in
        [("restart", json!({ "server": "calculator" })), ("disable", json!({ "provider": "calculator", "tool": "x", "disabled": true }))]
    {
        assert_eq!(post(&server, &format!("/console/api/{action}"), Some(OPERATOR), &body).await.0, 404);
    }
    assert_eq!(post(&server, "/console/api/restart", Some(OPERATOR), &json!([])).await.0, 400);
    let lines = eventually("all actions are audited", secs(10), || async {
        let text = std::fs::read_to_string(server.home().join("audit.jsonl")).ok()?;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let lines: Vec<Value> = lines.into_iter().filter(|line| line["event"] == "console").collect();
        (lines.len() >= 11).then_some(lines)
    })
    .await;
    let said = |line: &Value| {
        ["caller", "operation", "provider", "name", "outcome"].map(|key| line[key].as_str().unwrap_or("-").to_owned()).join(" ")
    };
    let said: Vec<String> = lines.iter().map(said).collect();
    assert_eq!(said.iter().filter(|line| *line == "vera - - - denied").count(), 4, "{said:#?}");
    for line in [
        "ann restart worker - ok",
        "ann disable calculator add ok",
        "ann enable calculator add ok",
        "ann reload - - ok",
        "ann restart - - invalid_params",
    ] {
        assert!(said.iter().any(|one| one == line), "{line} is not in {said:#?}");
    }
}

/// What the server `worker` says and nobody has accepted.
async fn unaccepted(server: &Server) -> Vec<Value> {
    let (status, answer) = get(server, "/console/api/lock", Some(VIEWER), &[]).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let all = answer["unaccepted"].as_array().expect("a list").iter();
    all.filter(|one| one["provider"] == "worker").cloned().collect()
}

#[tokio::test]
async fn what_upstreams_say_is_accepted_as_it_was_shown_by_operators_alone() {
    let server = start().await;
    let (_, nothing) = get(&server, "/console/api/lock", Some(VIEWER), &[]).await;
    assert_eq!(nothing, r#"{"locked":false,"unaccepted":[]}"#);
    // Nothing is accepted yet, so that nothing is offered.
    std::fs::write(server.home().join("toolbay.lock"), "version = 1\n").expect("it can be written");
    let client = Client::modern(&server).token(OPERATOR);
    let has_pid = async || client.call("pid", json!({})).await.answer()["result"]["isError"] == json!(false);
    eventually("the lock file counts", secs(20), || async { (!has_pid().await).then_some(()) }).await;
    let all = unaccepted(&server).await;
    let pid = all.iter().find(|one| one["sentence"].as_str().is_some_and(|text| text.contains("\"pid\""))).expect("the tool");
    assert!(pid["text"].as_str().is_some_and(|text| text.starts_with("new     tool pid of worker\n")), "{pid}");
    let body = json!({ "provider": "worker", "print": pid["print"] });
    let path = "/console/api/accept";
    assert_eq!(post(&server, path, None, &body).await.0, 401);
    assert_eq!(post(&server, path, Some(VIEWER), &body).await.0, 403);
    for (provider, print) in [("worker", json!("00")), ("calculator", pid["print"].clone()), ("nobody", pid["print"].clone())] {
        let (status, problem) = post(&server, path, Some(OPERATOR), &json!({ "provider": provider, "print": print })).await;
        assert!(status == 409 && problem["error"].as_str().is_some_and(|text| text.contains("not what was shown")), "{problem}");
    }
    assert_eq!(post(&server, path, Some(OPERATOR), &json!({ "provider": "worker" })).await.0, 400);
    assert_eq!(post(&server, path, Some(OPERATOR), &body).await, (200, json!({})));
    eventually("the tool is offered", secs(20), || async { has_pid().await.then_some(()) }).await;
    assert_eq!(unaccepted(&server).await.len(), all.len() - 1);
    // It is accepted already.
    assert_eq!(post(&server, path, Some(OPERATOR), &body).await.0, 409);
    eventually("it is audited", secs(10), || async {
        let text = std::fs::read_to_string(server.home().join("audit.jsonl")).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let accepted = lines.filter(|line| line["operation"] == "accept" && line["outcome"] == "ok").collect::<Vec<_>>();
        (accepted.len() == 1 && accepted[0]["caller"] == "ann" && accepted[0]["provider"] == "worker").then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_else_can_reach_a_console_without_authentication() {
    let setup = Setup::new().plugin("calculator").config("[console]\nenabled = true").listen("0.0.0.0:0").arg("--insecure");
    let refused = setup.refused().await;
    assert!(refused.expect_code(2).stderr.contains("refusing to start with a console on 0.0.0.0:0"), "{}", refused.stderr);
    let server = Setup::new().plugin("calculator").config("[console]\nenabled = true").start().await;
    assert_eq!(get(&server, "/console/api/live", None, &[]).await.0, 200);
    let (status, problem) = get(&server, "/console/api/live", None, &[("x-forwarded-for", "10.0.0.1")]).await;
    assert!(status == 403 && problem.contains("came through a proxy"), "{problem}");
}

#[tokio::test]
async fn a_console_at_an_address_of_its_own_is_nowhere_else_and_can_try_tools() {
    let server = Setup::new().plugin("calculator").config("[console]\nenabled = true\nlisten = \"127.0.0.1:0\"").start().await;
    let line = eventually("the console's address", secs(10), || async {
        server.stdout().lines().find(|line| line.trim_end().ends_with("/console")).map(str::to_owned)
    })
    .await;
    let console = line.trim().trim_end_matches("/console");
    assert_ne!(console, server.base);
    assert_eq!(get(&server, "/console", None, &[]).await.0, 404);
    let answer = http().get(format!("{console}/console/api/session")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(is_answered(&Client::at(&format!("{console}/mcp"))).await);
}

#[tokio::test]
async fn a_plugin_that_is_called_console_keeps_its_routes() {
    let server = Setup::new().file(&files::plugin("calculator"), "console").arg("--console").start().await;
    assert_eq!(get(&server, "/console/tools", None, &[]).await.0, 200);
    assert_eq!(
        post(&server, "/console/call", None, &json!({ "tool_name": "add", "tool_args": { "a": 1, "b": 2 } })).await,
        (200, json!({ "result": { "result": 3.0 } }))
    );
    assert!(is_answered(&Client::at(&server.url_of("console"))).await);
    assert_eq!(get(&server, "/console", None, &[]).await.0, 200);
}

#[tokio::test]
async fn what_was_before_a_page_is_opened_is_kept() {
    let server = Setup::new().plugin("calculator").arg("--console").start().await;
    Client::modern(&server).call("add", json!({ "a": 1, "b": 2 })).await.ok();
    let sample = eventually("the call is in the history", secs(60), || async {
        let (_, history) = get(&server, "/console/api/history", None, &[]).await;
        let history: Value = serde_json::from_str(&history).ok()?;
        history["samples"].as_array()?.last().filter(|sample| sample["calls"]["count"].as_u64() > Some(0)).cloned()
    })
    .await;
    assert!(sample["tools"].as_array().is_some_and(Vec::is_empty) && sample["providers"][0]["name"] == "calculator", "{sample}");
}

/// The middle of these numbers.
fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// Clients beside the page that stays open.
const CALLERS: usize = 8;

/// `TOOLBAY_CONSOLE_SECONDS` says for how long, and `TOOLBAY_CONSOLE_RATE` beside how many calls of a second. The host keeps five minutes of history, and the page shows them: until then both may grow.
#[tokio::test]
#[ignore = "an hour is for scripts/soak.sh"]
async fn a_page_that_stays_open_beside_load_takes_no_more_memory() {
    let seconds = std::env::var("TOOLBAY_CONSOLE_SECONDS").unwrap_or_else(|_| "3600".to_owned());
    // Calls of a second. Unset: as many as there can be.
    let rate: Option<f64> = std::env::var("TOOLBAY_CONSOLE_RATE").ok().map(|rate| rate.parse().expect("a number"));
    let pause = rate.map_or(secs(0), |rate| Duration::from_secs_f64(CALLERS as f64 / rate));
    let server = start().await;
    let load = Load::of(
        || Client::modern(&server).token(CALLER),
        CALLERS,
        move |client: Arc<Client>| async move {
            tokio::time::sleep(pause).await;
            let reply = client.call("divide", json!({ "a": 1, "b": 4 })).await;
            (reply.status != 200).then(|| format!("{reply:?}"))
        },
    );
    let resident = Arc::<Mutex<Vec<u64>>>::default();
    let lab = Lab::find();
    let arguments = [server.base.as_str(), VIEWER, seconds.as_str()];
    let browser = lab.long_client("console_soak.mjs", &arguments, secs(120 + seconds.parse::<u64>().expect("a number") * 2));
    let watch = async {
        loop {
            tokio::time::sleep(secs(1)).await;
            resident.lock().expect("nobody panics").push(server.resident());
        }
    };
    let ran = tokio::select! {
        ran = browser => ran,
        () = watch => unreachable!("it watches until the browser has ended"),
    };
    let (answered, errors) = (load.answered(), load.end().await);
    assert!(ran.success, "{}", ran.all);
    assert!(errors.is_empty() && answered > 100, "{answered} {errors:?}");
    let result = ran.all.lines().find_map(|line| line.strip_prefix("result ")).expect("its result");
    let result: Value = serde_json::from_str(result).expect("JSON");
    assert_eq!(result["wrong"], json!([]));
    let samples = result["samples"].as_array().expect("samples").clone();
    let resident = resident.lock().expect("nobody panics").clone();
    eprintln!("{answered} calls, resident {:?} {:?}, {samples:?}", resident.first(), resident.last());
    // The second quarter of the time next to the last one.
    let quarters = |count: usize| (count / 4..count / 2, count * 3 / 4..count);
    let (second, last) = quarters(resident.len());
    let (before, after) = (median(resident[second].iter().copied()), median(resident[last].iter().copied()));
    assert!(after < before + (24 << 20), "the host took {before} bytes, and now {after}");
    for (what, slack) in [("heap", 6 << 20), ("nodes", 2_000), ("listeners", 200)] {
        let of = |samples: &[Value]| median(samples.iter().map(|sample| sample[what].as_u64().expect("a number")));
        let (second, last) = quarters(samples.len());
        let (before, after) = (of(&samples[second]), of(&samples[last]));
        assert!(after < before + slack, "{what} of the page: {before}, and now {after}");
    }
}

/// Shows, tries and steers everything, and fails where anything breaks the content security policy or cannot be used without a mouse or eyes.
#[tokio::test]
async fn a_browser_shows_every_page_and_does_every_action() {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&chromium).exists() {
        assert!(std::env::var_os("CI").is_none(), "{chromium} is missing: apt-get install chromium");
        eprintln!("skipped: {chromium} is missing: apt-get install chromium, or set CHROMIUM to a browser");
        return;
    }
    let server = start().await;
    let pictures = files::root().join("target/console");
    let config = server.home().join("toolbay.toml");
    let (config, pictures) = (config.to_str().expect("text"), pictures.to_str().expect("text"));
    let odd = json!(ODD).to_string();
    let ran = Lab::find().client("console.mjs", &[&server.base, OPERATOR, VIEWER, config, CALLER, pictures, &odd]).await;
    assert!(ran.success, "pictures are in {pictures}\n{}", ran.all);
}
