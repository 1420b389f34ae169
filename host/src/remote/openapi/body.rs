//! The body of a request: which arguments are in it, and how they are written.

use serde_json::{Map, Value, json};

use super::{
    arguments::{ArgumentId, Input, describe},
    content::{self, FILE, Part},
    document::{Document, Found, Version, bare, is_json, is_json_lines},
    library::{Flaw, Library},
    parameter::{Parameter, Place, Style},
    schema::{Translation, last_token},
    tree::Node,
};

/// The argument that is the whole body, where nothing says what it is.
const WHOLE: &str = "body";

/// How a body is made.
pub(super) struct Body {
    format: Format,
    parts: Parts,
}

enum Format {
    /// With its media type.
    Json(String),
    /// Items of a list, each on a line; with its media type.
    JsonLines(String),
    Form,
    Multipart,
    /// With its media type.
    Text(String),
    /// Base64 in the argument, as it is in the body; with its media type.
    Bytes(String),
}

enum Parts {
    /// One argument is the body.
    Whole(ArgumentId),
    /// Each property is an argument.
    Each(Vec<Part>),
}

/// What a document says of a body.
struct Said<'a> {
    node: Node<'a>,
    required: bool,
    /// Media types, with the schema and the `encoding` of each.
    content: Vec<(String, Option<Node<'a>>, Option<Node<'a>>)>,
    /// What it is called, where something says so.
    name: Option<&'a str>,
}

impl Body {
    /// Chooses among the formats that the operation takes, and adds the arguments. None: it takes no body.
    ///
    /// # Errors
    ///
    /// Why none can be written.
    pub(super) fn new<'a>(
        document: &Document<'a>,
        found: &Found<'a>,
        parameters: &[Parameter<'a>],
        schemas: &mut Translation<'a>,
        input: &mut Input,
    ) -> Result<Option<Self>, Flaw<'a>> {
        if document.version == Version::V2 && parameters.iter().any(|parameter| parameter.place == Place::Field) {
            return Self::of_fields(document, found, parameters, schemas, input).map(Some);
        }
        let said = if document.version == Version::V2 { said_in_2(document, found, parameters) } else { said(document, found)? };
        match said {
            Some(said) => Self::of(document.library, &said, schemas, input).map(Some),
            None => Ok(None),
        }
    }

    /// The fields of a form of Swagger 2.0.
    fn of_fields<'a>(
        document: &Document<'a>,
        found: &Found<'a>,
        parameters: &[Parameter<'a>],
        schemas: &mut Translation<'a>,
        input: &mut Input,
    ) -> Result<Self, Flaw<'a>> {
        let kinds = document.media_types(found, "consumes");
        let fields = || parameters.iter().filter(|parameter| parameter.place == Place::Field);
        let has_file = fields().any(|field| field.schema.is_some_and(|schema| is_file(document.library, schema)));
        let is_form = kinds.iter().any(|kind| bare(kind) == "application/x-www-form-urlencoded");
        let is_multipart = has_file || (!is_form && kinds.iter().any(|kind| bare(kind) == "multipart/form-data"));
        let mut parts = Vec::new();
        for field in fields() {
            let Some(schema) = field.schema else { continue };
            let mut made = schemas.schema(schema)?;
            let file = (is_multipart && is_file(document.library, schema)).then(|| content::make_file(&mut made));
            parts.push(Part {
                file,
                separator: separator(field.style).filter(|_| !field.explode),
                ..Part::plain(field.name, input.add(field.name, WHOLE, made, field.required))
            });
        }
        name_files(&mut parts, input);
        Ok(Self { format: if is_multipart { Format::Multipart } else { Format::Form }, parts: Parts::Each(parts) })
    }

    fn of<'a>(library: &'a Library, said: &Said<'a>, schemas: &mut Translation<'a>, input: &mut Input) -> Result<Self, Flaw<'a>> {
        let find = |wanted: &dyn Fn(&str) -> bool| said.content.iter().find(|(kind, ..)| wanted(&bare(kind)));
        let chosen = find(&is_json)
            .or_else(|| find(&|kind| kind == "application/x-www-form-urlencoded"))
            .or_else(|| find(&|kind| kind == "multipart/form-data"))
            .or_else(|| find(&is_json_lines))
            .or_else(|| find(&|kind| kind.starts_with("text/") && !is_xml(kind)))
            .or_else(|| find(&|kind| !kind.starts_with("multipart/") && !is_xml(kind)))
            .or_else(|| find(&is_xml));
        let Some((kind, schema, encoding)) = chosen else {
            let kinds: Vec<&str> = said.content.iter().map(|(kind, ..)| kind.as_str()).collect();
            let what = if kinds.is_empty() { "of no kind that is said".to_owned() } else { kinds.join(" or ") };
            return Err(Flaw::new(said.node, format!("its body can only be {what}, which cannot be written here")));
        };
        let format = format_of(&bare(kind), *schema);
        if let (Some(schema), Format::Json(_) | Format::Form | Format::Multipart) = (schema, &format)
            && let Some(properties) = properties(library, *schema, schemas, input)
        {
            let parts = each(library, &properties, said.required, *encoding, &format, schemas, input)?;
            return Ok(Self { format, parts: Parts::Each(parts) });
        }
        let mut whole = match (&format, schema) {
            (Format::Text(kind), schema) if is_xml(&bare(kind)) => {
                json!({ "type": "string", "description": xml_words(library, kind, *schema) })
            }
            (Format::Text(_), _) => json!({ "type": "string" }),
            (Format::Bytes(_), _) => json!({ "type": "string", "contentEncoding": "base64", "description": FILE }),
            (Format::JsonLines(_), Some(schema)) if !is_list(library, *schema) => {
                json!({ "type": "array", "items": schemas.schema(*schema)? })
            }
            (Format::Form | Format::Multipart, schema) => match schema.map(|schema| schemas.schema(schema)).transpose()? {
                Some(Value::Object(schema)) if schema.len() > 1 || schema.get("type").is_none_or(|kind| kind != "object") => schema.into(),
                // Nothing is said of the parts: any text will do.
                _ => json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } }),
            },
            (_, Some(schema)) => schemas.schema(*schema)?,
            (_, None) => json!({}),
        };
        let name = name_of(library, said, *schema, &format);
        if whole.get("description").is_none() || said.node.get("description").is_some() {
            describe(&mut whole, said.node.get("description").and_then(Node::said).as_deref());
        }
        Ok(Self { parts: Parts::Whole(input.add(&name, WHOLE, whole, said.required)), format })
    }

    /// The body of a call, with its media type. None: no argument is about it.
    pub(super) fn write(&self, names: &[String], arguments: &Map<String, Value>) -> Result<Option<(String, Vec<u8>)>, String> {
        let get = |id: ArgumentId| names.get(id).and_then(|name| arguments.get(name));
        let fields: Vec<(&Part, &Value)> = match &self.parts {
            Parts::Each(parts) => parts.iter().filter_map(|part| Some((part, get(part.argument)?))).collect(),
            Parts::Whole(argument) => {
                let Some(value) = get(*argument) else { return Ok(None) };
                let name = names.get(*argument).map(String::as_str).unwrap_or_default();
                return self.write_whole(name, value).map(Some);
            }
        };
        if fields.is_empty() {
            return Ok(None);
        }
        // Of these forms none can write that there is nothing.
        let said = fields.iter().filter(|(_, value)| !value.is_null()).copied();
        match &self.format {
            Format::Json(kind) => {
                let object: Map<String, Value> = fields.into_iter().map(|(part, value)| (part.property.clone(), value.clone())).collect();
                Ok(Some((kind.clone(), Value::Object(object).to_string().into_bytes())))
            }
            Format::Form => Ok(Some(content::form(said))),
            Format::Multipart => content::multipart(&said.collect::<Vec<_>>(), names, arguments).map(Some),
            Format::Text(_) | Format::Bytes(_) | Format::JsonLines(_) => Ok(None),
        }
    }

    fn write_whole(&self, name: &str, value: &Value) -> Result<(String, Vec<u8>), String> {
        match (&self.format, value) {
            (Format::Json(kind), value) => Ok((kind.clone(), value.to_string().into_bytes())),
            (Format::JsonLines(kind), Value::Array(items)) => {
                let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
                Ok((kind.clone(), lines.into_bytes()))
            }
            (Format::Text(kind) | Format::JsonLines(kind), value) => Ok((kind.clone(), content::text(value).into_bytes())),
            (Format::Bytes(kind), Value::String(file)) => {
                content::decoded(name, file).map(|file| (file.kind.unwrap_or_else(|| kind.clone()), file.bytes))
            }
            (Format::Form, Value::Object(members)) => {
                let parts: Vec<Part> = members.keys().map(|name| Part::plain(name, 0)).collect();
                Ok(content::form(parts.iter().zip(members.values())))
            }
            (Format::Multipart, Value::Object(members)) => {
                let parts: Vec<Part> = members.keys().map(|name| Part::plain(name, 0)).collect();
                content::multipart(&parts.iter().zip(members.values()).collect::<Vec<_>>(), &[], &Map::new())
            }
            _ => Err(format!("argument `{name}` is not of the kind that the body is made of")),
        }
    }
}

fn said<'a>(document: &Document<'a>, found: &Found<'a>) -> Result<Option<Said<'a>>, Flaw<'a>> {
    let Some(written) = found.operation.get("requestBody").filter(|body| !body.is_null()) else { return Ok(None) };
    let node = document.library.followed(written)?;
    if !node.is_map() {
        return Err(Flaw::new(node, "its body is not an object"));
    }
    let Some(types) = node.get("content").filter(|content| content.is_map() && content.len() > 0) else {
        return Err(Flaw::new(node, "its body does not say what kind it is of (`content`)"));
    };
    let mut content = Vec::new();
    for (kind, media) in types.members() {
        let media = document.library.followed(media)?;
        content.push((kind.to_owned(), media.get("schema").or(media.get("itemSchema")), media.get("encoding")));
    }
    let named = ["x-body-name", "x-codegen-request-body-name", "x-bodyName"];
    let name = named.iter().find_map(|name| found.operation.get_text(name).or(node.get_text(name)));
    Ok(Some(Said { node, required: node.get("required").and_then(Node::flag) == Some(true), content, name }))
}

/// The body of Swagger 2.0 is a parameter.
fn said_in_2<'a>(document: &Document<'a>, found: &Found<'a>, parameters: &[Parameter<'a>]) -> Option<Said<'a>> {
    let body = parameters.iter().find(|parameter| parameter.place == Place::Body)?;
    let mut kinds: Vec<String> = document.media_types(found, "consumes").into_iter().map(str::to_owned).collect();
    if kinds.is_empty() {
        kinds.push("application/json".to_owned());
    }
    let content = kinds.into_iter().map(|kind| (kind, body.schema, None)).collect();
    Some(Said { node: body.node, required: body.required, content, name: Some(body.name).filter(|name| !name.is_empty()) })
}

fn format_of(kind: &str, schema: Option<Node<'_>>) -> Format {
    match kind {
        "*/*" | "application/*" => Format::Json("application/json".to_owned()),
        kind if is_json(kind) => Format::Json(kind.to_owned()),
        "application/x-www-form-urlencoded" => Format::Form,
        "multipart/form-data" => Format::Multipart,
        kind if is_json_lines(kind) => match schema.and_then(|schema| schema.get_text("type")) {
            Some("string") => Format::Text(kind.to_owned()),
            _ => Format::JsonLines(kind.to_owned()),
        },
        kind if is_xml(kind) => Format::Text(kind.to_owned()),
        kind if kind.starts_with("text/") => Format::Text(kind.replace("text/*", "text/plain")),
        kind => Format::Bytes(if kind.contains('*') { "application/octet-stream".to_owned() } else { kind.to_owned() }),
    }
}

/// What a person would call the argument that is the whole body.
fn name_of(library: &Library, said: &Said<'_>, schema: Option<Node<'_>>, format: &Format) -> String {
    if let Some(name) = said.name {
        return name.to_owned();
    }
    let referred = schema.and_then(|schema| schema.get_text("$ref")).map(last_token);
    let schema = schema.and_then(|schema| library.followed(schema).ok());
    let titled = schema.and_then(|schema| schema.get_text("title")).map(str::to_owned);
    let name = titled.or(referred).map(|name| words(&name)).filter(|name| !name.is_empty() && name.len() <= 40);
    let kind = schema.and_then(|schema| schema.get_text("type"));
    name.unwrap_or_else(|| {
        match (format, kind) {
            (Format::Bytes(_), _) => "file",
            (Format::Text(kind), _) if is_xml(&bare(kind)) => "xml",
            (Format::Text(_), _) | (_, Some("string")) => "text",
            (Format::JsonLines(_), _) | (_, Some("array")) => "items",
            (_, Some("integer" | "number")) => "number",
            (_, Some("boolean")) => "value",
            _ => WHOLE,
        }
        .to_owned()
    })
}

fn is_xml(kind: &str) -> bool {
    matches!(kind, "application/xml" | "text/xml") || kind.ends_with("+xml")
}

/// What to write into a body of XML, which is one text: its root, and what is in that.
fn xml_words(library: &Library, kind: &str, schema: Option<Node<'_>>) -> String {
    /// Names of elements that are told.
    const SHOWN: usize = 30;
    let mut text = format!("The request body: an XML document, sent as {kind}.");
    let referred = schema.and_then(|schema| schema.get_text("$ref")).map(last_token);
    let Some(schema) = schema.and_then(|schema| library.followed(schema).ok()) else { return text };
    let named = |schema: Node<'_>, key: &str| schema.get("xml").and_then(|xml| xml.get_text(key)).map(str::to_owned);
    if let Some(root) = named(schema, "name").or(referred) {
        text += &format!(" Its root element is `{root}`");
        text += &named(schema, "namespace").map(|space| format!(" in the namespace {space}")).unwrap_or_default();
        text += ".";
    }
    let (mut elements, mut attributes) = (Vec::new(), Vec::new());
    for (name, property) in schema.get("properties").into_iter().flat_map(Node::members) {
        let property = library.followed(property).unwrap_or(property);
        let is_attribute = property.get("xml").and_then(|xml| xml.get("attribute")).and_then(Node::flag) == Some(true);
        let list = if is_attribute { &mut attributes } else { &mut elements };
        list.push(format!("`{}`", named(property, "name").unwrap_or_else(|| name.to_owned())));
    }
    for (what, names) in [("attributes", attributes), ("elements", elements)] {
        if !names.is_empty() {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            text += &format!(" It has the {what} {}{more}.", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "));
        }
    }
    text
}

/// `Item-Input` as `item_input`, `NewPet` as `new_pet`.
fn words(name: &str) -> String {
    let mut made = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            if !made.ends_with('_') && !made.is_empty() {
                made.push('_');
            }
        } else {
            if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                made.push('_');
            }
            made.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    made.trim_matches('_').to_owned()
}

fn is_list(library: &Library, schema: Node<'_>) -> bool {
    library.followed(schema).is_ok_and(|schema| schema.get_text("type") == Some("array"))
}

/// A property of a body: its name, its schema, and whether it has to be there.
type Property<'a> = (&'a str, Node<'a>, bool);

/// The properties that can be arguments of their own. None: the body has to be one argument.
fn properties<'a>(library: &'a Library, schema: Node<'a>, schemas: &Translation<'a>, input: &Input) -> Option<Vec<Property<'a>>> {
    let mut found = Vec::new();
    gather(library, schema, schemas, &mut found, 0)?;
    (!found.is_empty() && !found.iter().any(|(name, ..)| input.has(name))).then_some(found)
}

/// Of these an object's keywords say all that there is to say, and none of them is lost when its properties stand by themselves.
const PLAIN: [&str; 18] = [
    "type",
    "properties",
    "required",
    "title",
    "description",
    "example",
    "examples",
    "default",
    "additionalProperties",
    "deprecated",
    "xml",
    "externalDocs",
    "readOnly",
    "writeOnly",
    "nullable",
    "allOf",
    "$schema",
    "$id",
];

fn gather<'a>(
    library: &'a Library,
    schema: Node<'a>,
    schemas: &Translation<'a>,
    found: &mut Vec<Property<'a>>,
    depth: usize,
) -> Option<()> {
    /// Objects that are made of each other before one argument has to do.
    const DEEPEST: usize = 8;
    let object = library.followed(schema).ok().filter(|object| object.is_map() && depth < DEEPEST)?;
    let is_plain = object.members().all(|(keyword, _)| PLAIN.contains(&keyword) || keyword.starts_with("x-"));
    let kind = object.get("type").map_or(Some("object"), Node::text);
    let closed = object.get("additionalProperties").is_none_or(|more| more.bool() == Some(false));
    if !is_plain || !closed || kind != Some("object") || object.get("nullable").and_then(Node::flag) == Some(true) {
        return None;
    }
    for part in object.get("allOf").into_iter().flat_map(Node::items) {
        gather(library, part, schemas, found, depth + 1)?;
    }
    for (name, property) in object.get("properties").into_iter().flat_map(Node::members) {
        if schemas.is_hidden(property) {
            continue;
        }
        // Of one that two parts speak of both count, which only the whole can say.
        if found.iter().any(|(other, ..)| *other == name) {
            return None;
        }
        found.push((name, property, false));
    }
    let required = object.get("required").into_iter().flat_map(Node::items);
    for name in required.filter_map(Node::text) {
        if let Some(property) = found.iter_mut().find(|(other, ..)| *other == name) {
            property.2 = true;
        }
    }
    Some(())
}

fn each<'a>(
    library: &'a Library,
    properties: &[Property<'a>],
    body_required: bool,
    encoding: Option<Node<'a>>,
    format: &Format,
    schemas: &mut Translation<'a>,
    input: &mut Input,
) -> Result<Vec<Part>, Flaw<'a>> {
    let mut parts = Vec::with_capacity(properties.len());
    for (property, schema, required) in properties {
        let mut made = schemas.schema(*schema)?;
        let encoding = encoding.and_then(|encoding| encoding.get(property));
        let media = encoding.and_then(|encoding| encoding.get_text("contentType"));
        let is_file = matches!(format, Format::Multipart) && is_file(library, *schema);
        let style = match encoding.and_then(|encoding| encoding.get_text("style")) {
            Some("spaceDelimited") => Style::Spaces,
            Some("pipeDelimited") => Style::Pipes,
            Some("deepObject") => Style::Deep,
            _ => Style::Form,
        };
        let is_joined = encoding.and_then(|encoding| encoding.get("explode")).and_then(Node::flag) == Some(false);
        let file = is_file.then(|| content::make_file(&mut made));
        parts.push(Part {
            file,
            media: media.filter(|media| !media.contains([',', '*'])).map(str::to_owned),
            separator: separator(style).filter(|_| is_joined),
            deep: style == Style::Deep,
            ..Part::plain(property, input.add(property, WHOLE, made, body_required && *required))
        });
    }
    name_files(&mut parts, input);
    Ok(parts)
}

/// Lets the names of files be given, each behind all that the document speaks of.
fn name_files(parts: &mut [Part], input: &mut Input) {
    for part in parts {
        let Some(file) = part.file.as_mut().filter(|file| !file.is_list) else { continue };
        let name = format!("{}_name", part.property);
        if !input.has(&name) {
            let text = format!("The name of the file `{}`, such as photo.png.", part.property);
            file.name = Some(input.add(&name, WHOLE, json!({ "type": "string", "description": text }), false));
        }
    }
}

fn separator(style: Style) -> Option<&'static str> {
    match style {
        Style::Spaces => Some(" "),
        Style::Pipes => Some("|"),
        Style::Tabs => Some("\t"),
        Style::Deep => None,
        _ => Some(","),
    }
}

/// Whether a schema is one of a file, or of a list of files.
fn is_file(library: &Library, schema: Node<'_>) -> bool {
    let Ok(schema) = library.followed(schema) else { return false };
    let kind = schema.get_text("type");
    if schema.get_text("format") == Some("binary") || kind == Some("file") {
        return true;
    }
    if schema.get("contentMediaType").is_some() && schema.get("contentEncoding").is_none() {
        return kind.is_none_or(|kind| kind == "string");
    }
    let parts = ["anyOf", "oneOf"].iter().filter_map(|keyword| schema.get(keyword)).flat_map(Node::items);
    parts.chain(schema.get("items")).any(|part| part.get("$ref").is_none() && is_file(library, part))
}
