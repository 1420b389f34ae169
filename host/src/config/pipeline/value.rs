//! Values of JSON written as TOML: schemas, and values with picked ones in them.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use crate::{
    config::{error::Place, key::TypeInfo, toml_reader::Item, types::Type},
    pick::{Pick, Spot, Template},
    schema::Schema,
};

/// Keys that say that a table is a JSON Schema, and no table of properties.
const KEYWORDS: [&str; 9] = ["type", "properties", "required", "$ref", "$defs", "allOf", "anyOf", "oneOf", "additionalProperties"];

/// Where something stands.
pub(super) fn spot(place: &Place) -> Spot {
    Spot::at(&place.file, place.line, place.column)
}

/// A name, which stands for nothing where it is not said.
pub(super) struct Name(pub(super) fn(&str) -> Result<String, String>);

impl Type<String> for Name {
    fn read(&self, item: &Item<'_>) -> Option<String> {
        item.parsed(self.0)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("name", json!({ "type": "string" }))
    }

    fn write(&self, _: &String) -> Option<Value> {
        None
    }
}

/// The value as JSON.
fn json(item: &Item<'_>) -> Option<Value> {
    Some(match item.value {
        DeValue::Array(_) => Value::Array(item.list()?.iter().map(json).collect::<Option<_>>()?),
        DeValue::Table(_) => {
            let members = item.table()?.items().map(|item| Some((item.key.clone(), json(&item)?))).collect::<Option<Map<_, _>>>()?;
            Value::Object(members)
        }
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            Err(_) => {
                item.fail("the number is too large for JSON");
                return None;
            }
        },
        DeValue::Float(number) => match number.as_str().replace('_', "").parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => number.into(),
            None => {
                item.fail("JSON has no infinity and no NaN");
                return None;
            }
        },
    })
}

/// A value with picked ones in it.
fn template(item: &Item<'_>) -> Option<Template> {
    match item.value {
        DeValue::Array(_) => {
            let items = item.list()?.iter().map(template).collect::<Option<Vec<_>>>()?;
            Some(if items.iter().all(is_literal) { Template::Literal(literal(Template::List(items))) } else { Template::List(items) })
        }
        DeValue::Table(_) => {
            let members: Vec<Item<'_>> = item.table()?.items().collect();
            let from = members.iter().find(|member| member.key == "from" && member.value.as_str().is_some());
            if let Some(from) = from.filter(|_| members.iter().all(|member| matches!(member.key.as_str(), "from" | "default"))) {
                let default = members.iter().find(|member| member.key == "default").map(json);
                return Some(Template::Pick(pick(from)?, default.map_or(Some(None), |default| default.map(Some))?));
            }
            if let [value] = members.as_slice()
                && value.key == "value"
            {
                return json(value).map(Template::Literal);
            }
            let members = members.iter().map(|member| Some((member.key.clone(), template(member)?))).collect::<Option<Vec<_>>>()?;
            let is_plain = members.iter().all(|(_, value)| is_literal(value));
            Some(if is_plain { Template::Literal(literal(Template::Table(members))) } else { Template::Table(members) })
        }
        _ => json(item).map(Template::Literal),
    }
}

fn is_literal(template: &Template) -> bool {
    matches!(template, Template::Literal(_))
}

/// The value of a template that picks nothing.
fn literal(template: Template) -> Value {
    match template {
        Template::Literal(value) => value,
        Template::Pick(..) => Value::Null,
        Template::List(items) => items.into_iter().map(literal).collect(),
        Template::Table(members) => Value::Object(members.into_iter().map(|(name, value)| (name, literal(value))).collect()),
    }
}

fn pick(item: &Item<'_>) -> Option<Pick> {
    item.parsed(Pick::parse).map(|pick| pick.at(spot(&item.source.place(item.offset))))
}

/// A JSON Schema of an object.
pub(super) struct JsonSchema;

impl Type<Map<String, Value>> for JsonSchema {
    fn read(&self, item: &Item<'_>) -> Option<Map<String, Value>> {
        let table = item.table()?;
        let names: Vec<String> = table.items().map(|item| item.key).collect();
        if !names.is_empty() && !names.iter().any(|name| KEYWORDS.contains(&name.as_str())) {
            item.fail(format_args!("is a JSON Schema: put what describes {:?} below [{}.properties]", names.join(", "), item.path()));
            return None;
        }
        let Some(Value::Object(mut schema)) = json(item) else { return None };
        if schema.entry("type").or_insert_with(|| "object".into()) != "object" {
            item.fail("is the JSON Schema of an object: its `type` is \"object\"");
            return None;
        }
        schema.entry("properties").or_insert_with(|| json!({}));
        match Schema::new(&schema) {
            Ok(_) => Some(schema),
            Err(why) => {
                item.fail(why);
                None
            }
        }
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("JSON Schema", json!({ "type": "object" }))
    }

    fn write(&self, _: &Map<String, Value>) -> Option<Value> {
        None
    }
}

/// Arguments of a call.
pub(super) struct Arguments;

impl Type<Template> for Arguments {
    fn read(&self, item: &Item<'_>) -> Option<Template> {
        if !item.value.is_table() {
            item.wrong_type("a table ({ name = value, other = { from = \"/args/other\" } })");
            return None;
        }
        template(item)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table", json!({ "type": "object" }))
    }

    fn write(&self, _: &Template) -> Option<Value> {
        None
    }
}

/// Any value with picked ones in it.
pub(super) struct Built;

impl Type<Template> for Built {
    fn read(&self, item: &Item<'_>) -> Option<Template> {
        template(item)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("value", json!({}))
    }

    fn write(&self, _: &Template) -> Option<Value> {
        None
    }
}

/// A JSON Pointer, or an expression of JMESPath.
pub(super) struct Expression;

impl Type<Pick> for Expression {
    fn read(&self, item: &Item<'_>) -> Option<Pick> {
        pick(item)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("expression", json!({ "type": "string" }))
    }

    fn write(&self, _: &Pick) -> Option<Value> {
        None
    }
}
