//! Resources, templates and prompts of a server's lists, and blocks of content, made fit.

use serde_json::{Map, Value};
use url::Url;

use super::{audience, description, icons, meta, text};
use crate::provider::Offer;

/// A resource, a template or a prompt, by the member that it is called by, and what had to be left out of it.
///
/// # Errors
///
/// Why it cannot be offered, after the words "a prompt ".
pub fn offer(mut entry: Map<String, Value>, key: &str) -> Result<(Offer, Vec<String>), String> {
    let called = match entry.get(key) {
        Some(Value::String(called)) if !called.is_empty() => called.clone(),
        _ => return Err(format!("has no {key}")),
    };
    let mut faults = Vec::new();
    match entry.get("name") {
        Some(Value::String(_)) => {}
        None | Some(Value::Null) => {
            faults.push(format!("it has no name, and is published under its {key}"));
            entry.insert("name".to_owned(), called.clone().into());
        }
        Some(_) => return Err(format!("{called:?} has a name that is no text")),
    }
    // Python's reader of the list takes addresses that are whole, and no others.
    if key == "uri" && Url::parse(&called).is_err() {
        return Err(format!("{called:?} has an address that is no URI"));
    }
    for key in ["title", "mimeType"] {
        if let Some(text) = text(&mut entry, key, &mut faults) {
            entry.insert(key.to_owned(), text.into());
        }
    }
    if let Some(text) = description(&mut entry, &mut faults) {
        entry.insert("description".to_owned(), text.into());
    }
    if let Some(icons) = icons(entry.shift_remove("icons"), &mut faults) {
        entry.insert("icons".to_owned(), icons);
    }
    if let Some(meta) = meta(entry.shift_remove("_meta"), &mut faults) {
        entry.insert("_meta".to_owned(), meta.into());
    }
    if let Some(mut annotations) = entry.shift_remove("annotations")
        && audience(&mut annotations)
    {
        entry.insert("annotations".to_owned(), annotations);
    }
    if entry.get("size").is_some_and(|size| size.as_u64().is_none()) {
        entry.shift_remove("size");
    }
    if key == "name" {
        arguments(&mut entry, &mut faults);
    }
    Ok((Offer { key: called, json: entry }, faults))
}

/// The `arguments` of a prompt: a list of objects with a name each.
fn arguments(entry: &mut Map<String, Value>, faults: &mut Vec<String>) {
    let list = match entry.shift_remove("arguments") {
        Some(Value::Array(list)) => list,
        None | Some(Value::Null) => return,
        Some(_) => {
            faults.push("its arguments are no list, and are left out".to_owned());
            return;
        }
    };
    let fit = |argument: Value| {
        let mut argument = match argument {
            Value::Object(argument) => argument,
            // A name and nothing else.
            Value::String(name) => Map::from_iter([("name".to_owned(), name.into())]),
            _ => return None,
        };
        argument.get("name").filter(|name| name.is_string())?;
        argument.retain(|key, value| match key.as_str() {
            "description" | "title" => value.is_string(),
            "required" => value.is_boolean(),
            _ => true,
        });
        Some(Value::Object(argument))
    };
    let all = list.len();
    let list: Vec<Value> = list.into_iter().filter_map(fit).collect();
    if list.len() < all {
        faults.push("an argument of it has no name, and is left out".to_owned());
    }
    entry.insert("arguments".to_owned(), list.into());
}

/// A block of content as clients read it: of a type that they know, with the members that it has to have. None: it is none of these.
#[must_use]
pub fn content(block: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_text = |key: &str| block.get(key).is_some_and(Value::is_string);
    let fits = match block.get("type")?.as_str()? {
        "text" => is_text("text"),
        "image" | "audio" => is_text("data") && is_text("mimeType"),
        "resource_link" => is_text("uri") && is_text("name"),
        "resource" => block.get("resource").and_then(Value::as_object).is_some_and(|resource| {
            let is_text = |key: &str| resource.get(key).is_some_and(Value::is_string);
            is_text("uri") && (is_text("text") || is_text("blob"))
        }),
        _ => false,
    };
    if !fits {
        return None;
    }
    let mut block = block.clone();
    if let Some(mut annotations) = block.shift_remove("annotations")
        && audience(&mut annotations)
    {
        block.insert("annotations".to_owned(), annotations);
    }
    block.retain(|key, value| match key.as_str() {
        "_meta" => value.is_object(),
        "title" | "description" | "mimeType" => value.is_string(),
        "size" => value.as_u64().is_some(),
        _ => true,
    });
    Some(block)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(entry) => entry,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn prompts_that_empty_a_list_are_made_fit() {
        let fit = |value| offer(entry(value), "name").map(|(offer, faults)| (Value::Object(offer.json), faults.len()));
        assert_eq!(fit(json!({"name": "p", "arguments": null})), Ok((json!({"name": "p"}), 0)));
        assert_eq!(fit(json!({"name": "p", "arguments": {}, "description": 1})), Ok((json!({"name": "p"}), 2)));
        assert_eq!(
            fit(json!({"name": "p", "arguments": ["a", {"name": "b", "required": "yes"}, {"x": 1}, 7]})),
            Ok((json!({"name": "p", "arguments": [{"name": "a"}, {"name": "b"}]}), 1))
        );
        assert!(fit(json!({"arguments": []})).unwrap_err().contains("no name"));
    }

    #[test]
    fn resources_need_an_address_that_is_one() {
        let fit = |value| offer(entry(value), "uri").map(|(offer, _)| Value::Object(offer.json));
        let odd = json!({"uri": "f:///a", "name": "a", "size": "big", "mimeType": 7, "annotations": {"audience": "me", "priority": 2}});
        assert_eq!(fit(odd), Ok(json!({"uri": "f:///a", "name": "a"})));
        assert_eq!(fit(json!({"uri": "f:///a"})).unwrap()["name"], "f:///a");
        assert!(fit(json!({"uri": "a/b", "name": "a"})).unwrap_err().contains("no URI"));
    }

    #[test]
    fn blocks_are_of_types_that_clients_know() {
        let fit = |value| content(&entry(value)).map(Value::Object);
        assert_eq!(fit(json!({"type": "text", "text": "t", "annotations": 1, "x": 1})), Some(json!({"type": "text", "text": "t", "x": 1})));
        for odd in [
            json!({"type": "text"}),
            json!({"type": "json", "json": {}}),
            json!({"text": "t"}),
            json!({"type": "image", "data": "AA=="}),
            json!({"type": "resource", "resource": {"uri": "f:///a"}}),
            json!({"type": "resource_link", "uri": "f:///a"}),
        ] {
            assert_eq!(fit(odd.clone()), None, "{odd}");
        }
    }
}
