//! Schemas: from OpenAPI's dialects to JSON Schema 2020-12, with what they refer to in `$defs`, as far as there is room.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Value, json};

use super::{
    document::{Document, Version},
    keyword::{self, Keyword},
    library::{Flaw, Library},
    tree::{Node, NodeId},
};

/// Levels of a schema below which it is not published: those who read it recurse once for each.
const DEEPEST: usize = 40;

/// Schemas that are tried though one before did not fit any more.
const TRIES: usize = 8;

/// Characters of a description. Longer ones are manuals.
const DESCRIPTION: usize = 4000;

/// Which way a value goes: what is only read is not sent, what is only written does not come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Response,
}

/// Translates schemas of one tool, and gathers what they refer to.
pub(super) struct Translation<'a> {
    library: &'a Library,
    /// Whether schemas are those of OpenAPI 3.0 or before.
    old: bool,
    way: Way,
    /// Names below `$defs`, by what they are.
    names: HashMap<NodeId, String>,
    taken: HashSet<String>,
    /// What was referred to and is not translated yet.
    queue: VecDeque<(String, Node<'a>)>,
    /// The schema that is being translated, which `#` means.
    whole: Option<Node<'a>>,
    /// What is being translated was referred to: what is wrong in it costs that part only.
    forgiving: bool,
    /// What was left out, for whoever wants to know.
    pub(super) notes: Vec<String>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(document: &Document<'a>, way: Way) -> Self {
        Self {
            library: document.library,
            old: document.version <= Version::V30,
            way,
            names: HashMap::new(),
            taken: HashSet::new(),
            queue: VecDeque::new(),
            whole: None,
            forgiving: false,
            notes: Vec::new(),
        }
    }

    /// The schema in 2020-12. References are to `#/$defs/…`.
    pub(super) fn schema(&mut self, node: Node<'a>) -> Result<Value, Flaw<'a>> {
        let before = self.whole.replace(node);
        let made = self.part(node, 0);
        self.whole = before;
        made
    }

    fn part(&mut self, node: Node<'a>, depth: usize) -> Result<Value, Flaw<'a>> {
        if node.bool() == Some(false) {
            return Ok(json!({ "not": {} }));
        }
        // Some write nothing where anything is meant, which is `null` in YAML.
        if !node.is_map() || depth > DEEPEST {
            return Ok(json!({}));
        }
        let mut made = Map::with_capacity(node.len());
        for keyword in ["$ref", "$recursiveRef", "$dynamicRef"] {
            let Some(reference) = node.get_text(keyword) else { continue };
            match self.reference(reference, node) {
                Ok(reference) => drop(made.insert("$ref".to_owned(), reference.into())),
                Err(flaw) if self.forgiving => {
                    self.notes.push(flaw.told(self.library));
                    made.insert("description".to_owned(), "What this may be is not known.".into());
                }
                Err(flaw) => return Err(flaw),
            }
        }
        // In 3.0 what stands beside a reference does not count, but its description is meant.
        let only_described = self.old && made.contains_key("$ref");
        for (name, value) in node.members() {
            if !only_described || matches!(name, "description" | "title" | "deprecated") {
                self.keyword(name, value, node, &mut made, depth)?;
            }
        }
        if only_described {
            return Ok(Value::Object(made));
        }
        self.finish(node, &mut made);
        Ok(keyword::nullable(node, made))
    }

    fn keyword(
        &mut self,
        name: &str,
        value: Node<'a>,
        node: Node<'a>,
        made: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Flaw<'a>> {
        let translated = match keyword::kind(name, value) {
            Some(Keyword::Schema) => self.part(value, depth + 1)?,
            Some(Keyword::Schemas) => {
                let parts: Vec<Value> = value.items().map(|part| self.part(part, depth + 1)).collect::<Result<_, _>>()?;
                if parts.is_empty() {
                    return Ok(());
                }
                parts.into()
            }
            Some(Keyword::Named) => {
                let mut named = Map::with_capacity(value.len());
                for (property, schema) in value.members() {
                    if !(name == "properties" && self.is_hidden(schema)) {
                        named.insert(property.to_owned(), self.part(schema, depth + 1)?);
                    }
                }
                named.into()
            }
            Some(Keyword::Text) => {
                let text = value.said().unwrap_or_default();
                match text.char_indices().nth(DESCRIPTION) {
                    Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
                    None => text.into(),
                }
            }
            Some(Keyword::Plain) => match keyword::plain(name, value, node) {
                Some(plain) => plain,
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        made.insert(keyword::published(name, value).to_owned(), translated);
        Ok(())
    }

    /// What can only be said when all keywords are there.
    fn finish(&self, node: Node<'a>, made: &mut Map<String, Value>) {
        keyword::exclusive(node, made);
        keyword::values(made);
        if let (Some(properties), Some(Value::Array(required))) = (node.get("properties"), made.get_mut("required")) {
            required.retain(|name| {
                let property = name.as_str().and_then(|name| properties.get(name));
                !property.is_some_and(|property| self.is_hidden(property))
            });
            if required.is_empty() {
                made.shift_remove("required");
            }
        }
        // `allOf` around one reference was the way to describe it, in 3.0.
        if let Some(Value::Array(parts)) = made.get("allOf")
            && let [Value::Object(part)] = parts.as_slice()
            && part.keys().all(|keyword| !made.contains_key(keyword))
        {
            let part = part.clone();
            made.shift_remove("allOf");
            made.extend(part);
        }
    }

    /// Whether a property does not go this way.
    pub(super) fn is_hidden(&self, property: Node<'_>) -> bool {
        let flag = if self.way == Way::Request { "readOnly" } else { "writeOnly" };
        property.get(flag).and_then(Node::flag) == Some(true)
    }

    /// Remembers what a reference leads to, and answers where it will be.
    fn reference(&mut self, reference: &str, from: Node<'a>) -> Result<String, Flaw<'a>> {
        // The whole of what it stands in, which is never the document.
        let target = match self.whole {
            Some(whole) if reference == "#" => whole,
            whole => match (self.library.resolve(reference, from), whole) {
                // Some mean the schema that the reference stands in, as it was before it came into this document.
                (Err(flaw), Some(whole)) => self.library.pointed(whole, reference).ok_or(flaw)?,
                (found, _) => found?,
            },
        };
        if !target.is_map() && target.bool().is_none() {
            return Err(Flaw::new(from, format!("{reference:?} leads to what is not a schema")));
        }
        // A truth value is the same wherever it stands.
        let id = target.id().unwrap_or((usize::MAX, target.bool() == Some(true), super::tree::Span { at: 0, len: 0 }));
        if let Some(name) = self.names.get(&id) {
            return Ok(format!("#/$defs/{name}"));
        }
        let name = self.name(reference);
        self.names.insert(id, name.clone());
        self.taken.insert(name.clone());
        self.queue.push_back((name.clone(), target));
        Ok(format!("#/$defs/{name}"))
    }

    /// A name that nothing else has: what it is called in the document, in letters that are safe everywhere.
    fn name(&self, reference: &str) -> String {
        let last = last_token(reference);
        let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let plain = match plain.trim_matches('_') {
            "" => "schema",
            plain => plain,
        };
        let numbered = std::iter::once(plain.to_owned()).chain((2..).map(|number| format!("{plain}_{number}")));
        numbered.into_iter().find(|name| !self.taken.contains(name)).unwrap_or_default()
    }

    /// A schema of an object as a document of its own, with all that it refers to: as much of it as there is `room` for, the nearest first.
    pub(super) fn into_root(mut self, mut root: Map<String, Value>, room: usize) -> (Map<String, Value>, Vec<String>) {
        let mut defs = Map::new();
        let mut used: usize = root.iter().map(|(name, member)| name.len() + weight(member)).sum();
        let mut tries = 0;
        self.forgiving = true;
        while let Some((name, node)) = self.queue.pop_front() {
            let waiting = self.queue.len();
            let def = if tries < TRIES && used < room { self.schema(node).ok() } else { None };
            let def = def.filter(|def| used + weight(def) <= room);
            let mut def = def.unwrap_or_else(|| {
                tries += 1;
                // What only the one that does not fit refers to is not needed.
                for (name, node) in self.queue.drain(waiting.min(self.queue.len())..) {
                    self.taken.remove(&name);
                    if let Some(id) = node.id() {
                        self.names.remove(&id);
                    }
                }
                outline(self.library, node)
            });
            used += weight(&def);
            title(&mut def, &name, node);
            defs.insert(name, def);
        }
        if !defs.is_empty() {
            root.insert("$defs".to_owned(), Value::Object(defs));
        }
        (root, self.notes)
    }
}

/// The last part of a reference, as a person would read it.
pub(super) fn last_token(reference: &str) -> String {
    let last = reference.trim_end_matches('/').rsplit(['/', '#']).next().unwrap_or_default();
    percent_encoding::percent_decode_str(last).decode_utf8_lossy().replace("~1", "/").replace("~0", "~")
}

/// What is said of a schema that there is no room for.
fn outline(library: &Library, node: Node<'_>) -> Value {
    let mut made = Map::new();
    let Ok(node) = library.followed(node) else { return Value::Object(made) };
    if let Some(kind) = node.get("type").and_then(|kind| keyword::plain("type", kind, node)) {
        made.insert("type".to_owned(), kind);
    } else if node.get("properties").is_some() {
        made.insert("type".to_owned(), "object".into());
    }
    if let Some(Value::Array(values)) = node.get("enum").and_then(|values| keyword::plain("enum", values, node))
        && values.len() <= 20
    {
        made.insert("enum".to_owned(), values.into());
    }
    keyword::values(&mut made);
    let mut made = keyword::nullable(node, made);
    let text = node.get("description").and_then(Node::said).unwrap_or_default();
    let short: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if let Value::Object(made) = &mut made
        && !short.is_empty()
    {
        made.insert("description".to_owned(), short.into());
    }
    made
}

/// Says what a definition is really called, where its name is another.
fn title(def: &mut Value, name: &str, node: Node<'_>) {
    if let (Some(real), Value::Object(members)) = (node.name(), def)
        && real != name
        && !members.contains_key("title")
        && !members.contains_key("$ref")
    {
        members.insert("title".to_owned(), real.into());
    }
}

/// About how many bytes a value takes in memory.
pub(super) fn weight(value: &Value) -> usize {
    /// An object's own, and a member's, with their share of what is allocated and not used.
    const OBJECT: usize = 160;
    const MEMBER: usize = 150;
    match value {
        Value::Object(members) => OBJECT + members.iter().map(|(name, member)| MEMBER + name.len() + weight(member)).sum::<usize>(),
        Value::Array(items) => items.iter().map(|item| 80 + weight(item)).sum(),
        Value::String(text) => text.len() + 8,
        _ => 0,
    }
}
