//! What the conditions of a policy read, found in its JSON form (Cedar's EST), and what is left of them without the call.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::caller::Reads;

/// What the conditions of a policy read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Anything of the call: its arguments, the time.
    pub(super) call: bool,
    pub(super) arguments: Arguments,
    /// Where the caller is.
    pub(super) address: bool,
    pub(super) caller: Reads,
}

/// Which arguments are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    These(BTreeSet<String>),
    All,
}

impl Default for Arguments {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Arguments {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::These(names) => names.contains(name),
            Self::All => true,
        }
    }
}

/// What all conditions of a policy read together.
pub(super) fn found(policy: &Value) -> Found {
    let mut found = Found::default();
    for condition in conditions(policy) {
        look(condition.get("body").unwrap_or(&Value::Null), &mut found);
    }
    found
}

/// The same policy with only those of its conditions that do not depend on the call. It is satisfied wherever the policy itself could be, whatever is called.
pub(super) fn without_call(policy: &Value) -> Value {
    let mut kept = Vec::new();
    for condition in conditions(policy) {
        let Some(body) = condition.get("body") else { continue };
        let is_when = condition.get("kind").and_then(Value::as_str) == Some("when");
        split(body, is_when, &mut kept);
    }
    let mut policy = policy.clone();
    if let Some(policy) = policy.as_object_mut() {
        policy.insert("conditions".to_owned(), Value::Array(kept));
    }
    policy
}

fn conditions(policy: &Value) -> &[Value] {
    policy.get("conditions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Adds those of the parts, all of which have to hold, that read nothing of the call. `is_when`: they have to be true, or else false.
fn split(body: &Value, is_when: bool, kept: &mut Vec<Value>) {
    match operation(body) {
        Some((op @ ("&&" | "||"), of)) if (op == "&&") == is_when => {
            for side in ["left", "right"] {
                split(of.get(side).unwrap_or(&Value::Null), is_when, kept);
            }
        }
        Some(("!", of)) => split(of.get("arg").unwrap_or(&Value::Null), !is_when, kept),
        _ => {
            let mut found = Found::default();
            look(body, &mut found);
            if !found.call {
                kept.push(json!({ "kind": if is_when { "when" } else { "unless" }, "body": body }));
            }
        }
    }
}

/// The one operator of an expression, and what it is applied to.
fn operation(body: &Value) -> Option<(&str, &Value)> {
    let mut members = body.as_object()?.iter();
    members.next().filter(|_| members.next().is_none()).map(|(op, of)| (op.as_str(), of))
}

fn look(body: &Value, found: &mut Found) {
    match body {
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Object(members) => match operation(body) {
            Some(("Var", of)) => match of.as_str() {
                Some("context") => (found.call, found.arguments, found.address) = (true, Arguments::All, true),
                Some("principal") => found.caller.subject = true,
                _ => {}
            },
            Some((op @ ("." | "has"), of)) => attribute(op, of, found),
            Some(("in", of)) if is_variable(of.get("left"), "principal") && is_of_roles(of.get("right")) => {}
            Some(("is", of)) if is_variable(of.get("left"), "principal") && of.get("in").is_none_or(|of| is_of_roles(Some(of))) => {}
            _ => all(members, found),
        },
        _ => {}
    }
}

fn all(members: &Map<String, Value>, found: &mut Found) {
    members.values().for_each(|value| look(value, found));
}

/// An attribute of something is read, or looked for.
fn attribute(op: &str, of: &Value, found: &mut Found) {
    let name = of.get("attr").and_then(Value::as_str);
    let left = of.get("left").unwrap_or(&Value::Null);
    if is_variable(Some(left), "principal") {
        match name {
            Some("issuer") => found.caller.issuer = true,
            Some("scopes") => found.caller.scopes = true,
            Some("claims") => found.caller.claims = true,
            _ => found.caller.subject = true,
        }
        return;
    }
    if is_variable(Some(left), "context") {
        found.call = true;
        found.address |= name.is_none_or(|name| name == "address");
        if name.is_none_or(|name| name == "arguments" && op == ".") {
            found.arguments = Arguments::All;
        }
        return;
    }
    let is_of_arguments = operation(left).is_some_and(|(op, of)| {
        op == "." && is_variable(of.get("left"), "context") && of.get("attr").and_then(Value::as_str) == Some("arguments")
    });
    match (is_of_arguments, name, &mut found.arguments) {
        (true, Some(name), Arguments::These(names)) => {
            found.call = true;
            names.insert(name.to_owned());
        }
        (true, Some(_), Arguments::All) => found.call = true,
        _ => look(left, found),
    }
}

fn is_variable(expression: Option<&Value>, name: &str) -> bool {
    expression.and_then(operation).is_some_and(|(op, of)| op == "Var" && of.as_str() == Some(name))
}

/// Whether it is a role, or a set of roles.
fn is_of_roles(expression: Option<&Value>) -> bool {
    let is_role = |value: &Value| {
        let entity = value.get("Value").and_then(|value| value.get("__entity"));
        entity.and_then(|entity| entity.get("type")).and_then(Value::as_str) == Some("Role")
    };
    let Some(expression) = expression else { return false };
    is_role(expression) || expression.get("Set").and_then(Value::as_array).is_some_and(|items| items.iter().all(is_role))
}
