//! One operation: the tool that it is for callers, and what is to be known to send it.

use std::sync::{Arc, OnceLock};

use http::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    arguments::{ArgumentId, Input, describe},
    body::Body,
    document::{Document, Found},
    keyword,
    library::Flaw,
    names::Named,
    parameter::{self, Parameter, Place, Style},
    promise::{Promise, promised},
    request::{self, Request},
    schema::{Translation, Way, weight},
    security::Applied,
    tree::Node,
};
use crate::{
    config::PublishRules,
    provider::{Tool, ToolName},
    schema::{
        Schema,
        portable::{Portable, Role, portable},
    },
};

/// Characters of a summary that still make a title.
const TITLE: usize = 100;

/// Levels of a value that a schema has to allow in good time to be of use.
pub(super) const LEVELS: usize = 4;

/// An operation that can be called.
pub(super) struct Operation {
    tool: Arc<Tool>,
    /// Made when it is first needed: of most tools of a large document it never is.
    arguments: OnceLock<Result<Schema, String>>,
    /// What the document says of the answer.
    pub(super) promise: Option<Promise>,
    pub(super) method: Method,
    pub(super) base: Url,
    pub(super) path: String,
    /// The arguments' names.
    pub(super) names: Vec<String>,
    pub(super) slots: Vec<Slot>,
    pub(super) body: Option<Body>,
    /// What the operator has for it.
    pub(super) applied: Applied,
    /// Headers of its answer that the document speaks of.
    pub(super) headers: Vec<String>,
}

/// Where an argument goes.
pub(super) struct Slot {
    pub(super) argument: ArgumentId,
    /// The parameter's own name.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) reserved: bool,
    /// Written as JSON, whatever it is.
    pub(super) json: bool,
}

/// How much the schemas of one tool may take, by [`weight`]. What stands in the operation itself is not cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) input: usize,
    pub(super) output: usize,
    /// It is only to be known how much they take.
    pub(super) is_trial: bool,
}

/// What is to be known beside the operation itself.
pub(super) struct Making<'d, 'a> {
    pub(super) document: &'d Document<'a>,
    pub(super) found: &'d Found<'a>,
    pub(super) named: &'d Named,
    pub(super) base: Url,
    pub(super) applied: Applied,
    pub(super) publish: PublishRules,
}

impl Operation {
    /// Makes a tool of it, and says what of it was left out.
    ///
    /// # Errors
    ///
    /// Why it cannot be a tool.
    pub(super) fn new<'a>(making: Making<'_, 'a>, room: Room) -> Result<(Self, Vec<String>), Flaw<'a>> {
        let Making { document, found, named, base, applied, publish } = making;
        let flaw = |reason: String| Flaw::new(found.operation, reason);
        let mut schemas = Translation::new(document, Way::Request);
        let mut input = Input::default();
        let mut slots = Vec::new();
        let parameters = parameter::parameters(document, found)?;
        for parameter in &parameters {
            if !applied.has(parameter.place, parameter.name) {
                slots.extend(slot(parameter, &mut schemas, &mut input)?);
            }
        }
        let body = Body::new(document, found, &parameters, &mut schemas, &mut input)?;
        check_path(found.path, &parameters).map_err(flaw)?;
        let (names, root) = input.finish();
        let (mut input_schema, mut notes) = schemas.into_root(root, room.input);
        let (output_schema, promise) =
            promised(document, found, room, publish.output).map_or((None, None), |(schema, promise)| (Some(schema), Some(promise)));
        if !room.is_trial {
            let made = Schema::new(&input_schema).or_else(|why| {
                // A pattern that makes too large a machine is the application's to check.
                without_patterns(&mut input_schema);
                Schema::new(&input_schema).map_err(|_| why)
            });
            match made {
                Ok(schema) if schema.levels() >= LEVELS => {}
                Ok(_) => return Err(flaw("checking its arguments would take too long".to_owned())),
                Err(why) => return Err(flaw(format!("its schema of arguments {why}"))),
            }
        }
        // What is checked is what is published, and that each argument is known.
        let portable = portable(&Value::Object(input_schema), Role::Input, publish.max_schema);
        let Portable { schema: input_schema, notes: changed } = portable.map_err(|why| flaw(format!("its schema of arguments {why}")))?;
        notes.extend(changed.into_iter().map(|note| format!("its schema of arguments {note}")));
        let headers = document.answers(found).into_iter().filter_map(|answer| answer.get("headers"));
        let headers = headers.flat_map(Node::members).map(|(name, _)| name.to_ascii_lowercase()).collect();
        let tool = tool(found, named, input_schema, output_schema).map_err(flaw)?;
        notes.dedup();
        let made = Self {
            tool: Arc::new(tool),
            arguments: OnceLock::new(),
            promise,
            method: found.method.clone(),
            base,
            path: found.path.to_owned(),
            names,
            slots,
            body,
            applied,
            headers,
        };
        Ok((made, notes))
    }

    pub(super) fn tool(&self) -> &Arc<Tool> {
        &self.tool
    }

    /// What its schemas take.
    pub(super) fn weight(&self) -> (usize, usize) {
        let of = |schema: &Map<String, Value>| schema.iter().map(|(name, member)| name.len() + weight(member)).sum::<usize>();
        (of(&self.tool.input_schema), self.tool.output_schema.as_ref().map_or(0, |schema| of(schema)))
    }

    /// Whether arguments fit the schema; if not, says where and why.
    pub(super) fn check(&self, arguments: &str) -> Result<(), String> {
        let schema = self.arguments.get_or_init(|| Schema::new(&self.tool.input_schema));
        schema.as_ref().map_err(Clone::clone)?.check_arguments(self.tool.name.as_str(), arguments)
    }

    /// Whether all arguments are known; if not, which is not.
    pub(super) fn check_names(&self, arguments: &Map<String, Value>) -> Result<(), String> {
        match arguments.keys().find(|name| !self.names.contains(name)) {
            None => Ok(()),
            Some(name) if self.names.is_empty() => Err(format!("tool {} has no argument `{name}`, and takes none", self.tool.name)),
            Some(name) => Err(format!("tool {} has no argument `{name}`; it takes {}", self.tool.name, self.names.join(", "))),
        }
    }

    /// The request that a call with these arguments is.
    pub(super) fn request(&self, arguments: &Map<String, Value>) -> Result<Request, String> {
        request::build(self, arguments)
    }
}

/// Takes all patterns out. A property may be called `pattern`, and is an object.
fn without_patterns(schema: &mut Map<String, Value>) {
    schema.retain(|name, value| name != "pattern" || !value.is_string());
    let mut open: Vec<&mut Value> = schema.values_mut().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                members.retain(|name, value| name != "pattern" || !value.is_string());
                open.extend(members.values_mut());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

/// A parameter as an argument. None: it is part of the body.
fn slot<'a>(parameter: &Parameter<'a>, schemas: &mut Translation<'a>, input: &mut Input) -> Result<Option<Slot>, Flaw<'a>> {
    if matches!(parameter.place, Place::Body | Place::Field) {
        return Ok(None);
    }
    let mut schema = match parameter.schema {
        Some(schema) => schemas.schema(schema)?,
        None => json!({}),
    };
    describe(&mut schema, parameter.node.get("description").and_then(Node::said).as_deref());
    if let Value::Object(members) = &mut schema {
        if parameter.node.get("deprecated").and_then(Node::flag) == Some(true) {
            members.insert("deprecated".to_owned(), true.into());
        }
        if let Some(example) = parameter.node.get("example").filter(|_| !members.contains_key("$ref")).and_then(keyword::short) {
            members.entry("examples").or_insert_with(|| json!([example]));
        }
    }
    let name = if parameter.name.is_empty() { "query" } else { parameter.name };
    Ok(Some(Slot {
        argument: input.add(name, parameter.place.word(), schema, parameter.required),
        name: parameter.name.to_owned(),
        place: parameter.place,
        style: parameter.style,
        explode: parameter.explode,
        reserved: parameter.reserved,
        json: parameter.json,
    }))
}

/// Every part of the path in braces has to have a parameter.
fn check_path(path: &str, parameters: &[Parameter<'_>]) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("its path does not start with \"/\"".to_owned());
    }
    let names = path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    for name in names {
        if !parameters.iter().any(|parameter| parameter.place == Place::Path && parameter.name == name) {
            return Err(format!("its path has {{{name}}}, and no parameter of that name says what that is"));
        }
    }
    Ok(())
}

fn tool(found: &Found<'_>, named: &Named, input: Map<String, Value>, output: Option<Map<String, Value>>) -> Result<Tool, String> {
    let text = |name: &str| {
        let said = found.operation.get(name).or(found.item.get(name)).and_then(Node::said)?;
        Some(said.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let (summary, description) = (text("summary"), text("description"));
    let title = summary.clone().filter(|summary| summary.chars().count() <= TITLE && !summary.contains('\n'));
    let description = match (summary, description) {
        (Some(summary), Some(description)) if !description.starts_with(&summary) => Some(format!("{summary}\n\n{description}")),
        (summary, description) => description.or(summary),
    };
    let mut description = description.unwrap_or_else(|| format!("{} {}", found.method, found.path));
    if found.operation.get("deprecated").and_then(Node::flag) == Some(true) {
        description = format!("Deprecated. {description}");
    }
    if let Some(own) = &named.own {
        description = format!("{description}\n\nThe application calls this operation `{own}`.");
    }
    let reads = found.method == Method::GET || found.method.as_str() == "QUERY";
    Ok(Tool {
        name: ToolName::new(named.name.as_str()).map_err(|error| error.to_string())?,
        title,
        description: Some(description),
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
