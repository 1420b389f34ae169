//! What `tools` and `call` show, wherever it comes from.

use serde_json::Value;

/// A tool as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) description: String,
    /// The tool as MCP has it.
    pub(super) json: Value,
}

/// What a call answered: MCP's result as JSON.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) json: Value,
    pub(super) is_error: bool,
}
