//! What is decided on: a tool, a resource or a prompt, and what is to be done with it.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

/// What is to be done with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A tool is shown in lists.
    ListTool,
    /// A resource is.
    ListResource,
    /// A prompt is.
    ListPrompt,
    /// A tool is called.
    Call,
    /// A resource is read.
    Read,
    /// A prompt is filled in.
    Get,
}

impl Action {
    /// As policies name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ListTool | Self::ListResource | Self::ListPrompt => "list",
            Self::Call => "call",
            Self::Read => "read",
            Self::Get => "get",
        }
    }

    /// What it is done with.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::ListTool | Self::Call => "Tool",
            Self::ListResource | Self::Read => "Resource",
            Self::ListPrompt | Self::Get => "Prompt",
        }
    }
}

/// What a tool says of itself, with MCP's word for what it says nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// The same call again changes nothing more.
    pub idempotent: bool,
    /// It reaches beyond what is known.
    pub open_world: bool,
}

/// Something on offer. Names and addresses are its provider's own.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A tool.
    Tool {
        /// The plugin or server.
        server: &'a str,
        /// Its name there.
        name: &'a str,
        /// What it says of itself.
        hints: Hints,
    },
    /// A resource, or the text of a template.
    Resource {
        /// The plugin or server.
        server: &'a str,
        /// Its address there.
        uri: &'a str,
    },
    /// A prompt.
    Prompt {
        /// The plugin or server.
        server: &'a str,
        /// Its name there.
        name: &'a str,
    },
}

impl Item<'_> {
    pub(super) fn server(&self) -> &str {
        match self {
            Self::Tool { server, .. } | Self::Resource { server, .. } | Self::Prompt { server, .. } => server,
        }
    }

    /// By which policies name it: as clients would in its qualified form.
    pub(super) fn uid(&self, types: &Types) -> EntityUid {
        match self {
            Self::Tool { server, name, .. } => uid(&types.tool, &format!("{server}__{name}")),
            Self::Resource { server, uri } => uid(&types.resource, &format!("toolbay://{server}/{uri}")),
            Self::Prompt { server, name } => uid(&types.prompt, &format!("{server}__{name}")),
        }
    }

    pub(super) fn entity(&self, types: &Types) -> Option<Entity> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut attributes = HashMap::from([("server".to_owned(), text(self.server()))]);
        match self {
            Self::Tool { name, hints, .. } => {
                attributes.insert("name".to_owned(), text(name));
                let Hints { read_only, destructive, idempotent, open_world } = *hints;
                let hints = [
                    ("readOnlyHint", read_only),
                    ("destructiveHint", destructive),
                    ("idempotentHint", idempotent),
                    ("openWorldHint", open_world),
                ];
                attributes.extend(hints.map(|(name, value)| (name.to_owned(), RestrictedExpression::new_bool(value))));
            }
            Self::Resource { uri, .. } => drop(attributes.insert("uri".to_owned(), text(uri))),
            Self::Prompt { name, .. } => drop(attributes.insert("name".to_owned(), text(name))),
        }
        Entity::new(self.uid(types), attributes, HashSet::from([uid(&types.server, self.server())])).ok()
    }
}

/// The types of the schema.
#[derive(Clone)]
pub(super) struct Types {
    pub(super) caller: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) action: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
    resource: EntityTypeName,
    prompt: EntityTypeName,
}

impl Types {
    /// None: they are no names, which cannot be.
    pub(super) fn new() -> Option<Self> {
        let of = |name: &str| EntityTypeName::from_str(name).ok();
        Some(Self {
            caller: of("Caller")?,
            role: of("Role")?,
            action: of("Action")?,
            server: of("Server")?,
            tool: of("Tool")?,
            resource: of("Resource")?,
            prompt: of("Prompt")?,
        })
    }
}

pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
