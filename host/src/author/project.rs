//! A project on disk: its folder, its language and its name.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

use super::{AuthorError, language::Language};

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// To be tried in a moment, and built again soon.
    Quick,
    /// To be kept.
    Whole,
}

/// The package of a WIT file.
static PACKAGE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*package\s+[a-z0-9-]+:([a-z0-9-]+)").ok());

/// A project that can be built.
#[derive(Clone, Debug)]
pub struct Project {
    /// An absolute path.
    pub folder: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// The plugin's name.
    pub name: String,
}

impl Project {
    /// Looks at a folder.
    ///
    /// # Errors
    ///
    /// It is none, or has no project in it.
    pub fn open(folder: &Path) -> Result<Self, AuthorError> {
        let folder = folder.canonicalize().map_err(|error| AuthorError::file("open the folder", folder, &error))?;
        let language = Language::of(&folder)?;
        let name = named(&folder, language).or_else(|| folder.file_name().map(|name| name.to_string_lossy().into_owned()));
        Ok(Self { name: name.unwrap_or_else(|| "plugin".to_owned()), folder, language })
    }

    /// Where the build puts what is needed in between.
    pub(super) fn scratch(&self) -> PathBuf {
        self.folder.join(".toolbay")
    }

    /// The folder of WIT files.
    pub(super) fn wit(&self) -> PathBuf {
        self.folder.join("wit")
    }

    /// What the plugin is granted while it is tried, if the project says so: it is put beside the component.
    pub(super) fn sidecar(&self) -> Option<PathBuf> {
        let path = self.folder.join(format!("{}.toml", self.name));
        path.is_file().then_some(path)
    }
}

/// The name that the package has.
fn named(folder: &Path, language: Language) -> Option<String> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let of_toml = |file: &str, table: &str| {
        let document: toml::Table = read(file)?.parse().ok()?;
        Some(document.get(table)?.get("name")?.as_str()?.to_owned())
    };
    let of_wit = || {
        let text = fs::read_dir(folder.join("wit")).into_iter().flatten().filter_map(Result::ok).find_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            Some(PACKAGE.as_ref()?.captures(&text)?.get(1)?.as_str().to_owned())
        });
        text.filter(|name| !name.is_empty())
    };
    let name = match language {
        Language::C => of_wit(),
        Language::Rust => of_toml("Cargo.toml", "package"),
        Language::Python => of_toml("pyproject.toml", "project"),
        Language::Js | Language::Ts => {
            let package: serde_json::Value = serde_json::from_str(&read("package.json")?).ok()?;
            // `@scope/name`
            package.get("name")?.as_str()?.rsplit('/').next().map(str::to_owned)
        }
    };
    name.filter(|name| !name.is_empty())
}
