//! A server shaped like api.weather.gov, with its good days and its bad ones.
//!
//! What it answers hangs on the state or the point that is asked for, so that one server shows all behaviours.

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::outside::Outside;

/// Starts it.
///
/// | ask for | get |
/// |---|---|
/// | alerts of CA, point 37.7749,-122.4194 | what the real one answers |
/// | alerts of WY | an empty list |
/// | alerts of MO, point 30,-90 | 301 to the good one |
/// | alerts of NV, point 1,1 | 404 |
/// | alerts of OR, point 2,2 | 500 |
/// | alerts of HI, point 3,3 | a page in HTML |
/// | alerts of UT, point 4,4 | nothing, ever |
/// | alerts of ME | JSON of another shape |
/// | alerts of TX, point 7,7 | odd members beside good ones |
/// | alerts of AK | nothing but what is no alert |
/// | point 5,5 | a forecast URL that answers 500 |
/// | point 6,6 | no forecast URL |
pub async fn start() -> Outside {
    Outside::with("127.0.0.1:0", |base| {
        let base = base.to_owned();
        Arc::new(move |path| answer(&base, path))
    })
    .await
}

fn answer(base: &str, path: &str) -> Option<Response> {
    if let Some(state) = path.strip_prefix("/alerts/active/area/") {
        return Some(match state {
            "CA" => geo_json(&alerts()),
            "WY" => geo_json(&json!({ "type": "FeatureCollection", "features": [] })),
            "MO" => moved(&format!("{base}/alerts/active/area/CA")),
            "TX" => geo_json(&odd_alerts()),
            "AK" => geo_json(&json!({ "features": [null, 3, { "properties": null }] })),
            "UT" => return None,
            other => bad_day(other),
        });
    }
    if let Some(point) = path.strip_prefix("/points/") {
        return Some(match point {
            "37.7749,-122.4194" => point_to(&format!("{base}/gridpoints/MTR/85,105/forecast")),
            "30,-90" | "30.0,-90.0" => moved(&format!("{base}/points/37.7749,-122.4194")),
            "5,5" | "5.0,5.0" => point_to(&format!("{base}/gridpoints/BAD/1,1/forecast")),
            "7,7" | "7.0,7.0" => point_to(&format!("{base}/gridpoints/ODD/1,1/forecast")),
            "6,6" | "6.0,6.0" => geo_json(&json!({ "properties": {} })),
            other => bad_day(match other.split(['.', ',']).next() {
                Some("1") => "NV",
                Some("2") => "OR",
                Some("3") => "HI",
                _ => return None,
            }),
        });
    }
    Some(match path {
        "/gridpoints/MTR/85,105/forecast" => geo_json(&forecast()),
        "/gridpoints/BAD/1,1/forecast" => bad_day("OR"),
        "/gridpoints/ODD/1,1/forecast" => geo_json(&odd_forecast()),
        _ => bad_day("NV"),
    })
}

fn bad_day(kind: &str) -> Response {
    match kind {
        "OR" => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "title": "Unexpected Problem", "status": 500 }).to_string()).into_response(),
        "HI" => ([(header::CONTENT_TYPE, "text/html")], "<html><body>We are down for maintenance</body></html>").into_response(),
        "ME" => geo_json(&json!({ "unexpected": true })),
        _ => (StatusCode::NOT_FOUND, json!({ "title": "Not Found", "status": 404 }).to_string()).into_response(),
    }
}

fn moved(to: &str) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to.to_owned())]).into_response()
}

fn geo_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/geo+json")], value.to_string()).into_response()
}

fn point_to(url: &str) -> Response {
    geo_json(&json!({ "type": "Feature", "properties": { "gridId": "MTR", "gridX": 85, "gridY": 105, "forecast": url } }))
}

fn alerts() -> Value {
    let alert = |event: &str, area: &str, severity: &str, description: &str, instruction: Value| {
        json!({ "type": "Feature", "geometry": null, "properties": {
            "event": event, "areaDesc": area, "severity": severity, "description": description, "instruction": instruction,
            "headline": "not used", "affectedZones": []
        } })
    };
    json!({ "type": "FeatureCollection", "features": [
        alert("Flood Warning", "Marin; Sonoma", "Severe", "The river is rising.\nIt will crest at noon.", json!("Move to higher ground.")),
        alert("Heat Advisory", "Kern", "Moderate", "Hot — up to 41 °C.", json!("Drink water.")),
    ] })
}

/// What the service does not promise, beside an alert that is one.
fn odd_alerts() -> Value {
    json!({ "features": [
        null,
        { "properties": { "event": "Flood", "areaDesc": ["Travis", null, "Hays"], "severity": 3, "description": null, "instruction": false } },
        { "type": "Feature" },
        { "properties": {} },
    ] })
}

fn odd_forecast() -> Value {
    json!({ "properties": { "periods": [
        "none",
        { "name": 7, "temperature": { "unitCode": "wmoUnit:degF", "value": 54.5 }, "temperatureUnit": null, "windSpeed": 5, "detailedForecast": "Fair." },
    ] } })
}

/// What `get_alerts` says of TX.
pub const ODD_ALERTS: &str = "Event: Flood
Area: Travis, Hays
Severity: 3
Description: No description available
Instructions: false
---
Event: Unknown
Area: Unknown
Severity: Unknown
Description: No description available
Instructions: No specific instructions provided";

/// What `get_forecast` says of 7, 7.
pub const ODD_FORECAST: &str = "7:
Temperature: 54.5°F
Wind: 5
Forecast: Fair.";

/// Seven periods, of which five are told.
fn forecast() -> Value {
    let names = ["Tonight", "Friday", "Friday Night", "Saturday", "Saturday Night", "Sunday", "Sunday Night"];
    let periods = names.iter().enumerate().map(|(i, name)| {
        json!({
            "number": i + 1, "name": name, "isDaytime": i % 2 == 1, "temperature": 50 + i, "temperatureUnit": "F",
            "windSpeed": format!("{} to {} mph", i + 1, i + 5), "windDirection": "WSW", "shortForecast": "not used",
            "detailedForecast": format!("Mostly clear, with a low around {}.", 50 + i)
        })
    });
    json!({ "type": "Feature", "properties": { "units": "us", "periods": periods.collect::<Vec<_>>() } })
}

/// What `get_alerts` says of CA.
pub const ALERTS: &str = "Event: Flood Warning
Area: Marin; Sonoma
Severity: Severe
Description: The river is rising.
It will crest at noon.
Instructions: Move to higher ground.
---
Event: Heat Advisory
Area: Kern
Severity: Moderate
Description: Hot — up to 41 °C.
Instructions: Drink water.";

/// What `get_forecast` says of 37.7749, -122.4194.
pub const FORECAST: &str = "Tonight:
Temperature: 50°F
Wind: 1 to 5 mph WSW
Forecast: Mostly clear, with a low around 50.
---
Friday:
Temperature: 51°F
Wind: 2 to 6 mph WSW
Forecast: Mostly clear, with a low around 51.
---
Friday Night:
Temperature: 52°F
Wind: 3 to 7 mph WSW
Forecast: Mostly clear, with a low around 52.
---
Saturday:
Temperature: 53°F
Wind: 4 to 8 mph WSW
Forecast: Mostly clear, with a low around 53.
---
Saturday Night:
Temperature: 54°F
Wind: 5 to 9 mph WSW
Forecast: Mostly clear, with a low around 54.";
