//! What was not granted is not reached, and the refusal says which line would grant it.

use std::sync::Arc;

use axum::response::IntoResponse;
use toolbay_tests::{Client, Server, Setup, json, outside::Outside, weather};

/// A weather plugin that asks for its data at `base`, with these grants.
async fn asking(base: &str, grants: &str) -> (Server, String) {
    let config = format!("[plugin.weather]\nenv = {{ NWS_API_BASE = \"{base}\" }}\n{grants}");
    let server = Setup::new().plugin("weather").config(&config).start().await;
    let text = Client::modern(&server).call("get_alerts", json!({ "state": "CA" })).await.text();
    (server, text)
}

#[tokio::test]
async fn loopback_is_not_reached_by_any_of_its_names_without_a_grant_of_its_own() {
    let service = weather::start().await;
    let port = service.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]"]
    {
        // Granted as a public host, as somebody would who was led to believe that it is one.
        for grant in
            ["", &format!("http = [\"{host}:{port}\"]"), &format!("http = [\"127.0.0.1:{port}\", \"localhost:{port}\", \"[::1]:{port}\"]")]
        {
            let config = format!("[plugin.weather]\nenv = {{ NWS_API_BASE = \"http://{host}:{port}\" }}\n{grant}");
            let setup = Setup::new().plugin("weather").config(&config);
            let server = setup.start_or_refused().await;
            // A grant that cannot be right may be refused as configuration, which is as good.
            let Ok(server) = server else { continue };
            let text = Client::modern(&server).call("get_alerts", json!({ "state": "CA" })).await.text();
            assert!(!text.contains("Event:"), "{host} with {grant:?} was reached: {text}");
            assert!(service.visits().is_empty(), "{host} with {grant:?} was visited: {:?}", service.visits());
        }
    }
}

#[tokio::test]
async fn addresses_that_only_this_machine_or_its_network_has_are_refused_without_waiting() {
    for base in [
        "http://169.254.169.254",
        "http://10.0.0.1",
        "http://192.168.1.1:8080",
        "http://172.16.0.1",
        "http://[fe80::1]",
        "http://[fd00::1]",
        "http://100.64.0.1",
    ] {
        let host = base.trim_start_matches("http://");
        let start = std::time::Instant::now();
        let (server, text) = asking(base, &format!("http = [\"{host}\"]")).await;
        assert!(!text.contains("Event:"), "{text}");
        assert!(start.elapsed() < toolbay_tests::secs(5), "{base} was tried: {:?}", start.elapsed());
        server.wait_log("the grant that it would need", |line| line.contains("http_private")).await;
    }
}

#[tokio::test]
async fn a_refusal_names_the_host_and_the_line_to_add_and_that_line_works() {
    let service = weather::start().await;
    let (server, _) = asking(&service.base(), "").await;
    let line = server.wait_log("the refusal", |line| line.contains("http_private")).await;
    let granted = format!("http_private = [\"127.0.0.1:{}\"]", service.port());
    assert!(line.replace('\\', "").contains(&granted), "the line can be copied: {line}");
    assert!(line.contains("weather"), "and it says for whom: {line}");
    drop(server);
    let (_server, text) = asking(&service.base(), &granted).await;
    assert_eq!(text, weather::ALERTS);
}

#[tokio::test]
async fn a_grant_is_for_one_port() {
    let service = weather::start().await;
    let (_server, text) = asking(&service.base(), &format!("http_private = [\"127.0.0.1:{}\"]", service.port() ^ 1)).await;
    assert!(!text.contains("Event:"), "{text}");
    assert!(service.visits().is_empty());
}

#[tokio::test]
async fn a_redirect_to_where_nothing_is_granted_is_not_followed() {
    let inside = weather::start().await;
    let target = format!("{}/alerts/active/area/CA", inside.base());
    let trap = Outside::with("127.0.0.1:0", |_| {
        Arc::new(move |_| Some((axum::http::StatusCode::FOUND, [(axum::http::header::LOCATION, target.clone())]).into_response()))
    })
    .await;
    let (server, text) = asking(&trap.base(), &format!("http_private = [\"127.0.0.1:{}\"]", trap.port())).await;
    assert_eq!(trap.visits().len(), 1);
    assert!(inside.visits().is_empty(), "{:?}", inside.visits());
    assert!(!text.contains("Event:"), "{text}");
    server.wait_log("the refusal", |line| line.contains("http_private") && line.contains(&inside.port().to_string())).await;
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_needs_the_private_grant() {
    let service = weather::start().await;
    let base = format!("http://localhost:{}", service.port());
    let (_server, text) = asking(&base, &format!("http = [\"localhost:{}\"]", service.port())).await;
    assert!(!text.contains("Event:"), "{text}");
    let (_server, text) = asking(&base, &format!("http_private = [\"localhost:{}\"]", service.port())).await;
    assert_eq!(text, weather::ALERTS);
}

/// A probe with these grants.
async fn probe(grants: &str) -> (Server, Client) {
    let server = Setup::new().test_plugin("probe").config(&format!("[plugin.probe]\n{grants}")).start().await;
    let client = Client::modern(&server);
    (server, client)
}

#[tokio::test]
async fn a_plugin_without_grants_sees_no_environment_no_folder_and_no_network() {
    let outside = Outside::start().await;
    let server = Setup::new().test_plugin("probe").env("SECRET_OF_THE_HOST", "nobody's business").start().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("env", json!({})).await.result()["structuredContent"], json!({}));
    assert_eq!(client.call("preopens", json!({})).await.result()["structuredContent"]["folders"], json!(["/"]));
    for path in ["/etc/passwd", "/", ".", "../../../../etc/passwd", "toolbay.toml", "/proc/self/environ"] {
        client.call("read_file", json!({ "path": path })).await.failure();
        client.call("write_file", json!({ "path": path, "text": "x" })).await.failure();
    }
    assert!(client.call("stdin", json!({})).await.result()["structuredContent"]["text"] == "", "stdin is empty");
    let refusal = client.call("http_get", json!({ "url": format!("{}/", outside.base()), "timeout_ms": 2000 })).await.failure();
    assert!(refusal.contains("http_private") && refusal.contains(&outside.port().to_string()), "{refusal}");
    assert!(outside.visits().is_empty());
}

#[tokio::test]
async fn a_plugin_reaches_what_was_granted_and_nothing_beside_it() {
    let (granted, denied) = (Outside::start().await, Outside::start().await);
    let (_server, client) = probe(&format!("http_private = [\"127.0.0.1:{}\"]", granted.port())).await;
    let get = async |url: String| client.call("http_get", json!({ "url": url, "timeout_ms": 5000 })).await;
    let reply = get(format!("{}/hello", granted.base())).await;
    assert!(reply.ok().contains("hello from outside"), "{reply:?}");
    get(format!("{}/hello", denied.base())).await.failure();
    get(format!("http://localhost:{}/hello", granted.port())).await.failure();
    assert!(denied.visits().is_empty());
    assert_eq!(granted.visits().len(), 1);
}

#[tokio::test]
async fn http_responses_and_connections_have_limits() {
    let outside = Outside::start().await;
    let (_server, client) = probe(&format!(
        "http_private = [\"127.0.0.1:{}\"]\nhttp_body = \"1MiB\"\nhttp_timeout = \"500ms\"\nhttp_connections = 2",
        outside.port()
    ))
    .await;
    let url = |path: &str| format!("{}{path}", outside.base());
    let large = client.call("http_get", json!({ "url": url("/big/20000000"), "timeout_ms": 5000 })).await;
    assert!(large.is_error() && !large.text().contains("xxxxxxxx"), "{:.300}", large.body);
    let start = std::time::Instant::now();
    client.call("http_get", json!({ "url": url("/hang"), "timeout_ms": 20_000 })).await.failure();
    assert!(start.elapsed() < toolbay_tests::secs(5), "{:?}", start.elapsed());
    let before = outside.visits().len();
    let many = client.call("http_many", json!({ "url": url("/hang"), "count": 6 })).await;
    assert!(outside.visits().len() - before <= 2, "{} requests were open at once: {many:?}", outside.visits().len() - before);
}

#[tokio::test]
async fn environment_values_come_from_the_configuration_the_environment_or_a_file_and_are_never_logged() {
    let setup = Setup::new().test_plugin("probe").env("TOKEN_OF_THE_HOST", "secret-from-env").arg("--log").arg("debug");
    std::fs::write(setup.home().join("key.txt"), "secret-from-file\n").expect("it can be written");
    let server = setup
        .config("[plugin.probe]\nenv = { A = \"plain\", B = { from_env = \"TOKEN_OF_THE_HOST\" }, C = { from_file = \"key.txt\" } }")
        .start()
        .await;
    let reply = Client::modern(&server).call("env", json!({})).await;
    assert_eq!(reply.result()["structuredContent"], json!({ "A": "plain", "B": "secret-from-env", "C": "secret-from-file" }));
    assert!(!server.log().contains("secret-from"), "{}", server.log());
    assert!(!server.status().await.to_string().contains("secret-from"));
}

#[tokio::test]
async fn a_folder_is_read_only_unless_it_is_granted_for_writing() {
    for write in [false, true] {
        let setup = Setup::new().test_plugin("probe");
        std::fs::create_dir(setup.home().join("data")).expect("a folder");
        std::fs::write(setup.home().join("data/a.txt"), "hello").expect("a file");
        std::fs::write(setup.home().join("outside.txt"), "not for you").expect("a file");
        std::os::unix::fs::symlink("../outside.txt", setup.home().join("data/link.txt")).expect("a link");
        let config = format!("[plugin.probe]\ndirs = [{{ host = \"data\", guest = \"/data\", write = {write} }}]");
        let server = setup.config(&config).start().await;
        let client = Client::modern(&server);
        let read = async |path: &str| client.call("read_file", json!({ "path": path })).await;
        assert_eq!(read("/data/a.txt").await.result()["structuredContent"]["text"], "hello");
        for path in ["/data/link.txt", "/data/../outside.txt", "/outside.txt", "/etc/passwd"] {
            read(path).await.failure();
        }
        // Outside of the folder there is nothing, and a plugin that looks for something there is told what would grant it.
        for (path, folder) in [("/etc/passwd", "/etc"), ("/no/such/place", "/no/such"), ("relative/path", "/relative")] {
            let said = read(path).await.failure();
            assert!(said.contains(&format!("guest = {folder:?}")) && said.contains("[plugin.probe]"), "{said}");
        }
        // Only folders can be granted, and never the root: a file there is told without a line that would not help.
        let said = read("/outside.txt").await.failure();
        assert!(said.contains("only below folders that it was granted") && !said.contains("guest ="), "{said}");
        for path in ["/", "/.", "/..", "/../", "/proc/self/root"] {
            // Either nothing is there, or it is an empty folder: never one of the host's.
            let listed = client.call("list_dir", json!({ "path": path })).await;
            if listed.is_error() {
                let said = listed.failure();
                assert!(!said.contains("guest = \"/\""), "{path}: {said}");
            } else {
                assert_eq!(listed.result()["structuredContent"]["names"], json!([]), "{path}");
            }
        }
        for path in ["/new.txt", "/../new.txt", "/tmp/new.txt"] {
            client.call("write_file", json!({ "path": path, "text": "new" })).await.failure();
        }
        let written = client.call("write_file", json!({ "path": "/data/b.txt", "text": "new" })).await;
        assert_eq!(written.is_error(), !write, "{written:?}");
        let removed = client.call("remove_file", json!({ "path": "/data/a.txt" })).await;
        assert_eq!(removed.is_error(), !write, "{removed:?}");
        for refused in [&written, &removed].into_iter().filter(|_| !write) {
            let said = refused.failure();
            assert!(said.contains("/data (read-only)") && said.contains("write = true") && said.contains("[plugin.probe]"), "{said}");
        }
        assert_eq!(server.home().join("data/b.txt").exists(), write);
        assert_eq!(server.home().join("data/a.txt").exists(), !write);
    }
}

#[tokio::test]
async fn nothing_of_one_call_is_left_for_the_next() {
    let (_server, client) = probe("").await;
    for _ in 0..5 {
        assert_eq!(client.call("state", json!({})).await.result()["structuredContent"]["calls"], 1);
    }
}

#[tokio::test]
async fn a_plugin_knows_who_calls_and_with_what() {
    let setup =
        Setup::new().test_plugin("probe").config("[auth.tokens]\nalice = { from_env = \"ALICE\" }").env("ALICE", "token-of-alice-12345");
    let server = setup.start().await;
    let mut client = Client::modern(&server).token("token-of-alice-12345");
    client.meta = json!({ "acme.example/ticket": 42, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
    let context = client.call("context", json!({})).await.result()["structuredContent"].clone();
    assert_eq!(context["principal"], "alice");
    assert_eq!(context["meta"]["acme.example/ticket"], 42);
    assert!(context["trace_parent"].as_str().is_some_and(|parent| parent.contains("0af7651916cd43dd8448eb211c80319c")), "{context}");
    assert!(context["remaining_ms"].as_u64().is_some_and(|ms| ms > 50_000 && ms <= 60_000), "{context}");
    let id = context["call_id"].as_str().expect("an id").to_owned();
    server.wait_log("the id of the call", |line| line.contains(&id)).await;
}
