//! What a source says of one of its tools, in one form whatever the order of its members: what tells one
//! definition from another.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Tool;

/// Members that models do not read: pictures, and what programs tell each other.
const LEFT_OUT: [&str; 3] = ["name", "icons", "_meta"];

/// The definition of a tool: MCP's object, without its name, its pictures and its `_meta`, as JSON text
/// with the members of all objects in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition(Arc<str>);

impl Definition {
    /// Of an entry of `tools/list` as it came.
    #[must_use]
    pub fn of_entry(entry: &Map<String, Value>) -> Self {
        let kept = entry.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
        Self::of_value(&Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    /// Of a tool whose source has no other form of it.
    #[must_use]
    pub fn of(tool: &Tool) -> Self {
        let mut entry = tool.extra.clone();
        entry.insert("inputSchema".to_owned(), Value::Object((*tool.input_schema).clone()));
        let texts = [("title", &tool.title), ("description", &tool.description)];
        entry.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into()))));
        entry.extend(tool.output_schema.as_ref().map(|schema| ("outputSchema".to_owned(), Value::Object((**schema).clone()))));
        entry.extend(tool.annotations.clone().map(|annotations| ("annotations".to_owned(), annotations)));
        Self::of_entry(&entry)
    }

    /// Of JSON text that was made of one, in whatever order. None: it is no object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.is_object().then(|| Self::of_value(&value))
    }

    fn of_value(value: &Value) -> Self {
        Self(in_order(value).to_string().into())
    }

    /// As JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// As an object.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// As JSON text of many lines, for people.
    #[must_use]
    pub fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.value()).unwrap_or_default()
    }

    /// The BLAKE3 of the text, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        blake3::hash(self.0.as_bytes()).to_hex().to_string()
    }
}

fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            names.into_iter().filter_map(|name| Some((name.clone(), in_order(members.get(name)?)))).collect()
        }
        Value::Array(items) => items.iter().map(in_order).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(entry: Value) -> Definition {
        Definition::of_entry(entry.as_object().unwrap())
    }

    #[test]
    fn a_definition_is_the_same_in_any_order_and_another_with_any_word() {
        let one = of(json!({"name": "t", "description": "d", "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}));
        let other = of(json!({"inputSchema": {"properties": {"b": {}, "a": {}}, "type": "object"}, "description": "d", "name": "t",
            "icons": [{"src": "x"}], "_meta": {"k": 1}}));
        assert_eq!((one.digest(), Some(&one)), (other.digest(), Definition::parse(&one.pretty()).as_ref()));
        for changed in [
            json!({"description": "d ", "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}),
            json!({"description": "d", "inputSchema": {"type": "object", "properties": {"a": {}, "b": {"description": "x"}}}}),
            json!({"description": "d", "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}, "annotations": {"readOnlyHint": true}}),
        ] {
            assert_ne!(of(changed.clone()).digest(), one.digest(), "{changed}");
        }
    }
}
