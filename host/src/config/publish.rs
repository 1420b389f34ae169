//! Under which names, and with which words, the tools and prompts of a plugin or a server are
//! published: keys that both have.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    reader::{Item, Table},
    section::{Section, section},
    types::{Type, list, optional, text, texts},
};
use crate::provider::ToolName;

section! {
    /// Under which names, and which of them, the tools and prompts of a plugin or a server are
    /// published.
    pub struct NameRules {
        /// Prepended to the name of each tool and prompt that `rename` doesn't mention.
        prefix: Option<String> = None, optional(text("text", tool_name));
        /// New names for tools and prompts, by their own names.
        rename: BTreeMap<String, String> = BTreeMap::new(), Renames;
        /// Publish only these, by their own names; `*` matches any characters. Empty: all.
        include: Vec<String> = Vec::new(), list("names", text("name", pattern));
        /// Don't publish these, by their own names; `*` matches any characters.
        exclude: Vec<String> = Vec::new(), list("names", text("name", pattern));
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
            let Some(name) = item.parsed(tool_name) else { continue };
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

fn tool_name(text: &str) -> Result<String, String> {
    ToolName::new(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name cannot be empty; \"*\" is any".to_owned()) } else { Ok(text.to_owned()) }
}

fn not_blank(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("cannot be empty; leave the key out to keep what the tool itself says".to_owned()),
        _ => Ok(text.to_owned()),
    }
}
