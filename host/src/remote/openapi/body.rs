//! The body of a request: which arguments are in it, and how they are written.

use base64::{Engine, prelude::BASE64_STANDARD};
use oas3::spec::{MediaType, RequestBody};
use serde_json::{Map, Value, json};

use super::{
    document::{Document, is_json},
    operation::{Input, describe},
    schema::Translation,
};

/// The argument that is the whole body, where its parts are no arguments of their own.
const WHOLE: &str = "body";

/// What a file is, for whoever fills it in.
const FILE: &str = "The file's content in base64, or a data: URL, which also says what kind of file it is.";

/// How a body is made.
pub(super) struct Body {
    format: Format,
    parts: Parts,
}

enum Format {
    /// With its media type.
    Json(String),
    Form,
    Multipart,
    /// With its media type.
    Text(String),
    /// Base64 in the argument, as it is in the body; with its media type.
    Bytes(String),
}

enum Parts {
    /// One argument is the body.
    Whole(String),
    /// Each property is an argument.
    Each(Vec<Part>),
}

struct Part {
    argument: String,
    property: String,
    /// Base64 in the argument, a file in the body.
    is_file: bool,
    /// What the document says that the part is.
    media: Option<String>,
}

impl Body {
    /// Chooses among the formats that the operation takes, and adds the arguments.
    ///
    /// # Errors
    ///
    /// Why none can be written.
    pub(super) fn new(document: &Document, body: &RequestBody, schemas: &mut Translation<'_>, input: &mut Input) -> Result<Self, String> {
        let find = |wanted: &dyn Fn(&str) -> bool| body.content.iter().find(|(kind, _)| wanted(&bare(kind)));
        let chosen = find(&|kind| is_json(kind))
            .or_else(|| find(&|kind| kind == "application/x-www-form-urlencoded"))
            .or_else(|| find(&|kind| kind == "multipart/form-data"))
            .or_else(|| find(&|kind| kind.starts_with("text/")))
            .or_else(|| find(&|kind| !kind.starts_with("multipart/") && !kind.contains("xml")));
        let Some((kind, media)) = chosen else {
            let kinds: Vec<&str> = body.content.keys().map(String::as_str).collect();
            return Err(format!("its body can only be {}, which cannot be written here", kinds.join(" or ")));
        };
        let kind = bare(kind);
        let required = body.required == Some(true);
        let schema = document.schema_of(media);
        let format = match kind.as_str() {
            "*/*" | "application/*" => Format::Json("application/json".to_owned()),
            kind if is_json(kind) => Format::Json(kind.to_owned()),
            "application/x-www-form-urlencoded" => Format::Form,
            "multipart/form-data" => Format::Multipart,
            kind if kind.starts_with("text/") => Format::Text(kind.replace("text/*", "text/plain")),
            kind => Format::Bytes(if kind.contains('*') { "application/octet-stream".to_owned() } else { kind.to_owned() }),
        };
        let mut whole = match (&format, schema) {
            (Format::Text(_), _) => json!({ "type": "string" }),
            (Format::Bytes(_), _) => json!({ "type": "string", "contentEncoding": "base64", "description": FILE }),
            (_, Some(schema)) => schemas.schema(schema)?,
            (Format::Json(_), None) => json!({}),
            (_, None) => json!({ "type": "object" }),
        };
        let parts = match properties(&whole, schemas, &format, input) {
            Some((properties, needed)) => Parts::Each(each(properties, &needed, required, media, &format, input)),
            None if matches!(format, Format::Form | Format::Multipart) && schemas.resolved(&whole).get("properties").is_none() => {
                // Nothing is said of the parts: any text will do.
                let schema = json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } });
                Parts::Whole(input.add(WHOLE, WHOLE, schema, required))
            }
            None => {
                describe(&mut whole, body.description.as_deref());
                Parts::Whole(input.add(WHOLE, WHOLE, whole, required))
            }
        };
        Ok(Self { format, parts })
    }

    /// The body of a call, with its media type. None: no argument is about it.
    pub(super) fn write(&self, arguments: &Map<String, Value>) -> Result<Option<(String, Vec<u8>)>, String> {
        let fields: Vec<(&Part, &Value)> = match &self.parts {
            Parts::Each(parts) => parts.iter().filter_map(|part| Some((part, arguments.get(&part.argument)?))).collect(),
            Parts::Whole(argument) => {
                let Some(value) = arguments.get(argument) else { return Ok(None) };
                return self.write_whole(value).map(Some);
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
            Format::Form => Ok(Some(form(said.map(|(part, value)| (part.property.as_str(), value))))),
            Format::Multipart => multipart(&said.collect::<Vec<_>>()).map(Some),
            Format::Text(_) | Format::Bytes(_) => Ok(None),
        }
    }

    fn write_whole(&self, value: &Value) -> Result<(String, Vec<u8>), String> {
        match (&self.format, value) {
            (Format::Json(kind), value) => Ok((kind.clone(), value.to_string().into_bytes())),
            (Format::Text(kind), value) => Ok((kind.clone(), text(value).into_bytes())),
            (Format::Bytes(kind), Value::String(file)) => {
                decoded(WHOLE, file).map(|(said, bytes)| (said.unwrap_or_else(|| kind.clone()), bytes))
            }
            (Format::Form, Value::Object(members)) => Ok(form(members.iter().map(|(name, value)| (name.as_str(), value)))),
            (Format::Multipart, Value::Object(members)) => {
                let part = |name: &String| Part { argument: name.clone(), property: name.clone(), is_file: false, media: None };
                let parts: Vec<Part> = members.keys().map(part).collect();
                multipart(&parts.iter().zip(members.values()).collect::<Vec<_>>())
            }
            _ => Err(format!("`{WHOLE}` is not of the kind that the body is made of")),
        }
    }
}

fn bare(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The properties that can be arguments of their own, and which of them there must be. None: the body has to be one argument.
fn properties(whole: &Value, schemas: &Translation<'_>, format: &Format, input: &Input) -> Option<(Map<String, Value>, Vec<String>)> {
    if !matches!(format, Format::Json(_) | Format::Form | Format::Multipart) {
        return None;
    }
    let object = schemas.resolved(whole).as_object()?;
    let kind = object.get("type").and_then(Value::as_str);
    // Of these the object's keywords say all that there is to say, and none of them is lost when its properties stand by themselves.
    let plain = ["type", "properties", "required", "title", "description", "examples", "default", "additionalProperties", "deprecated"];
    let is_plain = object.keys().all(|keyword| plain.contains(&keyword.as_str()));
    let closed = matches!(object.get("additionalProperties"), None | Some(Value::Bool(false)));
    if !matches!(kind, Some("object") | None) || !is_plain || !closed {
        return None;
    }
    let properties = object.get("properties")?.as_object()?;
    if properties.is_empty() || properties.keys().any(|name| input.has(name)) {
        return None;
    }
    let needed = object.get("required").and_then(Value::as_array);
    let needed = needed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Some((properties.clone(), needed))
}

fn each(
    properties: Map<String, Value>,
    needed: &[String],
    required: bool,
    media: &MediaType,
    format: &Format,
    input: &mut Input,
) -> Vec<Part> {
    let part = |(property, mut schema): (String, Value)| {
        let is_file = matches!(format, Format::Multipart) && make_file(&mut schema);
        let said = media.encoding.get(&property).and_then(|encoding| encoding.content_type.clone());
        Part {
            argument: input.add(&property, WHOLE, schema, required && needed.contains(&property)),
            property,
            is_file,
            media: said.filter(|said| !said.contains([',', '*'])),
        }
    };
    properties.into_iter().map(part).collect()
}

/// Makes base64 of what is a file, or a list of files.
fn make_file(schema: &mut Value) -> bool {
    if let Some(items) = schema.get_mut("items") {
        return make_file(items);
    }
    // A file that there need not be is written as a choice between it and null.
    for keyword in ["anyOf", "oneOf"] {
        if let Some(Value::Array(choices)) = schema.get_mut(keyword) {
            let mut found = false;
            for choice in choices {
                found |= make_file(choice);
            }
            return found;
        }
    }
    let is_file = schema.get("format").and_then(Value::as_str) == Some("binary")
        || (schema.get("contentMediaType").is_some()
            && schema.get("contentEncoding").is_none()
            && schema.get("type").is_none_or(|kind| kind == "string"));
    if is_file && let Some(members) = schema.as_object_mut() {
        let said = members.get("description").and_then(Value::as_str).map(|text| format!("{text} ")).unwrap_or_default();
        for keyword in ["format", "contentMediaType"] {
            members.shift_remove(keyword);
        }
        members.insert("type".to_owned(), "string".into());
        members.insert("contentEncoding".to_owned(), "base64".into());
        members.insert("description".to_owned(), format!("{said}{FILE}").into());
    }
    is_file
}

/// A value as text, where text is all that there is.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn form<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> (String, Vec<u8>) {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value {
            Value::Array(items) => items.iter().for_each(|item| {
                pairs.append_pair(name, &text(item));
            }),
            value => {
                pairs.append_pair(name, &text(value));
            }
        }
    }
    ("application/x-www-form-urlencoded".to_owned(), pairs.finish().into_bytes())
}

fn multipart(fields: &[(&Part, &Value)]) -> Result<(String, Vec<u8>), String> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (part, value) in fields {
        let values = match value {
            Value::Array(items) => items.iter().collect(),
            value => vec![*value],
        };
        for value in values {
            parts.push(one_part(part, value)?);
        }
    }
    // What stands between the parts may be in none of them: of 128 random bits that can be taken for granted.
    let boundary = format!("toolbay-{:032x}", fastrand::u128(..));
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(&content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body))
}

fn one_part(part: &Part, value: &Value) -> Result<(String, Vec<u8>), String> {
    // As browsers write a name.
    let name = part.property.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
    let typed = |head: &str, kind: &str| format!("{head}\r\nContent-Type: {kind}");
    match value {
        Value::String(file) if part.is_file => {
            let (said, content) = decoded(&part.argument, file)?;
            let kind = said.as_deref().or(part.media.as_deref()).unwrap_or("application/octet-stream");
            Ok((typed(&format!("{disposition}; filename=\"{name}\""), kind), content))
        }
        Value::Object(_) | Value::Array(_) => Ok((typed(&disposition, "application/json"), value.to_string().into_bytes())),
        value => {
            let head = part.media.as_deref().map_or_else(|| disposition.clone(), |kind| typed(&disposition, kind));
            Ok((head, text(value).into_bytes()))
        }
    }
}

/// A file out of base64 or a `data:` URL, and what kind it says it is.
fn decoded(argument: &str, text: &str) -> Result<(Option<String>, Vec<u8>), String> {
    let (kind, encoded) = match text.strip_prefix("data:") {
        Some(rest) => {
            let (head, data) = rest.split_once(',').ok_or_else(|| format!("argument `{argument}` is a data: URL without a comma"))?;
            let kind = head.strip_suffix(";base64").ok_or_else(|| format!("argument `{argument}` is a data: URL without `;base64`"))?;
            let fits = kind.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            (Some(kind.to_owned()).filter(|kind| fits && kind.contains('/')), data)
        }
        None => (None, text),
    };
    let plain: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(plain).map_err(|error| format!("argument `{argument}` is not base64: {error}"))?;
    Ok((kind, bytes))
}
