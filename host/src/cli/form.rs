//! A form on a terminal: one field after the other, as MCP's `requestedSchema` describes them.

use serde_json::{Map, Value};

/// Fields of a form, of which some are filled in.
pub(super) struct Form {
    fields: Vec<Field>,
    filled: usize,
    content: Map<String, Value>,
}

struct Field {
    name: String,
    schema: Value,
    is_required: bool,
    /// What it chooses from, and by which titles.
    choices: Vec<(Value, String)>,
}

/// What came of what was written.
#[derive(Debug, PartialEq)]
pub(super) enum Written {
    /// The field is filled in, or left out.
    Field,
    /// It does not fit.
    Wrong(String),
    /// The person says no: MCP's `action`.
    Ended(&'static str),
}

impl Form {
    /// Written in place of an answer.
    const DECLINE: &'static str = "!decline";
    pub(super) const CANCEL: &'static str = "!cancel";

    /// The form of a schema. One without fields asks whether the person agrees.
    pub(super) fn new(schema: &Value) -> Self {
        let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, schema)| Field {
            is_required: required.iter().any(|known| known.as_str() == Some(name)),
            choices: choices(schema.get("items").unwrap_or(schema)),
            name: name.clone(),
            schema: schema.clone(),
        });
        Self { fields: fields.collect(), filled: 0, content: Map::new() }
    }

    fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// What to ask next. None: all is filled in.
    pub(super) fn prompt(&self) -> Option<String> {
        if !self.has_fields() {
            return (self.filled == 0).then(|| "  Do you agree? [y/n] ".to_owned());
        }
        self.fields.get(self.filled).map(Field::prompt)
    }

    /// Takes the answer to that.
    pub(super) fn write(&mut self, text: &str) -> Written {
        match text {
            Self::DECLINE => return Written::Ended("decline"),
            Self::CANCEL => return Written::Ended("cancel"),
            _ => {}
        }
        let Some(field) = self.fields.get(self.filled) else {
            self.filled += 1;
            return if text.starts_with(['y', 'Y']) { Written::Field } else { Written::Ended("decline") };
        };
        match field.read(text) {
            Ok(value) => {
                self.content.extend(value.map(|value| (field.name.clone(), value)));
                self.filled += 1;
                Written::Field
            }
            Err(why) => Written::Wrong(why),
        }
    }

    /// What was filled in.
    pub(super) fn content(self) -> Map<String, Value> {
        self.content
    }
}

impl Field {
    fn ty(&self) -> Option<&str> {
        self.schema.get("type").and_then(Value::as_str)
    }

    /// Its name, what may be written, what it means.
    fn prompt(&self) -> String {
        let text = |key: &str| self.schema.get(key).and_then(Value::as_str);
        let mut parts = Vec::new();
        if !self.choices.is_empty() {
            let titled = |(value, title): &(Value, String)| {
                if shown(value) == *title { title.clone() } else { format!("{} = {title}", shown(value)) }
            };
            let each: Vec<String> = self.choices.iter().map(titled).collect();
            parts.push(each.join(" | "));
        }
        match (self.ty(), text("format")) {
            (Some("array"), _) => parts.push("several, with commas between".to_owned()),
            (Some("boolean"), _) => parts.push("y | n".to_owned()),
            (_, Some(format)) => parts.push(format.to_owned()),
            (Some(ty), _) if self.choices.is_empty() => parts.push(ty.to_owned()),
            _ => {}
        }
        parts.extend(text("description").or_else(|| text("title")).map(str::to_owned));
        match self.schema.get("default") {
            Some(default) => parts.push(format!("default {}", self.shown(default))),
            None if !self.is_required => parts.push("may be empty".to_owned()),
            None => {}
        }
        let hint = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
        format!("  {}{hint}: ", self.name)
    }

    fn shown(&self, value: &Value) -> String {
        let several = value.as_array().map(|values| values.iter().map(shown).collect::<Vec<_>>().join(", "));
        several.unwrap_or_else(|| shown(value))
    }

    /// What was written, as the schema has it. None: it is left out.
    fn read(&self, text: &str) -> Result<Option<Value>, String> {
        if text.is_empty() {
            return match self.schema.get("default") {
                Some(default) => Ok(Some(default.clone())),
                None if self.is_required => Err("it is required".to_owned()),
                None => Ok(None),
            };
        }
        let value = match self.ty() {
            Some("array") => text.split(',').map(|part| self.chosen(part.trim())).collect::<Result<Value, _>>()?,
            _ if !self.choices.is_empty() => self.chosen(text)?,
            Some("integer") => text.parse::<i64>().map(Value::from).map_err(|_| "write a whole number".to_owned())?,
            Some("number") => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from).ok_or("write a number")?,
            Some("boolean") => match text.to_ascii_lowercase().as_str() {
                "y" | "yes" | "true" => true.into(),
                "n" | "no" | "false" => false.into(),
                _ => return Err("write y or n".to_owned()),
            },
            _ => text.into(),
        };
        self.check(&value)?;
        Ok(Some(value))
    }

    /// One of the choices, by its value or its title; anything where there are none.
    fn chosen(&self, text: &str) -> Result<Value, String> {
        if self.choices.is_empty() {
            return Ok(text.into());
        }
        let by_value = self.choices.iter().find(|(value, _)| shown(value) == text);
        let found = by_value.or_else(|| self.choices.iter().find(|(_, title)| title.eq_ignore_ascii_case(text)));
        found.map(|(value, _)| value.clone()).ok_or_else(|| format!("{text:?} is none of the choices"))
    }

    /// Holds it against the limits of the schema.
    fn check(&self, value: &Value) -> Result<(), String> {
        let validator = jsonschema::options().should_validate_formats(true).build(&self.schema);
        // A schema that is none says nothing.
        validator.map_or(Ok(()), |validator| validator.validate(value).map_err(|error| error.to_string()))
    }
}

/// What a schema lets choose from: `enum` with or without `enumNames`, or constants with titles.
fn choices(schema: &Value) -> Vec<(Value, String)> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names = list("enumNames");
    let plain = list("enum").iter().enumerate().map(|(at, value)| {
        let name = names.get(at).and_then(Value::as_str);
        (value.clone(), name.map_or_else(|| shown(value), str::to_owned))
    });
    let titled = list("oneOf").iter().chain(list("anyOf")).filter_map(|choice| {
        let value = choice.get("const")?.clone();
        let title = choice.get("title").and_then(Value::as_str).map_or_else(|| shown(&value), str::to_owned);
        Some((value, title))
    });
    plain.chain(titled).collect()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(schema: Value) -> Form {
        Form::new(&json!({ "properties": { "f": schema }, "required": ["f"] }))
    }

    fn filled(schema: Value, text: &str) -> Result<Value, String> {
        let mut form = field(schema);
        match form.write(text) {
            Written::Field => Ok(form.content().remove("f").unwrap()),
            Written::Wrong(why) => Err(why),
            Written::Ended(action) => Err(action.to_owned()),
        }
    }

    #[test]
    fn a_field_is_read_by_its_schema() {
        let titled = json!([{ "const": "a", "title": "First" }, { "const": "b", "title": "Second" }]);
        for (schema, text, value) in [
            (json!({ "type": "string" }), "a", json!("a")),
            (json!({ "type": "integer" }), "-3", json!(-3)),
            (json!({ "type": "number" }), "1.5", json!(1.5)),
            (json!({ "type": "boolean" }), "Yes", json!(true)),
            (json!({ "enum": ["a", 2] }), "2", json!(2)),
            (json!({ "type": "string", "enum": ["x"], "enumNames": ["Ex"] }), "ex", json!("x")),
            (json!({ "type": "string", "oneOf": titled }), "Second", json!("b")),
            (json!({ "type": "string", "default": "d" }), "", json!("d")),
            (json!({ "type": "array", "items": { "type": "string" } }), "a, b", json!(["a", "b"])),
            (json!({ "type": "array", "items": { "anyOf": titled } }), "b,First", json!(["b", "a"])),
            (json!({ "type": "string", "format": "email" }), "a@example.com", json!("a@example.com")),
        ] {
            assert_eq!(filled(schema.clone(), text), Ok(value), "{schema} {text}");
        }
        for (schema, text) in [
            (json!({ "type": "integer" }), "1.5"),
            (json!({ "type": "integer", "minimum": 1 }), "0"),
            (json!({ "type": "number" }), "x"),
            (json!({ "type": "number" }), "inf"),
            (json!({ "type": "boolean" }), "maybe"),
            (json!({ "enum": ["a"] }), "b"),
            (json!({ "type": "array", "items": { "enum": ["a"] } }), "a, c"),
            (json!({ "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 1 }), "a, b"),
            (json!({ "type": "string" }), ""),
            (json!({ "type": "string", "minLength": 3 }), "ab"),
            (json!({ "type": "string", "format": "email" }), "nobody"),
        ] {
            assert!(filled(schema.clone(), text).is_err(), "{schema} {text}");
        }
    }

    #[test]
    fn fields_come_in_their_order_and_those_that_may_be_empty_are_left_out() {
        let mut form = Form::new(
            &json!({ "properties": { "b": { "type": "string", "title": "The b." }, "a": { "oneOf": [{ "const": 1, "title": "One" }] } }, "required": ["a"] }),
        );
        assert_eq!(form.prompt().as_deref(), Some("  b (string; The b.; may be empty): "));
        assert_eq!(form.write(""), Written::Field);
        assert_eq!(form.prompt().as_deref(), Some("  a (1 = One): "));
        assert!(matches!(form.write("2"), Written::Wrong(_)));
        assert_eq!(form.write("one"), Written::Field);
        assert_eq!(form.prompt(), None);
        assert_eq!(Value::Object(form.content()), json!({ "a": 1 }));
    }

    #[test]
    fn a_person_can_say_no_to_every_form() {
        for (text, action) in [("!decline", "decline"), ("!cancel", "cancel")] {
            assert_eq!(field(json!({ "type": "string" })).write(text), Written::Ended(action));
        }
        let empty = || Form::new(&json!({ "type": "object", "properties": {} }));
        assert_eq!(empty().write("n"), Written::Ended("decline"));
        let mut agreed = empty();
        assert_eq!((agreed.write("y"), agreed.prompt()), (Written::Field, None));
    }
}
