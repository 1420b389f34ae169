//! The content of a body: forms, with files in them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::arguments::ArgumentId;

/// What a file is, for whoever fills it in.
pub(super) const FILE: &str = "The file's content in base64, or a data: URL, which also says what kind of file it is.";

/// A field of a body.
pub(super) struct Part {
    pub(super) argument: ArgumentId,
    pub(super) property: String,
    /// Base64 in the argument, a file in the body.
    pub(super) file: Option<File>,
    /// What the document says that the part is.
    pub(super) media: Option<String>,
    /// What stands between the items of a list. None: each is a field of its own.
    pub(super) separator: Option<&'static str>,
    /// `a[b]=…` for what is in it.
    pub(super) deep: bool,
}

/// A field that is a file.
pub(super) struct File {
    /// The argument that is its name.
    pub(super) name: Option<ArgumentId>,
    pub(super) is_list: bool,
}

/// A file, out of an argument.
pub(super) struct Decoded {
    /// What it says that it is.
    pub(super) kind: Option<String>,
    name: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Part {
    pub(super) fn plain(property: &str, argument: ArgumentId) -> Self {
        Self { argument, property: property.to_owned(), file: None, media: None, separator: None, deep: false }
    }
}

/// Makes base64 of what is a file, or a list of files.
pub(super) fn make_file(schema: &mut Value) -> File {
    let is_list = mark(schema);
    File { name: None, is_list: is_list.unwrap_or(false) }
}

/// Whether what was marked is in a list. None: nothing was.
fn mark(schema: &mut Value) -> Option<bool> {
    if let Some(items) = schema.get_mut("items") {
        return mark(items).map(|_| true);
    }
    // A file that there need not be is written as a choice between it and null.
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        let marked: Vec<bool> = choices.iter_mut().filter_map(mark).collect();
        return (!marked.is_empty()).then(|| marked.contains(&true));
    }
    if schema.get("$ref").is_some() {
        *schema = json!({ "type": "string" });
    }
    let members = schema.as_object_mut()?;
    let is_text = match members.get("type") {
        None => true,
        Some(Value::Array(kinds)) => kinds.contains(&"string".into()),
        Some(kind) => kind == "string",
    };
    if !is_text {
        return None;
    }
    let said = members.get("description").and_then(Value::as_str).map(|text| format!("{text} ")).unwrap_or_default();
    for keyword in ["format", "contentMediaType", "maxLength", "minLength", "pattern"] {
        members.shift_remove(keyword);
    }
    members.entry("type").or_insert_with(|| "string".into());
    members.insert("contentEncoding".to_owned(), "base64".into());
    members.insert("description".to_owned(), format!("{said}{FILE}").into());
    Some(false)
}

/// A value as text, where text is all that there is.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `filter[a][b]=…`
pub(super) fn deep(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(member, value)| deep(&format!("{name}[{member}]"), value, pairs)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(nth, item)| deep(&format!("{name}[{nth}]"), item, pairs));
        }
        Value::Array(items) => pairs.extend(items.iter().map(|item| (name.to_owned(), text(item)))),
        value => pairs.push((name.to_owned(), text(value))),
    }
}

pub(super) fn form<'a>(fields: impl Iterator<Item = (&'a Part, &'a Value)>) -> (String, Vec<u8>) {
    let mut pairs = Vec::new();
    for (part, value) in fields {
        let name = part.property.as_str();
        match (value, part.separator) {
            (Value::Array(items), _) if part.deep => {
                items.iter().enumerate().for_each(|(nth, item)| deep(&format!("{name}[{nth}]"), item, &mut pairs));
            }
            (value, _) if part.deep => deep(name, value, &mut pairs),
            (Value::Array(items), Some(separator)) => {
                pairs.push((name.to_owned(), items.iter().map(text).collect::<Vec<_>>().join(separator)));
            }
            (Value::Array(items), None) => pairs.extend(items.iter().map(|item| (name.to_owned(), text(item)))),
            (value, _) => pairs.push((name.to_owned(), text(value))),
        }
    }
    let mut written = url::form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(pairs);
    ("application/x-www-form-urlencoded".to_owned(), written.finish().into_bytes())
}

pub(super) fn multipart(fields: &[(&Part, &Value)], names: &[String], arguments: &Map<String, Value>) -> Result<(String, Vec<u8>), String> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (part, value) in fields {
        let label = names.get(part.argument).map_or(part.property.as_str(), String::as_str);
        let name = part.file.as_ref().and_then(|file| names.get(file.name?)).and_then(|name| arguments.get(name)?.as_str());
        let values = match (value, part.separator) {
            (Value::Array(items), Some(separator)) => vec![items.iter().map(text).collect::<Vec<_>>().join(separator).into()],
            (Value::Array(items), None) => items.clone(),
            (value, _) => vec![(*value).clone()],
        };
        for value in values {
            parts.push(one_part(part, label, name, &value)?);
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

/// One part, its head and its content. `label` is what the argument is called, `name` the file's name where the caller gave one.
fn one_part(part: &Part, label: &str, name: Option<&str>, value: &Value) -> Result<(String, Vec<u8>), String> {
    let disposition = format!("Content-Disposition: form-data; name=\"{}\"", quoted(&part.property));
    let typed = |head: &str, kind: &str| format!("{head}\r\nContent-Type: {kind}");
    match value {
        Value::String(file) if part.file.is_some() => {
            let file = decoded(label, file)?;
            let kind = file.kind.as_deref().or(part.media.as_deref()).unwrap_or("application/octet-stream");
            // Applications often go by the end of a file's name.
            let name = name.map(str::to_owned).or(file.name).unwrap_or_else(|| format!("{}{}", part.property, ending(kind)));
            Ok((typed(&format!("{disposition}; filename=\"{}\"", quoted(&name)), kind), file.bytes))
        }
        Value::Object(_) | Value::Array(_) => Ok((typed(&disposition, "application/json"), value.to_string().into_bytes())),
        value => {
            let head = part.media.as_deref().map_or_else(|| disposition.clone(), |kind| typed(&disposition, kind));
            Ok((head, text(value).into_bytes()))
        }
    }
}

/// As browsers write a name.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// How the names of files of a kind end.
fn ending(kind: &str) -> &'static str {
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "audio/mpeg" | "audio/mp3" => ".mp3",
        "audio/wav" | "audio/x-wav" => ".wav",
        "audio/ogg" => ".ogg",
        "audio/mp4" | "audio/m4a" => ".m4a",
        "video/mp4" => ".mp4",
        "application/pdf" => ".pdf",
        "application/json" => ".json",
        "application/zip" => ".zip",
        "text/csv" => ".csv",
        "text/plain" => ".txt",
        "text/html" => ".html",
        "text/markdown" => ".md",
        "application/xml" | "text/xml" => ".xml",
        _ => "",
    }
}

/// A file out of base64 or a `data:` URL, and what it says of itself.
pub(super) fn decoded(argument: &str, text: &str) -> Result<Decoded, String> {
    let (kind, name, encoded) = match text.strip_prefix("data:") {
        Some(rest) => {
            let (head, data) = rest.split_once(',').ok_or_else(|| format!("argument `{argument}` is a data: URL without a comma"))?;
            let head = head.strip_suffix(";base64").ok_or_else(|| format!("argument `{argument}` is a data: URL without `;base64`"))?;
            let mut name = None;
            let mut kind: Vec<&str> = Vec::new();
            for part in head.split(';') {
                match part.trim().strip_prefix("name=") {
                    Some(given) => name = Some(percent_encoding::percent_decode_str(given).decode_utf8_lossy().into_owned()),
                    None => kind.push(part),
                }
            }
            let kind = kind.join(";");
            let fits = kind.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            (Some(kind).filter(|kind| fits && kind.contains('/')), name, data)
        }
        None => (None, None, text),
    };
    let plain: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(plain).map_err(|error| format!("argument `{argument}` is not base64: {error}"))?;
    Ok(Decoded { kind, name, bytes })
}
