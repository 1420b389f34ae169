//! The case of a call that fetches: what a weather service answers, and what a person is told of it.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

/// The tool of the plugin `weather`.
pub(crate) const TOOL: &str = "get_alerts";

/// Alerts in the document, which is then as large as what the real service has for a large state on a winter's day: 46 kB.
const ALERTS: u32 = 9;

/// Points of an outline.
const POINTS: u32 = 30;
/// And of those in the large document.
const LARGE_POINTS: u32 = 1400;

/// The document, indented as the real service has it. A quarter of it is told; the rest is outlines, codes and blanks.
pub(crate) static DOCUMENT: LazyLock<String> = LazyLock::new(|| document(POINTS));

/// The same alerts with outlines that make a megabyte of it: what is told is the same.
pub(crate) static LARGE: LazyLock<String> = LazyLock::new(|| document(LARGE_POINTS));

/// The state that has it.
pub(crate) const LARGE_STATE: &str = "TX";

/// What is told of it.
pub(crate) static TOLD: LazyLock<String> = LazyLock::new(|| told(DOCUMENT.as_bytes()).unwrap_or_default());

/// `outline`: points of each alert's area.
fn document(outline: u32) -> String {
    let feature = |number: u32| {
        let points = |point: u32| json!([-120.0 - f64::from(point) / 64.0, 35.0 + f64::from(number * point % 97) / 64.0]);
        let zones = |prefix: &str| (0..8).map(|zone| format!("{prefix}{:03}", number * 8 + zone)).collect::<Vec<_>>();
        json!({
            "id": format!("https://weather.example/alerts/urn:oid:2.49.0.1.840.0.{number:032x}.001.1"),
            "type": "Feature",
            "geometry": { "type": "Polygon", "coordinates": [(0..outline).map(points).collect::<Vec<_>>()] },
            "properties": {
                "@id": format!("https://weather.example/alerts/{number}"),
                "@type": "wx:Alert",
                "areaDesc": zones("County ").join("; "),
                "geocode": { "SAME": zones("006"), "UGC": zones("CAZ") },
                "affectedZones": zones("https://weather.example/zones/forecast/CAZ"),
                "sent": "2026-11-29T12:00:00-08:00",
                "status": "Actual",
                "severity": "Severe",
                "certainty": "Likely",
                "event": "Winter Storm Warning",
                "senderName": "Weather Service",
                "headline": "Winter Storm Warning until Monday evening",
                "description": "* WHAT...Heavy snow is expected.\n\n* WHERE...The western slope above 4,000 feet.\n".repeat(5).trim_end(),
                "instruction": "If you must travel, keep a flashlight, food, and water in your vehicle.\n".repeat(4).trim_end(),
                "response": "Prepare",
                "parameters": { "AWIPSidentifier": ["WSWSTO"], "NWSheadline": ["x".repeat(80)] },
            },
        })
    };
    let document = json!({ "type": "FeatureCollection", "features": (1..=ALERTS).map(feature).collect::<Vec<_>>(), "title": "alerts" });
    format!("{document:#}")
}

#[derive(Deserialize)]
struct Answer {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    properties: Alert,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    event: String,
    area_desc: String,
    severity: String,
    description: String,
    instruction: String,
}

/// What the plugin tells, word for word. None: the document is none.
pub(crate) fn told(document: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(document).ok()?;
    let alert = |Feature { properties: alert }: &Feature| {
        format!(
            "Event: {}\nArea: {}\nSeverity: {}\nDescription: {}\nInstructions: {}",
            alert.event,
            alert.area_desc,
            alert.severity,
            alert.description.trim(),
            alert.instruction.trim(),
        )
    };
    Some(answer.features.iter().map(alert).collect::<Vec<_>>().join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_document_is_told() {
        let (whole, told) = (DOCUMENT.len(), TOLD.len());
        assert!((40_000..55_000).contains(&whole), "{whole}");
        assert!((4_000..12_000).contains(&told), "{told}");
        assert!((950_000..1_100_000).contains(&LARGE.len()), "{}", LARGE.len());
        assert_eq!(super::told(LARGE.as_bytes()).as_deref(), Some(TOLD.as_str()));
    }
}
