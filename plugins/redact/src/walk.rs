//! Through JSON text: every string, and every number that is long enough, is looked at.

use serde_json::{Map, Value};

use crate::{
    find::{self, Found},
    settings::Settings,
};

/// What came of it.
pub enum Redacted {
    /// There is nothing to take out.
    Nothing,
    /// The text without it, and what it was.
    Found { json: String, what: Vec<String> },
}

pub fn redact(settings: &Settings, json: &str) -> Result<Redacted, String> {
    // Without escapes, what is in the strings stands in the text as it is: then one look is enough, mostly.
    if !json.contains('\\') && find::all(settings, json).is_empty() {
        return Ok(Redacted::Nothing);
    }
    let mut value: Value = serde_json::from_str(json).map_err(|error| format!("it was given what is not JSON: {error}"))?;
    let mut what = Vec::new();
    walk(settings, &mut value, &mut what);
    if what.is_empty() {
        return Ok(Redacted::Nothing);
    }
    what.sort();
    what.dedup();
    Ok(Redacted::Found { json: value.to_string(), what })
}

fn walk(settings: &Settings, value: &mut Value, what: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Some(clean) = cleaned(settings, text, what) {
                *text = clean;
            }
        }
        Value::Number(number) => {
            let text = number.to_string();
            // A card is written as a number now and then.
            if text.len() >= 13
                && let Some(clean) = cleaned(settings, &text, what)
            {
                *value = Value::String(clean);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(settings, item, what)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| walk(settings, member, what));
            if members.keys().any(|key| !find::all(settings, key).is_empty()) {
                let renamed: Map<String, Value> =
                    std::mem::take(members).into_iter().map(|(key, value)| (cleaned(settings, &key, what).unwrap_or(key), value)).collect();
                *members = renamed;
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The text without what was found in it. None: nothing was.
fn cleaned(settings: &Settings, text: &str, what: &mut Vec<String>) -> Option<String> {
    let found = find::all(settings, text);
    if found.is_empty() {
        return None;
    }
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    for Found { from, to, name } in found {
        clean.push_str(text.get(at..from).unwrap_or_default());
        clean.push_str("[redacted ");
        clean.push_str(&name);
        clean.push(']');
        what.push(name.into_owned());
        at = to;
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(settings: &str, json: &str) -> String {
        match redact(&Settings::read(settings).unwrap(), json).unwrap() {
            Redacted::Nothing => json.to_owned(),
            Redacted::Found { json, .. } => json,
        }
    }

    #[test]
    fn what_stands_behind_an_escape_is_found() {
        assert_eq!(redacted("{}", r#"{"a":"to:\nann@example.com"}"#), r#"{"a":"to:\n[redacted email]"}"#);
        assert_eq!(redacted("{}", r#"{"a":"ann\u0040example.com"}"#), r#"{"a":"[redacted email]"}"#);
        assert_eq!(redacted("{}", r#"{"a":[{"b":4111111111111111}]}"#), r#"{"a":[{"b":"[redacted card]"}]}"#);
        assert_eq!(redacted("{}", r#"{"ann@example.com":1,"b":2}"#), r#"{"[redacted email]":1,"b":2}"#);
    }

    #[test]
    fn own_patterns_and_exceptions_count() {
        let settings = r#"{"patterns":{"customer":"\\bCU-[0-9]{6}\\b"},"keep":["info@example.com"]}"#;
        assert_eq!(
            redacted(settings, r#"{"a":"CU-123456 wrote to info@example.com and bob@example.com"}"#),
            r#"{"a":"[redacted customer] wrote to info@example.com and [redacted email]"}"#
        );
    }
}
