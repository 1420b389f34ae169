//! What can be asked of a provider, with every name looked up, and what comes of it.

use std::{borrow::Cow, sync::Arc};

use crate::{
    catalog::{Called, Entry, PromptEntry, ResourceEntry},
    provider::{CallOutput, Completion, Completions, JsonText, PromptOutput, Provider, Question},
};

/// What is to be done. Arguments are borrowed from the request where they can be.
pub enum Operation<'a> {
    /// A tool is called.
    Call {
        /// Which one.
        entry: Arc<Entry>,
        /// JSON text of an object.
        arguments: Cow<'a, str>,
    },
    /// A resource is read.
    Read {
        /// What the address belongs to: a resource, or a template that it matches.
        entry: Arc<ResourceEntry>,
        /// The address.
        uri: Cow<'a, str>,
    },
    /// A prompt is filled in.
    Prompt {
        /// Which one.
        entry: Arc<PromptEntry>,
        /// By name.
        arguments: Vec<(String, String)>,
    },
    /// An argument is completed.
    Complete {
        /// Who offers that to which the argument belongs.
        provider: Arc<dyn Provider>,
        /// None: of something that has nothing to complete.
        completion: Option<Completion>,
    },
}

/// What came of an operation.
#[derive(Debug)]
pub enum OperationResult {
    /// A tool's answer, which may say that it failed.
    Call(CallOutput),
    /// What a resource holds: MCP's `contents`.
    Contents(Vec<JsonText>),
    /// A prompt, filled in.
    Prompt(PromptOutput),
    /// Values for an argument.
    Completions(Completions),
    /// The caller is asked something first, and makes the call again with the answers.
    InputRequired(InputRequired),
}

/// What a call asks in place of a result.
#[derive(Debug)]
pub struct InputRequired {
    /// The questions by their keys.
    pub questions: Vec<(String, Question)>,
    /// What the caller has to bring back as it is.
    pub state: String,
}

impl<'a> Operation<'a> {
    /// A call that was looked up.
    #[must_use]
    pub fn of(called: Called<'a>) -> Self {
        let Called { entry, arguments, .. } = called;
        Self::Call { entry, arguments }
    }
}

impl Operation<'_> {
    /// The same, free of the request.
    #[must_use]
    pub fn into_owned(self) -> Operation<'static> {
        match self {
            Self::Call { entry, arguments } => Operation::Call { entry, arguments: Cow::Owned(arguments.into_owned()) },
            Self::Read { entry, uri } => Operation::Read { entry, uri: Cow::Owned(uri.into_owned()) },
            Self::Prompt { entry, arguments } => Operation::Prompt { entry, arguments },
            Self::Complete { provider, completion } => Operation::Complete { provider, completion },
        }
    }

    /// What it is, in the words of the semantic conventions.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Call { .. } => "tools/call",
            Self::Read { .. } => "resources/read",
            Self::Prompt { .. } => "prompts/get",
            Self::Complete { .. } => "completion/complete",
        }
    }

    /// Whether it may send its caller something before its result. Only tools say so beforehand; of the
    /// others any may.
    #[must_use]
    pub fn notifies(&self) -> bool {
        match self {
            Self::Call { entry, .. } => entry.tool().notifies,
            Self::Read { .. } | Self::Prompt { .. } | Self::Complete { .. } => true,
        }
    }

    /// Who does it.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn Provider> {
        match self {
            Self::Call { entry, .. } => entry.provider(),
            Self::Read { entry, .. } => entry.provider(),
            Self::Prompt { entry, .. } => entry.provider(),
            Self::Complete { provider, .. } => provider,
        }
    }
}
