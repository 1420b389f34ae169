//! Arguments as JSON, where every name stands once: of two, a policy could look at one and the tool take the other.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON value without a name that comes twice.
struct Once(Value);

/// The members of an object.
///
/// # Errors
///
/// It is no object, or a name comes twice.
pub(super) fn members(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Once(Value::Object(members))) => Ok(members),
        Ok(_) => Err("they are no object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Once, E> {
                Ok(Once(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut values = Vec::new();
                while let Some(Once(value)) = items.next_element()? {
                    values.push(value);
                }
                Ok(Once(Value::Array(values)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut members = Map::new();
                while let Some(name) = items.next_key::<String>()? {
                    let Once(value) = items.next_value()?;
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name comes twice in one object"));
                    }
                }
                Ok(Once(Value::Object(members)))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_comes_twice_is_refused_wherever_it_is() {
        let text = r#"{"a": [1, -2, 1.5, "x", null, true, {"b": {}}]}"#;
        assert_eq!(Value::Object(members(text).unwrap()), json!({"a": [1, -2, 1.5, "x", null, true, {"b": {}}]}));
        for wrong in [r#"{"a":1,"a":2}"#, r#"{"a":[{"b":1,"\u0062":2}]}"#] {
            assert!(members(wrong).unwrap_err().contains("twice"), "{wrong}");
        }
        assert!(members("[]").is_err() && members("{").is_err());
    }
}
