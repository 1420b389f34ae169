//! A plugin author's project: what `toolbay new` writes, how `toolbay build` makes a component of it, and the cases that `toolbay test` calls.

mod borrowed_names;
pub mod build;
mod c;
mod c_toolchain;
pub mod cases;
mod embedded;
mod javascript;
pub mod language;
pub mod project;
mod python;
mod rust;
pub mod scaffold;
mod tools;
mod world;

/// Why something cannot be done for an author: what was tried, on what, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AuthorError(String);

impl AuthorError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self(format!("cannot {what} {}: {error}", path.display()))
    }
}
