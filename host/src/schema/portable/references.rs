//! Where a reference of a schema leads: pointers, anchors and names, of every draft.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Levels that are searched for names.
const DEPTH: usize = 100;

/// Names that references of one document may use in place of a path.
pub(super) struct Names<'a> {
    root: &'a Value,
    by_name: HashMap<&'a str, &'a Value>,
}

impl<'a> Names<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let mut by_name = HashMap::new();
        find(root, DEPTH, &mut by_name);
        Self { root, by_name }
    }

    /// The schema that a reference means, and a name for it. None: it dangles, or leads to another document.
    pub(super) fn resolve(&self, reference: &str) -> Option<(&'a Value, String)> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if base.is_empty() || self.is_own(base) { Some(self.root) } else { self.by_name.get(base).copied() };
        let found = document.and_then(|document| {
            if fragment.is_empty() {
                return Some(document);
            }
            if !fragment.starts_with('/') {
                return self.by_name.get(fragment).copied();
            }
            // As it is written, then with what is percent-encoded in it: some names have a `%` of their own.
            document.pointer(fragment).or_else(|| document.pointer(&decoded(fragment)))
        });
        let last = fragment.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(base);
        let last = decoded(last).replace("~1", "/").replace("~0", "~");
        // A generator that mixed up `definitions`, `$defs` and `components/schemas` meant the one of that name.
        let found = found.or_else(|| {
            let named = |key: &str| self.root.pointer(key).and_then(Value::as_object).and_then(|schemas| schemas.get(&last));
            named("/$defs").or_else(|| named("/definitions")).or_else(|| named("/components/schemas"))
        });
        found.map(|found| (found, if last.is_empty() { "root".to_owned() } else { last }))
    }

    fn is_own(&self, base: &str) -> bool {
        ["$id", "id"].iter().any(|key| self.root.get(key).and_then(Value::as_str).is_some_and(|id| id.trim_end_matches('#') == base))
    }
}

fn find<'a>(value: &'a Value, depth: usize, by_name: &mut HashMap<&'a str, &'a Value>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(members) => {
            for key in ["$anchor", "$dynamicAnchor", "$id", "id"] {
                if let Some(Value::String(name)) = members.get(key) {
                    by_name.entry(name.trim_start_matches('#').trim_end_matches('#')).or_insert(value);
                }
            }
            parts(members).for_each(|part| find(part, depth, by_name));
        }
        Value::Array(parts) => parts.iter().for_each(|part| find(part, depth, by_name)),
        _ => {}
    }
}

/// What may have schemas in it.
fn parts(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let values = ["const", "enum", "default", "example", "examples"];
    members.iter().filter(move |(key, _)| !values.contains(&key.as_str())).map(|(_, part)| part)
}

/// The text with `%20` and the like as the characters they stand for.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let code = match behind {
            [a, b, ..] if *first == b'%' => std::str::from_utf8(&[*a, *b]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = code.and_then(|_| behind.get(2..)).unwrap_or(behind);
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
