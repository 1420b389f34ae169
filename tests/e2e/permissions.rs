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
