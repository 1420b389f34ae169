//! Tags in a function's doc comment: what MCP's clients are told of a tool beside its description.

use serde_json::{Map, Value, json};

use crate::provider::{PAGE_SCHEME, with_page};

/// What the tags of a doc comment say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tags {
    /// `@title`: a name for people.
    pub(super) title: Option<String>,
    /// MCP's `annotations`.
    pub(super) hints: Option<Value>,
    /// `_meta`: `@app` and `@app-only`.
    pub(super) meta: Option<Map<String, Value>>,
    /// The doc comment without them.
    pub(super) rest: String,
}

/// Each tag, a line of its own, and the hint that it gives.
const HINTS: [(&str, &str, bool); 6] = [
    ("@read-only", "readOnlyHint", true),
    ("@destructive", "destructiveHint", true),
    ("@non-destructive", "destructiveHint", false),
    ("@idempotent", "idempotentHint", true),
    ("@open-world", "openWorldHint", true),
    ("@closed-world", "openWorldHint", false),
];

/// Takes the tags out of a doc comment. A line that is no tag stays, whatever it begins with.
pub(super) fn tags(doc: &str) -> Tags {
    let (mut tags, mut hints, mut ui) = (Tags::default(), Map::new(), Map::new());
    let mut page = None;
    for line in doc.lines() {
        let tag = line.trim();
        if let Some(title) = tag.strip_prefix("@title ").map(str::trim).filter(|title| !title.is_empty()) {
            tags.title = Some(title.to_owned());
        } else if let Some(uri) = tag.strip_prefix("@app ").map(str::trim).filter(|uri| uri.starts_with(PAGE_SCHEME)) {
            page = Some(uri);
        } else if tag == "@app-only" {
            ui.insert("visibility".to_owned(), json!(["app"]));
        } else if let Some((_, hint, holds)) = HINTS.iter().find(|(name, ..)| *name == tag) {
            hints.insert((*hint).to_owned(), (*holds).into());
        } else {
            tags.rest.push_str(line);
            tags.rest.push('\n');
        }
    }
    tags.hints = (!hints.is_empty()).then(|| hints.into());
    let meta = (!ui.is_empty()).then(|| Map::from_iter([("ui".to_owned(), Value::Object(ui))]));
    tags.meta = match page {
        Some(uri) => Some(with_page(meta, uri)),
        None => meta,
    };
    tags
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_taken_out_and_what_only_looks_like_one_stays() {
        let doc = "Deletes a note.\n\n@title  Delete note\n@non-destructive\n  @read-only\n\n- `id`: which\n@reader of this: hello\n@title\nWrite to @title me";
        let Tags { title, hints, rest, .. } = tags(doc);
        assert_eq!(title.as_deref(), Some("Delete note"));
        assert_eq!(hints, Some(json!({"destructiveHint": false, "readOnlyHint": true})));
        assert_eq!(rest, "Deletes a note.\n\n\n- `id`: which\n@reader of this: hello\n@title\nWrite to @title me\n");
        let meta = |doc| tags(doc).meta.map(Value::Object);
        let page = json!({"ui": {"visibility": ["app"], "resourceUri": "ui://a/b.html"}, "ui/resourceUri": "ui://a/b.html"});
        assert_eq!(meta("Draws.\n@app  ui://a/b.html\n@app-only"), Some(page));
        assert_eq!(meta("@app-only"), Some(json!({"ui": {"visibility": ["app"]}})));
        assert_eq!(tags("@app https://a.example\n@apps").rest, "@app https://a.example\n@apps\n");
        assert_eq!(tags("Plain."), Tags { rest: "Plain.\n".to_owned(), ..Tags::default() });
    }
}
