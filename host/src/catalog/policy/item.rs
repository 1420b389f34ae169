//! What is on offer, as policies see it.

use crate::{
    catalog::Entry,
    policies::{Hints, Item},
    provider::Tool,
};

pub(super) fn tool_item(entry: &Entry) -> Item<'_> {
    Item::Tool { server: entry.provider().id().as_str(), name: entry.own_name(), hints: hints(entry.tool()) }
}

pub(super) fn prompt_item<'a>(server: &'a str, name: &'a str) -> Item<'a> {
    Item::Prompt { server, name }
}

/// What a tool says of itself; what it says nothing of is as MCP has it.
fn hints(tool: &Tool) -> Hints {
    let hint = |name: &str, default: bool| {
        tool.annotations.as_ref().and_then(|annotations| annotations.get(name)).and_then(serde_json::Value::as_bool).unwrap_or(default)
    };
    let read_only = hint("readOnlyHint", false);
    Hints {
        read_only,
        // What changes nothing destroys nothing, whatever it says of that.
        destructive: !read_only && hint("destructiveHint", true),
        idempotent: read_only || hint("idempotentHint", false),
        open_world: hint("openWorldHint", true),
    }
}
