//! The languages that a project can be in, and the two ways to be a plugin.

use std::path::Path;

use super::AuthorError;

/// The flags of a project in C.
const FLAGS: &str = "compile_flags.txt";

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
    /// C, by clang
    C,
}

/// How a plugin offers its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Tools that the code describes, with the SDK of the language
    Tools,
    /// Plain functions that a WIT file describes
    Typed,
    /// A server of MCP over HTTP, which the code is itself
    Http,
}

impl Kind {
    /// Every one: each language has each of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Typed, Self::Http];
}

impl Language {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Js, Self::Ts, Self::Python, Self::C];

    /// The kind that is meant where none is said.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Rust | Self::Js | Self::Ts | Self::Python => Kind::Tools,
            Self::C => Kind::Typed,
        }
    }

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
        if has("src/plugin.c") || folder.join("wit").is_dir() && has(FLAGS) {
            return Ok(Self::C);
        }
        Err(AuthorError::new(format!(
            "there is no plugin project in {}: neither Cargo.toml, nor package.json, nor pyproject.toml, nor src/plugin.c; `toolbay new NAME --lang rust` makes one",
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
            Self::C => "c",
        }
    }
}
