//! The parameters of an operation, as OpenAPI 3 and Swagger 2.0 have them.

use super::{
    document::{Document, Found, Version},
    library::Flaw,
    tree::Node,
};

/// Headers that a parameter may not set: OpenAPI says that such a parameter does not count, and the rest belong to the connection.
const NOT_PARAMETERS: [&str; 9] =
    ["accept", "content-type", "authorization", "host", "content-length", "connection", "transfer-encoding", "upgrade", "cookie"];

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    /// All of the query (OpenAPI 3.2).
    QueryString,
    Header,
    Cookie,
    /// Swagger 2.0: the body.
    Body,
    /// Swagger 2.0: a field of the body.
    Field,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Form,
    Label,
    Matrix,
    Spaces,
    Pipes,
    Tabs,
    Deep,
}

/// A parameter that was understood.
pub(super) struct Parameter<'a> {
    pub(super) node: Node<'a>,
    pub(super) name: &'a str,
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) style: Style,
    pub(super) explode: bool,
    /// Reserved characters stay as they are.
    pub(super) reserved: bool,
    /// Written as JSON, whatever it is.
    pub(super) json: bool,
    pub(super) schema: Option<Node<'a>>,
}

impl Place {
    /// What an argument is called whose own name cannot be one.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query | Self::QueryString => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Body | Self::Field => "body",
        }
    }
}

/// The parameters of an operation, those of its path among them where it does not have them itself, behind its own.
pub(super) fn parameters<'a>(document: &Document<'a>, found: &Found<'a>) -> Result<Vec<Parameter<'a>>, Flaw<'a>> {
    let read = |node: Node<'a>| -> Result<Vec<Parameter<'a>>, Flaw<'a>> {
        let Some(list) = node.get("parameters").filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
        if !list.is_list() {
            return Err(Flaw::new(list, "its parameters are not a list"));
        }
        list.items().filter_map(|item| parameter(document, item).transpose()).collect()
    };
    let mut all = read(found.operation)?;
    let mut shared = read(found.item)?;
    shared.retain(|shared| !all.iter().any(|own| own.name == shared.name && own.place == shared.place));
    all.extend(shared);
    let mut unique: Vec<Parameter<'a>> = Vec::with_capacity(all.len());
    for parameter in all {
        // Of two that are the same the last counts.
        match unique.iter_mut().find(|other| other.name == parameter.name && other.place == parameter.place) {
            Some(other) => *other = parameter,
            None => unique.push(parameter),
        }
    }
    Ok(unique)
}

/// None: it is one that does not count.
fn parameter<'a>(document: &Document<'a>, written: Node<'a>) -> Result<Option<Parameter<'a>>, Flaw<'a>> {
    let node = document.library.followed(written)?;
    if !node.is_map() {
        return Err(Flaw::new(node, "a parameter is not an object"));
    }
    let old = document.version == Version::V2;
    let place = match node.get_text("in").map(str::to_ascii_lowercase).as_deref() {
        Some("path") => Place::Path,
        Some("query") => Place::Query,
        Some("querystring") => Place::QueryString,
        Some("header") => Place::Header,
        Some("cookie") => Place::Cookie,
        Some("body") => Place::Body,
        Some("formdata") => Place::Field,
        Some(other) => return Err(Flaw::new(node, format!("a parameter is in {other:?}, which is not a place for one"))),
        None => return Err(Flaw::new(node, "a parameter does not say where it is (`in`)")),
    };
    let name = match node.get_text("name").filter(|name| !name.is_empty()) {
        Some(name) => name,
        None if matches!(place, Place::Body | Place::QueryString) => "",
        None => return Err(Flaw::new(node, "a parameter has no name")),
    };
    if place == Place::Header && NOT_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let content = node.get("content").and_then(|content| content.members().next());
    let media = content.map(|(_, media)| document.library.followed(media)).transpose()?;
    let schema = match (node.get("schema"), media) {
        (Some(schema), _) => Some(schema),
        (None, Some(media)) => media.get("schema"),
        // In 2.0 a parameter is its own schema, and some write it so in 3.0.
        (None, None) => (old || node.get("type").is_some()).then_some(node),
    };
    let usual = if matches!(place, Place::Query | Place::QueryString | Place::Cookie | Place::Field) { Style::Form } else { Style::Simple };
    let (style, explode) = if old { collected(node, usual) } else { styled(node, usual) };
    Ok(Some(Parameter {
        node,
        name,
        place,
        required: place == Place::Path || node.get("required").and_then(Node::flag) == Some(true),
        style,
        explode,
        reserved: node.get("allowReserved").and_then(Node::flag) == Some(true),
        json: node.get("schema").is_none() && content.is_some_and(|(kind, _)| !kind.to_ascii_lowercase().contains("urlencoded")),
        schema,
    }))
}

/// `style` and `explode` of OpenAPI 3.
fn styled(node: Node<'_>, usual: Style) -> (Style, bool) {
    let style = match node.get_text("style") {
        Some("simple") => Style::Simple,
        Some("form" | "cookie") => Style::Form,
        Some("label") => Style::Label,
        Some("matrix") => Style::Matrix,
        Some("spaceDelimited") => Style::Spaces,
        Some("pipeDelimited") => Style::Pipes,
        Some("deepObject") => Style::Deep,
        _ => usual,
    };
    (style, node.get("explode").and_then(Node::flag).unwrap_or(style == Style::Form))
}

/// `collectionFormat` of Swagger 2.0.
fn collected(node: Node<'_>, usual: Style) -> (Style, bool) {
    match node.get_text("collectionFormat") {
        Some("multi") => (usual, true),
        Some("ssv") => (Style::Spaces, false),
        Some("tsv") => (Style::Tabs, false),
        Some("pipes") => (Style::Pipes, false),
        _ => (usual, false),
    }
}
