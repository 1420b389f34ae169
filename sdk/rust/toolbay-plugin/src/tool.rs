//! One tool as a value: what is published of it, and how it is run.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Answer, Ctx};

/// A tool, as `#[tool]` describes it.
#[derive(Clone, Copy)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// A name for people.
    pub title: Option<&'static str>,
    /// What it does: the model reads this.
    pub description: Option<&'static str>,
    /// What it does to the world.
    pub hints: Hints,
    /// JSON Schema of its arguments.
    pub input: fn() -> Value,
    /// JSON Schema of its structured content.
    pub output: fn() -> Option<Value>,
    /// Runs it. The arguments are a JSON object.
    pub run: fn(&Ctx<'_>, &str) -> Answer,
}

/// MCP's hints. What is not said, a client takes for the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: Option<bool>,
    /// What it changes may be lost.
    pub destructive: Option<bool>,
    /// Twice is as good as once.
    pub idempotent: Option<bool>,
    /// It reaches things outside, such as the web.
    pub open_world: Option<bool>,
}

/// Reads arguments. For the macros only.
#[doc(hidden)]
pub fn arguments<T: DeserializeOwned>(text: &str) -> Result<T, Answer> {
    serde_json::from_str(text).map_err(|error| Answer::error(format!("the arguments do not fit: {error}")))
}
