//! What a tool answers, and what may be returned for it.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::schema;

/// What a call answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What the model reads or sees.
    pub content: Vec<Block>,
    /// What programs read: a JSON object that fits the tool's output schema.
    pub structured: Option<Value>,
    /// The tool ran and failed; the content says why.
    pub is_error: bool,
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Text.
    Text(String),
    /// A picture.
    Image(Image),
    /// A sound.
    Audio(Audio),
    /// A pointer to something that the client may read.
    Link {
        /// Its address.
        uri: String,
        /// A name for it.
        name: String,
    },
    /// Something that the client could read, contents and all.
    Resource {
        /// Its address.
        uri: String,
        /// Such as `text/plain`.
        mime_type: Option<String>,
        /// What it holds.
        body: Body,
    },
    /// A content block of MCP as JSON, for kinds that are not named here.
    Other(Value),
}

/// What a resource holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes. The host encodes them.
    Bytes(Vec<u8>),
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file's bytes. The host encodes them.
    pub data: Vec<u8>,
    /// Such as `image/png`.
    pub mime_type: String,
}

/// A sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// The file's bytes. The host encodes them.
    pub data: Vec<u8>,
    /// Such as `audio/wav`.
    pub mime_type: String,
}

/// Structured content: published with an output schema, and sent as text too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl Image {
    /// A PNG file.
    #[must_use]
    pub fn png(data: Vec<u8>) -> Self {
        Self { data, mime_type: "image/png".to_owned() }
    }

    /// A JPEG file.
    #[must_use]
    pub fn jpeg(data: Vec<u8>) -> Self {
        Self { data, mime_type: "image/jpeg".to_owned() }
    }
}

impl Answer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().with(text.into())
    }

    /// A failure that the model should read.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// With one more piece: a text, an [`Image`], an [`Audio`] or a [`Block`].
    #[must_use]
    pub fn with(mut self, block: impl Into<Block>) -> Self {
        self.content.push(block.into());
        self
    }

    /// All its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn structured(value: Value) -> Self {
        Self { structured: Some(value.clone()), ..Self::text(value.to_string()) }
    }
}

impl From<String> for Block {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Block {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Image> for Block {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<Audio> for Block {
    fn from(audio: Audio) -> Self {
        Self::Audio(audio)
    }
}

/// What a tool may return.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "return text, a number, `()`, `Json<…>`, `Image`, `Answer`, or a `Result` of these",
    note = "for a type of your own: put `#[data]` on it and return `Json(value)`"
)]
pub trait IntoAnswer {
    /// The answer.
    fn into_answer(self) -> Answer;

    /// The schema of its structured content, where it has any.
    #[must_use]
    fn schema() -> Option<Value> {
        None
    }
}

impl IntoAnswer for Answer {
    fn into_answer(self) -> Answer {
        self
    }
}

impl IntoAnswer for () {
    fn into_answer(self) -> Answer {
        Answer::new()
    }
}

impl IntoAnswer for String {
    fn into_answer(self) -> Answer {
        Answer::text(self)
    }
}

impl IntoAnswer for &str {
    fn into_answer(self) -> Answer {
        Answer::text(self)
    }
}

impl IntoAnswer for Image {
    fn into_answer(self) -> Answer {
        Answer::new().with(self)
    }
}

impl IntoAnswer for Audio {
    fn into_answer(self) -> Answer {
        Answer::new().with(self)
    }
}

impl<T: Into<Block>> IntoAnswer for Vec<T> {
    fn into_answer(self) -> Answer {
        Answer { content: self.into_iter().map(Into::into).collect(), ..Answer::default() }
    }
}

impl<T: Serialize + JsonSchema> IntoAnswer for Json<T> {
    fn into_answer(self) -> Answer {
        match serde_json::to_value(self.0) {
            // Structured content is an object by MCP's rules.
            Ok(value) if value.is_object() => Answer::structured(value),
            Ok(value) => Answer { structured: Some(json!({ "result": value })), ..Answer::text(value.to_string()) },
            Err(error) => Answer::error(format!("the answer cannot be written as JSON: {error}")),
        }
    }

    fn schema() -> Option<Value> {
        Some(schema::output::<T>())
    }
}

impl<T: IntoAnswer, E: Display> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Answer {
        match self {
            Ok(value) => value.into_answer(),
            // The long form: libraries for errors show their causes in it.
            Err(error) => Answer::error(format!("{error:#}")),
        }
    }

    fn schema() -> Option<Value> {
        T::schema()
    }
}

macro_rules! plain {
    ($($ty:ty),*) => {
        $(impl IntoAnswer for $ty {
            fn into_answer(self) -> Answer {
                let value = json!(self);
                // JSON has no infinity.
                if value.is_null() {
                    return Answer::error(format!("the answer is {self}, which is no number in JSON"));
                }
                Answer { structured: Some(json!({ "result": value })), ..Answer::text(self.to_string()) }
            }

            fn schema() -> Option<Value> {
                Some(schema::output::<$ty>())
            }
        })*
    };
}

plain!(bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_answer_is_what_a_client_expects() {
        assert_eq!("x".into_answer().to_text(), "x");
        assert_eq!(().into_answer(), Answer::new());
        assert_eq!(3.into_answer().structured, Some(json!({ "result": 3 })));
        assert_eq!(Json(vec![1, 2]).into_answer().structured, Some(json!({ "result": [1, 2] })));
        assert_eq!(Json(json!({ "a": 1 })).into_answer().structured, Some(json!({ "a": 1 })));
        assert!(Image::png(vec![1]).into_answer().to_text().is_empty());
        let failed = Err::<String, _>("no").into_answer();
        assert!(failed.is_error && failed.to_text() == "no");
        assert!(f64::NAN.into_answer().is_error && f32::INFINITY.into_answer().is_error);
    }

    #[test]
    fn what_cannot_be_json_is_an_error() {
        let map = std::collections::HashMap::from([(vec![1], 1)]);
        assert!(serde_json::to_value(&map).is_err());
        struct Odd;
        impl Serialize for Odd {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("odd"))
            }
        }
        impl JsonSchema for Odd {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Odd".into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                true.into()
            }
        }
        assert!(Json(Odd).into_answer().is_error);
    }
}
