//! Messages that a person can start a conversation with.

use std::{fmt::Display, str::FromStr};

use crate::{Block, Ctx};

/// A prompt, as `#[prompt]` describes it.
#[derive(Clone, Copy)]
pub struct Prompt {
    /// Its name.
    pub name: &'static str,
    /// A name for people.
    pub title: Option<&'static str>,
    /// What it does.
    pub description: Option<&'static str>,
    /// What it can be told, in order.
    pub arguments: &'static [PromptArgument],
    /// Fills it in.
    pub get: fn(&Ctx<'_>, &[(String, String)]) -> Result<Vec<Message>, String>,
    /// Values for an argument that begin so. None: it offers none.
    pub complete: fn(&str, &str) -> Option<Vec<String>>,
}

/// What a prompt can be told. It is always a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptArgument {
    /// A name for programs.
    pub name: &'static str,
    /// What it is for.
    pub description: Option<&'static str>,
    /// Whether it has to be given.
    pub required: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// A text, a picture, …
    pub content: Block,
}

impl Message {
    /// What the person says.
    #[must_use]
    pub fn user(content: impl Into<Block>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// What the model says.
    #[must_use]
    pub fn assistant(content: impl Into<Block>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// What a prompt's function may return.
#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    label = "return text, a `Message`, a `Vec<Message>`, or a `Result` of these"
)]
pub trait IntoMessages {
    /// The conversation's beginning.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn into_messages(self) -> Result<Vec<Message>, String>;
}

impl IntoMessages for Vec<Message> {
    fn into_messages(self) -> Result<Vec<Message>, String> {
        Ok(self)
    }
}

impl IntoMessages for Message {
    fn into_messages(self) -> Result<Vec<Message>, String> {
        Ok(vec![self])
    }
}

impl IntoMessages for String {
    fn into_messages(self) -> Result<Vec<Message>, String> {
        Ok(vec![Message::user(self)])
    }
}

impl IntoMessages for &str {
    fn into_messages(self) -> Result<Vec<Message>, String> {
        Ok(vec![Message::user(self)])
    }
}

impl<T: IntoMessages, E: Display> IntoMessages for Result<T, E> {
    fn into_messages(self) -> Result<Vec<Message>, String> {
        self.map_err(|error| format!("{error:#}"))?.into_messages()
    }
}

/// Reads an argument that has to be there. For the macros only.
#[doc(hidden)]
pub fn text<T: FromStr<Err: Display>>(name: &str, arguments: &[(String, String)]) -> Result<T, String> {
    optional_text(name, arguments)?.ok_or_else(|| format!("the argument {name} is missing"))
}

/// Reads an argument that may be left out. For the macros only.
#[doc(hidden)]
pub fn optional_text<T: FromStr<Err: Display>>(name: &str, arguments: &[(String, String)]) -> Result<Option<T>, String> {
    let found = arguments.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.parse().map_err(|error| format!("the argument {name} cannot be {value:?}: {error}"))).transpose()
}

/// Those of some values that begin so, in small letters or capital ones. For the macros only.
#[doc(hidden)]
pub fn completed<I: IntoIterator<Item: Into<String>>>(values: impl FnOnce(&str) -> I, begun: &str) -> Option<Vec<String>> {
    let small = begun.to_lowercase();
    Some(values(begun).into_iter().map(Into::into).filter(|value| value.to_lowercase().starts_with(&small)).collect())
}
