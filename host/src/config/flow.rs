//! `[flow.NAME]`: what tools read and where they send, for the rule on what may leave a conversation.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    role::{pattern, role_name},
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{Type, choice, list, optional, text},
};

/// What a tool's answers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Things that are not for everybody.
    Private,
    /// Things that strangers have written.
    Untrusted,
}

/// Where what is given to a tool goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// To somebody else, or where somebody else can read it.
    Outside,
}

const READS: &[(&str, Reads)] = &[("private", Reads::Private), ("untrusted", Reads::Untrusted)];
const SENDS: &[(&str, Sends)] = &[("outside", Sends::Outside)];

section! {
    /// Labels of tools. In a conversation in which something private and something untrusted was
    /// read, a call of a tool that sends outside must be confirmed by a person.
    #[derive(Eq)]
    pub struct FlowConfig {
        /// The tools: `github__*`, `mail__send`, `delete_*`. `*` stands for any characters.
        tools: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern)) => required;
        /// What answers of these tools hold: `"private"` is not for everybody, `"untrusted"` was
        /// written by strangers, who may give instructions to a model. An array for both.
        reads: Vec<Reads> = Vec::new(), OneOrMore;
        /// `"outside"`: what these tools are given goes to others, or where others can read it.
        sends: Option<Sends> = None, optional(choice(SENDS));
    }
}

/// A word, or an array of them.
struct OneOrMore;

impl Type<Vec<Reads>> for OneOrMore {
    fn read(&self, item: &Item<'_>) -> Option<Vec<Reads>> {
        if item.value.is_array() {
            return list("words", choice(READS)).read(item);
        }
        Some(vec![choice(READS).read(item)?])
    }

    fn info(&self) -> TypeInfo {
        let of = Type::<Reads>::info(&choice(READS)).schema;
        TypeInfo::new("`\"private\"` or `\"untrusted\"`, or both in an array", json!({ "anyOf": [of, { "type": "array", "items": of }] }))
    }

    fn write(&self, _: &Vec<Reads>) -> Option<Value> {
        None
    }
}

/// The tables `[flow.NAME]`.
pub(super) fn flows(table: &Table<'_>) -> BTreeMap<String, FlowConfig> {
    let mut flows = BTreeMap::new();
    for item in table.items() {
        if role_name(&item.key).is_err() {
            item.fail_key("the name of a flow must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\"");
        }
        let Some(keys) = item.table() else { continue };
        let mut flow = FlowConfig::default();
        flow.read(&keys);
        if keys.get("tools").is_none() {
            item.fail("has no \"tools\"; write which tools it labels: tools = [\"mail__*\"]");
        }
        keys.finish();
        flows.insert(item.key.clone(), flow);
    }
    flows
}
