//! Tokens that only their issuer can read, tokens that are bound to a key, and clients of a real
//! authorization server that come back.

use toolbay_tests::{Client, Redis, Server, Value, client, eventually, json, secs};

use crate::oauth::{ALGORITHMS, Bench, INTROSPECTS, OPERATOR};

const INTROSPECTION: &str = r#"
    [auth.issuer.main.introspection]
    client_id = "toolbay"
    client_secret = { from_env = "INTROSPECTS" }
    cache = "1s"
"#;

/// Status, challenge, time to wait, and body of a request that has nothing right but its token.
async fn ask(bench: &Bench, path: &str, token: &str) -> (u16, String, Option<u64>, String) {
    let request = client::http().post(bench.url(path)).header("content-type", "application/json").body("{}").bearer_auth(token);
    let answer = request.send().await.expect("an answer");
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let (challenge, after) =
        (header("www-authenticate").unwrap_or_default(), header("retry-after").map(|after| after.parse().expect("seconds")));
    (answer.status().as_u16(), challenge, after, answer.text().await.expect("a body"))
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_until_they_are_revoked_and_their_issuer_may_be_away() {
    let mut bench = Bench::with(INTROSPECTION, json!({ "opaque": true }), None).await;
    let whole = bench.url("/mcp");
    let good = bench.token(&whole, "mcp:tools mcp:admin").await;
    assert!(!good.contains('.'), "an opaque token");
    let caller = Client::modern(&bench.server).token(&good);
    assert!(caller.tool_names().await.contains(&"spin".to_owned()), "the scope gives the role");
    assert!(caller.call("add", json!({ "a": 1, "b": 2 })).await.ok().contains('3'));
    let few = Client::modern(&bench.server).token(&bench.token(&whole, "mcp:tools").await);
    assert!(!few.tool_names().await.contains(&"add".to_owned()), "no scope, no role");
    // Its claims count as those of a JWT do.
    let (status, challenge, _, body) = ask(&bench, "/mcp", &bench.token(&whole, "mcp:admin").await).await;
    assert!(status == 403 && challenge.contains("insufficient_scope") && challenge.contains("scope=\"mcp:tools\""), "{challenge} {body}");
    let part = bench.token(&bench.url("/calculator/mcp"), "mcp:tools mcp:admin").await;
    assert_eq!(ask(&bench, "/calculator/mcp", &part).await.0, 400, "it is let in: the body is wrong");
    let (status, challenge, _, body) = ask(&bench, "/mcp", &part).await;
    assert!(status == 401 && challenge.contains("invalid_token") && body.contains("another audience"), "{challenge} {body}");
    for unknown in ["nobody-knows-this", "a.b.c", "eyJhbGciOiJub25lIn0", &format!("{good}x"), &good[1..]] {
        let (status, challenge, _, body) = ask(&bench, "/mcp", unknown).await;
        assert!(status == 401 && challenge.contains("invalid_token") && body.contains("not active"), "{unknown}: {challenge} {body}");
    }
    // One that is no token of OAuth at all.
    assert_eq!(Client::modern(&bench.server).token(OPERATOR).rpc("tools/list", json!({})).await.status, 200);

    // Real clients, whose tokens the server cannot read either.
    for script in ["mcp_oauth.py", "client2_oauth.mjs"] {
        let ran = bench.lab.client(script, &[&whole, "alice", "add", r#"{"a": 1, "b": 2}"#]).await;
        assert!(ran.success, "{script}: {}\n{}", ran.all, bench.server.log());
    }

    // Revoked: no later than its answer counts.
    let form = format!("token={good}&client_id=machine&client_secret=s3cret-0123456789");
    let request = client::http().post(format!("{}/token/revocation", bench.issuer)).body(form);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let refused = async || (ask(&bench, "/mcp", &good).await.0 == 401).then_some(());
    eventually("the revoked token is refused", secs(30), refused).await;

    // Away: that is no fault of the caller, who is to keep its token.
    let other = bench.token(&whole, "mcp:tools mcp:admin").await;
    bench.provider = None;
    let (status, challenge, after, body) = ask(&bench, "/mcp", &other).await;
    assert_eq!((status, challenge.as_str()), (503, ""), "{body}");
    assert!(after.is_some_and(|after| (1..=30).contains(&after)) && body.contains("try again"), "{after:?} {body}");
    assert_eq!(Client::modern(&bench.server).token(OPERATOR).rpc("tools/list", json!({})).await.status, 200);
    bench.provide(None).await;
    // It has forgotten all tokens, and is asked again by itself.
    let back = bench.token(&whole, "mcp:tools mcp:admin").await;
    eventually("the issuer is asked again", secs(60), async || (ask(&bench, "/mcp", &back).await.0 == 400).then_some(())).await;

    for told in ["cannot be asked about opaque tokens", "answers about opaque tokens again"] {
        bench.server.wait_log(told, |line| line.contains(told)).await;
    }
    let log = bench.server.log();
    for secret in [&good, &other, &back, INTROSPECTS] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_bound_token_needs_the_proof_of_its_key_for_the_public_url() {
    // Behind a balancer that has another name, and serves this below a path.
    let public = "https://tools.example.com:8443/base";
    for (more, wanted) in [("", json!({})), (INTROSPECTION, json!({ "opaque": true })), ("require_dpop = true", json!({}))] {
        let bench = Bench::with(more, wanted, Some(public)).await;
        let (token, resource) = (format!("{}/token", bench.issuer), format!("{public}/mcp"));
        let ran = bench.lab.client("dpop_client.mjs", &[&token, &resource, &bench.url("/mcp"), &resource]).await;
        assert!(ran.success, "{}\n{}", ran.all, bench.server.log());
        let mut calls: Vec<Value> = ran.stdout.lines().map(|line| line.parse().expect("JSON")).collect();
        let thumbprint = calls.pop().expect("a thumbprint");
        assert_eq!(calls.len(), 15);
        let required = more.contains("require_dpop");
        for call in &calls {
            let what = call["what"].as_str().expect("text");
            let challenge = call["challenge"].as_str().expect("text");
            let (status, error, says) = match what {
                "good" | "another good" => (200, "", ""),
                "an unbound token" if !required => (200, "", ""),
                "as bearer" | "as bearer with a proof" => (401, "invalid_token", "send it as Authorization: DPoP"),
                "an unbound token" | "an unbound token with a proof" => (401, "invalid_token", "not bound to a key"),
                "again" => (401, "invalid_dpop_proof", "used before"),
                "no proof" => (401, "invalid_dpop_proof", "once"),
                "another's key" => (401, "invalid_dpop_proof", "not the one that the token is bound to"),
                "another method" => (401, "invalid_dpop_proof", "(htm)"),
                "another URL" => (401, "invalid_dpop_proof", "(htu)"),
                "another token" => (401, "invalid_dpop_proof", "(ath)"),
                "no ath" => (401, "invalid_dpop_proof", "claims"),
                "old" | "of the future" => (401, "invalid_dpop_proof", "(iat)"),
                other => panic!("{other}"),
            };
            assert_eq!(call["status"], status, "{more} {call}");
            if status == 401 {
                assert!(challenge.starts_with("DPoP algs=\"ES256 "), "{challenge}");
                assert!(challenge.contains(&format!("error=\"{error}\"")) && challenge.contains("resource_metadata="), "{challenge}");
                assert!(call["body"].as_str().is_some_and(|body| body.contains(says)) && !challenge.contains("evil"), "{call}");
            }
        }
        // Who has no token is told of proofs where they are needed, and a client that knows none of
        // them reads the first challenge.
        let answer = client::http().post(bench.url("/mcp")).send().await.expect("an answer");
        let challenges: Vec<_> = answer.headers().get_all("www-authenticate").iter().map(|value| value.to_str().expect("text")).collect();
        assert!(challenges[0].starts_with("Bearer ") && (challenges.len() == 2) == required, "{challenges:?}");
        let document = client::http().get(bench.url("/.well-known/oauth-protected-resource/mcp")).send().await.expect("an answer");
        let document: Value = document.text().await.expect("a body").parse().expect("JSON");
        assert_eq!(document["dpop_bound_access_tokens_required"], required, "{document}");
        assert!(document["dpop_signing_alg_values_supported"].as_array().is_some_and(|algs| algs.contains(&json!("ES256"))), "{document}");
        let thumbprint = thumbprint["thumbprint"].as_str().expect("text");
        assert!(!bench.server.log().contains(thumbprint), "nothing of a proof is in the log");
    }
}

/// The calls that a script has made, by what they are called.
fn calls(stdout: &str) -> Vec<(String, Value)> {
    let line = |line: &str| {
        let call: Value = line.parse().expect("JSON");
        (call["what"].as_str().expect("text").to_owned(), call)
    };
    stdout.lines().map(line).collect()
}

#[tokio::test]
async fn a_proof_that_one_host_has_seen_is_refused_by_the_other() {
    let public = "https://tools.example.com/base";
    for on_failure in ["open", "closed"] {
        let Some(mut redis) = Redis::start().await else { return };
        let more =
            format!("[shared]\nredis = {:?}\non_failure = {on_failure:?}\ntimeout = \"20s\"\nconnect_timeout = \"20s\"\n", redis.url());
        let bench = Bench::with(&more, json!({}), Some(public)).await;
        let other = bench.another().await;
        let (token, resource) = (format!("{}/token", bench.issuer), format!("{public}/mcp"));
        let run = async || {
            let ran = bench.lab.client("dpop_hosts.mjs", &[&token, &resource, &bench.url("/mcp"), &other.url]).await;
            assert!(ran.success, "{}\n{}", ran.all, bench.server.log());
            calls(&ran.stdout)
        };
        let together = async || {
            for (what, call) in run().await {
                let is_good = what.contains("good");
                assert_eq!(call["status"], if is_good { 200 } else { 401 }, "{call}\n{}\n{}", bench.server.log(), other.log());
                assert!(is_good || call["body"].as_str().is_some_and(|body| body.contains("used before")), "{call}");
            }
        };
        together().await;
        assert!(redis.ask(&["KEYS", "*"]).contains("toolbay:proof:"));
        redis.kill().await;
        for server in [&bench.server, &other] {
            server.wait_log("Redis is away", |line| line.contains("WARN") && line.contains("Redis at redis://")).await;
        }
        // Each by itself, or none at all.
        for (what, call) in run().await {
            let status = match (on_failure, what.as_str()) {
                ("closed", "again") => 401,
                ("closed", _) => 503,
                (_, "again") => 401,
                _ => 200,
            };
            assert_eq!(call["status"], status, "{on_failure} {call}");
            assert!(
                status != 503 || call["body"].as_str().is_some_and(|body| body.contains("used before") && !body.contains("redis")),
                "{call}"
            );
        }
        redis.restart().await;
        for server in [&bench.server, &other] {
            let is_there = async || (server.status_as(OPERATOR).await["shared"]["state"] == "connected").then_some(());
            eventually("Redis is connected", secs(60), is_there).await;
        }
        together().await;
    }
}

#[tokio::test]
async fn a_request_with_a_proof_is_handed_on_once_and_no_host_takes_the_proof_again() {
    let public = "https://tools.example.com/base";
    for nonces in [false, true] {
        let Some(redis) = Redis::start().await else { return };
        let more = format!(
            "dpop_nonces = {nonces}\n[shared]\nredis = {:?}\ntimeout = \"20s\"\nconnect_timeout = \"20s\"\n\
             [state]\nkeys = [{{ from_env = \"STATE\" }}]\ncopies = 3\n[tasks]\nadvertise = \"127.0.0.1\"\n\
             [plugin.everything]\ntimeout = \"10m\"\n",
            redis.url()
        );
        let bench = Bench::with(&more, json!({}), Some(public)).await;
        let (second, third) = (bench.another().await, bench.another().await);
        let (token, resource) = (format!("{}/token", bench.issuer), format!("{public}/mcp"));
        let hosts = [bench.url("/mcp"), second.url.clone(), third.url.clone()];
        let [one, two, three] = hosts.each_ref().map(String::as_str);
        let ran = bench.lab.client("dpop_handed_on.mjs", &[&token, &resource, one, two, three]).await;
        let logs = || [&bench.server, &second, &third].map(Server::log).join("\n---\n");
        assert!(ran.success, "{}\n{}", ran.all, logs());
        let calls = calls(&ran.stdout);
        let of = |what: &str| &calls.iter().find(|(name, _)| name == what).unwrap_or_else(|| panic!("{what}: {}", ran.all)).1;
        for (what, status) in
            [("begun", "task"), ("handed on", "working"), ("handed on by the third", "working"), ("what became of it", "cancelled")]
        {
            let call = of(what);
            assert_eq!(call["status"], 200, "{what}: {call}\n{}", logs());
            assert!(call["body"].as_str().is_some_and(|body| body.contains(status)), "{what}: {call}");
        }
        let again = calls.iter().filter(|(what, _)| what.starts_with("again"));
        let mut seen = 0;
        for (what, call) in again {
            assert_eq!(call["status"], 401, "{what}: {call}\n{}", logs());
            assert!(call["body"].as_str().is_some_and(|body| body.contains("used before")), "{what}: {call}");
            seen += 1;
        }
        assert_eq!(seen, 8, "{}", ran.all);
        // A call of a session whose client cancels it at another host: what one host asks the other for has the call's own proof.
        assert_eq!(of("cancelled")["status"], 202, "{}", of("cancelled"));
        assert_eq!(of("the cancelled call")["result"], false, "{}", of("the cancelled call"));
        assert!(redis.ask(&["KEYS", "*"]).contains("toolbay:proof:"));
    }
}

#[tokio::test]
async fn a_proof_needs_a_nonce_that_any_of_the_hosts_gave() {
    let public = "https://tools.example.com/base";
    let more = "dpop_nonces = true\n[state]\nkeys = [{ from_env = \"STATE\" }]\n";
    let bench = Bench::with(more, json!({}), Some(public)).await;
    let other = bench.another().await;
    let (token, resource) = (format!("{}/token", bench.issuer), format!("{public}/mcp"));
    let ran = bench.lab.client("dpop_hosts.mjs", &[&token, &resource, &bench.url("/mcp"), &other.url, "nonces"]).await;
    assert!(ran.success, "{}\n{}", ran.all, bench.server.log());
    for (what, call) in calls(&ran.stdout) {
        let challenge = call["challenge"].as_str().expect("text");
        match what.as_str() {
            "no nonce" | "a made-up nonce" => {
                assert_eq!((&call["status"], &call["nonce"]), (&json!(401), &json!(true)), "{call}");
                assert!(challenge.starts_with("DPoP algs=") && challenge.contains("error=\"use_dpop_nonce\""), "{challenge}");
                assert!(call["body"].as_str().is_some_and(|body| body.contains("DPoP-Nonce")), "{call}");
            }
            // Without `[shared]` each host has its own memory of proofs; nonces need none.
            "again" => assert_eq!((&call["status"], &call["nonce"]), (&json!(401), &json!(false)), "{call}"),
            _ => assert_eq!(call["status"], 200, "{call}\n{}\n{}", bench.server.log(), other.log()),
        }
    }
}

#[tokio::test]
async fn a_token_is_let_in_by_each_algorithm_with_its_own_key_and_no_other() {
    let mut bench = Bench::start().await;
    let whole = bench.url("/mcp");
    let keys = bench.lab.client("oidc_keys.mjs", &ALGORITHMS).await;
    let keys: Value = keys.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", keys.all));
    bench.provide(Some(ALGORITHMS.iter().map(|by| keys[by].clone()).collect())).await;
    for by in ALGORITHMS {
        let token = bench.token_of(&format!("machine-{by}"), &whole, "mcp:tools mcp:admin").await;
        let caller = Client::modern(&bench.server).token(&token);
        // The host has asked for the keys of the first start, and asks again no sooner than after some seconds.
        let let_in = async || (caller.rpc("tools/list", json!({})).await.status == 200).then_some(());
        eventually(&format!("a token by {by} is let in"), secs(60), let_in).await;
        assert!(caller.call("add", json!({ "a": 1, "b": 2 })).await.ok().contains('3'), "{by}");
        let forged = bench.lab.client("oidc_forge.mjs", &[&[token.as_str()], &ALGORITHMS[..]].concat()).await;
        let forged: Value = forged.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", forged.all));
        for with in ALGORITHMS {
            let (status, challenge, _, body) = ask(&bench, "/mcp", forged[with].as_str().expect("a token")).await;
            // Another key of its algorithm; or a key of another algorithm than the one that the name stands for.
            let says = if with == by { "signature is wrong" } else { "algorithm" };
            assert_eq!(status, 401, "{by} {with}: {body}");
            assert!(challenge.contains("invalid_token") && body.contains(says), "{by} {with}: {challenge} {body}");
        }
        let (text, last) = token.split_at(token.len() - 8);
        let broken = format!("{text}{}", if last == "AAAAAAAA" { "BBBBBBBB" } else { "AAAAAAAA" });
        let (status, _, _, body) = ask(&bench, "/mcp", &broken).await;
        assert!(status == 401 && body.contains("signature"), "{by}: {body}");
    }
}

#[tokio::test]
async fn no_bad_token_is_let_in_and_each_refusal_says_why() {
    let mut bench = Bench::start().await;
    let whole = bench.url("/mcp");
    let keys = bench.lab.client("oidc_keys.mjs", &["ES256"]).await;
    let keys: Value = keys.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", keys.all));
    let key = keys["ES256"].clone();
    bench.provide(Some(json!([key.clone()]))).await;
    let made = bench.lab.client("bad_tokens.mjs", &[&key.to_string(), &bench.issuer, &whole]).await;
    let made: Value = made.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", made.all));
    let good = made["good"].as_str().expect("a token");
    // The host has asked for the keys of the first start, and asks again no sooner than after some seconds.
    let let_in = async || (ask(&bench, "/mcp", good).await.0 == 400).then_some(());
    eventually("the good token is let in: the body is wrong", secs(60), let_in).await;
    let bad = made["bad"].as_array().expect("a list");
    assert!(bad.len() >= 60, "{}", bad.len());
    for one in bad {
        let (what, token) = (one[0].as_str().expect("text"), one[1].as_str().expect("a token"));
        let (status, challenge, _, body) = ask(&bench, "/mcp", token).await;
        let code = if status == 403 { "insufficient_scope" } else { "invalid_token" };
        assert!(status == 401 || status == 403 && what.contains("scope"), "{what}: {status} {body}");
        assert!(challenge.contains(&format!("error=\"{code}\"")), "{what}: {challenge}");
        let error: Value = body.parse().unwrap_or_else(|_| panic!("{what}: {body}"));
        let message = error["error"]["message"].as_str().unwrap_or_default();
        assert!(message.len() > 30 && (message.contains("token") || message.contains("issuer")), "{what}: {body}");
        assert!(!body.contains("evil") && !challenge.contains("evil"), "nothing of a token is repeated: {what}: {challenge} {body}");
    }
    assert_eq!(ask(&bench, "/mcp", good).await.0, 400, "the good one is still good");
    assert!(!bench.server.log().contains("evil.example"), "nobody is asked whom a token names");
}

#[tokio::test]
async fn a_client_gets_the_scope_that_a_call_needs_when_it_needs_it() {
    let bench = Bench::with("step_up = [\"mcp:admin\"]", json!({}), None).await;
    let whole = bench.url("/mcp");
    let call = json!({ "said": "hello" }).to_string();
    for script in ["mcp_oauth.py", "client2_oauth.mjs"] {
        let ran = bench.lab.client(script, &[&whole, "alice", "echo", &call, "desk"]).await;
        assert!(ran.success, "{script}: {}\n{}", ran.all, bench.server.log());
        let report: Value = ran.stdout.lines().last().expect("a line").parse().expect("JSON");
        assert!(report["tools"].as_array().is_some_and(|tools| tools.contains(&json!("echo"))), "{script}: it is listed: {report}");
        assert!(report["result"].to_string().contains("hello"), "{script}: {report}");
        let scopes: Vec<_> = report["scopes"].as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
        let (first, last) = (scopes.first().expect("a scope"), scopes.last().expect("a scope"));
        assert!(!first.contains("mcp:admin") && last.contains("mcp:admin") && last.contains("mcp:tools"), "{script}: {scopes:?}");
    }
    // What the header says, in both eras; and that nothing else is told.
    let token = bench.token(&whole, "mcp:tools").await;
    for caller in [Client::modern(&bench.server).token(&token), Client::legacy_as(&whole, &token).await] {
        let tools = caller.tool_names().await;
        assert!(tools.contains(&"echo".to_owned()) && tools.contains(&"add".to_owned()), "{tools:?}");
        let (_, request) = caller.request("tools/call", json!({ "name": "echo", "arguments": {} }));
        let answer = request.send().await.expect("an answer");
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
        assert_eq!(answer.status().as_u16(), 403, "{challenge}");
        let metadata = format!("resource_metadata=\"{}\"", bench.url("/.well-known/oauth-protected-resource/mcp"));
        for part in ["Bearer ", "error=\"insufficient_scope\"", "scope=\"mcp:tools mcp:admin\"", &metadata] {
            assert!(challenge.contains(part), "{part}: {challenge}");
        }
        let body = answer.text().await.expect("a body");
        assert!(body.contains("needs a scope") && body.contains("mcp:tools mcp:admin"), "{body}");
        let unknown = caller.call("nothing_like_that", json!({})).await;
        assert!(unknown.status == 200 && unknown.error().to_string().contains("there is no tool"), "{}", unknown.error());
    }
    // Without `step_up` nobody learns what a scope would allow.
    let strict = Bench::start().await;
    let token = strict.token(&strict.url("/mcp"), "mcp:tools").await;
    let caller = Client::modern(&strict.server).token(&token);
    assert!(caller.tool_names().await.is_empty());
    let reply = caller.call("echo", json!({})).await;
    assert!(reply.status == 200 && reply.error().to_string().contains("there is no tool"), "{}", reply.error());
}

#[tokio::test]
async fn mcp_remote_logs_in_once_and_refreshes_its_token() {
    // Tokens that end soon: it has to get new ones on the way.
    let bench = Bench::with("leeway = \"0s\"", json!({ "ttl": 10 }), None).await;
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().display().to_string();
    let (mut visits, mut seen) = (0, Vec::new());
    for start in ["first", "second"] {
        let arguments = [&bench.url("/mcp"), "alice", "add", r#"{"a": 1, "b": 2}"#, &folder, "3", "6000"];
        let ran = bench.lab.client("mcp_remote.mjs", &arguments).await;
        assert!(ran.success, "{start}: {}\n{}", ran.all, bench.server.log());
        let report: Value = ran.stdout.lines().last().expect("a line").parse().expect("JSON");
        assert!(report["tools"].as_array().is_some_and(|tools| tools.contains(&json!("add"))), "{report}");
        let results = report["results"].as_array().expect("results");
        assert_eq!(results.len(), 3);
        for result in results {
            assert!(result["content"][0]["text"].as_str().is_some_and(|text| text.contains('3')), "{start}: {report}");
        }
        seen.push(report["tokens"][0]["access_token"].clone());
        visits += report["visits"].as_u64().expect("a number");
        // A refresh token is no access token.
        let refresh = report["tokens"][0]["refresh_token"].as_str().unwrap_or_else(|| panic!("{report}"));
        let (status, challenge, _, _) = ask(&bench, "/mcp", refresh).await;
        assert!(status == 401 && challenge.contains("invalid_token"), "{challenge}");
    }
    // No token lives as long as the calls of one start take.
    assert_eq!(visits, 1, "a person logs in once, and the tokens are refreshed");
    assert_ne!(seen[0], seen[1]);
}
