//! A value as the configuration has it: literal, with picked values in it.

use serde_json::{Map, Value};

use super::{Pick, Scope};
use crate::json::raw::{write_json, write_key};

/// A value that is made for each call.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// As it stands there.
    Literal(Value),
    /// `{ from = "…" }`, with what stands for nothing.
    Pick(Pick, Option<Value>),
    /// An array. An item that picks nothing is null.
    List(Vec<Template>),
    /// An object. A member that picks nothing is left out.
    Table(Vec<(String, Template)>),
}

impl Template {
    /// All that it picks.
    pub(crate) fn picks(&self) -> Vec<&Pick> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Pick(pick, _) => vec![pick],
            Self::List(items) => items.iter().flat_map(Self::picks).collect(),
            Self::Table(members) => members.iter().flat_map(|(_, value)| value.picks()).collect(),
        }
    }

    /// Writes it as JSON. False: it picks nothing, and nothing was written.
    ///
    /// # Errors
    ///
    /// What is wrong: a sentence.
    pub(crate) fn write(&self, to: &mut String, scope: &Scope) -> Result<bool, String> {
        match self {
            Self::Literal(value) => write_json(to, value),
            Self::Pick(pick, default) => match (pick.pick(scope)?, default) {
                (Some(value), _) => write_json(to, &*value),
                (None, Some(default)) => write_json(to, default),
                (None, None) => return Ok(false),
            },
            Self::List(items) => {
                to.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        to.push(',');
                    }
                    if !item.write(to, scope)? {
                        to.push_str("null");
                    }
                }
                to.push(']');
            }
            Self::Table(members) => {
                to.push('{');
                for (name, value) in members {
                    let before = to.len();
                    write_key(to, name);
                    if !value.write(to, scope)? {
                        to.truncate(before);
                    }
                }
                to.push('}');
            }
        }
        Ok(true)
    }

    /// The value. None: it picks nothing.
    ///
    /// # Errors
    ///
    /// What is wrong: a sentence.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Option<Value>, String> {
        Ok(match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Pick(pick, default) => pick.pick(scope)?.map(std::borrow::Cow::into_owned).or_else(|| default.clone()),
            Self::List(items) => {
                let items: Result<Vec<Value>, String> = items.iter().map(|item| Ok(item.value(scope)?.unwrap_or_default())).collect();
                Some(Value::Array(items?))
            }
            Self::Table(members) => {
                let mut made = Map::with_capacity(members.len());
                for (name, value) in members {
                    if let Some(value) = value.value(scope)? {
                        made.insert(name.clone(), value);
                    }
                }
                Some(Value::Object(made))
            }
        })
    }
}
