//! What is wrong with a configuration, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A configuration that cannot be used. It says everything that is wrong with a file, not only the
/// first thing.
///
/// No message, and no `Debug` output, shows the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}: {reason}; `toolbay lock --accept` writes a new one, if what is there now is to be accepted", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was read and is wrong.
    #[error("{}", lines(problems))]
    Invalid {
        /// All that is wrong, by place. Never empty.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// All that is wrong with the file's content; empty where it could not be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } | Self::Lock { .. } => &[],
            Self::Invalid { problems } => problems,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, and what is allowed instead.
    pub message: String,
    /// The line with a mark below it, where the text is no TOML. Values that may be secret are left
    /// out.
    pub excerpt: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        self.excerpt.as_ref().map_or(Ok(()), |excerpt| write!(f, "\n{excerpt}"))
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// The place of a byte of `text`.
pub(super) fn place(file: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let last = before.rsplit('\n').next().unwrap_or_default();
    Place { file: file.to_owned(), line: before.matches('\n').count() + 1, column: last.chars().count() + 1 }
}
