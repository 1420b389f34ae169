//! OAuth: a real authorization server (oidc-provider), the SDKs' own OAuth clients, and tokens that are not let in.

use std::net::TcpListener;

use toolbay_tests::{
    Client, Server, Setup, Value, client, eventually, json,
    lab::{Lab, Running},
    secs,
};

pub(crate) const OPERATOR: &str = "operator-0123456789abcdef";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

/// A Toolbay and its authorization server.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) server: Server,
    pub(crate) provider: Option<Running>,
    pub(crate) issuer: String,
    port: u16,
    /// What else the authorization server is to be.
    wanted: Value,
    /// The URL of the server as its clients know it.
    pub(crate) public: String,
    config: String,
}

/// What signs what hosts give each other's clients.
const STATE: &str = "0123456789abcdef0123456789abcdef";

fn setup(config: &str, port: u16) -> Setup {
    let mut setup = Setup::new().plugin("calculator").test_plugin("probe").env("OPERATOR", OPERATOR).env("INTROSPECTS", INTROSPECTS);
    if config.contains("[plugin.everything]") {
        setup = setup.test_plugin("everything");
    }
    setup.env("STATE", STATE).listen(&format!("127.0.0.1:{port}")).config(config)
}

/// Clients that the authorization server knows: one that calls without a person, the server itself,
/// which asks about tokens, and one of a person.
fn clients() -> Value {
    let machine = |name: String| {
        json!({ "client_id": name, "client_secret": "s3cret-0123456789", "token_endpoint_auth_method": "client_secret_post",
            "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [] })
    };
    let mut clients = json!([
        machine("machine".to_owned()),
        { "client_id": "toolbay", "client_secret": INTROSPECTS, "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": [], "redirect_uris": [], "response_types": [] },
        // Registered beforehand: a client that registers itself may ask for no more than what its
        // first challenge said.
        { "client_id": "desk", "redirect_uris": ["http://127.0.0.1:9/callback"] },
    ]);
    clients.as_array_mut().expect("a list").extend(ALGORITHMS.map(|by| machine(format!("machine-{by}"))));
    clients
}

/// By which tokens are signed.
pub(crate) const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "EdDSA", "RS256", "PS256"];

/// By which the server authenticates where it asks about tokens.
pub(crate) const INTROSPECTS: &str = "introspects+0123456789/=%:";

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with("", json!({}), None).await
    }

    /// The same with `more` about the issuer, `wanted` of the authorization server, and perhaps a
    /// public URL that a balancer would have.
    pub(crate) async fn with(more: &str, wanted: Value, public: Option<&str>) -> Self {
        let (lab, port, own) = (Lab::find(), free_port(), free_port());
        let issuer = format!("http://127.0.0.1:{port}");
        let public = public.map_or_else(|| format!("http://127.0.0.1:{own}"), str::to_owned);
        let config = format!(
            r#"
            [auth]
            resource_url = "{public}"
            tokens.operator = {{ from_env = "OPERATOR", roles = ["all"] }}

            [auth.issuer.main]
            issuer = "{issuer}"
            scopes = ["mcp:tools"]
            roles_claim = "roles"
            roles = {{ analyst = ["math"], "mcp:admin" = ["all"] }}
            {more}

            [role.all]
            servers = ["*"]

            [role.math]
            tools = ["calculator__*"]
            "#
        );
        let server = setup(&config, own).start().await;
        let mut bench = Self { lab, server, provider: None, issuer, port, wanted, public, config };
        bench.provide(None).await;
        bench
    }

    /// Another server with the same configuration, as behind a balancer.
    pub(crate) async fn another(&self) -> Server {
        setup(&self.config, free_port()).start().await
    }

    /// Starts the authorization server, or starts it again with other keys.
    pub(crate) async fn provide(&mut self, keys: Option<Value>) {
        self.provider = None;
        let resources = ["/mcp", "/calculator/mcp"].map(|path| format!("{}{path}", self.public));
        let mut config = json!({ "port": self.port, "resources": resources, "clients": clients() });
        config.as_object_mut().expect("an object").extend(self.wanted.as_object().expect("an object").clone());
        if let Some(keys) = keys {
            config["keys"] = keys;
        }
        self.provider = Some(self.lab.running("oidc_server.mjs", &[&config.to_string()]).await);
    }

    /// A token by client credentials.
    pub(crate) async fn token(&self, resource: &str, scope: &str) -> String {
        self.token_of("machine", resource, scope).await
    }

    /// The same of one of the clients.
    pub(crate) async fn token_of(&self, client: &str, resource: &str, scope: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret=s3cret-0123456789&resource={}&scope={}",
            resource.replace(':', "%3A").replace('/', "%2F"),
            scope.replace(' ', "%20").replace(':', "%3A")
        );
        let request = client::http().post(format!("{}/token", self.issuer)).body(form);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let token: Value = text.parse().unwrap_or_else(|_| panic!("{text}"));
        token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }
}

#[tokio::test]
async fn the_sdks_log_in_by_themselves_and_see_what_their_roles_allow() {
    let bench = Bench::start().await;
    for (path, script) in [("/mcp", "mcp_oauth.py"), ("/mcp", "client2_oauth.mjs"), ("/calculator/mcp", "client2_oauth.mjs")] {
        let ran = bench.lab.client(script, &[&bench.url(path), "alice", "add", r#"{"a": 1, "b": 2}"#]).await;
        assert!(ran.success, "{script}: {}\n{}", ran.all, bench.server.log());
        let report: Value = ran.stdout.lines().last().expect("a line").parse().expect("JSON");
        let tools = report["tools"].as_array().expect("tools");
        assert!(tools.contains(&json!("add")) && !tools.contains(&json!("spin")), "{report}");
        assert_eq!(report["result"]["content"][0]["text"].as_str().map(|text| text.contains('3')), Some(true), "{report}");
        assert!(report["scope"].as_str().is_some_and(|scope| scope.contains("mcp:tools")) && report["refresh"] == true, "{report}");
    }
    // Who is no analyst has no role.
    let ran = bench.lab.client("client2_oauth.mjs", &[&bench.url("/mcp"), "bob", "add", r#"{"a": 1, "b": 2}"#]).await;
    assert!(!ran.all.contains("\"add\",") && !ran.success, "{}", ran.all);
    // The log knows who was denied.
    let log = bench.server.log();
    assert!(log.contains("principal=\"main:bob\"") && log.contains("was denied: no role names it"), "{log}");
}

#[tokio::test]
async fn a_client_is_told_where_to_get_a_token_and_what_is_wrong_with_the_one_it_has() {
    let bench = Bench::start().await;
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = client::http().post(bench.url(path)).header("content-type", "application/json").body("{}");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        let header = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), header.unwrap_or_default(), answer.text().await.expect("a body"))
    };
    for path in ["/mcp", "/calculator/mcp", "/nobody/mcp"] {
        let (status, header, _) = ask(path, None).await;
        let metadata = bench.url(&format!("/.well-known/oauth-protected-resource{path}"));
        assert_eq!(status, 401);
        assert!(header.contains(&format!("resource_metadata=\"{metadata}\"")) && header.contains("scope=\"mcp:tools\""), "{header}");
        let document = client::http().get(&metadata).send().await.expect("an answer").text().await.expect("a body");
        let document: Value = document.parse().expect("JSON");
        assert_eq!((&document["resource"], &document["authorization_servers"]), (&json!(bench.url(path)), &json!([bench.issuer])));
        assert_eq!(document["scopes_supported"], json!(["mcp:tools"]));
    }
    let root = client::http().get(bench.url("/.well-known/oauth-protected-resource")).send().await.expect("an answer");
    assert!(root.text().await.expect("a body").contains(&bench.url("/mcp")));

    let whole = bench.url("/mcp");
    let good = bench.token(&whole, "mcp:tools mcp:admin").await;
    let named = Client::modern(&bench.server).token(&good);
    assert!(named.tool_names().await.contains(&"spin".to_owned()), "the scope gives the role");
    assert!(!Client::modern(&bench.server).token(&bench.token(&whole, "mcp:tools").await).tool_names().await.contains(&"add".to_owned()));
    let (status, header, body) = ask("/mcp", Some(&bench.token(&whole, "mcp:admin").await)).await;
    assert_eq!(status, 403, "{body}");
    assert!(
        header.contains("error=\"insufficient_scope\"") && header.contains("scope=\"mcp:tools\"") && header.contains("resource_metadata"),
        "{header}"
    );
    // For one endpoint alone.
    let part = bench.token(&bench.url("/calculator/mcp"), "mcp:tools mcp:admin").await;
    assert_eq!(ask("/calculator/mcp", Some(&good)).await.0, 400, "a token for everything is let in: the body is wrong");
    assert_eq!(ask("/calculator/mcp", Some(&part)).await.0, 400);
    let (status, header, body) = ask("/mcp", Some(&part)).await;
    assert_eq!(status, 401);
    assert!(header.contains("error=\"invalid_token\"") && body.contains("another audience"), "{header} {body}");
    let broken = format!("{}AAAA", &good[..good.len() - 4]);
    let (status, header, _) = ask("/mcp", Some(&broken)).await;
    assert!(status == 401 && header.contains("signature is wrong"), "{header}");
    // A static token is still one.
    assert_eq!(Client::modern(&bench.server).token(OPERATOR).rpc("tools/list", json!({})).await.status, 200);
    // Nothing of a token is in the log.
    let log = bench.server.log();
    assert!(log.contains("authentication failed") && !log.contains(&good[good.len() - 20..]), "{log}");
}

#[tokio::test]
async fn keys_are_rotated_under_load_and_no_call_with_a_good_token_is_lost() {
    let mut bench = Bench::start().await;
    let whole = bench.url("/mcp");
    let keys = bench.lab.client("oidc_keys.mjs", &[]).await;
    let keys: Value = keys.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", keys.all));
    let (old, new) = (keys["old"].clone(), keys["new"].clone());
    bench.provide(Some(json!([old]))).await;
    // The host has the keys of the first start, and asks again no sooner than after some seconds.
    let first = bench.token(&whole, "mcp:tools mcp:admin").await;
    let caller = Client::modern(&bench.server).token(&first);
    eventually("the new keys are read", secs(30), || async { (caller.rpc("tools/list", json!({})).await.status == 200).then_some(()) })
        .await;
    let running = tokio::spawn(async move {
        let mut calls = 0;
        let begin = std::time::Instant::now();
        while begin.elapsed() < secs(12) {
            caller.call("add", json!({ "a": 1, "b": 2 })).await.ok();
            calls += 1;
        }
        calls
    });
    bench.provide(Some(json!([new, old]))).await;
    let second = bench.token(&whole, "mcp:tools mcp:admin").await;
    let caller = Client::modern(&bench.server).token(&second);
    eventually("the rotated key is read", secs(30), || async { (caller.rpc("tools/list", json!({})).await.status == 200).then_some(()) })
        .await;
    // The authorization server goes away: what is known still counts.
    bench.provider = None;
    caller.call("add", json!({ "a": 1, "b": 2 })).await.ok();
    assert!(running.await.expect("no call failed") > 20);
}
