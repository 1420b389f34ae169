//! What authorization servers may answer for servers elsewhere, and what of that may be shown.

use serde::Deserialize;

use crate::provider::shown;

/// Bytes of an answer.
pub(super) const LARGEST: usize = 256 << 10;
/// Characters of what it says that are shown.
pub(super) const SHOWN: usize = 200;

/// What an answer that says no says of the reason: `: invalid_client (…)`, or nothing.
pub(super) fn refusal(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        error_description: Option<String>,
    }
    let Ok(Refusal { error, error_description }) = serde_json::from_slice(text) else { return String::new() };
    let description = error_description.map(|text| format!(" ({text})")).unwrap_or_default();
    shown(&format!(": {error}{description}"), SHOWN)
}
