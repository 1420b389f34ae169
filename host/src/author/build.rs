//! `toolbay build`: a project to a component with its docs, in a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    AuthorError, c, javascript,
    language::Language,
    project::{Effort, Project},
    python, rust,
    world::World,
};
use crate::{
    wasm::typed::docs::{EmbedError, embed},
    whole_file,
};

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The component.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// What is not wrong but worth knowing.
    pub warnings: Vec<String>,
}

/// Builds a project into `folder`, as `NAME.wasm`. A `NAME.toml` of the project, which says what it is granted, is put beside it.
///
/// # Errors
///
/// [`AuthorError`]: something is missing, with the command that installs it; or the compiler's own error, which it printed.
pub fn build(project: &Project, folder: &Path, effort: Effort) -> Result<Built, AuthorError> {
    let made = match project.language {
        Language::Rust => rust::build(project, effort)?,
        Language::Js | Language::Ts => javascript::build(project)?,
        Language::Python => python::build(project)?,
        Language::C => c::build(project)?,
    };
    let mut component = fs::read(&made).map_err(|error| AuthorError::file("read", &made, &error))?;
    let mut warnings = Vec::new();
    let wit = project.wit();
    if wit.is_dir() {
        let world = World::read(&wit)?;
        if world.has_functions() {
            match embed(&component, &wit, Some(&world.name)) {
                Ok(with_docs) => component = with_docs,
                Err(error @ EmbedError::NoDocs { .. }) => warnings.push(error.to_string()),
                Err(error) => return Err(AuthorError::new(error.to_string())),
            }
        }
    }
    grant(project, folder)?;
    let path = folder.join(format!("{}.wasm", project.name));
    replace(&path, &component)?;
    Ok(Built { path, bytes: component.len(), warnings })
}

/// Puts what the project is granted beside its component, which need not be built again for that.
///
/// # Errors
///
/// A file cannot be read or written.
pub fn grant(project: &Project, folder: &Path) -> Result<(), AuthorError> {
    fs::create_dir_all(folder).map_err(|error| AuthorError::file("create the folder", folder, &error))?;
    if let Some(sidecar) = project.sidecar() {
        let text = fs::read(&sidecar).map_err(|error| AuthorError::file("read", &sidecar, &error))?;
        replace(&folder.join(format!("{}.toml", project.name)), &text)?;
    }
    Ok(())
}

/// Writes a file in one step, and only if it is another one: who watches the folder sees whole files, and no idle changes.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), AuthorError> {
    if fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    whole_file::write(path, bytes).map_err(|error| AuthorError::file("write", path, &error))
}
