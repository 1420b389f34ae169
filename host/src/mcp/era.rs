//! The two eras of MCP that share one endpoint.

use http::HeaderName;

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

pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";
pub(super) const SESSION_HEADER: &str = "mcp-session-id";
/// Headers that every call is asked for, as names that need not be read first.
pub(super) static VERSION_NAME: HeaderName = HeaderName::from_static(VERSION_HEADER);
pub(super) static SESSION_NAME: HeaderName = HeaderName::from_static(SESSION_HEADER);
pub(super) static METHOD_NAME: HeaderName = HeaderName::from_static("mcp-method");
pub(super) static NAME_NAME: HeaderName = HeaderName::from_static("mcp-name");

impl Era {
    /// Revisions are dates, so text order is time order.
    pub(super) fn of(version: &str) -> Self {
        if version >= MODERN { Self::Modern } else { Self::Legacy }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}
