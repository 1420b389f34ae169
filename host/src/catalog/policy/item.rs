//! What is on offer and what is asked of it, as policies see it.

use super::access::forms;
use crate::{
    catalog::Entry,
    policies::{Action, Bound, Denial, Hints, Item, Moment, Ruling, Verdict},
    provider::Tool,
};

/// What a call does, by its provider's own names.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A tool is called with these arguments, which are JSON text.
    Call(&'a str),
    /// The resource at this address is read.
    Read(&'a str),
    /// The prompt of this name is filled in.
    Get(&'a str),
}

/// Why a caller may not make a call. None: it may. `entry`: of a tool that is called.
#[must_use]
pub fn denial(bound: &Bound, server: &str, entry: Option<&Entry>, asked: Asked<'_>, moment: Moment) -> Option<Denial> {
    let of = |action, item: &Item<'_>, arguments: &str| match bound.verdict(action, item, arguments, moment) {
        Verdict::Denied(denial) => Some(denial),
        Verdict::Allowed => None,
    };
    match asked {
        Asked::Call(arguments) => of(Action::Call, &tool_item(entry?), arguments),
        Asked::Get(name) => of(Action::Get, &prompt_item(server, name), "{}"),
        Asked::Read(uri) => {
            let (uri, plain) = forms(uri).unwrap_or((uri, None));
            [Some(uri), plain.as_deref()].into_iter().flatten().find_map(|uri| {
                let item = Item::Resource { server, uri };
                // The page of a tool comes with it, where policies only do not permit it: what no call changes was decided before.
                let is_open = || matches!(bound.ruling(Action::Read, &item), Ruling::EachCall(_));
                of(Action::Read, &item, "{}").filter(|denial| denial.by.is_some() || is_open())
            })
        }
    }
}

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
