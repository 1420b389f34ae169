//! Which pipelines can be offered: those of which every step calls a tool that is there and takes what it is given.
//!
//! Pipelines call each other, so this is a question about all of them together: each is taken for granted until something is found to be wrong with it,
//! and then those that call it are looked at again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    catalog::Snapshot,
    config::{KnownTools, OnError, PipelineConfig, PipelineProblem},
    provider::{Tool, ToolName},
};

/// A pipeline's tool and what may be meant otherwise, or what is wrong with the pipeline.
pub(super) type Resolved = Result<(Arc<Tool>, Vec<String>), Vec<String>>;

/// Hints, and the value that a pipeline has where all of its tools have it.
const HINTS: [(&str, bool); 4] = [("readOnlyHint", true), ("destructiveHint", false), ("idempotentHint", true), ("openWorldHint", false)];

/// The tools that there are: those of everybody else, and of pipelines.
struct Known<'a> {
    others: &'a Snapshot,
    configs: &'a BTreeMap<String, PipelineConfig>,
    made: BTreeMap<&'a str, Arc<Tool>>,
}

impl KnownTools for Known<'_> {
    fn find(&self, name: &str) -> Option<Arc<Tool>> {
        let other = self.others.resolve(name).filter(|entry| !self.configs.contains_key(entry.provider().id().as_str()));
        let pipeline = || match name.split_once("__") {
            Some((provider, own)) if provider == own => self.made.get(own).cloned(),
            _ => self.made.get(name).cloned(),
        };
        other.map(|entry| Arc::clone(entry.tool())).or_else(pipeline)
    }

    fn names(&self) -> Vec<String> {
        let others = self.others.callable().map(|entry| entry.name().to_owned());
        others.chain(self.made.keys().map(|name| (*name).to_owned())).collect()
    }

    fn absence(&self, name: &str) -> Option<String> {
        let (name, _) = self.configs.get_key_value(name)?;
        Some(match self.circle(name) {
            Some(circle) => format!("pipelines call each other in a circle, {circle}"),
            None => format!("[pipeline.{name}] is not offered either"),
        })
    }
}

impl Known<'_> {
    /// The way from a pipeline back to itself, by pipelines whose arguments are those of the next one: they cannot be known.
    fn circle(&self, from: &str) -> Option<String> {
        let mut ways = VecDeque::from([vec![from]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = self.configs.get(*way.last()?)?;
            let asked = match last.steps.first() {
                _ if last.parameters.is_some() => 0,
                Some(first) if first.arguments.is_none() && first.each.is_none() => 1,
                _ => last.steps.len(),
            };
            for step in last.steps.iter().take(asked) {
                let next = step.tool.as_str();
                if next == from {
                    return Some([way.as_slice(), &[from]].concat().join(" → "));
                }
                if self.configs.contains_key(next) && seen.insert(next) {
                    ways.push_back([way.as_slice(), &[next]].concat());
                }
            }
        }
        None
    }
}

/// All pipelines of a configuration, by name.
pub(super) fn resolve(configs: &BTreeMap<String, PipelineConfig>, others: &Snapshot) -> BTreeMap<String, Resolved> {
    let mut known = Known { others, configs, made: BTreeMap::new() };
    // What one says of its arguments and its answer may be what another says. None leads to more than all of them.
    for _ in 0..=configs.len() {
        let mut changed = false;
        for (name, config) in configs {
            let Some(tool) = tool(name, config, &known).map(Arc::new) else { continue };
            if known.made.get(name.as_str()) != Some(&tool) {
                known.made.insert(name, tool);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut resolved = BTreeMap::new();
    let mut warnings = BTreeMap::new();
    loop {
        let mut wrong = Vec::new();
        for (name, config) in configs.iter().filter(|(name, _)| !resolved.contains_key(*name)) {
            let (said, mut problems): (Vec<_>, Vec<_>) = config.problems(Some(&known)).into_iter().partition(|problem| problem.is_warning);
            if problems.is_empty() && !known.made.contains_key(name.as_str()) {
                let message =
                    "its arguments are those of a pipeline whose arguments are its own; write `parameters` for one of them".to_owned();
                problems.push(PipelineProblem { spot: config.spot.clone(), message, is_warning: false });
            }
            if problems.is_empty() {
                warnings.insert(name.clone(), sentences(said));
            } else {
                wrong.push((name.clone(), sentences(problems)));
            }
        }
        if wrong.is_empty() {
            break;
        }
        for (name, problems) in wrong {
            known.made.remove(name.as_str());
            resolved.insert(name, Err(problems));
        }
    }
    for (name, tool) in known.made {
        resolved.insert(name.to_owned(), Ok((tool, warnings.remove(name).unwrap_or_default())));
    }
    resolved
}

fn sentences(problems: Vec<PipelineProblem>) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.spot, problem.message)).collect()
}

/// The pipeline as a tool. None: what its arguments are is not known yet.
fn tool(name: &str, config: &PipelineConfig, known: &Known<'_>) -> Option<Tool> {
    let input = config.input(known)?;
    let tools: Vec<Option<Arc<Tool>>> = config.steps.iter().map(|step| known.find(&step.tool)).collect();
    let last = config.steps.last().zip(tools.last().and_then(Option::as_ref));
    // Where another step may answer in the place of the last one, nothing can be promised.
    let of_last = last.filter(|(step, _)| step.when.is_none() && step.each.is_none() && step.on_error == OnError::Stop);
    let output = match &config.output {
        Some(_) => config.output_schema.clone().map(Arc::new),
        None => of_last.and_then(|(_, tool)| tool.output_schema.clone()),
    };
    let is_one = config.steps.len() == 1 && config.steps.iter().all(|step| step.each.is_none());
    let called = config.steps.iter().map(|step| step.tool.as_str()).collect::<Vec<_>>().join(", ");
    Some(Tool {
        title: config.title.clone(),
        description: Some(
            config.description.clone().unwrap_or_else(|| format!("Calls these tools, each with what those before it answered: {called}.")),
        ),
        input_schema: input,
        output_schema: output,
        annotations: annotations(config, &tools),
        notifies: !is_one || tools.iter().flatten().any(|tool| tool.notifies),
        ..Tool::new(ToolName::new(name).ok()?, serde_json::Map::new())
    })
}

/// What is said of it, and what holds for all of its tools.
fn annotations(config: &PipelineConfig, tools: &[Option<Arc<Tool>>]) -> Option<Value> {
    let hint = |tool: &Option<Arc<Tool>>, name: &str| tool.as_ref()?.annotations.as_ref()?.get(name)?.as_bool();
    let held = HINTS.iter().filter(|(name, value)| tools.iter().all(|tool| hint(tool, name) == Some(*value)));
    let mut all: serde_json::Map<String, Value> = held.map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    if let Some(Value::Object(own)) = config.annotations() {
        all.extend(own);
    }
    (!all.is_empty()).then(|| all.into())
}
