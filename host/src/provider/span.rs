//! The trace that a call belongs to, as far as it is recorded: what is done for the call begins spans of its own.

use std::sync::Arc;

use super::CallContext;

/// Which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Something is done for a caller elsewhere.
    Server,
    /// Somebody elsewhere is asked to do something.
    Client,
    /// Something is done here.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SpanValue<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Number(i64),
}

impl<'a> From<&'a str> for SpanValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for SpanValue<'_> {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// A span that is recorded. It ends when the last of those who hold it lets it go.
pub trait Span: Send + Sync {
    /// Begins a span below it. `name`: its parts, in the order of the text.
    fn child(&self, kind: SpanKind, name: &[&str]) -> Arc<dyn Span>;
    /// Sets an attribute.
    fn set(&self, key: &'static str, value: SpanValue<'_>);
    /// Says that what it is about has failed: by a code, or a word from a short list.
    fn fail(&self, kind: &str);
    /// The digits of the id of its trace.
    fn trace_id(&self) -> [u8; 32];
    /// W3C `traceparent`, by which others belong to it.
    fn trace_parent(&self) -> Arc<str>;
}

impl CallContext {
    /// Begins a span of something that is done for this call, and has all that is done with this context belong to it. None: nothing is recorded.
    pub fn enter(&mut self, kind: SpanKind, name: &[&str]) -> Option<Arc<dyn Span>> {
        let span = self.span.as_ref()?.child(kind, name);
        self.span = Some(Arc::clone(&span));
        Some(span)
    }

    /// W3C `traceparent` for what is done for the call elsewhere: of its span, or else of its caller. Most calls need none, so that it is made where it is needed.
    #[must_use]
    pub fn trace_parent(&self) -> Option<Arc<str>> {
        self.span.as_ref().map(|span| span.trace_parent()).or_else(|| self.caller_trace.clone())
    }
}
