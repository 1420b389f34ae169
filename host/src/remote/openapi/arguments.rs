//! The arguments of a tool: gathered first and named afterwards, so that each that can have its own name has it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

/// The longest name of an argument that model providers take.
const LONGEST: usize = 64;

/// Arguments, while they are gathered.
#[derive(Default)]
pub(super) struct Input(Vec<Argument>);

struct Argument {
    name: String,
    /// What it is called where its own name cannot be used: `query`, `body`.
    place: &'static str,
    schema: Value,
    required: bool,
}

/// Which of a tool's arguments.
pub(super) type ArgumentId = usize;

impl Input {
    /// Takes in an argument. `name` is what the document calls it.
    pub(super) fn add(&mut self, name: &str, place: &'static str, schema: Value, required: bool) -> ArgumentId {
        self.0.push(Argument { name: name.to_owned(), place, schema, required });
        self.0.len() - 1
    }

    /// Whether there is an argument that the document calls so already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument.name == name)
    }

    /// The names of all arguments, and the schema of all together.
    pub(super) fn finish(self) -> (Vec<String>, Map<String, Value>) {
        let names = self.names();
        let mut properties = Map::with_capacity(names.len());
        let mut required = Vec::new();
        for (mut argument, name) in self.0.into_iter().zip(&names) {
            if *name != argument.name {
                really(&mut argument.schema, &argument.name);
            }
            if argument.required {
                required.push(name.clone());
            }
            properties.insert(name.clone(), argument.schema);
        }
        let mut schema = Map::with_capacity(4);
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        (names, schema)
    }

    fn names(&self) -> Vec<String> {
        let mut taken: HashSet<String> = HashSet::new();
        // First whoever can keep its own.
        let mut names: HashMap<usize, String> = HashMap::new();
        for (at, argument) in self.0.iter().enumerate() {
            if is_safe(&argument.name) && taken.insert(argument.name.clone()) {
                names.insert(at, argument.name.clone());
            }
        }
        let all = self.0.iter().enumerate().map(|(at, argument)| {
            names.remove(&at).unwrap_or_else(|| {
                let name = other_name(argument, &taken);
                taken.insert(name.clone());
                name
            })
        });
        all.collect()
    }
}

fn is_safe(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A name that is free, as near to its own as may be.
fn other_name(argument: &Argument, taken: &HashSet<String>) -> String {
    let mut plain = String::new();
    for c in argument.name.chars() {
        let c = if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        if plain.len() < LONGEST - 12 && !(c == '_' && plain.ends_with('_')) {
            plain.push(c);
        }
    }
    // What only differs in what cannot be written says where it is.
    let plain = match plain.trim_matches('_') {
        "" => argument.place,
        plain => plain,
    };
    let place = argument.place;
    let candidates = std::iter::once(plain.to_owned()).chain((1..).map(|n| match n {
        1 if plain != place => format!("{plain}_{place}"),
        1 => format!("{plain}_2"),
        n if plain != place => format!("{plain}_{place}_{n}"),
        n => format!("{plain}_{}", n + 1),
    }));
    candidates.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Says what an argument is really called.
fn really(schema: &mut Value, name: &str) {
    let said = schema.get("description").and_then(Value::as_str).map(|text| format!(" {text}")).unwrap_or_default();
    describe(schema, Some(&format!("Sent as `{name}`.{said}")));
}

/// Says of a schema what it is for.
pub(super) fn describe(schema: &mut Value, description: Option<&str>) {
    let Some(text) = description.map(str::trim).filter(|text| !text.is_empty()) else { return };
    match schema {
        // Anything at all.
        Value::Bool(true) => *schema = json!({ "description": text }),
        Value::Object(members) => drop(members.insert("description".to_owned(), text.into())),
        _ => {}
    }
}
