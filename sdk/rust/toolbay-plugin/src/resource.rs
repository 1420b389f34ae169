//! What a client can read: resources, and templates of their addresses.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use crate::{Body, Ctx, Image, Json};

/// A resource or a template, as `#[resource]` describes it.
#[derive(Clone, Copy)]
pub struct Resource {
    /// Its address, or an RFC 6570 template of it.
    pub uri: &'static str,
    /// A name for programs.
    pub name: &'static str,
    /// A name for people.
    pub title: Option<&'static str>,
    /// What it is and what it is good for.
    pub description: Option<&'static str>,
    /// Such as `text/plain`.
    pub mime_type: Option<&'static str>,
    /// Reads what is at an address.
    pub read: fn(&Ctx<'_>, &str) -> Read,
    /// Values for a variable that begin so. None: it offers none.
    pub complete: fn(&str, &str) -> Option<Vec<String>>,
}

impl Resource {
    /// Whether it stands for many addresses.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.uri.contains('{')
    }
}

/// What came of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The address is another one's.
    Elsewhere,
    /// There is no such resource.
    Missing,
    /// What it holds.
    Contents(Vec<Contents>),
    /// It could not be read.
    Failed(String),
}

/// What was read: one piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its address. None: the one that was asked for.
    pub uri: Option<String>,
    /// Such as `text/plain`. None: what `#[resource]` says.
    pub mime_type: Option<String>,
    /// Text or bytes.
    pub body: Body,
}

impl Contents {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { uri: None, mime_type: None, body: Body::Text(text.into()) }
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { uri: None, mime_type: None, body: Body::Bytes(bytes.into()) }
    }

    /// At an address below the one that was asked for.
    #[must_use]
    pub fn at(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }
}

/// What a resource's function may return.
#[diagnostic::on_unimplemented(
    message = "a resource cannot return `{Self}`",
    label = "return text, `Vec<u8>`, `Json<…>`, `Image`, `Contents`, or an `Option` or a `Result` of these"
)]
pub trait IntoRead {
    /// What came of it.
    fn into_read(self) -> Read;
}

impl IntoRead for Contents {
    fn into_read(self) -> Read {
        Read::Contents(vec![self])
    }
}

impl IntoRead for Vec<Contents> {
    fn into_read(self) -> Read {
        Read::Contents(self)
    }
}

impl IntoRead for String {
    fn into_read(self) -> Read {
        Contents::text(self).into_read()
    }
}

impl IntoRead for &str {
    fn into_read(self) -> Read {
        Contents::text(self).into_read()
    }
}

impl IntoRead for Vec<u8> {
    fn into_read(self) -> Read {
        Contents::bytes(self).into_read()
    }
}

impl IntoRead for Image {
    fn into_read(self) -> Read {
        Contents { mime_type: Some(self.mime_type), ..Contents::bytes(self.data) }.into_read()
    }
}

impl<T: Serialize> IntoRead for Json<T> {
    fn into_read(self) -> Read {
        match serde_json::to_value(self.0).map(|value: Value| value.to_string()) {
            Ok(text) => Contents { mime_type: Some("application/json".to_owned()), ..Contents::text(text) }.into_read(),
            Err(error) => Read::Failed(format!("it cannot be written as JSON: {error}")),
        }
    }
}

impl<T: IntoRead> IntoRead for Option<T> {
    fn into_read(self) -> Read {
        self.map_or(Read::Missing, T::into_read)
    }
}

impl<T: IntoRead, E: Display> IntoRead for Result<T, E> {
    fn into_read(self) -> Read {
        self.map_or_else(|error| Read::Failed(format!("{error:#}")), T::into_read)
    }
}

/// The values of a template's variables in an address: `{name}` ends at `/`, `?` and `#`, `{+name}` does not. None: the address does not fit. For the macros only.
#[doc(hidden)]
#[must_use]
pub fn matched(template: &str, uri: &str) -> Option<Vec<(String, String)>> {
    let Some((before, rest)) = template.split_once('{') else { return (template == uri).then(Vec::new) };
    let uri = uri.strip_prefix(before)?;
    let (name, after) = rest.split_once('}')?;
    let (name, crosses) = name.strip_prefix('+').map_or((name, false), |name| (name, true));
    let end = if crosses { uri.len() } else { uri.find(['/', '?', '#']).unwrap_or(uri.len()) };
    // The longest value for which the rest fits.
    uri.char_indices().map(|(at, _)| at).chain([uri.len()]).filter(|at| (1..=end).contains(at)).rev().find_map(|at| {
        let (value, behind) = uri.split_at(at);
        let mut values = matched(after, behind)?;
        values.insert(0, (name.to_owned(), decoded(value)?));
        Some(values)
    })
}

/// Without `%20` and its like.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(template: &str, uri: &str) -> Option<Vec<String>> {
        matched(template, uri).map(|values| values.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn an_address_fits_a_template_or_does_not() {
        assert_eq!(values("note:///a", "note:///a"), Some(vec![]));
        assert_eq!(values("note:///a", "note:///b"), None);
        assert_eq!(values("note:///{name}", "note:///a%20b"), Some(vec!["a b".to_owned()]));
        assert_eq!(values("note:///{name}", "note:///a/b"), None);
        assert_eq!(values("note:///{name}", "note:///"), None);
        assert_eq!(values("file:///{+path}", "file:///a/b.txt"), Some(vec!["a/b.txt".to_owned()]));
        assert_eq!(values("{a}://{b}.txt", "x://y.z.txt"), Some(vec!["x".to_owned(), "y.z".to_owned()]));
        assert_eq!(values("u:///{a}/{b}", "u:///é/%C3%A9"), Some(vec!["é".to_owned(), "é".to_owned()]));
        for broken in ["u:///%", "u:///%4", "u:///%zz", "u:///%ff"] {
            assert_eq!(values("u:///{a}", broken), None, "{broken}");
        }
    }

    #[test]
    fn each_kind_of_contents_is_what_a_client_expects() {
        assert_eq!("x".into_read(), Read::Contents(vec![Contents::text("x")]));
        assert_eq!(None::<String>.into_read(), Read::Missing);
        assert_eq!(Err::<String, _>("no").into_read(), Read::Failed("no".to_owned()));
        assert_eq!(Ok::<_, String>(Some(vec![1u8])).into_read(), Read::Contents(vec![Contents::bytes([1])]));
        let json = Json(serde_json::json!({ "a": 1 })).into_read();
        assert_eq!(json, Read::Contents(vec![Contents { mime_type: Some("application/json".into()), ..Contents::text("{\"a\":1}") }]));
    }
}
