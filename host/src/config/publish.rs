//! Under which names, and with which words, the tools and prompts of a plugin or a server are
//! published: keys that both have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{Boolean, Type, list, optional, text, texts},
};
use crate::provider::{PAGE_SCHEME, ToolName};

/// Longest name that the operator may give to a tool.
const MAX_NAME: usize = 256;

section! {
    /// Under which names, and which of them, the tools and prompts of a plugin or a server are
    /// published.
    pub struct NameRules {
        /// Prepended to the name of each tool and prompt that `rename` doesn't mention.
        prefix: Option<String> = None, optional(text("text", tool_name));
        /// New names for tools and prompts, by their own names. `*` matches any characters, and each
        /// `*` of the new name stands for the same: `"github_*" = "gh_*"`.
        rename: BTreeMap<String, String> = BTreeMap::new(), Renames;
        /// Publish only these, by their own names; `*` matches any characters. Empty: all.
        include: Vec<String> = Vec::new(), list("names", text("name", pattern));
        /// Don't publish these, by their own names; `*` matches any characters.
        exclude: Vec<String> = Vec::new(), list("names", text("name", pattern));
        /// How to use its tools, for models: what clients get as `instructions`.
        instructions: Option<String> = None, optional(text("text", not_blank)) => unset("the server's");
        /// Whether clients get the pages that its tools show beside their answers (MCP Apps).
        apps: bool = true, Boolean;
        /// By its own name: what to say of a tool instead of what the server says. A plugin's stand
        /// in [`PluginConfig::tools`](super::PluginConfig::tools).
        tools: BTreeMap<String, ToolOverride> = BTreeMap::new();
    }
}

section! {
    /// What to say of tools, and which of them is meant where a call names none.
    pub(super) struct ToolRules {
        /// The tool that `POST /NAME/call` runs if the request names none, by its own or published
        /// name. Not in `[plugin.default]`.
        default_tool: Option<String> = None, optional(text("name", tool_name)) => unset("the only tool, where there is one");
        /// `[plugin.NAME.tools.TOOL]` or `[server.NAME.tools.TOOL]`: what to say of a tool, by its
        /// own name. Not in `[plugin.default]`.
        tools: BTreeMap<String, ToolOverride> = BTreeMap::new(), Overrides;
    }
}

section! {
    /// What to publish of a tool in place of what the plugin or server says.
    pub struct ToolOverride {
        /// The display name.
        title: Option<String> = None, optional(text("text", not_blank)) => unset("the tool's");
        /// The description that the model reads.
        description: Option<String> = None, optional(text("text", not_blank)) => unset("the tool's");
        /// Descriptions in the input schema, by published parameter name.
        params: BTreeMap<String, String> = BTreeMap::new(), texts("table of texts", not_blank) => unset("the tool's");
        /// New names for parameters, by their own names.
        rename_params: BTreeMap<String, String> = BTreeMap::new(), texts("table of names", param_name) => unset("the tool's");
        /// The hint `readOnlyHint`: it changes nothing.
        read_only: Option<bool> = None, optional(Boolean) => unset("the tool's");
        /// The hint `destructiveHint`: what it changes may be lost.
        destructive: Option<bool> = None, optional(Boolean) => unset("the tool's");
        /// The hint `idempotentHint`: a second call with the same arguments changes nothing more.
        idempotent: Option<bool> = None, optional(Boolean) => unset("the tool's");
        /// The hint `openWorldHint`: it reaches beyond what the host knows, such as the web.
        open_world: Option<bool> = None, optional(Boolean) => unset("the tool's");
        /// The page that clients show beside its answers (MCP Apps): the `ui://` address of a
        /// resource of the same plugin or server; `""` for none.
        app: Option<String> = None, optional(text("address", page)) => unset("the tool's");
    }
}

impl ToolOverride {
    /// The own name of a parameter that is published under this one.
    #[must_use]
    pub fn own_param<'a>(&'a self, published: &'a str) -> &'a str {
        self.rename_params.iter().find(|(_, name)| *name == published).map_or(published, |(own, _)| own)
    }

    /// What of it is the same whoever runs the tool: hints, its page, and names of parameters. None: nothing is said of these.
    #[must_use]
    pub fn of_any_provider(&self) -> Option<Self> {
        let only = Self { title: None, description: None, params: BTreeMap::new(), ..self.clone() };
        (only != Self::default()).then_some(only)
    }

    /// MCP's `annotations` of a tool that has these.
    #[must_use]
    pub fn annotations(&self, own: Option<Value>) -> Option<Value> {
        let hints = [
            ("readOnlyHint", self.read_only),
            ("destructiveHint", self.destructive),
            ("idempotentHint", self.idempotent),
            ("openWorldHint", self.open_world),
        ];
        if hints.iter().all(|(_, hint)| hint.is_none()) {
            return own;
        }
        let mut members = match own {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        for (name, hint) in hints {
            if let Some(hint) = hint {
                members.insert(name.to_owned(), hint.into());
            }
        }
        Some(Value::Object(members))
    }
}

/// `own = "published"`.
struct Renames;

impl Type<BTreeMap<String, String>> for Renames {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, String>> {
        let mut renames = BTreeMap::new();
        self.read_into(item, &mut renames);
        Some(renames)
    }

    fn read_into(&self, item: &Item<'_>, renames: &mut BTreeMap<String, String>) {
        for item in item.table().iter().flat_map(Table::items) {
            let stars = item.key.matches('*').count();
            let Some(name) = item.parsed(|name| new_name(name, stars)) else { continue };
            if let Some((other, _)) = renames.iter().find(|(own, published)| **published == name && **own != item.key) {
                item.fail(format_args!("{other:?} is renamed to {name:?} already; two cannot have one name"));
            }
            renames.insert(item.key, name);
        }
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table of names", json!({ "type": "object", "additionalProperties": { "type": "string" } }))
    }

    fn write(&self, _: &BTreeMap<String, String>) -> Option<Value> {
        None
    }
}

/// The tables `tools.TOOL`.
struct Overrides;

impl Type<BTreeMap<String, ToolOverride>> for Overrides {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, ToolOverride>> {
        let mut overrides = BTreeMap::new();
        self.read_into(item, &mut overrides);
        Some(overrides)
    }

    fn read_into(&self, item: &Item<'_>, overrides: &mut BTreeMap<String, ToolOverride>) {
        for item in item.table().iter().flat_map(Table::items) {
            if let Err(error) = ToolName::new(item.key.as_str()) {
                item.fail_key(error);
                continue;
            }
            let Some(table) = item.table() else { continue };
            overrides.entry(item.key).or_default().read(&table);
            table.finish();
        }
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("tables", json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/ToolSection" } }))
    }

    fn write(&self, _: &BTreeMap<String, ToolOverride>) -> Option<Value> {
        None
    }
}

/// A new name for what fits a name with so many `*`.
fn new_name(text: &str, stars: usize) -> Result<String, String> {
    if text.matches('*').count() != stars {
        return Err(match stars {
            0 => "has a `*`, and the name that it replaces has none".to_owned(),
            _ => format!("needs {stars} `*`, as many as the names that it replaces: each stands for the same there and here"),
        });
    }
    // What stands for `*` is checked when it is known.
    tool_name(&text.replace('*', "x")).map(|_| text.to_owned())
}

/// The name of a property: what all model APIs take there.
fn param_name(text: &str) -> Result<String, String> {
    let fits =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if fits { Ok(text.to_owned()) } else { Err("is not a name for a parameter: 1 to 64 of A-Z, a-z, 0-9, _, - and .".to_owned()) }
}

pub(super) fn tool_name(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_NAME).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control);
    let rule = format!("1 to {MAX_NAME} bytes, no control characters, no white space at its ends");
    if fits { Ok(text.to_owned()) } else { Err(format!("tool name {text:?} is not allowed: {rule}")) }
}

fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name cannot be empty; \"*\" is any".to_owned()) } else { Ok(text.to_owned()) }
}

fn page(text: &str) -> Result<String, String> {
    let is_page = text.strip_prefix(PAGE_SCHEME).is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    if is_page || text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(format!("is no address of a page: these begin with {PAGE_SCHEME}, as in {PAGE_SCHEME}charts/chart.html"))
    }
}

fn not_blank(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("cannot be empty; leave the key out to keep what the tool itself says".to_owned()),
        _ => Ok(text.to_owned()),
    }
}
