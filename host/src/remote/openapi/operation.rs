//! One operation: the tool that it is for callers, and what is to be known to send it.

use std::sync::Arc;

use http::Method;
use oas3::spec::{Parameter, ParameterIn, ParameterStyle};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    body::Body,
    document::{Base, Document, Found},
    request::{self, Request},
    schema::{Translation, Way},
};
use crate::{
    provider::{MAX_TOOL_NAME, Tool, ToolName},
    schema::{self, Schema, Unfit},
};

/// Characters of a summary that still make a title.
const TITLE: usize = 100;

/// Headers that a parameter may not set: OpenAPI says that such a parameter does not count, and the rest belong to the connection.
const NOT_PARAMETERS: [&str; 9] =
    ["accept", "content-type", "authorization", "host", "content-length", "connection", "transfer-encoding", "upgrade", "cookie"];

/// An operation that can be called.
pub(super) struct Operation {
    tool: Arc<Tool>,
    arguments: Schema,
    /// What the answer has to fit, where the tool says that it will.
    answer: Option<Schema>,
    pub(super) method: Method,
    pub(super) base: Url,
    pub(super) path: String,
    pub(super) slots: Vec<Slot>,
    pub(super) body: Option<Body>,
}

/// Where an argument goes.
pub(super) struct Slot {
    /// The argument's name.
    pub(super) argument: String,
    /// The parameter's own name.
    pub(super) name: String,
    pub(super) place: ParameterIn,
    pub(super) style: ParameterStyle,
    pub(super) explode: bool,
    /// Written as JSON, whatever it is.
    pub(super) json: bool,
}

impl Operation {
    /// Makes a tool of it. `taken` says which names others have.
    ///
    /// # Errors
    ///
    /// Why it cannot be a tool.
    pub(super) fn new(document: &Document, found: &Found<'_>, base: &Base, taken: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let mut schemas = Translation::new(document, Way::Request);
        let mut input = Input::default();
        let mut slots = Vec::new();
        for parameter in document.parameters(found)? {
            if let Some(slot) = slot(document, &parameter, &mut schemas, &mut input)? {
                slots.push(slot);
            }
        }
        let body = match document.body(found)? {
            Some(body) => Some(Body::new(document, &body, &mut schemas, &mut input)?),
            None => None,
        };
        check_path(found.path, &slots)?;
        let input_schema = schemas.into_root(input.into_schema());
        let (output_schema, answer) = output(document, found);
        let name = tool_name(found, taken);
        Ok(Self {
            arguments: checker(&input_schema).map_err(|why| format!("its schema of arguments {why}"))?,
            tool: Arc::new(tool(found, name, input_schema, output_schema)?),
            answer,
            method: found.method.clone(),
            base: document.base_of(found, base)?,
            path: found.path.to_owned(),
            slots,
            body,
        })
    }

    pub(super) fn tool(&self) -> &Arc<Tool> {
        &self.tool
    }

    /// Whether arguments fit the schema; if not, says where and why.
    pub(super) fn check(&self, arguments: &str) -> Result<(), String> {
        self.arguments.check_arguments(self.tool.name.as_str(), arguments)
    }

    /// Whether an answer is what the tool promises; if not, says where and why.
    pub(super) fn check_answer(&self, answer: &Value) -> Result<(), String> {
        let Some(schema) = &self.answer else { return Ok(()) };
        schema.check_value(answer, || answer.to_string().len()).map_err(|unfit| match unfit {
            Unfit::Deep(levels) => format!("it is nested more than {levels} levels deep"),
            Unfit::Problems(problems) => schema::places("", problems),
            Unfit::NotJson(why) => why,
            Unfit::Long(bytes) => format!("it is too long ({bytes} bytes) to say where"),
        })
    }

    /// The request that a call with these arguments is.
    pub(super) fn request(&self, arguments: &Map<String, Value>) -> Result<Request, String> {
        request::build(self, arguments)
    }
}

/// The arguments of a tool, while they are gathered.
#[derive(Default)]
pub(super) struct Input {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Input {
    /// Takes in an argument, and answers the name that it got: its own where that is free, in letters that clients take.
    pub(super) fn add(&mut self, name: &str, place: &str, schema: Value, required: bool) -> String {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let plain = match plain.trim_matches('_') {
            "" => place.to_owned(),
            plain => plain.to_owned(),
        };
        let candidates = std::iter::once(plain.clone()).chain((1..).map(|n| match n {
            1 => format!("{plain}_{place}"),
            n => format!("{plain}_{place}_{n}"),
        }));
        let name = candidates.into_iter().find(|name| !self.properties.contains_key(name)).unwrap_or(plain);
        self.properties.insert(name.clone(), schema);
        if required {
            self.required.push(name.clone());
        }
        name
    }

    /// Whether there is an argument of this name already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }

    fn into_schema(self) -> Map<String, Value> {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), self.properties.into());
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        schema
    }
}

/// A parameter as an argument. None: it is one that does not count.
fn slot(document: &Document, parameter: &Parameter, schemas: &mut Translation<'_>, input: &mut Input) -> Result<Option<Slot>, String> {
    let Parameter { name, location, .. } = parameter;
    if *location == ParameterIn::Header && NOT_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let content = parameter.content.as_ref().and_then(|content| content.iter().next());
    let schema = match (&parameter.schema, content) {
        (Some(schema), _) => document.schema(schema),
        (None, Some((_, media))) => document.schema_of(media),
        (None, None) => None,
    };
    let mut schema = match schema {
        Some(schema) => schemas.schema(schema)?,
        None => json!({}),
    };
    describe(&mut schema, parameter.description.as_deref());
    let (place, style) = match location {
        ParameterIn::Path => ("path", ParameterStyle::Simple),
        ParameterIn::Query => ("query", ParameterStyle::Form),
        ParameterIn::Header => ("header", ParameterStyle::Simple),
        ParameterIn::Cookie => ("cookie", ParameterStyle::Form),
    };
    let style = parameter.style.unwrap_or(style);
    let required = *location == ParameterIn::Path || parameter.required == Some(true);
    Ok(Some(Slot {
        argument: input.add(name, place, schema, required),
        name: name.clone(),
        place: *location,
        style,
        explode: parameter.explode.unwrap_or(style == ParameterStyle::Form),
        json: parameter.schema.is_none() && content.is_some(),
    }))
}

/// Says of a schema what it is for, where it does not say so itself.
pub(super) fn describe(schema: &mut Value, description: Option<&str>) {
    let Some(text) = description.map(str::trim).filter(|text| !text.is_empty()) else { return };
    match schema {
        // Anything at all.
        Value::Bool(true) => *schema = json!({ "description": text }),
        Value::Object(members) => drop(members.insert("description".to_owned(), text.into())),
        _ => {}
    }
}

/// Every part of the path in braces has to have a parameter.
fn check_path(path: &str, slots: &[Slot]) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("its path does not start with \"/\"".to_owned());
    }
    for name in placeholders(path) {
        if !slots.iter().any(|slot| slot.place == ParameterIn::Path && slot.name == name) {
            return Err(format!("its path has {{{name}}}, and no parameter of that name says what that is"));
        }
    }
    Ok(())
}

/// The names in braces.
pub(super) fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

/// A validator. A pattern that only other machines than ours understand is published and not checked: the application checks it.
fn checker(schema: &Map<String, Value>) -> Result<Schema, String> {
    Schema::new(schema).or_else(|why| {
        let mut plain = Value::Object(schema.clone());
        without_patterns(&mut plain);
        match plain {
            Value::Object(plain) => Schema::new(&plain).map_err(|_| why),
            _ => Err(why),
        }
    })
}

fn without_patterns(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| name != "pattern" || !value.is_string());
            members.values_mut().for_each(without_patterns);
        }
        Value::Array(items) => items.iter_mut().for_each(without_patterns),
        _ => {}
    }
}

/// What the answer looks like, where that is known to be an object and can be checked.
fn output(document: &Document, found: &Found<'_>) -> (Option<Map<String, Value>>, Option<Schema>) {
    let mut schemas = Translation::new(document, Way::Response);
    let Some(Ok(schema)) = document.answer(found).map(|schema| schemas.schema(schema)) else { return (None, None) };
    let root = match schemas.resolved(&schema) {
        Value::Object(root) if root.get("type").and_then(Value::as_str) == Some("object") => root.clone(),
        _ => return (None, None),
    };
    let root = schemas.into_root(root);
    match checker(&root) {
        Ok(checker) => (Some(root), Some(checker)),
        Err(why) => {
            tracing::debug!("{} {}: its schema of answers {why}, and is not published", found.method, found.path);
            (None, None)
        }
    }
}

/// The operation's own name where it has one that a tool can have; else made of method and path.
fn tool_name(found: &Found<'_>, taken: &dyn Fn(&str) -> bool) -> String {
    /// Room for a number behind a name that is taken.
    const MOST: usize = MAX_TOOL_NAME - 4;
    let plain = |text: &str| {
        let mut name = String::with_capacity(text.len());
        for c in text.chars() {
            let c = if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '_' };
            if !(c == '_' && name.ends_with('_')) {
                name.push(c);
            }
        }
        name.trim_matches('_').chars().take(MOST).collect::<String>()
    };
    let own = found.operation.operation_id.as_deref().map(plain).filter(|name| !name.is_empty());
    let name = own.unwrap_or_else(|| plain(&format!("{}_{}", found.method.as_str().to_ascii_lowercase(), found.path)));
    if !taken(&name) {
        return name;
    }
    (2..1000).map(|number| format!("{name}_{number}")).find(|name| !taken(name)).unwrap_or(name)
}

fn tool(found: &Found<'_>, name: String, input: Map<String, Value>, output: Option<Map<String, Value>>) -> Result<Tool, String> {
    let text = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let (summary, description) = (text(&found.operation.summary), text(&found.operation.description));
    let title = summary.clone().filter(|summary| summary.chars().count() <= TITLE && !summary.contains('\n'));
    let description = match (summary, description) {
        (Some(summary), Some(description)) if !description.starts_with(&summary) => Some(format!("{summary}\n\n{description}")),
        (summary, description) => description.or(summary),
    };
    let reads = found.method == Method::GET;
    Ok(Tool {
        name: ToolName::new(name).map_err(|error| error.to_string())?,
        title,
        description: Some(description.unwrap_or_else(|| format!("{} {}", found.method, found.path))),
        input_schema: Arc::new(input),
        output_schema: output.map(Arc::new),
        annotations: Some(json!({
            "readOnlyHint": reads,
            "destructiveHint": !reads && found.method != Method::POST,
            "idempotentHint": found.method != Method::POST && found.method != Method::PATCH,
            "openWorldHint": true,
        })),
        icons: None,
        meta: None,
        extra: Map::new(),
        notifies: false,
    })
}
