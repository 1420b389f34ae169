//! `[[pipeline.NAME.steps]]`: one call, or one for each item of a list.

use serde_json::{Value, json};

use super::value::{Arguments, Expression, Name, spot};
use crate::{
    config::{
        key::TypeInfo,
        section::{Section, section},
        toml_reader::Item,
        types::{Type, choice, list, number, optional, text},
    },
    pick::{Pick, Spot, Template},
};

/// Steps of one pipeline.
const STEPS: usize = 100;

/// What an error of a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It ends the pipeline.
    Stop,
    /// The steps after it go on, and find it in `error`.
    Continue,
}

section! {
    /// One step of a pipeline: a call of a tool, or one for each item of a list. Other steps find its
    /// answer in `steps.NAME`: `structured`, `text`, `content`, `error` and `skipped`.
    pub struct StepConfig {
        /// The name by which others pick from its answer.
        name: String = String::new(), Name(step_name) => unset("its place: \"1\", \"2\"");
        /// The tool: of a plugin, a server or another pipeline, by its published name or as
        /// `provider__tool`.
        tool: String = String::new(), Name(tool_name) => required;
        /// Its arguments: literal values, and `{ from = "…" }` for what is picked from `args`, `steps`,
        /// `item` and `index`.
        arguments: Option<Template> = None, optional(Arguments) => secret, unset("the pipeline's in the first step, none in others");
        /// The step is skipped where this is false, null or empty.
        when: Option<Pick> = None, optional(Expression) => unset("always");
        /// A list: the tool is called for each item of it, and the answers are a list.
        each: Option<Pick> = None, optional(Expression);
        /// The most items of `each`.
        most: u32 = 100, number(1..=10_000);
        /// Calls for items of `each` at once.
        concurrency: u32 = 1, number(1..=64);
        /// The steps that have to end before this one begins. Steps that wait for the same ones run at
        /// once; `[]` waits for none.
        after: Option<Vec<String>> = None, optional(list("names", text("name", any_name))) => unset("the step above");
        /// What an error does: `stop` ends the pipeline; `continue` goes on, with `error` in the step's
        /// answer.
        on_error: OnError = OnError::Stop, choice(&[("stop", OnError::Stop), ("continue", OnError::Continue)]);
        /// Where it stands.
        spot: Spot = Spot::default();
    }
}

/// The list of steps.
pub(super) struct Steps;

impl Type<Vec<StepConfig>> for Steps {
    fn read(&self, item: &Item<'_>) -> Option<Vec<StepConfig>> {
        let items = item.list()?;
        if items.is_empty() || items.len() > STEPS {
            item.fail(format_args!("has {} steps; it must have 1 to {STEPS}", items.len()));
        }
        let mut steps: Vec<StepConfig> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if !item.value.is_table() {
                item.wrong_type("a table ({ tool = \"…\" })");
                continue;
            }
            let Some(table) = item.table() else { continue };
            let mut step = StepConfig { spot: spot(&item.source.place(item.offset)), ..StepConfig::default() };
            step.read(&table);
            if table.get("name").is_none() {
                step.name = (at + 1).to_string();
            }
            if table.get("tool").is_none() {
                item.fail("a step has no \"tool\"; write tool = \"…\", the name of the tool that it calls");
            }
            for key in ["most", "concurrency"] {
                if let Some(key) = table.get(key).filter(|_| step.each.is_none()) {
                    key.fail_key("is about the items of `each`, which is not set");
                }
            }
            table.finish();
            if steps.iter().any(|other| other.name == step.name) && !step.name.is_empty() {
                item.fail(format_args!("two steps cannot both be called {:?}", step.name));
            }
            steps.push(step);
        }
        Some(steps)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new(
            "list of tables",
            json!({ "type": "array", "minItems": 1, "maxItems": STEPS, "items": { "$ref": "#/$defs/StepSection" } }),
        )
    }

    fn write(&self, _: &Vec<StepConfig>) -> Option<Value> {
        None
    }
}

fn step_name(name: &str) -> Result<String, String> {
    let fits = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is not allowed; the name of a step is 1 to 64 of a-z, A-Z, 0-9 and \"_\", and begins with no digit"))
    }
}

fn any_name(name: &str) -> Result<String, String> {
    Ok(name.to_owned())
}

fn tool_name(name: &str) -> Result<String, String> {
    if name.trim().is_empty() { Err("the name of a tool cannot be empty".to_owned()) } else { Ok(name.to_owned()) }
}
