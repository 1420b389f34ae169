//! What entries need to know of the file that they stand in.

use std::path::{Path, PathBuf};

use super::{super::source::Environment, inputs::Inputs};

/// What entries need to know of their file.
pub(super) struct File<'a> {
    pub(super) base: Base,
    /// Written for the Gemini CLI, which expands `$NAME` too.
    pub(super) is_gemini: bool,
    pub(super) environment: Environment<'a>,
    pub(super) inputs: Inputs<'a>,
}

/// Where relative paths go from.
pub(super) struct Base {
    /// The folder of the file, or the project that it belongs to.
    pub(super) folder: PathBuf,
    /// The project's folder, where the file is one of a project.
    pub(super) workspace: Option<PathBuf>,
}

/// Folders of a project in which editors keep such a file.
const PROJECT_FOLDERS: [&str; 8] = [".vscode", ".cursor", ".gemini", ".roo", ".kiro", ".zed", ".github", ".vs"];

/// Where relative paths in this file go from.
pub(super) fn base(path: &Path) -> Base {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let name = |folder: &Path| folder.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    // `.kiro/settings/mcp.json` is one deeper.
    let inner = if name(&folder).as_deref() == Some("settings") { folder.parent() } else { Some(&*folder) };
    let is_home = |folder: &Path| std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == folder);
    let project = inner
        .filter(|inner| name(inner).is_some_and(|name| PROJECT_FOLDERS.contains(&name.as_str())))
        .and_then(Path::parent)
        // `~/.cursor/mcp.json` is the user's, and of no project.
        .filter(|project| !is_home(project))
        .map(Path::to_owned);
    // Claude Code's and Visual Studio's file stands in the project's folder itself.
    let project = project.or_else(|| (path.file_name()? == ".mcp.json" && !is_home(&folder)).then(|| folder.clone()));
    Base { folder: project.clone().unwrap_or(folder), workspace: project }
}
