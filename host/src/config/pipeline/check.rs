//! What is wrong with a pipeline: by itself, and with the tools that there are.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    PipelineConfig, StepConfig,
    shape::{Json, Known, Shape, Uses, words},
};
use crate::{
    pick::{Pick, Spot, Template},
    provider::Tool,
    schema::{Schema, Unfit, places},
    similar,
};

/// Keywords of a schema that say something of all arguments together.
const TOGETHER: [&str; 12] = [
    "required",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "minProperties",
    "additionalProperties",
];

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug)]
pub struct PipelineProblem {
    /// Where it stands.
    pub spot: Spot,
    /// What is wrong, and what to do.
    pub message: String,
    /// It may be meant so.
    pub is_warning: bool,
}

/// The tools that there are.
pub trait KnownTools {
    /// The tool that a call by this name means.
    fn find(&self, name: &str) -> Option<Arc<Tool>>;
    /// The names of all.
    fn names(&self) -> Vec<String>;
    /// Why a tool is not there that might be. None: nobody knows.
    fn absence(&self, name: &str) -> Option<String>;
}

impl PipelineConfig {
    /// The JSON Schema of the pipeline's arguments: what it says, else that of the first step's tool where that gets them all, else what the steps take.
    /// None: it is that of a tool that is not there.
    #[must_use]
    pub fn input(&self, tools: &dyn KnownTools) -> Option<Arc<Map<String, Value>>> {
        if let Some(parameters) = &self.parameters {
            return Some(Arc::new(parameters.clone()));
        }
        match self.steps.first() {
            Some(first) if first.arguments.is_none() && first.each.is_none() => Some(Arc::clone(&tools.find(&first.tool)?.input_schema)),
            _ => self.taken(tools).map(Arc::new),
        }
    }

    /// What the steps take of `args`, with what their tools say of it.
    fn taken(&self, tools: &dyn KnownTools) -> Option<Map<String, Value>> {
        let (mut properties, mut required) = (Map::new(), BTreeSet::new());
        for step in &self.steps {
            let tool = tools.find(&step.tool)?;
            let Some(Template::Table(members)) = &step.arguments else { continue };
            for (name, member) in members {
                let Template::Pick(pick, default) = member else { continue };
                let Some(argument) = pick.argument() else { continue };
                let property = tool.input_schema.get("properties").and_then(|properties| properties.get(name));
                // One that refers to others would have to bring them along.
                let schema = property.filter(|property| !property.to_string().contains("\"$ref\"")).cloned().unwrap_or_else(|| json!({}));
                properties.entry(argument).or_insert(schema);
                let is_required =
                    tool.input_schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name));
                if is_required && default.is_none() && step.when.is_none() {
                    required.insert(argument.to_owned());
                }
            }
        }
        // Those that are only looked at elsewhere: of these nothing is known.
        let picks = self.steps.iter().flat_map(picks_of).chain(self.output.iter().flat_map(Template::picks));
        for argument in picks.filter_map(Pick::argument) {
            properties.entry(argument).or_insert_with(|| json!({}));
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into_iter().collect::<Vec<_>>().into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        Some(schema)
    }

    /// Steps that have surely ended when one begins, by the step. The last entry: when all have.
    fn ended(&self) -> Vec<BTreeSet<usize>> {
        let mut ended: Vec<BTreeSet<usize>> = Vec::new();
        for before in self.order() {
            let all = before.iter().flat_map(|at| ended.get(*at).into_iter().flatten().copied().chain([*at])).collect();
            ended.push(all);
        }
        ended.push((0..self.steps.len()).collect());
        ended
    }

    /// Which parts of each step's answer anybody picks from.
    #[must_use]
    pub fn uses(&self) -> Vec<Uses> {
        let all = (0..self.steps.len()).collect();
        let mut known = Known::new(self, &[], None, all);
        known.item = Some(Shape::Unknown);
        let picks = self.steps.iter().flat_map(picks_of).chain(self.output.iter().flat_map(Template::picks));
        picks.for_each(|pick| drop(known.follow(pick)));
        known.uses
    }

    /// What is wrong with it. `tools`: those that there are; None: what does not depend on them.
    #[must_use]
    pub fn problems(&self, tools: Option<&dyn KnownTools>) -> Vec<PipelineProblem> {
        let found: Vec<Option<Arc<Tool>>> = self.steps.iter().map(|step| tools?.find(&step.tool)).collect();
        let parameters = match tools {
            Some(tools) => self.input(tools),
            None => self.parameters.clone().map(Arc::new),
        };
        let mut problems = Vec::new();
        let ended = self.ended();
        for (at, step) in self.steps.iter().enumerate() {
            let known = Known::new(self, &found, parameters.as_deref(), ended.get(at).cloned().unwrap_or_default());
            let mut check = Check { step: Some(step), known, problems: &mut problems };
            check.order(at);
            let tool = found.get(at).and_then(Option::as_deref);
            if let (None, Some(tools)) = (tool, tools) {
                let names = tools.names();
                let near = || similar::did_you_mean(&step.tool, names.iter().map(String::as_str));
                let why = tools.absence(&step.tool).map_or_else(near, |why| format!(": {why}"));
                check.add(&step.spot, format!("there is no tool {:?}{why}", step.tool));
            }
            check.step(at, tool);
        }
        if let Some(output) = &self.output {
            let known = Known::new(self, &found, parameters.as_deref(), ended.last().cloned().unwrap_or_default());
            Check { step: None, known, problems: &mut problems }.picks(output.picks());
        }
        problems
    }
}

/// All that a step picks.
fn picks_of(step: &StepConfig) -> Vec<&Pick> {
    step.when.iter().chain(&step.each).chain(step.arguments.iter().flat_map(Template::picks)).collect()
}

/// The check of one step, or of the output.
struct Check<'a, 'p> {
    step: Option<&'a StepConfig>,
    known: Known<'a>,
    problems: &'p mut Vec<PipelineProblem>,
}

impl<'a> Check<'a, '_> {
    fn add(&mut self, spot: &Spot, message: String) {
        self.put(spot, message, false);
    }

    fn put(&mut self, spot: &Spot, message: String, is_warning: bool) {
        let message = match self.step {
            Some(step) => format!("step {:?}: {message}", step.name),
            None => format!("`output`: {message}"),
        };
        self.problems.push(PipelineProblem { spot: spot.clone(), message, is_warning });
    }

    /// Follows expressions.
    fn picks(&mut self, picks: Vec<&Pick>) {
        picks.into_iter().for_each(|pick| drop(self.follow(pick)));
    }

    fn follow(&mut self, pick: &Pick) -> Shape<'a> {
        let (shape, problems) = self.known.follow(pick);
        let spot =
            if pick.spot().place().is_some() { pick.spot().clone() } else { self.step.map(|step| step.spot.clone()).unwrap_or_default() };
        problems.into_iter().for_each(|problem| self.add(&spot, problem));
        shape
    }

    /// What it waits for.
    fn order(&mut self, at: usize) {
        let Some(step) = self.step else { return };
        let all = &self.known.pipeline.steps;
        for name in step.after.iter().flatten() {
            let message = match all.iter().position(|other| other.name == *name) {
                None => {
                    let near = similar::did_you_mean(name, all.iter().map(|step| step.name.as_str()));
                    format!("`after` names {name:?}, and there is no such step{near}")
                }
                Some(place) if place >= at => format!("`after` names {name:?}, which does not stand above it; put it there"),
                Some(_) => continue,
            };
            self.add(&step.spot, message);
        }
    }

    fn step(&mut self, at: usize, tool: Option<&'a Tool>) {
        let Some(step) = self.step else { return };
        if let Some(each) = &step.each {
            let list = self.follow(each);
            if let Shape::Json(json) = &list
                && json.types().is_some_and(|types| !types.contains("array"))
            {
                self.add(each.spot(), format!("`each` needs a list, and {} is {}", json.path, words(&json.types())));
            } else {
                let item = crate::pick::Shapes::item(&mut self.known, &list);
                self.known.item = Some(match item {
                    Shape::Json(json) => Shape::Json(Json { path: "item".to_owned(), ..json }),
                    item => item,
                });
            }
            self.known.item.get_or_insert(Shape::Unknown);
        }
        if let Some(when) = &step.when {
            // It decides on the step, not on an item.
            let item = self.known.item.take();
            drop(self.follow(when));
            self.known.item = item;
        }
        match &step.arguments {
            Some(Template::Pick(pick, _)) => {
                let shape = self.follow(pick);
                if let Shape::Json(json) = &shape
                    && json.types().is_some_and(|types| !types.contains("object"))
                {
                    self.add(pick.spot(), format!("the arguments are an object, and {} is {}", json.path, words(&json.types())));
                }
            }
            Some(Template::Table(members)) => {
                let given: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
                for (name, value) in members {
                    self.argument(tool, name, value);
                }
                self.names(tool, &given);
            }
            Some(Template::Literal(Value::Object(members))) => {
                for (name, value) in members {
                    self.literal(tool, name, value);
                }
                let given: Vec<&str> = members.keys().map(String::as_str).collect();
                self.names(tool, &given);
            }
            Some(Template::Literal(_) | Template::List(_)) => {}
            None if at == 0 => {
                let properties = self.known.parameters.and_then(|parameters| parameters.get("properties")).and_then(Value::as_object);
                let given: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                self.names(tool, &given);
            }
            None => self.names(tool, &[]),
        }
    }

    /// Whether these are the names of the tool's arguments, and all that it needs.
    fn names(&mut self, tool: Option<&Tool>, given: &[&str]) {
        let (Some(step), Some(tool)) = (self.step, tool) else { return };
        let schema = &*tool.input_schema;
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !given.contains(name)) {
            self.add(&step.spot, format!("tool {} needs the argument {name:?}; put it into `arguments`", step.tool));
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        let is_open = !matches!(schema.get("additionalProperties"), None | Some(Value::Bool(false)))
            || ["patternProperties", "allOf", "anyOf", "oneOf", "$ref"].iter().any(|keyword| schema.contains_key(*keyword));
        for name in given.iter().filter(|name| !is_open && !properties.contains_key(**name)) {
            let near = match similar::nearest(name, properties.keys().map(String::as_str)) {
                Some(near) => format!("; did you mean {near:?}?"),
                None if properties.is_empty() => "; it takes none".to_owned(),
                None => format!("; it takes {}", properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
            };
            // Without a word on others, a tool may take them all the same.
            let is_warning = !schema.contains_key("additionalProperties");
            self.put(&step.spot, format!("tool {} has no argument {name:?}{near}", step.tool), is_warning);
        }
    }

    fn argument(&mut self, tool: Option<&Tool>, name: &str, value: &Template) {
        match value {
            Template::Literal(value) => self.literal(tool, name, value),
            Template::Pick(pick, default) => {
                let shape = self.follow(pick);
                let taken = tool.and_then(|tool| property(tool, name)).and_then(|json| json.types());
                let given = match &shape {
                    Shape::Json(json) => json.types(),
                    Shape::Text => Some(BTreeSet::from(["string"])),
                    Shape::List(_) | Shape::Answers(_) => Some(BTreeSet::from(["array"])),
                    Shape::Answer(_) => Some(BTreeSet::from(["object"])),
                    Shape::Unknown | Shape::Root | Shape::Steps => None,
                };
                if let (Some(taken), Some(given)) = (taken, given)
                    && !given.iter().any(|given| taken.iter().any(|taken| given == taken || both_numbers(given, taken)))
                {
                    let what = format!("the argument {name:?} is {}, and {pick:?} is {}", words(&Some(taken)), words(&Some(given)));
                    self.add(pick.spot(), what);
                }
                if let Some(default) = default {
                    self.literal(tool, name, default);
                }
            }
            Template::List(_) | Template::Table(_) => self.picks(value.picks()),
        }
    }

    /// Whether a literal value is one that the tool takes.
    fn literal(&mut self, tool: Option<&Tool>, name: &str, value: &Value) {
        let (Some(step), Some(tool)) = (self.step, tool) else { return };
        if property(tool, name).is_none() {
            return;
        }
        let mut schema = (*tool.input_schema).clone();
        schema.retain(|keyword, _| !TOGETHER.contains(&keyword.as_str()));
        let value = json!({ name: value });
        let Ok(schema) = Schema::new(&schema) else { return };
        if let Err(Unfit::Problems(problems)) = schema.check_value(&value, || value.to_string().len()) {
            self.add(&step.spot, format!("the arguments do not fit tool {}: {}", step.tool, places("argument ", problems)));
        }
    }
}

fn property<'t>(tool: &'t Tool, name: &str) -> Option<Json<'t>> {
    let schema = tool.input_schema.get("properties")?.get(name)?.as_object()?;
    Some(Json { schema, root: &tool.input_schema, path: name.to_owned() })
}

fn both_numbers(one: &str, other: &str) -> bool {
    [one, other].iter().all(|name| matches!(*name, "number" | "integer"))
}
