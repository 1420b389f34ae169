//! The world of a project: what it exports, and the same world with no more imports than its code uses.
//!
//! The engines of interpreted languages keep every import of a world in the component, so that a plugin would be said to ask people when it never does.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;
use wit_parser::{Resolve, Type, TypeDefKind, WorldItem};

use super::{AuthorError, embedded::CONTRACT, project::Project};

/// `include toolbay:plugin/imports@0.1.0;`, or `plugin`.
static INCLUDE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"include\s+toolbay:plugin/(imports|plugin)(@[0-9.]+)?\s*;").ok());

/// The beginning of a world.
static WORLD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*world\s+%?[a-z0-9-]+\s*\{").ok());

/// A world, as far as a build needs to know it.
pub(super) struct World {
    pub(super) name: String,
    pub(super) functions: Vec<Function>,
    /// Names of exported interfaces, without package and version.
    pub(super) interfaces: Vec<String>,
}

/// A plain function.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) error: FunctionError,
}

/// How a plain function can say that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FunctionError {
    /// It cannot.
    None,
    /// By the error of its `result`, a text.
    Text,
    /// By another error of its `result`.
    Other,
}

impl World {
    /// Reads the project's world: the only one of its package, or that of the name `plugin`.
    pub(super) fn read(wit: &Path) -> Result<Self, AuthorError> {
        let mut resolve = Resolve { all_features: true, ..Resolve::default() };
        let (package, _) = resolve.push_path(wit).map_err(|error| {
            AuthorError::new(format!("the WIT files in {} cannot be read: {}", wit.display(), resolve.render_error(&error).trim_end()))
        })?;
        let worlds = resolve.packages.get(package).map(|package| &package.worlds);
        let world = worlds.and_then(|worlds| worlds.get("plugin").or_else(|| worlds.values().next().filter(|_| worlds.len() == 1)));
        let Some(world) = world.and_then(|id| resolve.worlds.get(*id)) else {
            return Err(AuthorError::new(format!(
                "the WIT files in {} need one world, or one of the name `plugin` among several",
                wit.display()
            )));
        };
        let mut functions = Vec::new();
        let mut interfaces = Vec::new();
        for (key, item) in &world.exports {
            match item {
                WorldItem::Function(function) => {
                    functions.push(Function { name: function.name.clone(), error: function_error(&resolve, function.result) });
                }
                WorldItem::Interface { .. } => {
                    let name = resolve.name_world_key(key);
                    let name = name.rsplit('/').next().unwrap_or(&name);
                    interfaces.push(name.split('@').next().unwrap_or(name).to_owned());
                }
                WorldItem::Type { .. } => {}
            }
        }
        Ok(Self { name: world.name.clone(), functions, interfaces })
    }

    pub(super) fn exports(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|name| name == interface)
    }

    /// Whether a plain function is among what it exports, which the host describes by the docs in the WIT files.
    pub(super) fn has_functions(&self) -> bool {
        let known = ["tools", "resources", "prompts", "completion", "incoming-handler"];
        !self.functions.is_empty() || self.interfaces.iter().any(|name| !known.contains(&name.as_str()))
    }
}

fn function_error(resolve: &Resolve, result: Option<Type>) -> FunctionError {
    let Some(Type::Id(id)) = result else { return FunctionError::None };
    match resolve.types.get(id).map(|ty| &ty.kind) {
        Some(TypeDefKind::Result(result)) if matches!(result.err, Some(Type::String)) => FunctionError::Text,
        Some(TypeDefKind::Result(_)) => FunctionError::Other,
        Some(TypeDefKind::Type(ty)) => function_error(resolve, Some(*ty)),
        _ => FunctionError::None,
    }
}

/// Writes the project's WIT files, with `used` imports of the contract in place of all of them, and `extra` in every world, such as `import a:b/c` or
/// `export a:b/d`. `deps`: further packages, each a file and its text, where the project has not its own of that name and version.
pub(super) fn tailored(project: &Project, used: &BTreeSet<String>, extra: &[&str], deps: &[(&str, &str)]) -> Result<PathBuf, AuthorError> {
    let (from, to) = (project.wit(), project.scratch().join("wit"));
    let _ = fs::remove_dir_all(&to);
    let mut packages = BTreeSet::new();
    let mut known = |text: &str| packages.extend(package(text).map(str::to_owned));
    copy(&from, &to, &mut |text| tailor(text, used, extra), &mut known)?;
    let contract = to.join("deps/toolbay-plugin");
    let _ = fs::remove_dir_all(&contract);
    for (folder, files) in std::iter::once(("toolbay-plugin", CONTRACT)) {
        for (file, text) in files {
            write(&to.join("deps").join(folder).join(file), text)?;
        }
    }
    for (file, text) in deps.iter().filter(|(_, text)| package(text).is_none_or(|package| !packages.contains(package))) {
        // The project may have a file of that name for another version.
        write(&to.join("deps").join(format!("build-{file}")), text)?;
    }
    Ok(to)
}

fn tailor(text: &str, used: &BTreeSet<String>, extra: &[&str]) -> String {
    let (Some(include), Some(world)) = (&*INCLUDE, &*WORLD) else { return text.to_owned() };
    let imports: String = used.iter().map(|name| format!("import toolbay:plugin/{name}@0.1.0; ")).collect();
    let text = include.replace_all(text, |found: &regex::Captures<'_>| {
        let exports = if found.get(1).is_some_and(|what| what.as_str() == "plugin") { "export toolbay:plugin/tools@0.1.0;" } else { "" };
        format!("{imports}{exports}")
    });
    let missing: String = extra.iter().filter(|item| !text.contains(**item)).map(|item| format!(" {item};")).collect();
    world.replace_all(&text, |found: &regex::Captures<'_>| format!("{}{missing}", &found[0])).into_owned()
}

/// The name and version that a WIT file says its package has.
fn package(text: &str) -> Option<&str> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("package "))?;
    line.split_once(';').map(|(package, _)| package.trim())
}

fn copy(from: &Path, to: &Path, change: &mut dyn FnMut(&str) -> String, seen: &mut dyn FnMut(&str)) -> Result<(), AuthorError> {
    let entries = fs::read_dir(from).map_err(|error| AuthorError::file("read the folder", from, &error))?;
    for entry in entries.filter_map(Result::ok) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target, &mut str::to_owned, seen)?;
        } else if path.extension().is_some_and(|end| end == "wit") {
            let text = fs::read_to_string(&path).map_err(|error| AuthorError::file("read", &path, &error))?;
            seen(&text);
            write(&target, &change(&text))?;
        }
    }
    Ok(())
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), AuthorError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| AuthorError::file("create the folder", parent, &error))?;
    }
    fs::write(path, text).map_err(|error| AuthorError::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_keeps_only_the_imports_that_are_used() {
        let used = BTreeSet::from(["log".to_owned()]);
        let text = tailor(
            "package a:b;\nworld plugin {\n  include toolbay:plugin/plugin@0.1.0;\n}",
            &used,
            &["import toolbay:plugin/log@0.1.0", "import x:y/z"],
        );
        assert_eq!(
            text,
            "package a:b;\nworld plugin { import x:y/z;\n  import toolbay:plugin/log@0.1.0; export toolbay:plugin/tools@0.1.0;\n}"
        );
        let own = tailor("world w {\n  export f: func();\n}", &BTreeSet::new(), &["import x:y/z", "export f:g/h"]);
        assert_eq!(own, "world w { import x:y/z; export f:g/h;\n  export f: func();\n}");
    }
}
