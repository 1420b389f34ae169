//! A service as the National Weather Service is one, with the same alerts for each state: what tools that fetch ask here.

use axum::{Router, body::Bytes, http::header, routing::get};
use serde_json::{Value, json};

/// As many, and each as long, as on a day with storms: some 46 kB.
const ALERTS: usize = 16;
const SENTENCES: usize = 20;

pub(super) fn router() -> Router {
    let body = Bytes::from(alerts().to_string());
    let answer = move || {
        let body = body.clone();
        async move { ([(header::CONTENT_TYPE, "application/geo+json")], body) }
    };
    Router::new().route("/alerts/active/area/{state}", get(answer))
}

fn alerts() -> Value {
    let features: Vec<Value> = (0..ALERTS).map(alert).collect();
    json!({ "type": "FeatureCollection", "features": features })
}

fn alert(number: usize) -> Value {
    let sentence = |index: usize| format!("* Gusts of up to {} mph from the north-west are expected in zone {number}.\n", 30 + index);
    let zones: Vec<String> = (0..8).map(|zone| format!("https://api.weather.gov/zones/forecast/CAZ{:03}", number * 8 + zone)).collect();
    json!({
        "id": format!("urn:oid:2.49.0.1.840.0.{number}"),
        "type": "Feature",
        "geometry": null,
        "properties": {
            "event": "Wind Advisory",
            "areaDesc": format!("Zone {number}; Zone {}; the hills above \u{201c}San Jos\u{e9}\u{201d}", number + 1),
            "affectedZones": zones,
            "sent": "2026-11-30T03:00:00-08:00",
            "status": "Actual",
            "severity": "Moderate",
            "certainty": "Likely",
            "urgency": "Expected",
            "headline": format!("Wind Advisory {number}"),
            "description": (0..SENTENCES).map(sentence).collect::<String>().trim_end(),
            "instruction": "Secure outdoor objects.\nUse caution when driving.",
            "parameters": { "AWIPSidentifier": ["NPWMTR"], "WMOidentifier": ["WWUS76 KMTR 300300"] },
        },
    })
}
