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
    _running: [Running; 2],
}

impl Bench {
    /// `grants`: of the servers `up` and `app`, with `{issuer}` and `{audience}`.
    async fn start(grants: &str, secret: &str) -> Self {
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
            machine("bob", &["client_credentials"])
        ]);
        let config = json!({ "port": port, "resources": [whole, audience], "clients": clients, "exchange": true });
        let provider = lab.running("oidc_server.mjs", &[&config.to_string()]).await;
        let port = up.rsplit(':').next().expect("a port").parse::<u16>().expect("a port");
        let config = json!({ "port": port, "issuer": issuer, "audience": audience });
        let upstream = lab.running("upstream_server.mjs", &[&config.to_string()]).await;
        let grants = grants.replace("{issuer}", &issuer).replace("{audience}", &audience);
        let config = format!(
            r#"
            [auth]
            resource_url = "http://127.0.0.1:{own}"
            tokens.operator = {{ from_env = "ANN" }}
            [auth.issuer.main]
            issuer = "{issuer}"
            claims = ["client_id", "absent"]
            [server.up]
            url = "{audience}"
            {grants}
            [server.app]
            openapi = "{up}/openapi.json"
            {grants}
            "#
        );
        let setup = Setup::new().test_plugin("probe").env("ANN", ANN).env("UP_SECRET", secret).listen(&format!("127.0.0.1:{own}"));
        let server = setup.config(&config).start().await;
        Self { server, issuer, up, _running: [provider, upstream] }
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
