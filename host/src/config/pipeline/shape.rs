//! What is known of the values that a pipeline's expressions lead through: by the names of its steps, and by the schemas of their tools.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::PipelineConfig;
use crate::{
    pick::{Pick, Shapes},
    provider::Tool,
    similar,
};

/// Members of a step's answer.
const MEMBERS: [&str; 5] = ["structured", "text", "content", "error", "skipped"];
/// Members that are told of those that there are.
const SHOWN: usize = 12;
/// References that lead to each other.
const REFERENCES: usize = 16;
/// Keywords by which a value may have members that `properties` does not name.
const OPEN: [&str; 8] = ["allOf", "anyOf", "oneOf", "if", "not", "patternProperties", "dependentSchemas", "$dynamicRef"];

/// Which parts of a step's answer anybody picks from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The text.
    pub text: bool,
    /// The structured content.
    pub structured: bool,
    /// The blocks of content.
    pub content: bool,
    /// Anything at all.
    pub any: bool,
}

impl Uses {
    fn add(&mut self, member: Option<&str>) {
        self.any = true;
        self.text |= matches!(member, None | Some("text"));
        self.structured |= matches!(member, None | Some("structured"));
        self.content |= matches!(member, None | Some("content"));
    }
}

/// What is known of one value.
#[derive(Clone)]
pub(super) enum Shape<'a> {
    Unknown,
    Root,
    Steps,
    /// The answer of a step.
    Answer(usize),
    /// Those of a step with `each`.
    Answers(usize),
    Text,
    List(Box<Shape<'a>>),
    /// What a schema says of it.
    Json(Json<'a>),
}

/// A value with a schema.
#[derive(Clone)]
pub(super) struct Json<'a> {
    pub(super) schema: &'a Map<String, Value>,
    /// What references in it begin at.
    pub(super) root: &'a Map<String, Value>,
    /// How it is written: `steps.fetch.structured`.
    pub(super) path: String,
}

impl<'a> Json<'a> {
    pub(super) fn whole(schema: &'a Map<String, Value>, path: impl Into<String>) -> Self {
        Self { schema, root: schema, path: path.into() }
    }

    /// With the schema that a reference leads to.
    fn resolved(mut self) -> Self {
        for _ in 0..REFERENCES {
            let Some(Value::String(reference)) = self.schema.get("$ref") else { break };
            let target = match reference.strip_prefix('#') {
                Some("") => Some(self.root),
                Some(pointer) => pointed(self.root, pointer),
                None => None,
            };
            match target {
                Some(target) => self.schema = target,
                None => break,
            }
        }
        self
    }

    /// The types that it may have. None: any.
    pub(super) fn types(&self) -> Option<BTreeSet<&'a str>> {
        let schema = self.clone().resolved().schema;
        match schema.get("type") {
            Some(Value::String(one)) => Some(BTreeSet::from([one.as_str()])),
            Some(Value::Array(several)) => Some(several.iter().filter_map(Value::as_str).collect()),
            _ => {
                let values = schema.get("const").map(std::slice::from_ref).or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))?;
                Some(values.iter().map(type_of).collect())
            }
        }
    }

    fn below(&self, value: &'a Value, name: &str) -> Shape<'a> {
        match value {
            Value::Object(schema) => Shape::Json(Self { schema, root: self.root, path: format!("{}{name}", self.path) }),
            _ => Shape::Unknown,
        }
    }

    fn may_be(&self, wanted: &str) -> bool {
        self.types().is_none_or(|types| types.contains(wanted))
    }
}

fn pointed<'a>(root: &'a Map<String, Value>, pointer: &str) -> Option<&'a Map<String, Value>> {
    let mut tokens = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&tokens.next()?)?;
    tokens
        .try_fold(first, |at, token| match at {
            Value::Object(members) => members.get(&token),
            Value::Array(items) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        })?
        .as_object()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What the expressions of one step see, and what is wrong with them.
pub(super) struct Known<'a> {
    pub(super) pipeline: &'a PipelineConfig,
    /// The tools of the steps, as far as they are known.
    pub(super) tools: &'a [Option<Arc<Tool>>],
    pub(super) parameters: Option<&'a Map<String, Value>>,
    /// Steps that have surely ended.
    pub(super) ended: BTreeSet<usize>,
    /// The item of the list in hand. None: there is no list.
    pub(super) item: Option<Shape<'a>>,
    pub(super) uses: Vec<Uses>,
    problems: Vec<String>,
}

impl<'a> Known<'a> {
    pub(super) fn new(
        pipeline: &'a PipelineConfig,
        tools: &'a [Option<Arc<Tool>>],
        parameters: Option<&'a Map<String, Value>>,
        ended: BTreeSet<usize>,
    ) -> Self {
        let uses = vec![Uses::default(); pipeline.steps.len()];
        Self { pipeline, tools, parameters, ended, item: None, uses, problems: Vec::new() }
    }

    /// What an expression leads to, and what is wrong with it.
    pub(super) fn follow(&mut self, pick: &Pick) -> (Shape<'a>, Vec<String>) {
        let shape = pick.shape(self);
        let problems = std::mem::take(&mut self.problems);
        (shape, problems.into_iter().map(|problem| format!("{pick:?} leads to nothing: {problem}")).collect())
    }

    fn wrong(&mut self, problem: String) -> Shape<'a> {
        self.problems.push(problem);
        Shape::Unknown
    }

    fn step(&mut self, name: &str) -> Shape<'a> {
        let names = || self.pipeline.steps.iter().map(|step| step.name.as_str());
        let Some(at) = names().position(|step| step == name) else {
            let near = similar::did_you_mean(name, names());
            return self.wrong(format!("there is no step {name:?}{near}"));
        };
        if !self.ended.contains(&at) {
            return self.wrong(format!(
                "step {name:?} has not ended by then; steps that it picks from stand above it, and in its `after` where it has one"
            ));
        }
        if self.pipeline.steps.get(at).is_some_and(|step| step.each.is_some()) { Shape::Answers(at) } else { Shape::Answer(at) }
    }

    fn answer(&mut self, at: usize, name: &str) -> Shape<'a> {
        if let Some(uses) = self.uses.get_mut(at) {
            uses.add(Some(name));
        }
        let step = self.pipeline.steps.get(at).map(|step| step.name.clone()).unwrap_or_default();
        match name {
            "structured" => match self.tools.get(at).and_then(Option::as_ref).and_then(|tool| tool.output_schema.as_deref()) {
                Some(schema) => Shape::Json(Json::whole(schema, format!("steps.{step}.structured"))),
                None => Shape::Unknown,
            },
            "text" | "error" => Shape::Text,
            "skipped" | "content" => Shape::Unknown,
            other => {
                let near = similar::did_you_mean(other, MEMBERS);
                self.wrong(format!("the answer of step {step:?} has {}, and no {other:?}{near}", MEMBERS.join(", ")))
            }
        }
    }

    fn json_member(&mut self, of: &Json<'a>, name: &str) -> Shape<'a> {
        let of = of.clone().resolved();
        if is_position(name) && of.may_be("array") && !of.may_be("object") {
            return self.item(&Shape::Json(of));
        }
        if !of.may_be("object") {
            return self.wrong(format!("{} is {}, and has no {name:?}", of.path, words(&of.types())));
        }
        let properties = of.schema.get("properties").and_then(Value::as_object);
        if let Some(property) = properties.and_then(|properties| properties.get(name)) {
            return of.below(property, &format!(".{name}"));
        }
        match (of.schema.get("additionalProperties"), properties) {
            _ if OPEN.iter().any(|keyword| of.schema.contains_key(*keyword)) => Shape::Unknown,
            (Some(Value::Bool(false)), _) => self.no_member(&of, properties, name),
            (Some(other), _) => of.below(other, &format!(".{name}")),
            // Whoever names what there is means that there is no more.
            (None, Some(named)) if !named.is_empty() => self.no_member(&of, properties, name),
            (None, _) => Shape::Unknown,
        }
    }

    fn no_member(&mut self, of: &Json<'a>, properties: Option<&Map<String, Value>>, name: &str) -> Shape<'a> {
        let names: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let near = match similar::nearest(name, names.iter().copied()) {
            Some(near) => format!("; did you mean {near:?}?"),
            None if names.is_empty() => String::new(),
            None => {
                let more = if names.len() > SHOWN { ", …" } else { "" };
                format!("; it has {}{more}", names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "))
            }
        };
        self.wrong(format!("{} has no {name:?}{near}", of.path))
    }
}

impl<'a> Shapes for Known<'a> {
    type Shape = Shape<'a>;

    fn root(&self) -> Shape<'a> {
        Shape::Root
    }

    fn unknown(&self) -> Shape<'a> {
        Shape::Unknown
    }

    fn list(&mut self, of: Shape<'a>) -> Shape<'a> {
        Shape::List(Box::new(of))
    }

    fn member(&mut self, of: &Shape<'a>, name: &str) -> Shape<'a> {
        match of {
            Shape::Unknown => Shape::Unknown,
            Shape::Root => match (name, &self.item) {
                ("args", _) => match self.parameters {
                    Some(parameters) => Shape::Json(Json::whole(parameters, "args")),
                    None => Shape::Unknown,
                },
                ("steps", _) => Shape::Steps,
                ("item", Some(item)) => item.clone(),
                ("index", Some(_)) => Shape::Unknown,
                ("item" | "index", None) => self.wrong(format!("{name:?} is there only in a step with `each`")),
                _ => {
                    let names: &[&str] = if self.item.is_some() { &["args", "steps", "item", "index"] } else { &["args", "steps"] };
                    let near = similar::did_you_mean(name, names.iter().copied());
                    self.wrong(format!(
                        "it begins with {}, not with {name:?}{near}; a literal table with `from` in it is written {{ value = {{ … }} }}",
                        names.join(" or ")
                    ))
                }
            },
            Shape::Steps => self.step(name),
            Shape::Answer(at) => self.answer(*at, name),
            Shape::Answers(at) if is_position(name) => Shape::Answer(*at),
            Shape::Answers(at) => {
                let step = self.pipeline.steps.get(*at).map(|step| step.name.clone()).unwrap_or_default();
                self.wrong(format!("step {step:?} has `each`, so its answers are a list: write steps.{step}[*].{name} for all of them"))
            }
            Shape::List(of) if is_position(name) => (**of).clone(),
            Shape::List(_) => self.wrong(format!("a list has no {name:?}")),
            Shape::Text => self.wrong(format!("a text has no {name:?}; parse_json(…) reads JSON in a text")),
            Shape::Json(of) => self.json_member(of, name),
        }
    }

    fn item(&mut self, of: &Shape<'a>) -> Shape<'a> {
        match of {
            Shape::Unknown => Shape::Unknown,
            Shape::Answers(at) => Shape::Answer(*at),
            Shape::List(of) => (**of).clone(),
            Shape::Json(of) => {
                let of = of.clone().resolved();
                if !of.may_be("array") {
                    return self.wrong(format!("{} is {}, and no list", of.path, words(&of.types())));
                }
                match of.schema.get("items") {
                    Some(items) if !of.schema.contains_key("prefixItems") => of.below(items, "[]"),
                    _ => Shape::Unknown,
                }
            }
            Shape::Root | Shape::Steps | Shape::Answer(_) | Shape::Text => self.wrong("it takes an item of what is no list".to_owned()),
        }
    }

    fn flat(&mut self, list: Shape<'a>) -> Shape<'a> {
        // Items that are no lists stay as they are.
        let is_list = |shape: &Shape<'_>| match shape {
            Shape::Answers(_) | Shape::List(_) => Some(true),
            Shape::Unknown => None,
            Shape::Json(json) => json.types().and_then(|types| if types.contains("array") { None } else { Some(false) }),
            _ => Some(false),
        };
        let item = self.item(&list);
        match is_list(&item) {
            Some(true) => item,
            Some(false) => list,
            None => Shape::Unknown,
        }
    }

    fn used(&mut self, value: &Shape<'a>) {
        match value {
            Shape::Answer(at) | Shape::Answers(at) => {
                if let Some(uses) = self.uses.get_mut(*at) {
                    uses.add(None);
                }
            }
            Shape::List(of) => self.used(of),
            Shape::Root | Shape::Steps => self.uses.iter_mut().for_each(|uses| uses.add(None)),
            Shape::Unknown | Shape::Text | Shape::Json(_) => {}
        }
    }
}

fn is_position(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Types in words: "string or null".
pub(super) fn words(types: &Option<BTreeSet<&str>>) -> String {
    types.iter().flatten().copied().collect::<Vec<_>>().join(" or ")
}
