//! Why a request of a plugin is not done: a code for programs and a sentence for people.

/// What kind of failure it is: those of wasi-nn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A name, shape, type or length is wrong.
    InvalidArgument,
    /// The graph is in no form that is known here.
    InvalidEncoding,
    /// Out of time.
    Timeout,
    /// The runtime refused, or broke.
    Runtime,
    /// Nothing here can do that.
    Unsupported,
    /// Over a limit of size.
    TooLarge,
    /// There is no such model or file.
    NotFound,
    /// It is not granted.
    Security,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NnError {
    /// The kind.
    pub code: Code,
    /// What was tried, on what, and what to do.
    pub message: String,
}

impl NnError {
    /// A fault.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}
