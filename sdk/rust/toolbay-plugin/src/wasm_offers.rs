//! Resources, prompts and completion as the contract has them. For the macros only.
#![allow(missing_docs, reason = "only the macros see it")]

use crate::{
    Body, Contents, Ctx, Message, Prompt, Read, Resource, Role,
    bindings::toolbay::plugin::types::{Error, ResourceBody, Role as WitRole},
    bindings_completion::exports::toolbay::plugin::completion::{Completions, Reference},
    bindings_prompts::exports::toolbay::plugin::prompts as wit_prompts,
    bindings_resources::exports::toolbay::plugin::resources as wit_resources,
    wasm::content,
};

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

/// JSON-RPC: it could not be done.
const INTERNAL_ERROR: i32 = -32603;

/// As many values as MCP allows.
const MOST_VALUES: usize = 100;

fn ctx() -> Ctx<'static> {
    Ctx { host: std::marker::PhantomData }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

#[must_use]
pub fn list_resources(resources: &[Resource]) -> Vec<wit_resources::Resource> {
    let fixed = resources.iter().filter(|resource| !resource.is_template());
    let published = fixed.map(|resource| wit_resources::Resource {
        uri: resource.uri.to_owned(),
        name: resource.name.to_owned(),
        title: owned(resource.title),
        description: owned(resource.description),
        mime_type: owned(resource.mime_type),
        size: None,
        icons: Vec::new(),
        annotations: None,
        meta: None,
        extra: None,
    });
    published.collect()
}

#[must_use]
pub fn list_templates(resources: &[Resource]) -> Vec<wit_resources::Template> {
    let templates = resources.iter().filter(|resource| resource.is_template());
    let published = templates.map(|resource| wit_resources::Template {
        uri_template: resource.uri.to_owned(),
        name: resource.name.to_owned(),
        title: owned(resource.title),
        description: owned(resource.description),
        mime_type: owned(resource.mime_type),
        icons: Vec::new(),
        annotations: None,
        meta: None,
        extra: None,
    });
    published.collect()
}

pub fn read_resource(resources: &[Resource], uri: &str) -> Result<Option<Vec<wit_resources::Contents>>, Error> {
    for resource in resources {
        match (resource.read)(&ctx(), uri) {
            Read::Elsewhere => {}
            Read::Missing => return Ok(None),
            Read::Failed(message) => return Err(Error { code: INTERNAL_ERROR, message, data: None }),
            Read::Contents(pieces) => return Ok(Some(pieces.into_iter().map(|piece| published(piece, resource, uri)).collect())),
        }
    }
    Ok(None)
}

fn published(piece: Contents, resource: &Resource, uri: &str) -> wit_resources::Contents {
    wit_resources::Contents {
        uri: piece.uri.unwrap_or_else(|| uri.to_owned()),
        mime_type: piece.mime_type.or_else(|| owned(resource.mime_type)),
        body: match piece.body {
            Body::Text(text) => ResourceBody::Text(text),
            Body::Bytes(bytes) => ResourceBody::Blob(bytes),
        },
        meta: None,
    }
}

#[must_use]
pub fn list_prompts(prompts: &[Prompt]) -> Vec<wit_prompts::Prompt> {
    let published = prompts.iter().map(|prompt| wit_prompts::Prompt {
        name: prompt.name.to_owned(),
        title: owned(prompt.title),
        description: owned(prompt.description),
        arguments: prompt
            .arguments
            .iter()
            .map(|argument| wit_prompts::Argument {
                name: argument.name.to_owned(),
                title: None,
                description: owned(argument.description),
                required: argument.required,
            })
            .collect(),
        icons: Vec::new(),
        meta: None,
        extra: None,
    });
    published.collect()
}

pub fn get_prompt(prompts: &[Prompt], name: &str, arguments: &[(String, String)]) -> Result<wit_prompts::PromptResult, Error> {
    let Some(prompt) = prompts.iter().find(|prompt| prompt.name == name) else {
        return Err(Error { code: INVALID_PARAMS, message: format!("there is no prompt {name}"), data: None });
    };
    let messages = (prompt.get)(&ctx(), arguments).map_err(|message| Error { code: INVALID_PARAMS, message, data: None })?;
    let message = |message: Message| wit_prompts::Message {
        role: match message.role {
            Role::User => WitRole::User,
            Role::Assistant => WitRole::Assistant,
        },
        content: content(message.content),
    };
    Ok(wit_prompts::PromptResult {
        description: owned(prompt.description),
        messages: messages.into_iter().map(message).collect(),
        meta: None,
    })
}

#[must_use]
pub fn complete(resources: &[Resource], prompts: &[Prompt], what: &Reference, argument: &str, value: &str) -> Completions {
    let values = match what {
        Reference::Prompt(name) => prompts.iter().find(|prompt| prompt.name == name).and_then(|prompt| (prompt.complete)(argument, value)),
        Reference::Template(uri) => resources.iter().find(|known| known.uri == uri).and_then(|known| (known.complete)(argument, value)),
    };
    let mut values = values.unwrap_or_default();
    let total = values.len();
    values.truncate(MOST_VALUES);
    Completions { has_more: values.len() < total, total: u32::try_from(total).ok(), values }
}
