//! `[pipeline.NAME]`: one tool made of calls of others.

mod check;
mod shape;
mod step;
mod value;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{
    ToolOverride,
    error::Place,
    section::{Section, section},
    taken::Taken,
    toml_reader::{Item, Table},
    types::{Boolean, DAY, MILLISECOND, SECOND, duration, optional, text},
};
use crate::{
    pick::{Spot, Template},
    provider::{ProviderId, ToolName},
};
pub use check::{KnownTools, PipelineProblem};
pub use shape::Uses;
use step::Steps;
pub use step::{OnError, StepConfig};
use value::{Built, JsonSchema, spot};

section! {
    /// One tool made of calls of others. Its steps run one after another, or at once, in the name of
    /// whoever calls it, with that caller's rights and limits.
    pub struct PipelineConfig {
        /// The display name.
        title: Option<String> = None, optional(text("text", not_blank));
        /// The description that the model reads.
        description: Option<String> = None, optional(text("text", not_blank)) => unset("which tools it calls");
        /// `[pipeline.NAME.parameters]`: the JSON Schema of its arguments, written as TOML.
        parameters: Option<Map<String, Value>> = None, optional(JsonSchema) => unset("those of the first step's tool, or what the steps take of `args`");
        /// `[[pipeline.NAME.steps]]`: the calls, in their order.
        steps: Vec<StepConfig> = Vec::new(), Steps => required;
        /// The answer: a value with `{ from = "…" }` in it. Text is answered as text, all else as
        /// structured content.
        output: Option<Template> = None, optional(Built) => unset("the answer of the last step that ran");
        /// `[pipeline.NAME.output_schema]`: the JSON Schema of `output`, written as TOML.
        output_schema: Option<Map<String, Value>> = None, optional(JsonSchema) => unset("that of the last step's tool, without `output`");
        /// Wall-clock limit of a call, with all its steps. Time in which the client is asked does not
        /// count.
        timeout: Duration = SECOND * 120, duration(MILLISECOND..=DAY);
        /// The hint `readOnlyHint`: it changes nothing.
        read_only: Option<bool> = None, optional(Boolean);
        /// The hint `destructiveHint`: what it changes may be lost.
        destructive: Option<bool> = None, optional(Boolean);
        /// The hint `idempotentHint`: a second call with the same arguments changes nothing more.
        idempotent: Option<bool> = None, optional(Boolean);
        /// The hint `openWorldHint`: it reaches beyond what the host knows, such as the web.
        open_world: Option<bool> = None, optional(Boolean);
        /// Where it stands.
        spot: Spot = Spot::default();
    }
}

impl PipelineConfig {
    /// MCP's `annotations`, where any are said.
    #[must_use]
    pub fn annotations(&self) -> Option<Value> {
        let Self { read_only, destructive, idempotent, open_world, .. } = *self;
        ToolOverride { read_only, destructive, idempotent, open_world, ..ToolOverride::default() }.annotations(None)
    }

    /// For each step, those that have to end before it begins. All of them stand before it.
    #[must_use]
    pub fn order(&self) -> Vec<Vec<usize>> {
        let place = |name: &String| self.steps.iter().position(|step| step.name == *name);
        let before = |(at, step): (usize, &StepConfig)| match &step.after {
            Some(names) => names.iter().filter_map(place).filter(|before| *before < at).collect(),
            None => at.checked_sub(1).into_iter().collect(),
        };
        self.steps.iter().enumerate().map(before).collect()
    }
}

/// The tables `[pipeline.NAME]`.
pub(super) fn pipelines(table: &Table<'_>, taken: &Taken<'_>) -> BTreeMap<String, PipelineConfig> {
    let mut pipelines = BTreeMap::new();
    for item in table.items() {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string().replacen("plugin", "pipeline", 1));
        } else if let Err(error) = ToolName::new(item.key.as_str()) {
            item.fail_key(format_args!("cannot be the name of a tool: {error}"));
        } else {
            if let Some(other) = taken.by(&item.key) {
                item.fail_key(format_args!(
                    "{other}; tools are called by the name of their plugin, server or pipeline, so rename one of them"
                ));
            }
        }
        let Some(keys) = item.table() else { continue };
        let mut pipeline = PipelineConfig { spot: spot(&item.place()), ..PipelineConfig::default() };
        pipeline.read(&keys);
        if keys.get("steps").is_none() {
            item.fail_key(format_args!("has no steps; write [[pipeline.{}.steps]] with `tool = \"…\"` below it", item.key));
        } else {
            check_at_load(&item, &keys, &pipeline);
        }
        keys.finish();
        pipelines.insert(item.key, pipeline);
    }
    pipelines
}

/// Says what is wrong with a pipeline whatever tools there are.
fn check_at_load(item: &Item<'_>, keys: &Table<'_>, pipeline: &PipelineConfig) {
    let steps = keys.get("steps").filter(|steps| steps.value.is_array()).and_then(|steps| steps.list()).unwrap_or_default();
    // Where one could not be read, what is said of the others would be wrong.
    if steps.len() != pipeline.steps.len() {
        return;
    }
    if let Some(schema) = keys.get("output_schema").filter(|_| pipeline.output.is_none()) {
        schema.fail_key("is the schema of `output`, which is not set; without it the answer, and its schema, are those of the last step");
    }
    for PipelineProblem { spot, message, .. } in pipeline.problems(None) {
        let place = spot.place().map(|(file, line, column)| Place { file: file.to_owned(), line, column });
        item.source.problem_at(place.unwrap_or_else(|| item.place()), message);
    }
}

fn not_blank(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}
