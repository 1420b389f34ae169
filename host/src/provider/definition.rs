//! What a source says of one of its tools, in one form whatever the order of its members: what tells one
//! definition from another.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{JsonText, Tool};

/// Members that models do not read: pictures, and what programs tell each other.
const LEFT_OUT: [&str; 3] = ["name", "icons", "_meta"];

/// Members of a resource or a template that are its key, that models do not read, or that change while it stays the same.
const LEFT_OUT_OF_RESOURCES: [&str; 5] = ["uri", "uriTemplate", "icons", "_meta", "size"];

/// Bytes of a page's text that are kept as they are, for people to compare. Of a longer one the digest is.
const LONGEST_TEXT: usize = 16 << 10;

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

    /// Of an entry of `resources/list` or `resources/templates/list` as it came. Of its `_meta` what a page may do is kept.
    #[must_use]
    pub fn of_resource(entry: &Map<String, Value>) -> Self {
        let kept = entry.iter().filter(|(name, _)| !LEFT_OUT_OF_RESOURCES.contains(&name.as_str()));
        let mut kept: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(Value::Object(annotations)) = kept.get_mut("annotations") {
            annotations.shift_remove("lastModified");
        }
        if let Some(ui) = entry.get("_meta").and_then(|meta| meta.get("ui")) {
            kept.insert("_meta".to_owned(), json!({ "ui": ui }));
        }
        Self::of_value(&Value::Object(kept))
    }

    /// Of what a page holds (MCP Apps): the contents of its resource as they were read.
    #[must_use]
    pub fn of_page(contents: &[JsonText]) -> Self {
        let one = |text: &JsonText| {
            let mut content: Map<String, Value> = serde_json::from_str(text.as_str()).unwrap_or_default();
            content.shift_remove("uri");
            for name in ["text", "blob"] {
                let long = content.get(name).and_then(Value::as_str).filter(|text| text.len() > LONGEST_TEXT);
                if let Some(short) =
                    long.map(|text| json!({ "bytes": text.len(), "blake3": blake3::hash(text.as_bytes()).to_hex().as_str() }))
                {
                    content.insert(name.to_owned(), short);
                }
            }
            Value::Object(content)
        };
        let contents: Vec<Value> = contents.iter().map(one).collect();
        match <[Value; 1]>::try_from(contents) {
            // As nearly all are.
            Ok([one]) => Self::of_value(&one),
            Err(several) => Self::of_value(&json!({ "contents": several })),
        }
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

    #[test]
    fn a_resource_is_the_same_until_its_words_or_what_its_page_may_do_are_others() {
        let of = |entry: Value| Definition::of_resource(entry.as_object().unwrap());
        let meta = |domain: &str| json!({"ui": {"csp": {"connectDomains": [domain]}}, "k": 1});
        let one = of(json!({"uri": "x://a", "name": "a", "size": 1, "_meta": meta("https://a.example"),
            "annotations": {"priority": 1, "lastModified": "2026-01-01"}}));
        let same = of(json!({"name": "a", "uri": "x://b", "size": 2, "icons": [], "_meta": {"ui": meta("https://a.example")["ui"]},
            "annotations": {"lastModified": "2027-01-01", "priority": 1}}));
        assert_eq!(one, same);
        for changed in [
            json!({"name": "b", "_meta": meta("https://a.example"), "annotations": {"priority": 1}}),
            json!({"name": "a", "_meta": meta("https://evil.example"), "annotations": {"priority": 1}}),
            json!({"name": "a", "_meta": meta("https://a.example"), "annotations": {"priority": 2}}),
        ] {
            assert_ne!(of(changed.clone()), one, "{changed}");
        }
    }

    #[test]
    fn a_page_is_another_with_any_byte_and_a_long_one_is_kept_by_its_digest() {
        let page = |text: &str, domain: &str| {
            let content = json!({"uri": "ui://x", "text": text, "_meta": {"ui": {"csp": {"connectDomains": [domain]}}}});
            Definition::of_page(&[JsonText::from_value(&content).unwrap()])
        };
        assert_eq!(page("a", "b"), page("a", "b"));
        assert!(page("a", "b") != page("a ", "b") && page("a", "b") != page("a", "c"));
        let (long, longer) = ("x".repeat(LONGEST_TEXT + 1), "y".repeat(LONGEST_TEXT + 1));
        assert!(page(&long, "b").pretty().len() < 1000 && page(&long, "b") != page(&longer, "b"));
        assert!(page("a", "b").pretty().contains("\"text\": \"a\""));
        assert_ne!(Definition::of_page(&[]), Definition::of_page(&[JsonText::from_value(&json!({})).unwrap()]));
    }
}
