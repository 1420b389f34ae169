//! The two eras of MCP that share one endpoint.

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
pub(super) const METHOD_HEADER: &str = "mcp-method";
pub(super) const NAME_HEADER: &str = "mcp-name";

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
