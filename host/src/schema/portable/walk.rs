//! Reads a schema of any draft and writes it again in the published part of 2020-12.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Value};

use super::{
    Notes, Role, any_object,
    keywords::{ANNOTATIONS, TYPES, common, count, implied, is_known, is_of, is_plain, number, type_of},
    merge,
    parts::{any_of, items_are, unique},
    pattern,
    references::Names,
};

/// Levels of schemas in schemas that are read. What is deeper may be anything.
const DEPTH: usize = 60;

/// Schemas that one document may have in it. A list of tools with more is of no use to a model.
const MAX_NODES: usize = 50_000;

/// References that only lead to references.
const MAX_ALIASES: usize = 32;

/// Characters of the values that a description names in place of an `enum`.
const MAX_LISTED: usize = 400;

/// A document on its way.
pub(super) struct Walk<'a> {
    root: &'a Value,
    names: Names<'a>,
    /// By the address of what a reference leads to: its name under `$defs`.
    defs: HashMap<*const Value, String>,
    taken: HashSet<String>,
    open: VecDeque<(String, &'a Value)>,
    nodes: usize,
    pub(super) notes: Notes,
}

/// A fitted schema. None: nothing fits it.
type Fitted = Option<Map<String, Value>>;

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            names: Names::new(root),
            defs: HashMap::new(),
            taken: HashSet::new(),
            open: VecDeque::new(),
            nodes: 0,
            notes: Notes::default(),
        }
    }

    /// The whole schema: that of an object, with its `$defs`.
    pub(super) fn document(&mut self, role: Role) -> Result<Map<String, Value>, String> {
        if !self.root.is_object() {
            if role == Role::Output {
                return Err("is no JSON Schema".to_owned());
            }
            if !self.root.is_null() {
                self.notes.add("is no JSON Schema, and is published as that of any object");
            }
            return Ok(any_object());
        }
        let Some(root) = self.schema(self.root, 0) else { return Err("is no JSON Schema that anything fits".to_owned()) };
        let mut defs = Map::new();
        while let Some((name, target)) = self.open.pop_front() {
            // Where nothing fits, anything is taken: whoever runs the tool says no.
            let schema = self.schema(target, 0).unwrap_or_default();
            defs.insert(name, Value::Object(schema));
        }
        if self.nodes > MAX_NODES {
            return Err(format!("has more than {MAX_NODES} schemas in it"));
        }
        merge::merged(root, defs)
    }

    /// One schema, or what stands where one should.
    fn schema(&mut self, value: &'a Value, depth: usize) -> Fitted {
        self.nodes += 1;
        if depth > DEPTH || self.nodes > MAX_NODES {
            self.notes.add("is nested too deep, and published without what is below");
            return Some(Map::new());
        }
        match value {
            Value::Object(members) => self.members(members, depth),
            Value::Bool(false) => None,
            Value::Bool(true) | Value::Null => Some(Map::new()),
            // `"name": "string"`: a type and nothing else.
            Value::String(word) => {
                let kind = type_of(word);
                if kind.is_none() {
                    self.notes.add(format!("has a text where a schema belongs ({:?})", shortened(word)));
                }
                Some(kind.map(bare).unwrap_or_default())
            }
            Value::Number(_) | Value::Array(_) => {
                self.notes.add("has something else where a schema belongs");
                Some(Map::new())
            }
        }
    }

    fn members(&mut self, members: &'a Map<String, Value>, depth: usize) -> Fitted {
        let mut out = Map::new();
        annotate(members, &mut out);
        let mut all = Vec::new();
        if let Some(reference) = ["$ref", "$dynamicRef", "$recursiveRef"].iter().find_map(|key| members.get(*key)) {
            let target = self.reference(reference);
            let only = members.keys().all(|key| key.starts_with('$') || ANNOTATIONS.contains(&&**key) || is_definitions(key));
            if only {
                match target {
                    Some(target) => out.extend(target),
                    None => return None,
                }
                return Some(out);
            }
            all.push(target?);
        }
        let mut kinds = self.kinds(members);
        let values = values(members);
        if let Some(values) = &values {
            let before = kinds.len();
            if before == 0 {
                kinds = TYPES.iter().copied().filter(|kind| *kind != "number" && values.iter().any(|value| is_of(value, kind))).collect();
                if values.iter().any(|value| value.is_number() && !is_of(value, "integer")) {
                    kinds.retain(|kind| *kind != "integer");
                    kinds.push("number");
                }
            } else {
                kinds.retain(|kind| values.iter().any(|value| is_of(value, kind)));
            }
        }
        let compound = ["allOf", "anyOf", "oneOf"].iter().any(|key| members.get(*key).is_some_and(Value::is_array));
        if kinds.is_empty() && values.is_none() {
            let mut about = members.keys().filter_map(|key| implied(key));
            if let Some(kind) = about.next()
                && about.all(|other| other == kind)
            {
                // `required` beside alternatives says nothing of its own type.
                if !(compound && kind != "object") {
                    kinds.push(kind);
                }
            }
        }
        match &*kinds {
            [] => {}
            [kind] => self.constrained(kind, members, values.as_deref(), &mut out, depth),
            kinds if values.is_none() && TYPES.iter().all(|kind| *kind == "integer" || *kind == "null" || kinds.contains(kind)) => {}
            kinds => {
                let alternative = |kind: &&'static str| {
                    let mut one = Map::new();
                    self.constrained(kind, members, values.as_deref(), &mut one, depth);
                    Value::Object(one)
                };
                let list: Vec<Value> = kinds.iter().map(alternative).collect();
                out.insert("anyOf".to_owned(), list.into());
            }
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(list) = self.alternatives(members.get(key), depth)? {
                let mut one = Map::new();
                one.insert("anyOf".to_owned(), list.into());
                all.push(one);
            }
        }
        if let Some(Value::Array(parts)) = members.get("allOf") {
            for part in parts {
                all.push(self.schema(part, depth + 1)?);
            }
        }
        all.retain(|part| !part.is_empty());
        // The usual case: alternatives and nothing else.
        if let [only] = all.as_slice()
            && let (1, Some(alternatives)) = (only.len(), only.get("anyOf"))
            && !["type", "$ref", "anyOf"].iter().any(|key| out.contains_key(*key))
        {
            out.insert("anyOf".to_owned(), alternatives.clone());
            all.clear();
        }
        if !all.is_empty() {
            out.insert("allOf".to_owned(), all.into_iter().map(Value::Object).collect());
        }
        Some(as_written(out, members))
    }

    /// Alternatives that say something. The outer None: nothing fits. The inner: anything does.
    #[allow(clippy::option_option, reason = "said above")]
    fn alternatives(&mut self, list: Option<&'a Value>, depth: usize) -> Option<Option<Vec<Value>>> {
        let Some(Value::Array(parts)) = list else { return Some(None) };
        let mut fitted: Vec<Value> = Vec::with_capacity(parts.len());
        let mut anything = parts.is_empty();
        for part in parts {
            let Some(schema) = self.schema(part, depth + 1) else { continue };
            anything |= schema.keys().all(|key| ANNOTATIONS.contains(&&**key));
            let schema = Value::Object(schema);
            if !fitted.contains(&schema) {
                fitted.push(schema);
            }
        }
        if anything {
            return Some(None);
        }
        if fitted.is_empty() { None } else { Some(Some(fitted)) }
    }

    /// The types that a schema names.
    fn kinds(&mut self, members: &Map<String, Value>) -> Vec<&'static str> {
        let mut kinds: Vec<&'static str> = Vec::new();
        let words = match members.get("type") {
            Some(Value::Array(words)) => words.iter().collect(),
            Some(word) => vec![word],
            None => Vec::new(),
        };
        for word in words {
            match word.as_str().map(|word| (word, type_of(word))) {
                Some((_, Some(kind))) if !kinds.contains(&kind) => kinds.push(kind),
                Some((_, Some(_))) => {}
                Some((word, None)) => {
                    if !matches!(&*word.to_ascii_lowercase(), "any" | "mixed" | "unknown" | "json") {
                        self.notes.add(format!("has the type {:?}, which is none", shortened(word)));
                    }
                    return Vec::new();
                }
                None if word.is_null() => {}
                None => return Vec::new(),
            }
        }
        if kinds.contains(&"number") {
            kinds.retain(|kind| *kind != "integer");
        }
        let nullable = ["nullable", "x-nullable"].iter().any(|key| members.get(*key) == Some(&Value::Bool(true)));
        if nullable && !kinds.is_empty() && !kinds.contains(&"null") {
            kinds.push("null");
        }
        kinds
    }

    /// A schema of one type, with the values that it is limited to.
    fn constrained(
        &mut self,
        kind: &'static str,
        members: &'a Map<String, Value>,
        values: Option<&[Value]>,
        out: &mut Map<String, Value>,
        depth: usize,
    ) {
        self.typed(kind, members, out, depth);
        let Some(values) = values else { return };
        let of_kind: Vec<Value> = values.iter().filter(|value| is_of(value, kind)).cloned().collect();
        let texts = of_kind.iter().all(|value| value.as_str().is_some_and(|text| !text.is_empty()));
        if kind == "string" && texts {
            out.insert("enum".to_owned(), of_kind.into());
        } else if kind != "null" && !matches!(kind, "object" | "array") {
            let listed: Vec<String> = of_kind.iter().map(ToString::to_string).collect();
            let mut text = listed.join(", ");
            if text.len() > MAX_LISTED {
                text.truncate(text.floor_char_boundary(MAX_LISTED));
                text.push('…');
            }
            add_description(out, &format!("One of: {text}."));
        }
    }

    /// The type and the keywords that are about it.
    fn typed(&mut self, kind: &'static str, members: &'a Map<String, Value>, out: &mut Map<String, Value>, depth: usize) {
        out.insert("type".to_owned(), kind.into());
        match kind {
            "string" => self.string(members, out),
            "number" | "integer" => bounds(members, out),
            "object" => self.object(members, out, depth),
            "array" => self.array(members, out, depth),
            _ => {}
        }
    }

    fn string(&mut self, members: &Map<String, Value>, out: &mut Map<String, Value>) {
        counts(members, ["minLength", "maxLength"], out);
        for key in ["format", "contentEncoding", "contentMediaType"] {
            if let Some(text @ Value::String(_)) = members.get(key) {
                out.insert(key.to_owned(), text.clone());
            }
        }
        if let Some(Value::String(text)) = members.get("pattern") {
            match pattern::portable(text) {
                Some(text) => drop(out.insert("pattern".to_owned(), text.into())),
                None => self.notes.add(format!(
                    "has the pattern {:?}, which not every client can compile; it is left out of what is published",
                    shortened(text)
                )),
            }
        }
    }

    fn object(&mut self, members: &'a Map<String, Value>, out: &mut Map<String, Value>, depth: usize) {
        let mut properties = Map::new();
        let mut required: Vec<&str> = Vec::new();
        match members.get("properties") {
            Some(Value::Object(list)) => {
                for (name, schema) in list {
                    let Some(fitted) = self.schema(schema, depth + 1) else { continue };
                    properties.insert(name.clone(), Value::Object(fitted));
                    // Draft 3, and what people write.
                    if schema.get("required") == Some(&Value::Bool(true)) {
                        required.push(name);
                    }
                }
            }
            // PHP writes an empty object so.
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => self.notes.add("has `properties` that are no object"),
        }
        let rest = match members.get("additionalProperties").or_else(|| members.get("unevaluatedProperties")) {
            Some(schema @ Value::Object(_)) => self.schema(schema, depth + 1).filter(|schema| !schema.is_empty()),
            _ => None,
        };
        if let Some(Value::Array(names)) = members.get("required") {
            for name in names.iter().filter_map(Value::as_str) {
                if !required.contains(&name) {
                    required.push(name);
                }
            }
        }
        for name in &required {
            // Gemini refuses a name here that is not there.
            if !properties.contains_key(*name)
                && !matches!(members.get("properties").and_then(|list| list.get(*name)), Some(Value::Bool(false)))
            {
                properties.insert((*name).to_owned(), Value::Object(rest.clone().unwrap_or_default()));
            }
        }
        required.retain(|name| properties.contains_key(*name));
        out.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            out.insert("required".to_owned(), required.into());
        }
        let by_pattern = self.by_pattern(members, depth);
        if let Some(rest) = rest {
            // Beside names by pattern that are lost, it would refuse them.
            if by_pattern.is_some() {
                out.insert("additionalProperties".to_owned(), rest.into());
            }
        }
        if let Some(by_pattern) = by_pattern.filter(|list| !list.is_empty()) {
            out.insert("patternProperties".to_owned(), by_pattern.into());
        }
        counts(members, ["minProperties", "maxProperties"], out);
    }

    /// Properties by pattern. None: some cannot be said.
    fn by_pattern(&mut self, members: &'a Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
        let mut out = Map::new();
        let Some(Value::Object(list)) = members.get("patternProperties") else { return Some(out) };
        for (name, schema) in list {
            let name = pattern::portable(name)?;
            out.insert(name, Value::Object(self.schema(schema, depth + 1)?));
        }
        Some(out)
    }

    fn array(&mut self, members: &'a Map<String, Value>, out: &mut Map<String, Value>, depth: usize) {
        counts(members, ["minItems", "maxItems"], out);
        let (first, rest) = match (members.get("prefixItems"), members.get("items")) {
            (Some(Value::Array(first)), rest) => (Some(first), rest),
            (_, Some(Value::Array(first))) => (Some(first), members.get("additionalItems")),
            (_, rest) => (None, rest),
        };
        let most = out.get("maxItems").and_then(Value::as_u64);
        let Some(first) = first.filter(|first| !first.is_empty()) else {
            let items = match rest {
                Some(rest) => self.schema(rest, depth + 1),
                None => Some(Map::new()),
            };
            if items.is_none() {
                out.insert("maxItems".to_owned(), 0.into());
            }
            items_are(items.unwrap_or_default(), out);
            return;
        };
        let mut each: Vec<Map<String, Value>> = Vec::with_capacity(first.len() + 1);
        for schema in first {
            each.push(self.schema(schema, depth + 1).unwrap_or_default());
        }
        let length = first.len() as u64;
        let is_closed = rest == Some(&Value::Bool(false)) || most.is_some_and(|most| most <= length);
        if is_closed {
            out.insert("maxItems".to_owned(), most.unwrap_or(length).min(length).into());
            tuple(&each, out);
        } else {
            let rest = rest.map_or_else(|| Some(Map::new()), |rest| self.schema(rest, depth + 1));
            each.extend(rest);
            items_are(any_of(each), out);
        }
    }

    /// The reference to what a reference means. None: nothing fits there.
    fn reference(&mut self, reference: &'a Value) -> Fitted {
        let said = match reference {
            Value::String(said) => said,
            // `$recursiveRef` is always `#`.
            _ => "#",
        };
        let Some((mut target, mut name)) = self.names.resolve(said) else {
            self.notes.add(format!("refers to {:?}, which is not there; anything is taken in its place", shortened(said)));
            return Some(Map::new());
        };
        for _ in 0..MAX_ALIASES {
            let Value::Object(members) = target else { break };
            let Some(Value::String(next)) = members.get("$ref") else { break };
            if !members.keys().all(|key| key.starts_with('$') || ANNOTATIONS.contains(&&**key) || is_definitions(key)) {
                break;
            }
            match self.names.resolve(next) {
                Some((next, its)) if !std::ptr::eq(next, target) => (target, name) = (next, its),
                Some(_) => return Some(Map::new()),
                None => break,
            }
        }
        let name = match target {
            Value::Object(members) if members.is_empty() => return Some(Map::new()),
            Value::Object(_) => self.def(target, &name),
            Value::Bool(false) => return None,
            _ => return Some(Map::new()),
        };
        let mut out = Map::new();
        out.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
        Some(out)
    }

    fn def(&mut self, target: &'a Value, name: &str) -> String {
        let key = std::ptr::from_ref(target);
        if let Some(name) = self.defs.get(&key) {
            return name.clone();
        }
        let name = unique(name, &mut self.taken);
        self.defs.insert(key, name.clone());
        self.open.push_back((name.clone(), target));
        name
    }
}

/// The words in the order in which their author wrote them; a type that was found out goes first.
fn as_written(mut out: Map<String, Value>, members: &Map<String, Value>) -> Map<String, Value> {
    let mut ordered = Map::new();
    if !members.contains_key("type")
        && let Some((key, kind)) = out.shift_remove_entry("type")
    {
        ordered.insert(key, kind);
    }
    for key in members.keys() {
        if let Some((key, value)) = out.shift_remove_entry(key) {
            ordered.insert(key, value);
        }
    }
    ordered.extend(out);
    ordered
}

/// The schema of a type of which nothing else is known.
fn bare(kind: &'static str) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), kind.into());
    match kind {
        "object" => drop(schema.insert("properties".to_owned(), Value::Object(Map::new()))),
        "array" => items_are(Map::new(), &mut schema),
        _ => {}
    }
    schema
}

fn is_definitions(key: &str) -> bool {
    matches!(key, "definitions" | "$defs" | "id")
}

/// Copies what only describes, where it is of the right type and has no numbers that not every reader keeps.
fn annotate(members: &Map<String, Value>, out: &mut Map<String, Value>) {
    const EXAMPLE_DEPTH: usize = 8;
    for (key, value) in members {
        let keep = match &**key {
            "title" | "description" => value.is_string(),
            "deprecated" | "readOnly" | "writeOnly" => value.is_boolean(),
            "default" => is_plain(value, EXAMPLE_DEPTH),
            "examples" => value.as_array().is_some_and(|list| !list.is_empty()) && is_plain(value, EXAMPLE_DEPTH),
            "x-nullable" => false,
            // Words of a vendor mean nothing to those who do not know them.
            key => !is_known(key) && is_plain(value, EXAMPLE_DEPTH),
        };
        if keep {
            out.insert(key.clone(), value.clone());
        }
    }
}

/// What a value is limited to.
fn values(members: &Map<String, Value>) -> Option<Vec<Value>> {
    if let Some(value) = members.get("const") {
        return Some(vec![value.clone()]);
    }
    let Some(Value::Array(list)) = members.get("enum") else { return None };
    let mut values: Vec<Value> = Vec::with_capacity(list.len());
    for value in list {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    // The generators of OpenAPI 3.0 leave null to `nullable`.
    if members.get("nullable") == Some(&Value::Bool(true)) && !values.contains(&Value::Null) {
        values.push(Value::Null);
    }
    (!values.is_empty() && (common(&values).is_some() || values.iter().all(|value| !value.is_object() && !value.is_array())))
        .then_some(values)
}

fn counts(members: &Map<String, Value>, keys: [&str; 2], out: &mut Map<String, Value>) {
    let [least, most] = keys.map(|key| members.get(key).and_then(count));
    if let Some(least) = least.filter(|least| *least > 0 && most.is_none_or(|most| *least <= most)) {
        out.insert(keys[0].to_owned(), least.into());
    }
    if let Some(most) = most.filter(|most| least.is_none_or(|least| least <= *most)) {
        out.insert(keys[1].to_owned(), most.into());
    }
}

fn bounds(members: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let inclusive = members.get(bound).and_then(number);
        match members.get(exclusive) {
            // Draft 4: the bound itself does not count.
            Some(Value::Bool(true)) => {
                if let Some(number) = inclusive {
                    out.insert(exclusive.to_owned(), number.into());
                }
                continue;
            }
            Some(other) => {
                if let Some(number) = number(other) {
                    out.insert(exclusive.to_owned(), number.into());
                }
            }
            None => {}
        }
        if let Some(number) = inclusive {
            out.insert(bound.to_owned(), number.into());
        }
    }
    if let Some(number) = members.get("multipleOf").and_then(number).filter(|number| number.as_f64().is_some_and(|number| number > 0.0)) {
        out.insert("multipleOf".to_owned(), number.into());
    }
}

/// `items` of a list whose members are these, in this order.
pub(super) fn tuple(each: &[Map<String, Value>], out: &mut Map<String, Value>) {
    let items = any_of(each.to_vec());
    if items.contains_key("anyOf") {
        let word = |schema: &Map<String, Value>| match (schema.get("title"), schema.get("type"), schema.get("anyOf")) {
            (Some(Value::String(title)), ..) => title.clone(),
            (_, Some(Value::String(kind)), _) => kind.clone(),
            (_, _, Some(Value::Array(list))) => {
                let kinds: Vec<&str> = list.iter().filter_map(|one| one.get("type").and_then(Value::as_str)).collect();
                kinds.join(" or ")
            }
            _ => "any".to_owned(),
        };
        let order: Vec<String> = each.iter().map(word).collect();
        add_description(out, &format!("In this order: {}.", order.join(", ")));
    }
    items_are(items, out);
}

/// Appends to a description.
pub(super) fn add_description(out: &mut Map<String, Value>, text: &str) {
    let description = match out.get("description").and_then(Value::as_str) {
        Some(before) if before.contains(text) => return,
        Some(before) if !before.trim().is_empty() => format!("{}\n{text}", before.trim_end()),
        _ => text.to_owned(),
    };
    out.insert("description".to_owned(), description.into());
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}
