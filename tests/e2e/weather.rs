//! The weather plugin against a server shaped like the real one, on its good days and its bad ones.

use toolbay_tests::{Client, Server, Setup, json, outside::Outside, secs, weather};

async fn start(more: &str) -> (Server, Client, Outside) {
    let service = weather::start().await;
    let config = format!(
        "[plugin.weather]\nhttp_private = [\"127.0.0.1:{}\"]\nenv = {{ NWS_API_BASE = \"{}\" }}\n{more}",
        service.port(),
        service.base()
    );
    let server = Setup::new().plugin("weather").config(&config).start().await;
    let client = Client::modern(&server);
    (server, client, service)
}

async fn alerts(client: &Client, state: &str) -> String {
    client.call("get_alerts", json!({ "state": state })).await.ok()
}

async fn forecast(client: &Client, latitude: f64, longitude: f64) -> String {
    client.call("get_forecast", json!({ "latitude": latitude, "longitude": longitude })).await.ok()
}

/// One or two sentences for people: no JSON, no Rust, no status line alone.
#[track_caller]
fn assert_friendly(text: &str) {
    assert!(text.ends_with('.') && text.len() > 20 && text.len() < 400, "{text:?}");
    assert!(!text.contains(['{', '}']) && !text.contains("Error("), "{text:?}");
}

#[tokio::test]
async fn alerts_are_told_line_by_line() {
    let (_server, client, service) = start("").await;
    assert_eq!(alerts(&client, "CA").await, weather::ALERTS);
    let visits = service.visits();
    assert_eq!(visits.len(), 1, "{visits:?}");
    assert_eq!(visits[0].path, "/alerts/active/area/CA");
    assert_eq!(visits[0].header("user-agent"), Some("weather-app/1.0"));
    assert_eq!(visits[0].header("accept"), Some("application/geo+json"));
}

#[tokio::test]
async fn no_alerts_is_a_friendly_sentence() {
    let (_server, client, _service) = start("").await;
    let text = alerts(&client, "WY").await;
    assert_friendly(&text);
    assert!(text.to_lowercase().contains("no active alerts"), "{text}");
}

#[tokio::test]
async fn a_forecast_is_found_by_way_of_its_point() {
    let (_server, client, service) = start("").await;
    assert_eq!(forecast(&client, 37.7749, -122.4194).await, weather::FORECAST);
    let paths: Vec<String> = service.visits().into_iter().map(|visit| visit.path).collect();
    assert_eq!(paths, ["/points/37.7749,-122.4194", "/gridpoints/MTR/85,105/forecast"]);
}

#[tokio::test]
async fn what_is_odd_in_an_answer_is_told_as_it_is_and_spoils_nothing_beside_it() {
    let (_server, client, _service) = start("").await;
    assert_eq!(alerts(&client, "TX").await, weather::ODD_ALERTS);
    assert_eq!(forecast(&client, 7.0, 7.0).await, weather::ODD_FORECAST);
    assert_friendly(&client.call("get_alerts", json!({ "state": "AK" })).await.text());
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_friendly_sentence() {
    let (_server, client, _service) = start("").await;
    for state in ["NV", "OR", "HI", "ME"] {
        assert_friendly(&client.call("get_alerts", json!({ "state": state })).await.text());
    }
    for point in [1.0, 2.0, 3.0, 5.0, 6.0] {
        assert_friendly(&client.call("get_forecast", json!({ "latitude": point, "longitude": point })).await.text());
    }
    assert_eq!(alerts(&client, "CA").await, weather::ALERTS, "a bad answer leaves nothing behind");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up_after_the_http_timeout() {
    let (_server, client, _service) = start("http_timeout = \"500ms\"").await;
    let start = std::time::Instant::now();
    for (tool, arguments) in [("get_alerts", json!({ "state": "UT" })), ("get_forecast", json!({ "latitude": 4, "longitude": 4 }))] {
        let text = client.call(tool, arguments).await.text();
        assert!(text.starts_with("Unable to fetch") && text.contains("http_timeout"), "a sentence, and what would allow more: {text}");
    }
    assert!(start.elapsed() < secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_redirect_within_the_service_is_followed() {
    let (_server, client, _service) = start("").await;
    assert_eq!(alerts(&client, "MO").await, weather::ALERTS);
    assert_eq!(forecast(&client, 30.0, -90.0).await, weather::FORECAST);
}

#[tokio::test]
async fn without_a_grant_nobody_is_asked_and_the_answer_names_the_line_to_add() {
    let service = weather::start().await;
    let config = format!("[plugin.weather]\nenv = {{ NWS_API_BASE = \"{}\" }}", service.base());
    let server = Setup::new().plugin("weather").config(&config).start().await;
    let text = Client::modern(&server).call("get_alerts", json!({ "state": "CA" })).await.text();
    let line = server.wait_log("the line that would grant it", |line| line.contains("http_private")).await;
    assert!(line.contains(&format!("127.0.0.1:{}", service.port())), "{line}");
    assert!(service.visits().is_empty(), "{:?}", service.visits());
    assert!(!text.contains("Event:"), "{text}");
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named_before_anything_runs() {
    let (_server, client, service) = start("").await;
    let text = client.call("get_forecast", json!({ "latitude": "north", "longitude": -122.4 })).await.failure();
    assert!(text.contains("latitude") && text.contains("north"), "{text}");
    let text = client.call("get_forecast", json!({ "latitude": 37.7 })).await.failure();
    assert!(text.contains("longitude"), "{text}");
    assert!(service.visits().is_empty());
}
