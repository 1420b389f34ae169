//! What a server lists, made fit: each member of the type that clients' readers want, or left out with a word on it.
//!
//! One member of a wrong type makes an SDK refuse the whole list. The list of this host has the tools of many servers in it, so a
//! tool is made fit here, or withheld alone.

mod answer;
mod offer;
mod tool;

use serde_json::{Map, Value};

pub use answer::Outputs;
pub use offer::{content, offer};
pub use tool::tool;

/// Bytes of a description that are published. Models read all of it, with every request.
const MAX_DESCRIPTION: usize = 32 << 10;

/// A text member. What is something else is left out, and told.
fn text(entry: &mut Map<String, Value>, key: &str, faults: &mut Vec<String>) -> Option<String> {
    match entry.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => None,
        Some(_) => {
            faults.push(format!("its {key} is no text, and is left out"));
            None
        }
    }
}

/// A description in bounds.
fn description(entry: &mut Map<String, Value>, faults: &mut Vec<String>) -> Option<String> {
    let mut text = text(entry, "description", faults)?;
    if text.len() > MAX_DESCRIPTION {
        faults.push(format!("its description has {} bytes; {MAX_DESCRIPTION} of them are published", text.len()));
        text.truncate(text.floor_char_boundary(MAX_DESCRIPTION));
        text.push('…');
    }
    Some(text)
}

/// `icons`: those that have a source.
fn icons(icons: Option<Value>, faults: &mut Vec<String>) -> Option<Value> {
    let Value::Array(icons) = icons.filter(|icons| !icons.is_null())? else {
        faults.push("its icons are no list, and are left out".to_owned());
        return None;
    };
    let all = icons.len();
    let fit = |icon: Value| {
        let Value::Object(mut icon) = icon else { return None };
        icon.get("src").filter(|src| src.is_string())?;
        let texts = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        // MCP of 2025-11-25 has a list here; its drafts had a text.
        if let Some(Value::String(sizes)) = icon.get("sizes") {
            let sizes: Vec<Value> = sizes.split_whitespace().map(Value::from).collect();
            icon.insert("sizes".to_owned(), sizes.into());
        }
        icon.retain(|key, value| match key.as_str() {
            "mimeType" => value.is_string(),
            "sizes" => texts(value),
            "theme" => value == "light" || value == "dark",
            _ => true,
        });
        Some(Value::Object(icon))
    };
    let icons: Vec<Value> = icons.into_iter().filter_map(fit).collect();
    if icons.len() < all {
        faults.push("an icon of it has no source, and is left out".to_owned());
    }
    (!icons.is_empty()).then(|| icons.into())
}

/// `_meta`: an object.
fn meta(meta: Option<Value>, faults: &mut Vec<String>) -> Option<Map<String, Value>> {
    match meta {
        Some(Value::Object(meta)) => Some(meta),
        None | Some(Value::Null) => None,
        Some(_) => {
            faults.push("its _meta is no object, and is left out".to_owned());
            None
        }
    }
}

/// The `annotations` of a resource or of a block of content.
fn audience(annotations: &mut Value) -> bool {
    let Value::Object(members) = annotations else { return false };
    members.retain(|key, value| match key.as_str() {
        "audience" => value.as_array().is_some_and(|list| list.iter().all(|who| who == "user" || who == "assistant")),
        "priority" => value.as_f64().is_some_and(|priority| (0.0..=1.0).contains(&priority)),
        "lastModified" => value.is_string(),
        _ => true,
    });
    !members.is_empty()
}
