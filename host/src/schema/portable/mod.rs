//! Makes a JSON Schema portable: what is published of it can be read by every client and every model API that is known.
//!
//! A list of tools is only as good as its worst member. One schema that an SDK cannot parse empties the whole list, and one
//! that a model API refuses makes it refuse every request. So what others wrote is rewritten here into the part of
//! JSON Schema 2020-12 that all of them take:
//!
//! | rule | because |
//! |---|---|
//! | no boolean schema, also not `additionalProperties: false` | google-genai calls `.items()` on each schema; zod wants objects |
//! | `type: object` and `properties` at the top; no `anyOf`, `oneOf`, `allOf`, `not`, `enum` there | Anthropic and OpenAI refuse the request |
//! | no number beyond ±(2^53−1) | JavaScript rounds it, and model APIs refuse the request |
//! | arrays have `items`; no `prefixItems`, no list of schemas in `items` | OpenAI and Gemini want `items`; Ajv's draft-07 reads `items: false` as "no items" |
//! | one `type` for each schema, several by `anyOf`; no `oneOf` | Gemini's `type` is no list, and it knows no `oneOf` |
//! | `enum` of texts that are not empty; others are told in the description; `const` is an `enum` | Gemini |
//! | references go to `#/$defs/…`, are there, and are no circle | Ajv and Python's validators raise on those that dangle |
//! | nothing stands beside a reference that leads back to its definition | openai-agents writes such a one out without end |
//! | patterns that JavaScript, Python and Rust compile alike, see [`pattern`] | Ajv compiles each when the list is read |
//! | no draft-4 words (`id`, boolean `exclusiveMinimum`, `required: true`), no OpenAPI words (`nullable`) | Ajv throws |
//!
//! What is published never refuses a value that the original takes. It may take more: the original is checked by whoever runs
//! the tool. What was changed in meaning is told in notes.

mod bound;
mod defs;
mod keywords;
pub(crate) mod lint;
mod merge;
mod parts;
mod pattern;
mod references;
#[cfg(test)]
mod tests;
mod walk;

use serde_json::{Map, Value};

/// The greatest whole number that every reader of JSON keeps: JavaScript's `Number.MAX_SAFE_INTEGER`, 2^53−1.
pub(crate) const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Notes that are kept of one schema.
const MAX_NOTES: usize = 5;

/// A schema that can be published, and what was changed in its meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Portable {
    /// A schema of an object, with `type` and `properties`.
    pub(crate) schema: Map<String, Value>,
    /// What could not be kept, as the ends of sentences that begin with "its inputSchema". Empty for nearly all.
    pub(crate) notes: Vec<String>,
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A tool's arguments.
    Input,
    /// A tool's structured content.
    Output,
}

/// Makes a schema portable; `max` is how many bytes of JSON may be published of it.
///
/// Anything that stands where a schema should is taken: what says nothing of arguments (`null`, a text, `true`) becomes the schema of an object
/// with any members.
///
/// # Errors
///
/// Why there is no such schema, as the end of a sentence that begins with "its inputSchema".
pub(crate) fn portable(schema: &Value, role: Role, max: usize) -> Result<Portable, String> {
    let mut walk = walk::Walk::new(schema);
    let schema = walk.document(role)?;
    let mut notes = walk.notes.finish();
    let schema = bound::bounded(defs::hoisted(schema), max, role, &mut notes)?;
    Ok(Portable { schema: defs::bare_circles(schema), notes })
}

/// Makes a schema of ours portable, of which it is known that it is well made. Its keywords are those of [`portable`]'s results.
#[must_use]
pub(crate) fn hoisted(schema: Map<String, Value>) -> Map<String, Value> {
    defs::hoisted(schema)
}

/// The schema of an object with any members.
fn any_object() -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(Map::new()));
    schema
}

/// What is to be told of a schema, each thing once.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    fn finish(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.0);
        let more = notes.len().saturating_sub(MAX_NOTES);
        notes.truncate(MAX_NOTES);
        if more > 0 {
            notes.push(format!("has {more} more faults"));
        }
        notes
    }
}
