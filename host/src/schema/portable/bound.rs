//! A schema in so many bytes: what is least missed goes first.

use serde_json::{Map, Value};

use super::{
    Role,
    defs::{everywhere, filled, map_parts, reachable},
    keywords::is_known,
    parts::target,
};

/// Levels that are tried, one after the other, where a schema is too large.
const LEVELS: [usize; 6] = [8, 6, 4, 3, 2, 1];

/// Schemas in a schema whose references are written out, as google-genai does: it takes some 50 µs for each, and for a schema in which 40
/// definitions lead to the next one twice it would take years.
const INLINED: usize = 20_000;

/// Bytes of a description where a schema is too large.
const SHORT: usize = 160;

/// Bytes of a list of values where a schema is too large. Tried one after the other.
const LISTS: [usize; 2] = [4 << 10, 512];

/// The schema where it is no larger than `max` bytes, else a smaller one: without examples, with short descriptions, with the first values of long
/// lists, with fewer levels.
///
/// # Errors
///
/// It is too large at any price, as the end of a sentence.
pub(super) fn bounded(schema: Map<String, Value>, max: usize, role: Role, notes: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    let size = size_of(&schema);
    // Only arguments are converted for models, some of them by writing out every reference.
    let fits = |schema: &Map<String, Value>| role == Role::Output || !is_larger_inlined(schema, INLINED);
    if size <= max {
        if fits(&schema) {
            return Ok(schema);
        }
        for levels in LEVELS {
            let cut = cut(&schema, levels);
            if fits(&cut) {
                notes.push(format!(
                    "has more than {INLINED} schemas in it once its references are written out, as some clients do: {}",
                    published(levels)
                ));
                return Ok(cut);
            }
        }
        return Err(format!("has more than {INLINED} schemas in it once its references are written out, as some clients do"));
    }
    // It is of use to nobody in parts: who reads it wants to know what comes.
    if role == Role::Output {
        return Err(format!("has {size} bytes, more than `max_schema` ({max})"));
    }
    let schema = shortened(schema);
    if size_of(&schema) <= max && fits(&schema) {
        notes.push(format!("has {size} bytes, more than `max_schema` ({max}): its descriptions are shortened"));
        return Ok(schema);
    }
    let mut schema = schema;
    for bytes in LISTS {
        schema = unlisted(schema, bytes);
        if size_of(&schema) <= max && fits(&schema) {
            notes.push(format!("has {size} bytes, more than `max_schema` ({max}): of its long lists of values, only the first are listed"));
            return Ok(schema);
        }
    }
    for levels in LEVELS {
        let cut = cut(&schema, levels);
        if size_of(&cut) <= max && fits(&cut) {
            notes.push(format!("has {size} bytes, more than `max_schema` ({max}): {}", published(levels)));
            return Ok(cut);
        }
    }
    Err(format!("has {size} bytes, more than `max_schema` ({max})"))
}

fn published(levels: usize) -> String {
    if levels == 1 { "only its first level is published".to_owned() } else { format!("only {levels} levels of it are published") }
}

/// Whether there are more schemas than these in it once each reference is what it leads to. One that leads back to where it stands ends there.
fn is_larger_inlined(schema: &Map<String, Value>, most: usize) -> bool {
    let empty = Map::new();
    let defs = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut left = most;
    !inlined(schema, defs, &mut Vec::new(), &mut left)
}

/// Counts down for each schema. False: there are more than that.
fn inlined<'a>(schema: &'a Map<String, Value>, defs: &'a Map<String, Value>, inside: &mut Vec<&'a str>, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else { return false };
    *left = fewer;
    if let Some(name) = target(schema) {
        let Some(Value::Object(def)) = defs.get(name).filter(|_| !inside.contains(&name)) else { return true };
        inside.push(name);
        let fits = inlined(def, defs, inside, left);
        inside.pop();
        return fits;
    }
    let mut fits = true;
    parts(schema, &mut |part| fits = fits && inlined(part, defs, inside, left));
    fits
}

/// The schemas directly inside of a schema, but for definitions, which count where they are referred to.
fn parts<'a>(schema: &'a Map<String, Value>, each: &mut impl FnMut(&'a Map<String, Value>)) {
    for (key, value) in schema.iter().filter(|(key, _)| *key != "$defs") {
        match (&**key, value) {
            ("properties" | "patternProperties", Value::Object(list)) => list.values().filter_map(Value::as_object).for_each(&mut *each),
            ("items" | "additionalProperties", Value::Object(part)) => each(part),
            ("anyOf", Value::Array(list)) => list.iter().filter_map(Value::as_object).for_each(&mut *each),
            _ => {}
        }
    }
}

fn size_of(schema: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Cannot fail: the writer does not, and a map of texts is JSON.
    let _ = serde_json::to_writer(&mut count, schema);
    count.0
}

fn shortened(schema: Map<String, Value>) -> Map<String, Value> {
    everywhere(schema, &mut |schema| {
        for key in ["examples", "default", "title"] {
            schema.shift_remove(key);
        }
        schema.retain(|key, _| is_known(key) || matches!(key.as_str(), "description" | "title" | "deprecated" | "x-mcp-header"));
        if let Some(Value::String(text)) = schema.get_mut("description")
            && text.len() > SHORT
        {
            text.truncate(text.floor_char_boundary(SHORT));
            text.push('…');
        }
    })
}

/// The schema with each `enum` of more than so many bytes told in its description instead, as far as there is room: whatever is left out is still taken.
fn unlisted(schema: Map<String, Value>, bytes: usize) -> Map<String, Value> {
    everywhere(schema, &mut |schema| {
        let Some(Value::Array(values)) = schema.get("enum") else { return };
        let texts: Vec<String> = values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        if texts.iter().map(|text| text.len() + 3).sum::<usize>() <= bytes {
            return;
        }
        schema.shift_remove("enum");
        let own = schema.get("description").and_then(Value::as_str).map_or_else(String::new, |own| format!("{own}\n"));
        let mut told = format!("{own}One of {} values: ", texts.len());
        for text in &texts {
            if told.len() + text.len() > own.len() + SHORT {
                break;
            }
            told.push_str(text);
            told.push_str(", ");
        }
        told.push('…');
        schema.insert("description".to_owned(), told.into());
    })
}

/// The schema with so many levels, those behind references counted too.
fn cut(schema: &Map<String, Value>, levels: usize) -> Map<String, Value> {
    let mut top = schema.clone();
    let defs = match top.shift_remove("$defs") {
        Some(Value::Object(defs)) => defs,
        _ => Map::new(),
    };
    // How many levels are left where a definition is reached first.
    let mut left: Map<String, Value> = Map::new();
    let mut order: Vec<(String, usize)> = Vec::new();
    let mut out = level(top, levels, &mut |name, levels| reach(name, levels, &mut order));
    let mut at = 0;
    while let Some((name, levels)) = order.get(at).cloned() {
        at += 1;
        if let Some(Value::Object(def)) = defs.get(&name) {
            let def = level(def.clone(), levels, &mut |name, levels| reach(name, levels, &mut order));
            left.insert(name, def.into());
        }
    }
    let used = reachable(&out, &left);
    left.retain(|name, _| used.contains(name));
    if !left.is_empty() {
        out.insert("$defs".to_owned(), left.into());
    }
    filled(out)
}

/// Whether a definition is written out that is reached with so many levels left. The first to reach it has the most: levels are read one by one.
fn reach(name: &str, levels: usize, order: &mut Vec<(String, usize)>) -> bool {
    if order.iter().any(|(known, _)| known == name) {
        return true;
    }
    if levels > 0 {
        order.push((name.to_owned(), levels));
    }
    levels > 0
}

fn level(schema: Map<String, Value>, levels: usize, reach: &mut impl FnMut(&str, usize) -> bool) -> Map<String, Value> {
    if let Some(name) = target(&schema) {
        if reach(name, levels) {
            return schema;
        }
        let mut out = schema;
        out.shift_remove("$ref");
        return out;
    }
    if levels == 0 {
        return bare(schema);
    }
    map_parts(schema, &mut |_, part| level(part, levels - 1, reach))
}

/// What a schema says of itself, without what is in it.
fn bare(schema: Map<String, Value>) -> Map<String, Value> {
    let mut out: Map<String, Value> = Map::new();
    for (key, value) in schema {
        let value = match &*key {
            "anyOf" | "additionalProperties" | "patternProperties" | "required" => continue,
            "properties" | "items" => Value::Object(Map::new()),
            _ => value,
        };
        out.insert(key, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    /// `count` definitions, each of which leads to those that `to` says.
    fn linked(count: usize, to: impl Fn(usize) -> Vec<usize>) -> Map<String, Value> {
        let refer = |at: usize| json!({"$ref": format!("#/$defs/d{at}")});
        let def = |at: usize| {
            let parts: Map<String, Value> = to(at).into_iter().enumerate().map(|(n, to)| (format!("p{n}"), refer(to))).collect();
            (format!("d{at}"), json!({"type": "object", "properties": parts}))
        };
        let defs: Map<String, Value> = (0..count).map(def).collect();
        object(json!({"type": "object", "properties": {"x": refer(0)}, "$defs": defs}))
    }

    #[test]
    fn what_explodes_when_its_references_are_written_out_is_cut() {
        let halves = linked(40, |at| if at < 39 { vec![at + 1, at + 1] } else { Vec::new() });
        let knot = linked(14, |_| (0..14).collect());
        for schema in [halves, knot] {
            let mut notes = Vec::new();
            assert!(is_larger_inlined(&schema, INLINED));
            let cut = bounded(schema, 1 << 16, Role::Input, &mut notes).unwrap();
            assert!(!is_larger_inlined(&cut, INLINED) && notes[0].contains("written out"), "{notes:?}");
        }
        // A chain, a circle and a definition that is used often are what they were.
        for schema in [
            linked(300, |at| if at < 299 { vec![at + 1] } else { Vec::new() }),
            linked(5, |at| vec![(at + 1) % 5]),
            linked(2, |at| vec![1; 200 * (1 - at)]),
        ] {
            let mut notes = Vec::new();
            assert_eq!(bounded(schema.clone(), 1 << 16, Role::Input, &mut notes), Ok(schema));
            assert_eq!(notes, [] as [&str; 0]);
        }
    }
}
