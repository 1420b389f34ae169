//! One pipeline, ready to run.

use crate::{
    config::{PipelineConfig, Uses},
    pick::Pick,
    provider::Tool,
    schema::Schema,
};

/// What is made once of a pipeline and its tool.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) config: PipelineConfig,
    /// What has to end before each step.
    pub(super) order: Vec<Vec<usize>>,
    pub(super) uses: Vec<Uses>,
    /// What arguments are held against. None: the first step's tool does that.
    pub(super) input: Option<Schema>,
    /// What `output` is held against. None: it promises nothing.
    pub(super) output: Option<Schema>,
    /// Whether anything is picked from the arguments, or from what a step answered.
    pub(super) picks: bool,
}

impl Plan {
    /// # Errors
    ///
    /// What is wrong with a schema.
    pub(super) fn new(config: &PipelineConfig, tool: &Tool) -> Result<Self, String> {
        let compiled =
            |schema: &_, what: &str| Schema::new(schema).map_err(|why| format!("{}: the JSON Schema of its {what} {why}", config.spot));
        let is_passed_on = config.parameters.is_none()
            && config.steps.first().is_some_and(|first| first.arguments.is_none() && first.each.is_none() && first.when.is_none());
        let input = if is_passed_on { None } else { Some(compiled(&tool.input_schema, "arguments")?) };
        let output = match (&config.output, &tool.output_schema) {
            (Some(_), Some(schema)) => Some(compiled(schema, "answer")?),
            _ => None,
        };
        let steps = &config.steps;
        let is_picking = |pick: &Option<Pick>| pick.is_some();
        let picks = steps.iter().any(|step| {
            is_picking(&step.when) || is_picking(&step.each) || step.arguments.as_ref().is_some_and(|made| !made.picks().is_empty())
        }) || config.output.is_some();
        Ok(Self { name: tool.name.to_string(), config: config.clone(), order: config.order(), uses: config.uses(), input, output, picks })
    }
}
