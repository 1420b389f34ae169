//! What a provider offers beside tools: resources, templates, prompts, completion.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::JsonText;

/// A resource, a resource template or a prompt as it is published: MCP's object, so that nothing of it is lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What it is called by: the URI, the URI template, or the prompt's own name.
    pub key: String,
    /// All members, the key's own among them.
    pub json: Map<String, Value>,
}

/// What a provider offers beside tools, each list in its own order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offers {
    /// Resources, by URI.
    pub resources: Vec<Arc<Offer>>,
    /// Resource templates, by RFC 6570 template.
    pub templates: Vec<Arc<Offer>>,
    /// Prompts, by name.
    pub prompts: Vec<Arc<Offer>>,
    /// Whether it completes arguments of its prompts and templates.
    pub completes: bool,
}

/// A prompt filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptOutput {
    /// What it does.
    pub description: Option<String>,
    /// MCP's `messages`: JSON text of an array.
    pub messages: JsonText,
    /// `_meta` of the result: an object.
    pub meta: Option<JsonText>,
}

/// What is being completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A prompt, by the provider's own name.
    Prompt(String),
    /// A resource template, by its text.
    Template(String),
}

/// A question for values of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What is being completed.
    pub reference: Reference,
    /// Which argument or variable.
    pub argument: String,
    /// What was typed so far.
    pub value: String,
    /// Arguments that are filled in already.
    pub others: Vec<(String, String)>,
}

/// Values for an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// The best first.
    pub values: Vec<String>,
    /// How many there are in all.
    pub total: Option<u32>,
    /// Whether there are more.
    pub has_more: bool,
}
