//! What servers elsewhere learn of who calls: headers passed on, a signed identity, and tokens of a real authorization server (oidc-provider), at an
//! upstream by the official SDK that verifies them (jose) and shows what it received.

use std::net::TcpListener;

use rcgen::KeyPair;
use toolbay_tests::{
    Client, Server, Setup, Value, client, eventually, json,
    lab::{Lab, Running},
    secs,
};

const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const STATE_KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "s3cret-0123456789";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

async fn get(url: &str) -> Value {
    let text = client::http().get(url).send().await.expect("an answer").text().await.expect("a body");
    text.parse().unwrap_or_else(|_| panic!("{url}: {text}"))
}

/// What the upstream received with a call.
async fn seen(client: &Client, tool: &str, headers: &[(&str, &str)]) -> Value {
    let (id, mut request) = client.request("tools/call", json!({ "name": tool, "arguments": {} }));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = toolbay_tests::client::Reply::read(request.send().await.expect("the server answers"), Some(id)).await;
    let text = reply.ok();
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[tokio::test]
async fn an_upstream_is_told_who_calls_by_a_signed_identity_and_by_the_headers_that_are_named() {
    let (lab, port, own) = (Lab::find(), free_port(), free_port());
    let identity =
        json!({ "jwks": format!("http://127.0.0.1:{own}/.well-known/jwks.json"), "audience": "up", "header": "Toolbay-Identity" });
    let _up = lab.running("upstream_server.mjs", &[&json!({ "port": port, "identity": identity }).to_string()]).await;
    let setup = Setup::new().env("ANN", ANN).listen(&format!("127.0.0.1:{own}"));
    std::fs::write(setup.home().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let grant = r#"forward = ["X-Request-Id", "Accept-Language"]
        identity = { keys = [{ from_file = "key.pem" }], audience = "up" }"#;
    let config = format!(
        r#"
        [auth]
        tokens.ann = {{ from_env = "ANN", roles = ["all", "more"] }}
        [role.all]
        servers = ["*"]
        [role.more]
        [server.up]
        url = "http://127.0.0.1:{port}/mcp"
        {grant}
        [server.app]
        openapi = "http://127.0.0.1:{port}/openapi.json"
        {grant}
        [pipeline.relay]
        steps = [{{ tool = "seen" }}]
        "#
    );
    let server = setup.config(&config).start().await;
    let headers = [
        ("X-Request-Id", "r-1"),
        ("Accept-Language", "de"),
        ("X-Other", "secret"),
        ("Cookie", "session=secret"),
        ("Toolbay-Identity", "forged"),
        ("User-Agent", "someone"),
    ];
    for client in [Client::modern(&server).token(ANN), Client::legacy_as(&server.url, ANN).await] {
        for tool in ["seen", "whoami", "relay"] {
            let seen = seen(&client, tool, &headers).await;
            let (received, identity) = (&seen["headers"], &seen["identity"]);
            assert_eq!((&received["x-request-id"], &received["accept-language"]), (&json!("r-1"), &json!("de")), "{seen}");
            for name in ["x-other", "cookie", "authorization"] {
                assert_eq!(received[name], Value::Null, "{name}: {seen}");
            }
            assert!(received["user-agent"].as_str().is_some_and(|agent| agent.starts_with("toolbay/")), "{seen}");
            // The upstream has verified it by the keys of this host.
            assert_eq!((&identity["sub"], &identity["aud"], &identity["iss"]), (&json!("ann"), &json!("up"), &json!("toolbay")), "{seen}");
            assert_eq!((&identity["roles"], &identity["alg"]), (&json!(["all", "more"]), &json!("ES256")), "{seen}");
        }
    }
    // The same by REST.
    let call = client::http().post(format!("{}/up/call", server.base)).bearer_auth(ANN).header("X-Request-Id", "r-2");
    let text = call.body(r#"{"tool_name": "seen", "tool_args": {}}"#).send().await.expect("an answer").text().await.expect("a body");
    assert!(text.contains("r-2") && text.contains("ann"), "{text}");
    // Only public halves are shown.
    let keys = get(&format!("{}/.well-known/jwks.json", server.base)).await;
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["d"], &keys["keys"][1]), (&json!("EC"), &Value::Null, &Value::Null));
    let log = server.log();
    assert!(!log.contains("PRIVATE KEY") && !log.contains("eyJ"), "{log}");
}

#[tokio::test]
async fn without_authentication_there_is_no_identity_and_none_can_be_made_up() {
    let (lab, port, own) = (Lab::find(), free_port(), free_port());
    let identity = json!({ "jwks": format!("http://127.0.0.1:{own}/.well-known/jwks.json"), "audience": "up", "header": "Authorization" });
    let _up = lab.running("upstream_server.mjs", &[&json!({ "port": port, "identity": identity }).to_string()]).await;
    let setup = Setup::new().listen(&format!("127.0.0.1:{own}"));
    std::fs::write(setup.home().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let config = format!(
        "[server.up]\nurl = \"http://127.0.0.1:{port}/mcp\"\nidentity = {{ keys = [{{ from_file = \"key.pem\" }}], audience = \"up\", header = \"Authorization\" }}"
    );
    let server = setup.config(&config).start().await;
    let seen = seen(&Client::modern(&server), "seen", &[("Authorization", "Bearer forged")]).await;
    assert_eq!((&seen["identity"], &seen["headers"]["authorization"]), (&Value::Null, &Value::Null), "{seen}");
}

/// A Toolbay, an authorization server, and an upstream that wants tokens of that.
struct Bench {
    server: Server,
    issuer: String,
    up: String,
    store: tempfile::TempDir,
    _running: [Running; 2],
}

impl Bench {
    /// `grants`: of the servers `up` and `app`, with `{issuer}` and `{audience}`.
    async fn start(grants: &str, secret: &str) -> Self {
        Self::with(grants, "", secret).await
    }

    /// `more`: of the server `up` alone.
    async fn with(grants: &str, more: &str, secret: &str) -> Self {
        let (lab, port, up, own) = (Lab::find(), free_port(), free_port(), free_port());
        let (issuer, up) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{up}"));
        let (audience, whole) = (format!("{up}/mcp"), format!("http://127.0.0.1:{own}/mcp"));
        let machine = |id: &str, grants: &[&str]| {
            json!({ "client_id": id, "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic", "grant_types": grants,
                "redirect_uris": [], "response_types": [] })
        };
        let clients = json!([
            machine("toolbay", &["client_credentials", EXCHANGE]),
            machine("ann", &["client_credentials"]),
            machine("bob", &["client_credentials"]),
            json!({ "client_id": "web", "token_endpoint_auth_method": "none", "redirect_uris": [format!("http://127.0.0.1:{own}/oauth-callback")] })
        ]);
        let config = json!({ "port": port, "resources": [whole, audience], "clients": clients, "exchange": true });
        let provider = lab.running("oidc_server.mjs", &[&config.to_string()]).await;
        let port = up.rsplit(':').next().expect("a port").parse::<u16>().expect("a port");
        let config = json!({ "port": port, "issuer": issuer, "audience": audience });
        let upstream = lab.running("upstream_server.mjs", &[&config.to_string()]).await;
        let store = tempfile::tempdir().expect("a folder");
        let grants = grants.replace("{issuer}", &issuer).replace("{audience}", &audience);
        let config = format!(
            r#"
            [auth]
            resource_url = "http://127.0.0.1:{own}"
            tokens.operator = {{ from_env = "ANN" }}
            tokens.bob = {{ from_env = "BOB" }}
            [state]
            keys = [{{ from_env = "STATE_KEY" }}]
            [store]
            path = "{}/store.redb"
            [auth.issuer.main]
            issuer = "{issuer}"
            claims = ["client_id", "absent"]
            [server.up]
            url = "{audience}"
            {grants}
            {more}
            [server.app]
            openapi = "{up}/openapi.json"
            {grants}
            "#,
            store.path().display()
        );
        let setup = Setup::new()
            .test_plugin("probe")
            .env("ANN", ANN)
            .env("BOB", BOB)
            .env("STATE_KEY", STATE_KEY)
            .env("UP_SECRET", secret)
            .listen(&format!("127.0.0.1:{own}"));
        let server = setup.config(&config).start().await;
        Self { server, issuer, up, store, _running: [provider, upstream] }
    }

    /// A caller's own token for this host.
    async fn token(&self, client: &str) -> String {
        let form = format!("grant_type=client_credentials&resource={}", self.server.url.replace(':', "%3A").replace('/', "%2F"));
        let request = client::http().post(format!("{}/token", self.issuer)).basic_auth(client, Some(SECRET)).body(form);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let token: Value = text.parse().unwrap_or_else(|_| panic!("{text}"));
        token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned()
    }

    /// How many tokens were given by a grant.
    async fn given(&self, grant: &str) -> u64 {
        get(&format!("{}/tokens", self.issuer)).await[grant].as_u64().unwrap_or_default()
    }

    /// Nothing of a secret is anywhere.
    async fn is_silent(&self, secrets: &[&str]) {
        let status = self.server.status_as(ANN).await.to_string();
        for text in [self.server.log(), status] {
            for secret in [SECRET, "eyJ"].iter().chain(secrets) {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
        }
    }
}

const CLIENT: &str = r#"client_credentials = { issuer = "{issuer}", client_id = "toolbay", client_secret = { from_env = "UP_SECRET" }, resource = "{audience}" }
"#;

#[tokio::test]
async fn the_hosts_own_token_is_asked_for_once_and_again_when_it_is_revoked() {
    let bench = Bench::start(CLIENT, SECRET).await;
    let caller = || Client::modern(&bench.server).token(ANN);
    let calls = (0..20).map(|number| {
        let (client, tool) = (caller(), if number % 2 == 0 { "seen" } else { "whoami" });
        async move { seen(&client, tool, &[]).await }
    });
    for seen in futures::future::join_all(calls).await {
        assert_eq!((&seen["token"]["sub"], &seen["token"]["client_id"]), (&json!("toolbay"), &json!("toolbay")), "{seen}");
    }
    // One for the MCP server, one for the application.
    assert_eq!(bench.given("client_credentials").await, 2);
    // The upstream stops accepting them: another is asked for.
    client::http().post(format!("{}/revoke-all", bench.up)).send().await.expect("an answer");
    for tool in ["seen", "whoami"] {
        eventually("a new token is accepted", secs(60), || async {
            let reply = caller().call(tool, json!({})).await;
            let text = reply.answer()["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
            text.contains("\"client_id\":\"toolbay\"").then_some(())
        })
        .await;
    }
    assert_eq!(bench.given("client_credentials").await, 4);
    bench.is_silent(&[]).await;
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_said_and_not_shown() {
    let bench = Bench::start(CLIENT, "wrong-secret-0123456789").await;
    let known = || async {
        let status = bench.server.status_as(ANN).await;
        let up = status["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "up").cloned();
        up.filter(|up| up["error"].as_str().is_some_and(|error| error.contains("invalid_client")))
    };
    let said = eventually("the reason is told", secs(60), known).await.to_string();
    assert!(said.contains("client_credentials of [server.up]") && said.contains("/token answers 401"), "{said}");
    bench.is_silent(&["wrong-secret"]).await;
}

#[tokio::test]
async fn a_callers_token_is_exchanged_for_one_of_the_upstream_and_each_caller_has_its_own_session() {
    let exchange = CLIENT.replace("client_credentials", "token_exchange");
    let bench = Bench::start(&format!("{CLIENT}{exchange}"), SECRET).await;
    let (ann, bob) = (bench.token("ann").await, bench.token("bob").await);
    // The host's clients, its own lists, and the two callers.
    let before = bench.given("client_credentials").await;
    let mut sessions = Vec::new();
    for (name, token) in [("ann", &ann), ("bob", &bob), ("ann", &ann), ("bob", &bob)] {
        for client in [Client::modern(&bench.server).token(token), Client::legacy_as(&bench.server.url, token).await] {
            let called = seen(&client, "seen", &[]).await;
            assert_eq!((&called["token"]["sub"], &called["token"]["client_id"]), (&json!(name), &json!("toolbay")), "{called}");
            assert_ne!(called["headers"]["authorization"], json!(format!("Bearer {token}")));
            sessions.push((name, called["session"].clone()));
            let called = seen(&client, "whoami", &[]).await;
            assert_eq!(called["token"]["sub"], name, "{called}");
        }
    }
    let of = |name: &str| sessions.iter().filter(|(of, _)| *of == name).map(|(_, id)| id.clone()).collect::<Vec<_>>();
    let (of_ann, of_bob) = (of("ann"), of("bob"));
    assert!(of_ann.iter().all(|id| *id == of_ann[0]) && of_bob.iter().all(|id| *id == of_bob[0]) && of_ann[0] != of_bob[0], "{sessions:?}");
    // For each caller and server once.
    assert_eq!((bench.given(EXCHANGE).await, bench.given("client_credentials").await), (4, before));
    assert_eq!(get(&format!("{}/counts", bench.up)).await["sessions"], 3, "one is the host's own");
    // Who has no token of the authorization server is told so, and does not call by the host's.
    let operator = Client::modern(&bench.server).token(ANN);
    for tool in ["seen", "whoami"] {
        let said = operator.call(tool, json!({})).await.failure();
        assert!(said.contains("token_exchange") && said.contains("without an access token"), "{said}");
    }
    // Plugins are told the claims that were chosen.
    let text = Client::modern(&bench.server).token(&ann).call("context", json!({})).await.text();
    let told: Value = text.parse().unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(
        (&told["principal"], &told["roles"], &told["claims"]),
        (&json!("main:ann"), &json!([]), &json!({ "client_id": "ann" })),
        "{told}"
    );
    bench.is_silent(&[&ann, &bob]).await;
}

/// A link that a person gets, in the answer of a call by a client that can show one.
async fn asked_to_visit(client: &Client) -> (Value, String) {
    let asked = client.call("seen", json!({})).await;
    let result = asked.result().clone();
    assert_eq!(result["resultType"], "input_required", "{asked:?}");
    let question = result["inputRequests"].as_object().and_then(|asked| asked.values().next()).expect("a question").clone();
    assert_eq!(question["params"]["mode"], "url", "{question}");
    (result.clone(), question["params"]["url"].as_str().expect("a link").to_owned())
}

#[tokio::test]
async fn a_person_connects_an_account_once_and_is_called_for_with_its_token_from_then_on() {
    let lab = Lab::find();
    let bench = Bench::with(CLIENT, "oauth = { }\n", SECRET).await;
    let connect = async |link: &str, more: &[&str]| -> Value {
        let ran = lab.client("connect_account.mjs", &[&[link, "alice"], more].concat()).await;
        ran.stdout.lines().last().unwrap_or_default().parse().unwrap_or_else(|_| panic!("{}\n{}", ran.all, bench.server.log()))
    };
    // Who cannot be asked gets the link in the error.
    let said = Client::modern(&bench.server).token(BOB).call("seen", json!({})).await;
    let error = said.error();
    let visit = &error["data"]["elicitations"][0];
    assert_eq!((&error["code"], &visit["mode"]), (&json!(-32042), &json!("url")), "{said:?}");
    assert!(visit["url"].as_str().is_some_and(|url| url.starts_with(&format!("{}/oauth-start?state=", bench.server.base))), "{said:?}");

    let client = Client::modern(&bench.server).token(ANN).able(json!({ "elicitation": { "url": {} } }));
    let (result, link) = asked_to_visit(&client).await;
    // In another browser it does not work: somebody else's link is of no use.
    let other = connect(&link, &["other"]).await;
    assert!(other["status"] == 400 && other["last"].as_str().is_some_and(|last| last.contains("not the browser")), "{other}");
    let other = if link.as_bytes()[link.len() - 20] == b'x' { 'y' } else { 'x' };
    let changed = connect(&format!("{}{other}{}", &link[..link.len() - 20], &link[link.len() - 19..]), &[]).await;
    assert_eq!(changed["status"], 400, "{changed}");
    let connected = connect(&link, &[]).await;
    assert_eq!(connected["status"], 200, "{connected}");
    assert!(connected["page"].as_str().is_some_and(|page| page.contains("<strong>operator</strong>")), "{connected}");
    let asked = &connected["asked"];
    assert_eq!((&asked["code_challenge_method"], &asked["scope"]), (&json!("S256"), &json!("mcp:tools")), "{asked}");
    assert_eq!(asked["resource"], format!("{}/mcp", bench.up), "{asked}");
    // The call goes on with the answer, and the next ones ask nothing.
    let key = result["inputRequests"].as_object().and_then(|asked| asked.keys().next()).expect("a key").clone();
    let again = json!({ "name": "seen", "arguments": {}, "requestState": result["requestState"], "inputResponses": { key: { "action": "accept" } } });
    let answered: Value = client.rpc("tools/call", again).await.ok().parse().expect("JSON");
    assert_eq!(answered["token"]["sub"], "alice", "{answered}");
    for client in [Client::modern(&bench.server).token(ANN), Client::legacy_as(&bench.server.url, ANN).await] {
        assert_eq!(seen(&client, "seen", &[]).await["token"]["sub"], "alice");
    }
    // It is nobody else's.
    assert_eq!(Client::modern(&bench.server).token(BOB).call("seen", json!({})).await.code(), -32042);

    // A token that is revoked is renewed by its refresh token.
    client::http().post(format!("{}/revoke-all", bench.up)).send().await.expect("an answer");
    let caller = Client::modern(&bench.server).token(ANN);
    eventually("it is renewed", secs(60), || async {
        let reply = caller.call("seen", json!({})).await;
        reply.answer().get("error").is_none().then_some(())
    })
    .await;
    assert!(bench.given("refresh_token").await >= 1);

    // What is kept is encrypted.
    let store = std::fs::read(bench.store.path().join("store.redb")).expect("the store");
    assert!(store.windows(16).any(|part| part == b"account/up/opera"), "it is there");
    for secret in ["eyJ", "refresh"] {
        assert!(!store.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in the store");
    }
    let account = async |method: &str| -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = client::http().request(method, format!("{}/oauth-accounts?server=up", bench.server.base));
        let text = request.bearer_auth(ANN).send().await.expect("an answer").text().await.expect("a body");
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    };
    assert_eq!(account("GET").await, json!({ "server": "up", "connected": true }));
    // The person takes it back.
    assert_eq!(account("DELETE").await, json!({ "server": "up", "connected": false }));
    assert!(account("GET").await["url"].as_str().is_some_and(|url| url.contains("/oauth-start?state=")));
    assert_eq!(caller.call("seen", json!({})).await.code(), -32042);
    bench.is_silent(&["refresh_token="]).await;
}

#[tokio::test]
async fn an_operator_lists_the_accounts_of_callers_and_disconnects_them() {
    let lab = Lab::find();
    let bench = Bench::with(CLIENT, "oauth = { }\n", SECRET).await;
    let server = &bench.server;
    let (ann, bob) = (Client::modern(server).token(ANN), Client::modern(server).token(BOB));
    let connect = async |client: &Client, login: &str| {
        let said = client.call("seen", json!({})).await;
        let link = said.error()["data"]["elicitations"][0]["url"].as_str().unwrap_or_else(|| panic!("{said:?}")).to_owned();
        let ran = lab.client("connect_account.mjs", &[&link, login]).await;
        assert!(ran.stdout.contains("Connected"), "{}", ran.all);
    };
    connect(&ann, "alice").await;
    connect(&bob, "bob").await;
    let run_as = async |who: &str, args: &[&str]| {
        let at = ["--url", &server.base, "--token-env", who];
        Setup::new().env("ANN", ANN).env("BOB", BOB).run([&["accounts"], args, &at].concat()).await
    };
    let run = async |args: &[&str]| run_as("ANN", args).await;
    let send = async |method: &str, path: &str, token: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = client::http().request(method, format!("{}{path}", server.base)).bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    // Without roles nobody is told apart, and nobody has to do with the accounts of others.
    for (who, token, other) in [("ANN", ANN, "bob"), ("BOB", BOB, "operator")] {
        for args in [&["list"][..], &["revoke", "--all"], &["revoke", "--subject", other]] {
            let refused = run_as(who, args).await;
            assert!(refused.expect_code(1).stderr.contains("are for operators"), "{}", refused.all());
        }
        for method in ["GET", "DELETE"] {
            assert_eq!(send(method, "/oauth-accounts/all?all=true", token).await, 403);
            assert_eq!(send(method, &format!("/oauth-accounts?server=up&subject={other}"), token).await, 403);
        }
        assert_eq!(send("GET", "/oauth-accounts?server=up", token).await, 200);
    }
    assert_eq!(seen(&bob, "seen", &[]).await["token"]["sub"], "bob");
    let config = server.home().join("toolbay.toml");
    let with_roles = std::fs::read_to_string(&config).expect("the configuration");
    let with_roles = with_roles
        .replace("tokens.operator = { from_env = \"ANN\" }", "tokens.operator = { from_env = \"ANN\", roles = [\"operator\"] }")
        .replace("tokens.bob = { from_env = \"BOB\" }", "tokens.bob = { from_env = \"BOB\", roles = [\"member\"] }");
    std::fs::write(&config, format!("{with_roles}\n[role.operator]\nservers = [\"*\"]\n[role.member]\nservers = [\"up\"]\n"))
        .expect("written");
    eventually("roles apply", secs(20), async || (send("GET", "/oauth-accounts/all", ANN).await == 200).then_some(())).await;
    let refused = run_as("BOB", &["revoke", "--all"]).await;
    assert!(refused.expect_code(1).stderr.contains("the token in BOB is not one of these"), "{}", refused.all());
    assert_eq!(send("DELETE", "/oauth-accounts?server=up&subject=operator", BOB).await, 403);
    let listed = run(&["list"]).await;
    let lines: Vec<&str> = listed.expect_code(0).stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", listed.all());
    assert!(lines[0].starts_with("SERVER  CALLER") && lines.iter().filter(|line| line.starts_with("up ")).count() == 2, "{}", listed.all());
    assert!(lines.iter().any(|line| line.contains(" operator ") && line.contains("connected") && line.contains("then renewed")));
    let json = run(&["list", "--json", "--subject", "operator"]).await;
    let all: Value = json.expect_code(0).stdout.parse().unwrap_or_else(|_| panic!("{}", json.all()));
    let [one] = &all["accounts"].as_array().expect("a list")[..] else { panic!("{all}") };
    assert_eq!((&one["server"], &one["subject"], &one["state"]), (&json!("up"), &json!("operator"), &json!("connected")), "{one}");
    assert!(!json.stdout.contains("eyJ") && !listed.stdout.contains("eyJ"), "tokens are shown to nobody");
    assert_eq!(run(&["list", "--server", "app"]).await.expect_code(0).stdout, "no accounts are connected\n");
    // What is wrong is told, and nothing is done.
    let which = run(&["revoke"]).await;
    assert!(which.expect_code(2).stderr.contains("--server") && which.stderr.contains("--all"), "{}", which.all());
    assert!(run(&["revoke", "--subject", "nobody"]).await.expect_code(1).stdout.contains("there is no account of \"nobody\""));
    let at = ["--url", server.base.as_str()];
    let missing = Setup::new().run([&["accounts", "list"], &at[..]].concat()).await;
    assert!(missing.expect_code(1).stderr.contains("--token-env"), "{}", missing.all());
    assert_eq!(seen(&bob, "seen", &[]).await["token"]["sub"], "bob");
    let refused = client::http().delete(format!("{}/oauth-accounts/all", server.base)).bearer_auth(ANN).send().await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 400, "not without saying which");

    // One caller, and then all. The host that runs asks them again at once, and revokes their tokens.
    let revoked = run(&["revoke", "--subject", "operator", "--server", "up"]).await;
    assert_eq!(revoked.expect_code(0).stdout, "disconnected operator at up\n1 account disconnected\n");
    assert_eq!(ann.call("seen", json!({})).await.code(), -32042);
    assert_eq!(seen(&bob, "seen", &[]).await["token"]["sub"], "bob");
    connect(&ann, "alice").await;
    let revoked = run(&["revoke", "--all"]).await;
    assert!(revoked.expect_code(0).stdout.ends_with("2 accounts disconnected\n"), "{}", revoked.all());
    for client in [&ann, &bob] {
        assert_eq!(client.call("seen", json!({})).await.code(), -32042);
    }
    assert_eq!(run(&["list"]).await.expect_code(0).stdout, "no accounts are connected\n");
    server.wait_log("who did it", |line| line.contains("disconnected by an operator") && line.contains("operator")).await;
    bench.is_silent(&["refresh_token="]).await;
}

#[tokio::test]
async fn the_accounts_of_all_are_for_who_may_use_everything() {
    let config = "[auth.tokens]\nann = { from_env = \"ANN\", roles = [\"all\"] }\nbob = { from_env = \"BOB\", roles = [\"few\"] }\n\
                  [role.all]\nservers = [\"*\"]\n[role.few]\ntools = [\"probe__echo\"]\n";
    let setup = || Setup::new().test_plugin("probe").env("ANN", ANN).env("BOB", BOB);
    let server = setup().config(config).start().await;
    let run = async |args: &[&str]| setup().run([&["accounts"], args, &["--url", &server.url]].concat()).await;
    for args in [&["list", "--token-env", "BOB"][..], &["revoke", "--all", "--token-env", "BOB"]] {
        let refused = run(args).await;
        assert!(refused.expect_code(1).stderr.contains("are for operators"), "{}", refused.all());
        assert!(refused.stderr.contains("the token in BOB is not one of these"), "{}", refused.all());
    }
    assert_eq!(run(&["list", "--token-env", "ANN"]).await.expect_code(0).stdout, "no accounts are connected\n");
    assert!(run(&["list", "--token-env", "NOBODY"]).await.expect_code(2).stderr.contains("NOBODY"));
}

#[tokio::test]
async fn a_server_that_shows_nothing_without_an_account_is_listed_with_one() {
    let lab = Lab::find();
    let bench = Bench::with("", "oauth = { lists_as = \"operator\", client_id = \"web\", scopes = [\"mcp:tools\"] }\n", SECRET).await;
    let error = eventually("it waits for an account", secs(60), || async {
        let status = bench.server.status_as(ANN).await;
        let up = status["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "up").cloned();
        up.and_then(|up| up["error"].as_str().map(str::to_owned))
    })
    .await;
    assert!(error.contains("operator has not connected an account") && error.contains("lists_as"), "{error}");
    let request = client::http().get(format!("{}/oauth-accounts?server=up", bench.server.base)).bearer_auth(ANN);
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    let account: Value = text.parse().unwrap_or_else(|_| panic!("{text}"));
    let link = account["url"].as_str().expect("a link").to_owned();
    let ran = lab.client("connect_account.mjs", &[&link, "alice"]).await;
    assert!(ran.stdout.contains("Connected"), "{}", ran.all);
    let client = Client::modern(&bench.server).token(ANN);
    let listed = || async { client.tool_names().await.contains(&"seen".to_owned()).then_some(()) };
    eventually("it is listed", secs(90), listed).await;
    assert_eq!(seen(&client, "seen", &[]).await["token"]["sub"], "alice");
    assert_eq!(Client::modern(&bench.server).token(BOB).call("seen", json!({})).await.code(), -32042);
}
