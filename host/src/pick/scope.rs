//! What expressions see: the pipeline's arguments, what its steps answered, and the item of a list in hand.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use jmespath::{Rcvar, Variable};
use serde_json::Value;

use super::Part;

/// A value, which JMESPath has in a form of its own.
#[derive(Debug, Default)]
pub(crate) struct Document {
    value: Value,
    variable: OnceLock<Rcvar>,
}

impl Document {
    pub(crate) fn new(value: Value) -> Arc<Self> {
        Arc::new(Self { value, variable: OnceLock::new() })
    }

    fn variable(&self) -> Rcvar {
        // JSON is always one.
        Arc::clone(self.variable.get_or_init(|| Arc::new(Variable::from_serializable(&self.value).unwrap_or(Variable::Null))))
    }
}

/// What there is to pick from. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// `args`.
    pub(crate) args: Arc<Document>,
    /// `steps`: those that have ended, by name.
    pub(crate) steps: BTreeMap<Arc<str>, Arc<Document>>,
    /// `item` and `index`.
    pub(crate) item: Option<(Arc<Document>, usize)>,
}

impl Scope {
    /// What a path leads to.
    pub(super) fn walk(&self, parts: &[Part]) -> Option<Cow<'_, Value>> {
        let (root, rest) = parts.split_first()?;
        match (root.name(), &self.item) {
            ("args", _) => walk(&self.args.value, rest).map(Cow::Borrowed),
            ("steps", _) => match rest.split_first() {
                None => {
                    Some(Cow::Owned(Value::Object(self.steps.iter().map(|(name, step)| (name.to_string(), step.value.clone())).collect())))
                }
                Some((name, rest)) => walk(&self.steps.get(name.name())?.value, rest).map(Cow::Borrowed),
            },
            ("item", Some((item, _))) => walk(&item.value, rest).map(Cow::Borrowed),
            ("index", Some((_, index))) if rest.is_empty() => Some(Cow::Owned((*index).into())),
            _ => None,
        }
    }

    /// All of it as JMESPath has it.
    pub(super) fn variable(&self) -> Rcvar {
        let steps: BTreeMap<String, Rcvar> = self.steps.iter().map(|(name, step)| (name.to_string(), step.variable())).collect();
        let mut all = BTreeMap::from([("args".to_owned(), self.args.variable()), ("steps".to_owned(), Arc::new(Variable::Object(steps)))]);
        if let Some((item, index)) = &self.item {
            all.insert("item".to_owned(), item.variable());
            all.insert("index".to_owned(), Arc::new(Variable::Number((*index).into())));
        }
        Arc::new(Variable::Object(all))
    }
}

fn walk<'v>(value: &'v Value, parts: &[Part]) -> Option<&'v Value> {
    parts
        .iter()
        .try_fold(value, |value, part| match (value, part) {
            (Value::Object(members), Part::Token(name) | Part::Member(name)) => members.get(name),
            (Value::Array(items), Part::Item(at)) => items.get(*at),
            // RFC 6901: no signs, no zeros in front.
            (Value::Array(items), Part::Token(at)) if at == "0" || !at.starts_with(['0', '+']) => items.get(at.parse::<usize>().ok()?),
            _ => None,
        })
        // JMESPath has no null beside nothing.
        .filter(|value| !value.is_null() || parts.iter().all(|part| matches!(part, Part::Token(_))))
}
