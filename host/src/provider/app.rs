//! MCP Apps: which page a tool's `_meta` has clients show beside its answers (the extension `io.modelcontextprotocol/ui`, 2026-01-26).

use serde_json::{Map, Value, json};

/// The extension, as both sides declare it in `extensions` of their capabilities.
pub const APPS: &str = "io.modelcontextprotocol/ui";

/// What somebody declares who hands pages on to clients: the extension and the only type of page that it has.
pub const APPS_DECLARED: &str = r#"{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}"#;

/// What the address of a page begins with. Clients refuse any other.
pub const PAGE_SCHEME: &str = "ui://";

/// The member of `_meta` in which clients of before 2026 look for the address.
const FLAT: &str = "ui/resourceUri";

/// The address of the page that a tool's `_meta` names.
#[must_use]
pub fn page_of(meta: &Map<String, Value>) -> Option<&str> {
    let named = meta.get("ui").and_then(|ui| ui.get("resourceUri")).or_else(|| meta.get(FLAT));
    named.and_then(Value::as_str).filter(|uri| uri.starts_with(PAGE_SCHEME))
}

/// The same with another address in place of each that `other` has one for. None: nothing is another.
#[must_use]
pub fn with_pages<'m>(meta: &'m Map<String, Value>, other: impl Fn(&'m str) -> Option<String>) -> Option<Map<String, Value>> {
    let other = |named: Option<&'m Value>| named.and_then(Value::as_str).filter(|uri| uri.starts_with(PAGE_SCHEME)).and_then(&other);
    let (nested, flat) = (other(meta.get("ui").and_then(|ui| ui.get("resourceUri"))), other(meta.get(FLAT)));
    if nested.is_none() && flat.is_none() {
        return None;
    }
    let mut changed = meta.clone();
    if let (Some(uri), Some(Value::Object(ui))) = (nested, changed.get_mut("ui")) {
        ui.insert("resourceUri".to_owned(), uri.into());
    }
    if let Some(uri) = flat {
        changed.insert(FLAT.to_owned(), uri.into());
    }
    Some(changed)
}

/// The `_meta` of a tool that has this page, where the older clients look for it too.
#[must_use]
pub fn with_page(meta: Option<Map<String, Value>>, uri: &str) -> Map<String, Value> {
    let mut meta = meta.unwrap_or_default();
    match meta.get_mut("ui") {
        Some(Value::Object(ui)) => drop(ui.insert("resourceUri".to_owned(), uri.into())),
        _ => drop(meta.insert("ui".to_owned(), json!({ "resourceUri": uri }))),
    }
    meta.insert(FLAT.to_owned(), uri.into());
    meta
}

/// The `_meta` without a page. Who may call the tool stays said. None: there is nothing else in it.
#[must_use]
pub fn without_page(mut meta: Map<String, Value>) -> Option<Map<String, Value>> {
    meta.shift_remove(FLAT);
    if let Some(Value::Object(ui)) = meta.get_mut("ui") {
        ui.shift_remove("resourceUri");
        if ui.is_empty() {
            meta.shift_remove("ui");
        }
    }
    (!meta.is_empty()).then_some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(meta) => meta,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn both_forms_of_a_link_are_read_and_changed_and_nothing_else_is() {
        let both = meta(json!({"ui": {"resourceUri": "ui://a", "visibility": ["app"]}, "ui/resourceUri": "ui://a", "k": 1}));
        assert_eq!(page_of(&both), Some("ui://a"));
        let changed = with_pages(&both, |uri| Some(format!("{uri}/b"))).unwrap();
        assert_eq!(
            Value::Object(changed),
            json!({"ui": {"resourceUri": "ui://a/b", "visibility": ["app"]}, "ui/resourceUri": "ui://a/b", "k": 1})
        );
        assert_eq!(with_pages(&both, |_| None), None);
        for (given, page) in [
            (json!({"ui/resourceUri": "ui://a"}), Some("ui://a")),
            (json!({"ui": {"resourceUri": "https://a.example"}}), None),
            (json!({"ui": "ui://a"}), None),
            (json!({"ui": {"resourceUri": 5}, "ui/resourceUri": ["ui://a"]}), None),
            (json!({}), None),
        ] {
            let given = meta(given);
            assert_eq!(page_of(&given), page, "{given:?}");
            assert_eq!(with_pages(&given, |_| Some("ui://x".to_owned())).is_some(), page.is_some(), "{given:?}");
        }
    }

    #[test]
    fn a_page_is_given_and_taken_away() {
        let given = with_page(Some(meta(json!({"k": 1, "ui": {"visibility": ["model"]}}))), "ui://p");
        assert_eq!(
            Value::Object(given.clone()),
            json!({"k": 1, "ui": {"visibility": ["model"], "resourceUri": "ui://p"}, "ui/resourceUri": "ui://p"})
        );
        assert_eq!(without_page(given).map(Value::Object), Some(json!({"k": 1, "ui": {"visibility": ["model"]}})));
        assert_eq!(without_page(with_page(None, "ui://p")), None);
        let declared: Value = serde_json::from_str(APPS_DECLARED).unwrap();
        assert_eq!(declared[APPS]["mimeTypes"], json!(["text/html;profile=mcp-app"]));
    }
}
