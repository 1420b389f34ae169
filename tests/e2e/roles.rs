//! Roles: two callers of one server, and a crawler that looks for the names of what the other may use.

use std::collections::BTreeSet;

use toolbay_tests::{Client, Reply, Server, Setup, Value, client::unpacked, eventually, json, secs};

const ADMIN: &str = "admin-0123456789abcdef";
const LEFT: &str = "left-0123456789abcdef";
const RIGHT: &str = "right-0123456789abcdef";
const NOBODY: &str = "nobody-0123456789abcdef";

const TOKENS: &str = r#"
[auth.tokens]
admin = { from_env = "ADMIN", roles = ["admin"] }
left = { from_env = "LEFT", roles = ["left", "probes"] }
right = { from_env = "RIGHT", roles = ["right"] }
nobody = { from_env = "NOBODY" }

[role.admin]
servers = ["*"]
"#;

const ROLES: &str = r#"
[role.left]
servers = ["calculator"]
tools = ["everything__test_simple_text", "everything__test_error_handling", "sum_up"]

[role.probes]
tools = ["probe__echo"]

[role.right]
servers = ["everything", "notes"]
deny = ["everything__test_simple_text", "test_error_*", "*static-binary*"]
"#;

/// Everything that has an address of its own, or is made of others: for the crawler.
const MORE: &str = r#"
[console]
enabled = true

[http]
card = true
card_description = "A test."

[metrics]
authenticate = true

[audit]
file = "audit.jsonl"

[endpoint.found]
search = true

[endpoint.secretive]
servers = ["weather"]
roles = ["admin"]

[pipeline.overcast_summary]
description = "A test."

[[pipeline.overcast_summary.steps]]
tool = "weather__get_alerts"

[pipeline.sum_up]
description = "A test."

[[pipeline.sum_up.steps]]
tool = "get_alerts"

[server.unreachable_upstream]
url = "http://127.0.0.1:9/mcp"
"#;

async fn start() -> Server {
    with("").await
}

async fn with(more: &str) -> Server {
    let setup = Setup::new().plugin("calculator").plugin("weather").test_plugin("everything").test_plugin("notes").test_plugin("probe");
    let setup = setup.env("ADMIN", ADMIN).env("LEFT", LEFT).env("RIGHT", RIGHT).env("NOBODY", NOBODY);
    setup.config(TOKENS).config(ROLES).config(more).start().await
}

/// What is asked of the console.
const CONSOLE: [&str; 14] = [
    "",
    "/api/session",
    "/api/live",
    "/api/history",
    "/api/status",
    "/api/offers",
    "/api/tool?name=get_alerts",
    "/api/calls",
    "/api/log",
    "/api/present",
    "/api/lock",
    "/api/roles",
    "/api/seen?as=admin",
    "/api/nothing",
];

/// What there is to be known, or to be hidden.
#[derive(Clone, Debug, Default)]
struct Names {
    tools: BTreeSet<String>,
    prompts: BTreeSet<String>,
    addresses: BTreeSet<String>,
    providers: BTreeSet<String>,
}

impl Names {
    /// All that a caller is shown, by lists and `/status`.
    async fn of(server: &Server, token: &str) -> Self {
        let client = Client::modern(server).token(token);
        let list = async |method: &str, member: &str, key: &str| -> BTreeSet<String> {
            let listed = client.rpc(method, json!({})).await.result()[member].clone();
            listed.as_array().expect("a list").iter().map(|item| item[key].as_str().expect("a name").to_owned()).collect()
        };
        let status = server.status_as(token).await;
        let providers = status["plugins"].as_array().expect("plugins");
        let mut addresses = list("resources/list", "resources", "uri").await;
        addresses.extend(list("resources/templates/list", "resourceTemplates", "uriTemplate").await);
        Self {
            tools: list("tools/list", "tools", "name").await,
            prompts: list("prompts/list", "prompts", "name").await,
            addresses,
            providers: providers.iter().map(|plugin| plugin["name"].as_str().expect("a name").to_owned()).collect(),
        }
    }

    /// What the words of these may not be in.
    fn hidden_from(&self, seen: &Self) -> Vec<String> {
        let all = |names: &Self| -> BTreeSet<String> {
            [&names.tools, &names.prompts, &names.addresses, &names.providers].into_iter().flatten().cloned().collect()
        };
        let (everything, seen) = (all(self), all(seen));
        // A name that is a part of one that may be known cannot be looked for, nor one that is a word (`state`, `add`).
        let is_word = |name: &str| name.len() < 9 && name.chars().all(char::is_alphabetic);
        let is_part = |name: &str| seen.iter().any(|known| known.contains(name));
        everything.difference(&seen).filter(|name| !is_word(name) && !is_part(name)).cloned().collect()
    }
}

/// Whether a text has this name in it, but for parts of longer words (`structured` in `structuredContent`).
fn tells_of(text: &str, name: &str) -> bool {
    let is_letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !is_letter(before.chars().next_back()) && !is_letter(after.chars().next())
    })
}

/// A name that is near to this one, so that an error could suggest it.
fn misspelt(name: &str) -> String {
    let mut text: Vec<char> = name.chars().collect();
    text.pop();
    text.push('~');
    text.into_iter().collect()
}

struct Crawler<'a> {
    server: &'a Server,
    /// Empty: it shows none.
    token: &'static str,
    hidden: Vec<String>,
    looked: usize,
}

impl Crawler<'_> {
    /// Looks for hidden names in what was answered, beside what was asked for.
    fn look(&mut self, what: &str, asked: &str, answer: &str) {
        let answer = if asked.is_empty() { answer.to_owned() } else { answer.replace(asked, "") };
        for name in &self.hidden {
            assert!(!tells_of(&answer, name), "{}: {what} tells of {name:?}: {answer}", self.token);
        }
        self.looked += 1;
    }

    async fn http(&mut self, method: &str, path: &str, asked: &str, body: Option<Value>) -> String {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}{path}", self.server.address());
        let mut request = toolbay_tests::client::http().request(method.clone(), url);
        if !self.token.is_empty() {
            request = request.bearer_auth(self.token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.header("accept-encoding", "gzip").send().await.expect("an answer");
        let head = format!("{} {:?}", response.status(), response.headers());
        let body = unpacked(response).await;
        self.look(&format!("{method} {path}"), asked, &format!("{head}\n{body}"));
        body
    }

    fn reply(&mut self, what: &str, asked: &str, reply: &Reply) {
        self.look(what, asked, &format!("{:?}\n{}", reply.headers, reply.body));
    }

    /// Everything that can be asked over HTTP without MCP.
    async fn plain(&mut self, everything: &Names) {
        for path in [
            "/",
            "/status",
            "/tools",
            "/openapi.json",
            "/healthz",
            "/readyz",
            "/metrics",
            "/nothing",
            "/.well-known/oauth-protected-resource",
            "/.well-known/jwks.json",
            "/.well-known/ai-catalog.json",
            "/mcp/server-card",
            "/oauth-accounts",
            "/oauth-accounts/all",
            "/oauth-start?state=x",
            "/oauth-callback?state=x",
        ] {
            self.http("GET", path, "", None).await;
        }
        for path in CONSOLE {
            self.http("GET", &format!("/console{path}"), "get_alerts", None).await;
        }
        for act in ["restart", "disable", "reload", "accept"] {
            for name in ["weather", "nothing"] {
                self.http("POST", &format!("/console/api/{act}"), name, Some(json!({ "name": name, "provider": name, "tool": name })))
                    .await;
            }
        }
        self.http("DELETE", "/oauth-accounts/all?all=true", "", None).await;
        self.http("DELETE", "/oauth-accounts?server=weather&subject=admin", "weather", None).await;
        for provider in everything.providers.iter().cloned().chain(["nothing".to_owned()]) {
            self.http("GET", &format!("/{provider}/tools"), &provider, None).await;
            self.http("POST", &format!("/{provider}/call"), &provider, Some(json!({ "tool_args": {} }))).await;
            self.http("POST", &format!("/{provider}/mcp"), &provider, Some(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })))
                .await;
            self.http("GET", &format!("/{}/tools", misspelt(&provider)), "", None).await;
            self.http("GET", &format!("/{provider}/openapi.json"), &provider, None).await;
            self.http("GET", &format!("/{provider}/mcp/server-card"), &provider, None).await;
            self.http("GET", &format!("/.well-known/oauth-protected-resource/{provider}/mcp"), &provider, None).await;
            for method in ["GET", "DELETE"] {
                self.http(method, &format!("/oauth-accounts?server={provider}"), &provider, None).await;
            }
        }
        for tool in &everything.tools {
            for name in [tool.clone(), misspelt(tool)] {
                self.http("POST", "/call", &name, Some(json!({ "tool_name": name, "tool_args": {} }))).await;
            }
        }
        self.http("POST", "/call", "", Some(json!({ "tool_args": {} }))).await;
    }

    /// Everything that can be asked by MCP at one endpoint.
    async fn mcp(&mut self, client: &Client, everything: &Names) {
        for method in
            ["initialize", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover", "no/such"]
        {
            let reply = client.rpc(method, json!({})).await;
            self.reply(method, "", &reply);
        }
        let asked = [
            ("tools/call", "name", &everything.tools),
            ("prompts/get", "name", &everything.prompts),
            ("resources/read", "uri", &everything.addresses),
            ("resources/subscribe", "uri", &everything.addresses),
        ];
        for (method, member, names) in asked {
            for name in names {
                // What may be used is not run: what it says is its own business.
                let candidates = if self.hidden.contains(name) { vec![name.clone(), misspelt(name)] } else { vec![misspelt(name)] };
                for asked in candidates {
                    let reply = client.rpc(method, json!({ member: asked })).await;
                    self.reply(&format!("{method} {asked}"), &asked, &reply);
                }
            }
        }
        for (method, params) in [
            ("tasks/get", json!({ "taskId": "weather" })),
            ("tasks/cancel", json!({ "taskId": "x" })),
            ("logging/setLevel", json!({ "level": "debug" })),
        ] {
            let reply = client.rpc(method, params).await;
            self.reply(method, "weather", &reply);
        }
        for (kind, member, names) in [("ref/prompt", "name", &everything.prompts), ("ref/resource", "uri", &everything.addresses)] {
            for name in names {
                let params = json!({ "ref": { "type": kind, member: name }, "argument": { "name": "x", "value": "" } });
                let reply = client.rpc("completion/complete", params).await;
                self.reply(&format!("a completion of {name}"), name, &reply);
            }
        }
    }
}

impl Crawler<'_> {
    /// What finds tools, and what calls those that were found.
    async fn search(&mut self, client: &Client, everything: &Names) {
        let words = ["weather", "alerts in a state", "everything that there is", "divide", "unreachable upstream"].map(str::to_owned);
        for query in everything.tools.iter().chain(&everything.providers).chain(&words) {
            let reply = client.call("find_tools", json!({ "query": query, "limit": 50 })).await;
            self.reply(&format!("a search for {query}"), query, &reply);
        }
        for name in &everything.tools {
            if self.hidden.contains(name) {
                let reply = client.call("call_tool", json!({ "name": name, "arguments": {} })).await;
                self.reply(&format!("a call of {name} by call_tool"), name, &reply);
            }
        }
    }

    /// Lists by their tags: that of somebody else's list is no tag of one's own.
    async fn tags(&mut self) {
        for path in ["/tools", "/openapi.json", "/calculator/tools", "/everything/tools", "/found/tools"] {
            let get = async |token: &str, tag: Option<&str>| {
                let url = format!("http://{}{path}", self.server.address());
                let mut request = toolbay_tests::client::http().get(url).bearer_auth(token);
                if let Some(tag) = tag {
                    request = request.header("if-none-match", tag);
                }
                let answer = request.send().await.expect("an answer");
                let tag = answer.headers().get("etag").map(|tag| tag.to_str().expect("text").to_owned());
                (answer.status().as_u16(), tag, answer.text().await.expect("a body"))
            };
            // A list may change once more when a plugin's optimised code takes over.
            let stays = async |token: &'static str| {
                eventually("a list that stays as it is", secs(30), async || {
                    let (status, tag, body) = get(token, None).await;
                    assert_eq!(status, 200, "{path}: {body}");
                    let tag = tag.unwrap_or_else(|| panic!("{path} has no tag"));
                    (get(token, Some(&tag)).await.0 == 304).then_some((tag, body))
                })
                .await
            };
            let (tag, whole) = stays(ADMIN).await;
            let (status, own, body) = get(self.token, Some(&tag)).await;
            if status == 304 {
                // It may see all of this list.
                self.look(&format!("GET {path}, which is said to be the admin's"), "", &whole);
                continue;
            }
            assert!(status == 200 || status == 404, "{path}: {status}");
            assert_ne!(own.as_ref(), Some(&tag), "{path}");
            let asked = path.strip_suffix("/tools").unwrap_or_default().trim_start_matches('/');
            self.look(&format!("GET {path} with a tag of the admin's"), asked, &body);
            if status == 200 {
                let (own, _) = stays(self.token).await;
                assert_eq!(get(ADMIN, Some(&own)).await.0, 200, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_crawler_finds_no_name_of_what_its_roles_do_not_allow() {
    let server = with(MORE).await;
    let mut everything = Names::of(&server, ADMIN).await;
    assert!(["overcast_summary", "unreachable_upstream"].iter().all(|name| everything.providers.contains(*name)), "{everything:?}");
    everything.providers.extend(["found", "secretive"].map(str::to_owned));
    assert!(everything.tools.len() > 20 && everything.prompts.len() > 2 && everything.addresses.len() > 3, "{everything:?}");
    for token in [LEFT, RIGHT, NOBODY] {
        let mut seen = Names::of(&server, token).await;
        let providers: Vec<String> = seen.providers.iter().cloned().collect();
        seen.providers.insert("found".to_owned());
        let hidden = everything.hidden_from(&seen);
        assert!(hidden.iter().any(|name| name == "secretive"), "{hidden:?}");
        assert!(hidden.len() > 10, "{hidden:?}");
        match token {
            LEFT => {
                assert_eq!(providers, ["calculator", "everything", "probe", "sum_up"]);
                assert!(seen.tools.contains("test_simple_text") && seen.tools.contains("add") && seen.tools.contains("echo"), "{seen:?}");
                assert!(!seen.tools.contains("test_image_content") && seen.prompts.is_empty() && seen.addresses.is_empty(), "{seen:?}");
            }
            RIGHT => {
                assert_eq!(providers, ["everything", "notes"]);
                assert!(!seen.tools.contains("test_simple_text") && seen.tools.contains("test_image_content"), "{seen:?}");
                assert!(!seen.addresses.iter().any(|uri| uri.contains("static-binary")) && !seen.addresses.is_empty(), "{seen:?}");
            }
            _ => assert!(seen.tools.is_empty() && providers.is_empty(), "{seen:?}"),
        }
        // Who has no token at all learns no more.
        let mut stranger = Crawler { server: &server, token: "", hidden: hidden.clone(), looked: 0 };
        stranger.plain(&everything).await;
        let mut crawler = Crawler { server: &server, token, hidden, looked: 0 };
        crawler.plain(&everything).await;
        crawler.tags().await;
        crawler.search(&Client::at(&server.url_of("found")).token(token), &everything).await;
        if token == LEFT {
            // One that it may call, and whose step it may not.
            let reply = Client::modern(&server).token(token).call("sum_up", json!({ "state": "CA" })).await;
            assert!(reply.failure().contains("not for this caller"), "{reply:?}");
            crawler.reply("a pipeline", "", &reply);
        }
        crawler.mcp(&Client::modern(&server).token(token), &everything).await;
        crawler.mcp(&Client::legacy_as(&server.url, token).await, &everything).await;
        for provider in &everything.providers {
            let url = server.url_of(provider);
            let reply = Client::at(&url).token(token).rpc("tools/list", json!({})).await;
            crawler.reply(&url, provider, &reply);
            if seen.providers.contains(provider) {
                crawler.mcp(&Client::at(&url).token(token), &everything).await;
            } else {
                assert_eq!(reply.status, 404, "{reply:?}");
            }
        }
        assert!(crawler.http("GET", "/metrics", "", None).await.contains("your roles do not allow"));
        assert!(crawler.looked > 200, "{}", crawler.looked);
    }
    // The operator can tell why, the caller cannot.
    let log = server.log();
    assert!(log.contains("was denied: denied by") && log.contains("was denied: no role names it"), "{log}");
}

#[tokio::test]
async fn what_is_denied_answers_as_what_is_unknown_over_http() {
    let server = start().await;
    let client = Client::modern(&server).token(RIGHT);
    let told = async |name: &str| client.call(name, json!({})).await.body.replace(name, "NAME");
    let id = without_id;
    assert_eq!(id(&told("get_alerts").await), id(&told("xxx_zzzzzzz_qqqqqqq").await));
    let rest = async |name: &str| {
        let url = format!("http://{}/call", server.address());
        let body = json!({ "tool_name": name, "tool_args": {} }).to_string();
        let answer = toolbay_tests::client::http().post(url).bearer_auth(RIGHT).body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body").replace(name, "NAME"))
    };
    assert_eq!(rest("greatest_common_divisor").await, rest("qqqqqqqqq").await);
    assert_eq!(rest("greatest_common_divisor").await.0, 404);
    // What is done for one is done for the other, so that it takes as long: the operator reads of both.
    for (name, why) in [("get_alerts", "no role names it"), ("xxx_zzzzzzz_qqqqqqq", "there is no such tool")] {
        let line = server.wait_log(name, |line| line.contains(&format!("a call of tool \"{name}\""))).await;
        assert!(line.contains(why) && line.contains("principal=\"right\"") && line.contains("roles=right"), "{line}");
    }
    let long = "y".repeat(100_000);
    assert_eq!(rest(&long).await.0, 404);
    let line = server.wait_log("the long name", |line| line.contains("a call of tool \"yyy")).await;
    assert!(line.len() < 1_000, "{}", line.len());
}

/// By hand: `cargo test -p toolbay-tests --test e2e takes_as_long -- --ignored --nocapture`, on a quiet machine.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_denied_name_takes_as_long_as_an_absent_one() {
    const CALLS: usize = 8_000;
    let server = start().await;
    let client = Client::modern(&server).token(RIGHT);
    for (method, member, denied, absent) in [
        ("tools/call", "name", "get_alerts", "get_alertz"),
        ("tools/call", "name", "calculator__power", "calculator__powwr"),
        ("prompts/get", "name", "weather_briefing", "weather_briefinf"),
        ("resources/read", "uri", "test://static-binary", "test://static-binarz"),
    ] {
        let mut times = [Vec::with_capacity(CALLS), Vec::with_capacity(CALLS)];
        for n in 0..2 * (CALLS + 200) {
            let name = [denied, absent][n % 2];
            let (_, request) = client.request(method, json!({ member: name }));
            let begin = std::time::Instant::now();
            request.send().await.expect("an answer").bytes().await.expect("a body");
            if n >= 400 {
                times[n % 2].push(begin.elapsed());
            }
        }
        for (name, times) in [denied, absent].iter().zip(&mut times) {
            times.sort();
            let mean = times.iter().sum::<std::time::Duration>() / u32::try_from(times.len()).expect("few");
            let at = |percent: usize| times[times.len() * percent / 100];
            println!("{method} {name}: mean {mean:?}, 10 % {:?}, 50 % {:?}, 90 % {:?}", at(10), at(50), at(90));
        }
    }
}

/// An answer without the number of its request.
fn without_id(body: &str) -> String {
    let mut message: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
    message["id"] = Value::Null;
    message.to_string()
}

#[tokio::test]
async fn a_changed_role_counts_at_once_and_is_told_to_those_whom_it_is_about() {
    let server = start().await;
    let (left, right) = (Client::modern(&server).token(LEFT), Client::modern(&server).token(RIGHT));
    let old = Client::legacy_as(&server.url, LEFT).await;
    let mut streams = [left.listen_modern().await, old.listen_legacy().await];
    let mut untouched = right.listen_modern().await;
    assert!(!left.tool_names().await.contains(&"get_forecast".to_owned()));
    let put = |roles: &str| std::fs::write(server.home().join("toolbay.toml"), format!("{TOKENS}{roles}")).expect("it can be written");
    put(&ROLES.replace("\"probe__echo\"", "\"probe__echo\", \"weather__*\""));
    for stream in &mut streams {
        stream.wait_method("notifications/tools/list_changed").await;
    }
    let weather = eventually("the role applies", secs(10), || async {
        Some(left.tool_names().await).filter(|names| names.iter().any(|name| name.contains("forecast")))
    });
    let weather = weather.await;
    assert_eq!(weather, old.tool_names().await);
    // A token that gets another role is another view too, also of a stream that is open.
    let tokens = TOKENS.replace("roles = [\"right\"]", "roles = [\"right\", \"probes\"]");
    std::fs::write(server.home().join("toolbay.toml"), format!("{tokens}{ROLES}")).expect("it can be written");
    untouched.wait_method("notifications/tools/list_changed").await;
    assert!(right.tool_names().await.contains(&"echo".to_owned()));
    // What is wrong changes nothing.
    put("[role.left]\ntools = [\"\"]\n");
    server.wait_log("the mistake", |log| log.contains("the configuration was rejected")).await;
    assert!(right.tool_names().await.contains(&"echo".to_owned()));
}

#[tokio::test]
async fn a_pattern_that_is_about_nothing_is_told() {
    let setup = Setup::new().plugin("calculator").config(
        "[trust]\nconfirm = [\"destructive\", \"divde*\", \"calculator__add\"]\n\
         [role.one]\nservers = [\"*\", \"calculater\"]\ntools = [\"sqrt*\", \"calculator__sub*\"]\nprompts = [\"*\"]\n\
         [role.one.limits.\"ad\"]\nrate = \"1/s\"\n",
    );
    let told = setup.run(["check"]).await.expect_code(0).all();
    let warnings: Vec<&str> =
        told.lines().filter_map(|line| line.strip_prefix("warning ")?.strip_suffix(" is about nothing that is on offer now")).collect();
    assert_eq!(
        warnings,
        [
            "\"divde*\" in confirm of [trust]",
            "\"calculater\" in servers of [role.one]",
            "\"sqrt*\" in tools of [role.one]",
            "\"ad\" in limits of [role.one]"
        ],
        "{told}"
    );
}

#[tokio::test]
async fn the_operator_is_shown_what_a_caller_sees_and_why() {
    let setup = Setup::new().plugin("calculator").test_plugin("everything");
    let setup = setup.env("ADMIN", ADMIN).env("LEFT", LEFT).env("RIGHT", RIGHT).env("NOBODY", NOBODY).config(TOKENS).config(ROLES);
    let run = async |args: &[&str]| setup.run([&["check", "--plugins", "plugins", "--config", "toolbay.toml"], args].concat()).await;
    let left = run(&["--as", "left"]).await;
    left.expect_code(0);
    for line in [
        "left has left, probes",
        "allowed by \"calculator\" in servers of [role.left]",
        "no role names it",
        "\"probe__echo\" in tools of [role.probes] is about nothing",
    ] {
        assert!(left.stdout.contains(line), "{}", left.stdout);
    }
    let right = run(&["--role", "right", "--json"]).await;
    let right: Value = serde_json::from_str(&right.stdout).expect("JSON");
    let text = right["offers"].as_array().expect("offers").iter().find(|offer| offer["name"] == "test_simple_text").expect("it is listed");
    assert_eq!(text["why"], "denied by \"everything__test_simple_text\" in deny of [role.right]");
    assert_eq!(text["allowed"], false);
    run(&["--as", "lefft"]).await.expect_code(2);
    assert!(run(&["--role", "lef"]).await.stderr.contains("did you mean \"left\"?"));
}

#[tokio::test]
async fn the_operator_is_shown_what_a_caller_of_an_issuer_would_see() {
    let setup = Setup::new().plugin("calculator").test_plugin("everything");
    let setup = setup.env("ADMIN", ADMIN).env("LEFT", LEFT).env("RIGHT", RIGHT).env("NOBODY", NOBODY).config(TOKENS).config(ROLES);
    let setup = setup.config(
        "[auth]\nresource_url = \"https://tools.example.com\"\n[auth.issuer.corp]\nissuer = \"https://login.example.com\"\n\
         scopes = [\"mcp:tools\"]\nroles_claim = \"resource_access.tools.example.com.roles\"\n\
         roles = { \"data team\" = [\"left\"], \"mcp:admin\" = [\"admin\"] }\nclaims = [\"department\"]\n\
         [policy]\nfiles = [\"only.cedar\"]\n[policy.claims]\ndepartment = \"String\"\n",
    );
    let policy = "permit(principal, action, resource) when { principal == Caller::\"corp:bob\" };\n\
                  permit(principal, action, resource) when { principal.claims has department && principal.claims.department == \"sales\" };\n";
    std::fs::write(setup.home().join("only.cedar"), policy).expect("it can be written");
    let run = async |who: &str, claims: &str| {
        let args = ["check", "--plugins", "plugins", "--config", "toolbay.toml", "--as", who, "--claims", claims];
        setup.run(args).await
    };
    let access = r#""resource_access": {"tools.example.com": {"roles": ["data team"]}}"#;
    for (who, claims, sees) in [
        ("corp:bob", format!(r#"{{"scope": "mcp:tools", {access}}}"#), "sees    tool      add "),
        ("corp:eve", format!(r#"{{"scope": "mcp:tools", {access}, "department": "sales"}}"#), "sees    tool      add "),
        ("corp:eve", format!(r#"{{"scp": ["mcp:tools"], {access}}}"#), "hidden  tool      add "),
        ("corp:bob", r#"{"scope": "mcp:tools"}"#.to_owned(), "corp:bob has no role"),
        ("corp:bob", r#"{"scope": "mcp:tools mcp:admin"}"#.to_owned(), "corp:bob has admin"),
    ] {
        let told = run(who, &claims).await;
        assert!(told.expect_code(0).stdout.contains(sees), "{who} {claims}: {}", told.all());
    }
    for (who, claims, why) in [
        ("corp:bob", "{}", "lacks scopes that this server needs: mcp:tools"),
        ("corp:", r#"{"scope": "mcp:tools"}"#, "claim \"sub\" is missing"),
        ("crop:bob", "{}", "there is no [auth.issuer.crop]; did you mean \"corp\"?"),
        ("corp:bob", "[]", "--claims is not a JSON object"),
        ("left", "{}", "write --as ISSUER:SUBJECT"),
    ] {
        let refused = run(who, claims).await;
        assert!(refused.expect_code(2).stderr.contains(why), "{who} {claims}: {}", refused.all());
    }
}
