//! Asking the person at the other end, or the model there.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;
use crate::{Ctx, schema};

/// What a person did with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// Filled it in and sent it, or agreed to visit the page.
    Accepted(T),
    /// Said no.
    Declined,
    /// Closed it without an answer.
    Cancelled,
}

impl<T> Reply<T> {
    /// What was filled in, if it was.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(value) => Some(value),
            Self::Declined | Self::Cancelled => None,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// Nobody can be asked in this call.
    Unsupported(String),
    /// The question cannot be sent.
    Invalid(String),
    /// The client answered with an error.
    Refused(String),
    /// No answer came, or one that cannot be read.
    Unanswered(String),
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported(why) => write!(f, "nobody can be asked: {why}"),
            Self::Invalid(why) => write!(f, "the question cannot be sent: {why}"),
            Self::Refused(why) => write!(f, "the client refused the question: {why}"),
            Self::Unanswered(why) => write!(f, "the question was not answered: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

/// A question as it crosses to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Form { message: String, schema: String },
    Link { message: String, url: String },
    Model { prompt: String, max_tokens: u32 },
}

/// An answer as it crosses from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The JSON that was filled in, where there was any.
    Reply(Reply<Option<String>>),
    Text(String),
}

pub(crate) fn form<T: DeserializeOwned + JsonSchema>(ctx: &Ctx<'_>, message: &str) -> Result<Reply<T>, AskError> {
    let schema = schema::form::<T>().to_string();
    let reply = reply(ctx, Question::Form { message: message.to_owned(), schema })?;
    Ok(match reply {
        Reply::Accepted(content) => {
            let text = content.unwrap_or_else(|| "{}".to_owned());
            let unfit =
                |error: serde_json::Error| AskError::Unanswered(format!("the form came back with {text}, which does not fit: {error}"));
            Reply::Accepted(serde_json::from_str(&text).map_err(unfit)?)
        }
        Reply::Declined => Reply::Declined,
        Reply::Cancelled => Reply::Cancelled,
    })
}

pub(crate) fn confirm(ctx: &Ctx<'_>, message: &str) -> Result<bool, AskError> {
    let schema = r#"{"type":"object","properties":{}}"#.to_owned();
    Ok(matches!(reply(ctx, Question::Form { message: message.to_owned(), schema })?, Reply::Accepted(_)))
}

pub(crate) fn link(ctx: &Ctx<'_>, message: &str, url: &str) -> Result<Reply<()>, AskError> {
    Ok(match reply(ctx, Question::Link { message: message.to_owned(), url: url.to_owned() })? {
        Reply::Accepted(_) => Reply::Accepted(()),
        Reply::Declined => Reply::Declined,
        Reply::Cancelled => Reply::Cancelled,
    })
}

pub(crate) fn model(ctx: &Ctx<'_>, prompt: &str, max_tokens: u32) -> Result<String, AskError> {
    match host::ask(ctx, Question::Model { prompt: prompt.to_owned(), max_tokens })? {
        Answered::Text(text) => Ok(text),
        Answered::Reply(_) => Err(AskError::Unanswered("the answer is of another kind".to_owned())),
    }
}

fn reply(ctx: &Ctx<'_>, question: Question) -> Result<Reply<Option<String>>, AskError> {
    match host::ask(ctx, question)? {
        Answered::Reply(reply) => Ok(reply),
        Answered::Text(_) => Err(AskError::Unanswered("the answer is of another kind".to_owned())),
    }
}

impl Question {
    /// A line about it, for tests.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "only the double reads it"))]
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Form { message, .. } | Self::Link { message, .. } => message,
            Self::Model { prompt, .. } => prompt,
        }
    }

    /// The schema of a form.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "only the double reads it"))]
    pub(crate) fn schema(&self) -> Option<Value> {
        match self {
            Self::Form { schema, .. } => serde_json::from_str(schema).ok(),
            _ => None,
        }
    }
}
