//! The two eras of MCP that share one endpoint.

use http::HeaderMap;
use rmcp::model::ClientCapabilities;

use super::{
    envelope::{Meta, is_object},
    headers::{VERSION_NAME, single},
};

/// Which rules a request goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: stateless, each request says what it needs in its `_meta`.
    Modern,
    /// 2025-11-25 and older: `initialize`, sessions.
    Legacy,
}

/// The only revision of the modern era so far.
pub(super) const MODERN: &str = "2026-07-28";
/// The revisions with `initialize` that are served.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

impl Era {
    /// Revisions are dates, so text order is time order.
    pub(super) fn of(version: &str) -> Self {
        if version >= MODERN { Self::Modern } else { Self::Legacy }
    }

    /// By the header alone, as far as it can be read: for the requests that are looked at in full later.
    pub(super) fn of_header(headers: &HeaderMap) -> Self {
        headers.get(&VERSION_NAME).and_then(|value| value.to_str().ok()).map_or(Self::Legacy, Self::of)
    }

    /// When the header and `_meta` agree on it and nothing that it requires is missing.
    pub(super) fn agreed(headers: &HeaderMap, meta: Option<&Meta<'_>>) -> Option<Self> {
        let header = single(headers, &VERSION_NAME).ok()?;
        match (meta.and_then(|meta| meta.version.as_deref()), header) {
            (None, None) => Some(Self::Legacy),
            (None, Some(version)) if LEGACY.contains(&version) => Some(Self::Legacy),
            (Some(MODERN), Some(MODERN)) if meta.is_some_and(has_capabilities) => Some(Self::Modern),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

fn has_capabilities(meta: &Meta<'_>) -> bool {
    let Some(capabilities) = meta.capabilities.map(|capabilities| capabilities.get()) else { return false };
    capabilities == "{}" || (is_object(capabilities) && serde_json::from_str::<ClientCapabilities>(capabilities).is_ok())
}
