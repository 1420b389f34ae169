//! Who is here, for an operator to see: sessions that something is kept of, and tasks. No ids, since these are what their owners show.

use serde::Serialize;

/// A session, as the console shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionInfo {
    /// Whose it is. None: callers are not told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The provider whose endpoint it is at. None: that of everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The revision of MCP that was agreed on.
    pub revision: String,
    /// What its client can, by name: `sampling`.
    pub capabilities: Vec<String>,
    /// Since its last request, in seconds.
    pub idle: u64,
    /// Open streams.
    pub streams: usize,
    /// Calls that run.
    pub calls: usize,
    /// Resources that it hears of.
    pub subscriptions: usize,
}

/// A task, as the console shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskInfo {
    /// Whose it is. None: callers are not told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// `working`, `input_required`, `completed`, `failed` or `cancelled`.
    pub status: &'static str,
    /// How far it has come, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub created: i64,
    /// When that changed last.
    pub updated: i64,
    /// When it is forgotten, in seconds from now.
    pub expires: u64,
    /// Bytes of its result.
    pub bytes: usize,
}
