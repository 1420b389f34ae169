//! What a plugin lists beside tools: from records of the contract to MCP's objects, and what to say of those that cannot be published.

use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    provider::Offer,
    wasm::{
        content::{icon, object, put},
        imports::bindings::toolbay::plugin::types::Icon,
    },
};

/// Warnings that are told of one list.
const MAX_WARNINGS: usize = 20;

/// Members that all kinds have.
pub(super) struct Common {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) icons: Vec<Icon>,
    pub(super) meta: Option<String>,
    pub(super) extra: Option<String>,
}

impl Common {
    /// An object with these members, over those that `extra` adds.
    ///
    /// # Errors
    ///
    /// What is wrong with `extra` or `meta`.
    pub(super) fn members(self) -> Result<Value, String> {
        let optional =
            |text: Option<String>, what: &str| text.as_deref().map(object).transpose().map_err(|why| format!("its {what} {why}"));
        let mut value = Value::Object(optional(self.extra, "extra")?.unwrap_or_default());
        put(&mut value, "title", self.title);
        put(&mut value, "description", self.description);
        put(&mut value, "icons", (!self.icons.is_empty()).then(|| Value::from_iter(self.icons.into_iter().map(icon))));
        put(&mut value, "_meta", optional(self.meta, "meta")?.map(Value::Object));
        Ok(value)
    }
}

/// What is published, by its key.
pub(super) fn offer(key: String, value: Value) -> Offer {
    let json = match value {
        Value::Object(json) => json,
        _ => Map::new(),
    };
    Offer { key, json }
}

/// Keeps what can be published, the first of each key, and says of the rest why it cannot. `kind` is such as "resource".
pub(super) fn publish<T>(
    kind: &str,
    listed: Vec<T>,
    describe: impl Fn(T) -> Result<Offer, String>,
    warnings: &mut Vec<String>,
) -> Vec<Arc<Offer>> {
    let mut keys = HashSet::new();
    let mut offers = Vec::new();
    let mut faults = Vec::new();
    for entry in listed {
        match describe(entry) {
            Ok(offer) if keys.contains(&offer.key) => {
                faults.push(format!("there are two {kind}s {:?}; the second is not offered", offer.key));
            }
            Ok(offer) => {
                keys.insert(offer.key.clone());
                offers.push(Arc::new(offer));
            }
            Err(why) => faults.push(format!("{kind} {why}; it is not offered")),
        }
    }
    let more = faults.len().saturating_sub(MAX_WARNINGS);
    warnings.extend(faults.into_iter().take(MAX_WARNINGS));
    if more > 0 {
        warnings.push(format!("{more} more {kind}s are not offered"));
    }
    offers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common { title: Some("T".to_owned()), description: None, icons: Vec::new(), meta: None, extra: None }
    }

    #[test]
    fn what_is_added_never_goes_before_what_is_named() {
        let extra = Some(r#"{"title":"other","description":"d","x":1}"#.to_owned());
        let members = Common { extra, meta: Some(r#"{"a":1}"#.to_owned()), ..common() }.members().unwrap();
        assert_eq!(members, serde_json::json!({ "title": "T", "description": "d", "x": 1, "_meta": { "a": 1 } }));
    }

    #[test]
    fn what_is_no_object_is_told_by_its_name() {
        let error = Common { extra: Some("[]".to_owned()), ..common() }.members().unwrap_err();
        assert_eq!(error, "its extra is not a JSON object");
        let error = Common { meta: Some("{".to_owned()), ..common() }.members().unwrap_err();
        assert!(error.starts_with("its meta is not JSON"), "{error}");
    }

    #[test]
    fn the_second_of_a_key_and_what_is_wrong_are_left_out_with_a_reason() {
        let mut warnings = Vec::new();
        let describe =
            |text: &str| if text.is_empty() { Err("\"\" is nothing".to_owned()) } else { Ok(offer(text.to_owned(), Value::Null)) };
        let offers = publish("thing", vec!["a", "", "a", "b"], describe, &mut warnings);
        assert_eq!(offers.iter().map(|offer| offer.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(warnings, ["thing \"\" is nothing; it is not offered", "there are two things \"a\"; the second is not offered"]);
    }

    #[test]
    fn warnings_are_not_without_end() {
        let mut warnings = Vec::new();
        publish("thing", vec![(); 1000], |()| Err("is nothing".to_owned()), &mut warnings);
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert_eq!(warnings.last().unwrap(), "980 more things are not offered");
    }
}
