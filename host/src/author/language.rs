//! The languages that a project can be in, and the two ways to be a plugin.

use std::path::Path;

use super::AuthorError;

/// What a project is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust, by cargo
    Rust,
    /// JavaScript, by QuickJS
    Js,
    /// TypeScript, by QuickJS
    Ts,
    /// Python, by componentize-py
    Python,
}

/// How a plugin offers its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Tools that the code describes, with the SDK of the language
    Tools,
    /// Plain functions that a WIT file describes
    Typed,
}

impl Language {
    /// The language of a folder, by the files in it.
    ///
    /// # Errors
    ///
    /// It has none of them.
    pub fn of(folder: &Path) -> Result<Self, AuthorError> {
        let has = |name: &str| folder.join(name).is_file();
        if has("Cargo.toml") {
            return Ok(Self::Rust);
        }
        if has("package.json") {
            return Ok(if has("tsconfig.json") { Self::Ts } else { Self::Js });
        }
        if has("pyproject.toml") || has("app.py") {
            return Ok(Self::Python);
        }
        Err(AuthorError::new(format!(
            "there is no plugin project in {}: neither Cargo.toml, nor package.json, nor pyproject.toml; `toolbay new NAME --lang rust` makes one",
            folder.display()
        )))
    }

    /// As `--lang` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
        }
    }
}
