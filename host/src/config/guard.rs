//! `[guard.NAME]`: a plugin that judges calls and lists by the operator's own rules.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};
use toml::de::DeValue;

use super::{
    key::TypeInfo,
    role::{pattern, role_name},
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{Type, choice, list, number, text},
};
use crate::provider::ProviderId;

/// What becomes of a call whose guard fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is denied.
    Deny,
    /// It goes on, as if there were no guard.
    Pass,
}

const ON_FAILURE: &[(&str, OnFailure)] = &[("deny", OnFailure::Deny), ("pass", OnFailure::Pass)];

section! {
    /// A guard: a plugin that judges calls of tools, their answers and what is listed of tools, by
    /// the operator's own rules. Its limits and grants stand in `[plugin.NAME]` of the plugin.
    pub struct GuardConfig {
        /// The plugin: a file of this name in the plugin folder, without `.wasm`.
        plugin: String = String::new(), Name => required;
        /// The tools that it guards, of plugins and servers alike: `github__*`, `calc__add`,
        /// `delete_*`. `*` stands for any characters.
        tools: Vec<String> = vec!["*".to_owned()], list("patterns", text("pattern", pattern));
        /// Where it stands among the guards of a call: those with a smaller number are asked first,
        /// and of the same number those that are written first. Answers go through them in the
        /// opposite order.
        order: u32 = 100, number(0..=1_000_000);
        /// What becomes of a call if the guard crashes, goes over a limit, or isn't there: `"deny"`
        /// denies it, `"pass"` lets it pass unguarded. Lists go the same way.
        on_failure: OnFailure = OnFailure::Deny, choice(ON_FAILURE);
        /// What the guard is told with each question, as JSON. Secrets belong in `env` of
        /// `[plugin.NAME]`.
        settings: Map<String, Value> = Map::new(), Free;
        /// Where it stands among all guards.
        place: usize = 0;
    }
}

/// The name of a plugin.
struct Name;

impl Type<String> for Name {
    fn read(&self, item: &Item<'_>) -> Option<String> {
        item.parsed(plugin_name)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("name", json!({ "type": "string" }))
    }

    fn write(&self, _: &String) -> Option<Value> {
        None
    }
}

/// A table that only the guard itself understands.
struct Free;

impl Type<Map<String, Value>> for Free {
    fn read(&self, item: &Item<'_>) -> Option<Map<String, Value>> {
        match read(item.value) {
            Ok(Value::Object(settings)) => Some(settings),
            Ok(_) => {
                item.wrong_type("a table");
                None
            }
            Err(what) => {
                item.fail(format_args!("cannot hold {what}, which JSON does not have; write it as text"));
                None
            }
        }
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table", json!({ "type": "object" }))
    }

    fn write(&self, _: &Map<String, Value>) -> Option<Value> {
        None
    }
}

/// A value as JSON, or what of it JSON does not have.
fn read(value: &DeValue<'_>) -> Result<Value, &'static str> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "so large a number")?.into(),
        DeValue::Float(float) => {
            let float = float.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(float.ok_or("a number that is none")?)
        }
        DeValue::Datetime(_) => return Err("a date or time"),
        DeValue::Array(array) => array.iter().map(|value| read(value.get_ref())).collect::<Result<_, _>>()?,
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, value)| read(value.get_ref()).map(|value| (key.get_ref().to_string(), value)));
            Value::Object(members.collect::<Result<_, _>>()?)
        }
    })
}

/// The tables `[guard.NAME]`. `servers`: those that there are, which are no plugins.
pub(super) fn guards<'s>(table: &Table<'_>, servers: impl Iterator<Item = &'s String> + Clone) -> BTreeMap<String, GuardConfig> {
    let mut items: Vec<_> = table.items().collect();
    items.sort_by_key(|item| item.key_offset);
    let mut guards = Vec::new();
    for item in items {
        if role_name(&item.key).is_err() {
            item.fail_key("the name of a guard must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\"");
        }
        let Some(keys) = item.table() else { continue };
        let mut guard = GuardConfig::default();
        guard.read(&keys);
        match keys.get("plugin") {
            None => item.fail("has no \"plugin\"; write the name of its file in the plugin folder, without .wasm: plugin = \"redact\""),
            Some(plugin) if servers.clone().any(|server| *server == guard.plugin) => {
                plugin.fail(format_args!("{:?} is a server; a guard is a plugin", guard.plugin));
            }
            Some(_) => {}
        }
        keys.finish();
        guards.push((item.key.clone(), guard));
    }
    guards.sort_by_key(|(_, guard)| guard.order);
    guards.into_iter().enumerate().map(|(place, (name, guard))| (name, GuardConfig { place, ..guard })).collect()
}

fn plugin_name(name: &str) -> Result<String, String> {
    if let Some(stem) = name.strip_suffix(".wasm").filter(|stem| ProviderId::new(*stem).is_ok()) {
        return Err(format!("{name:?} is the name of a file; write {stem:?}"));
    }
    ProviderId::new(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
}
