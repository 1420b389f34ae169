//! What is known of a tool before it runs.

use serde::de::DeserializeOwned;

use crate::exports::toolbay::plugin::tools::{CallResult, Tool, ToolAnnotations};

/// One tool: what is published of it, and what runs.
pub struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// JSON Schema of the arguments.
    pub input: &'static str,
    /// JSON Schema of the structured content.
    pub output: Option<&'static str>,
    /// Takes the arguments as JSON. An error is a sentence for the model.
    pub run: fn(&str) -> Result<CallResult, String>,
}

impl Entry {
    pub fn published(&self) -> Tool {
        Tool {
            name: self.name.into(),
            title: Some(self.title.into()),
            description: Some(self.description.into()),
            input_schema: self.input.into(),
            output_schema: self.output.map(Into::into),
            // Text goes in and text comes out: nothing else in the world is touched.
            annotations: Some(ToolAnnotations {
                title: None,
                read_only_hint: Some(true),
                destructive_hint: Some(false),
                idempotent_hint: Some(true),
                open_world_hint: Some(false),
            }),
            icons: Vec::new(),
            meta: None,
            extra: None,
        }
    }
}

/// Reads the arguments. The host has checked them against the schema, so that this fails only where schema and type differ.
pub fn arguments<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("the arguments do not fit: {error}"))
}
