//! What a document says that an operation answers: somebody else's promise, which is published loosely.

use serde_json::{Map, Value};

use super::{
    document::{Document, Found},
    operation::{LEVELS, Room},
    schema::{Translation, Way},
};
pub(super) use crate::schema::promise::{Deviations, Promise};
use crate::{config::OutputSchema, schema::Schema};

/// The schema to publish, and what to hold answers against. None: the answer is not known to be an object.
pub(super) fn promised<'a>(
    document: &Document<'a>,
    found: &Found<'a>,
    room: Room,
    output: OutputSchema,
) -> Option<(Map<String, Value>, Promise)> {
    if output == OutputSchema::Off {
        return None;
    }
    let mut roots = Vec::new();
    for schema in document.answer(found) {
        let schema = document.library.followed(schema).ok()?;
        let mut schemas = Translation::new(document, Way::Response);
        let Ok(Value::Object(root)) = schemas.schema(schema) else { return None };
        let (root, _) = schemas.into_root(root, room.output);
        if root.get("type").and_then(Value::as_str) != Some("object") && !root.contains_key("properties") {
            return None;
        }
        roots.push(root);
    }
    // Of several good answers the first is published; what others have beside it is allowed.
    let root = roots.into_iter().next()?;
    let (mut published, promise) = Promise::of(&root);
    if output == OutputSchema::AsIs {
        published = root;
        published.insert("type".to_owned(), "object".into());
    }
    // One that leads in a circle, or doubles with each step, is an endless loop to some.
    let is_good = room.is_trial || Schema::new(&published).is_ok_and(|schema| schema.levels() >= LEVELS);
    is_good.then_some((published, promise))
}
