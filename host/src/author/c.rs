//! C to a component: bindings of the project's WIT files, clang, and the host's own last step from a core module to a component.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use wit_bindgen_core::{Files, wit_parser::Resolve};

use super::{
    AuthorError,
    c_toolchain::Toolchain,
    embedded::C_SDK,
    project::Project,
    tools::{cannot_start, failed},
    world::{World, tailored, write},
};
use crate::wasm::compile::component_of_module;

/// The world's name in C: that of the header, and in the names of exported functions. So the SDK needs to know one name only.
const WORLD: &str = "plugin";

/// What the SDK uses. The component imports only what the code that is left uses.
const OF_SDK: [&str; 6] = ["calls", "client", "fetch", "log", "progress", "store"];

/// All that `imports` of the contract has.
const IMPORTS: [&str; 9] = ["calls", "client", "context", "fetch", "log", "notify", "progress", "store", "task"];

/// The folder of the author's code.
const CODE: &str = "src";

/// Flags of the author's own, which editors that use clangd read too.
const FLAGS: &str = "compile_flags.txt";

/// What is left of the module is what its exports reach: that is also what it imports.
const LINK: [&str; 6] = ["-mexec-model=reactor", "-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wl,--strip-debug"];

/// Builds the project, and says where the component is.
pub(super) fn build(project: &Project) -> Result<PathBuf, AuthorError> {
    let toolchain = Toolchain::find()?;
    let sources = sources(project)?;
    let world = World::read(&project.wit())?;
    let extra: Vec<String> = OF_SDK.iter().map(|name| format!("import toolbay:plugin/{name}@0.1.0")).collect();
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    let wit = tailored(project, &BTreeSet::from(IMPORTS.map(str::to_owned)), &extra, &[])?;
    let made = project.scratch().join("c");
    for (file, text) in C_SDK {
        write(&made.join(file), text)?;
    }
    let bindings = bindings(&wit, &world.name, &made)?;

    // Warnings are for the author's code: what is made here is compiled without.
    let object = |name: &str| made.join(format!("{name}.o"));
    let mut objects = Vec::new();
    let own = if world.exports("tools") { Some("tools") } else { None };
    for name in ["plugin", "toolbay"].into_iter().chain(own) {
        let (from, to) = (made.join(format!("{name}.c")), object(name));
        clang(&toolchain, project, |command| {
            command.args(["-w", "-O2", "-ffunction-sections", "-fdata-sections", "-c", "-I"]).arg(&made).arg(from).arg("-o").arg(&to);
        })?;
        objects.push(to);
    }
    let module = made.join("module.wasm");
    clang(&toolchain, project, |command| {
        command.args(flags(project)).arg("-I").arg(&made).args(LINK).args(&sources).args(&objects).arg(&bindings).arg("-o").arg(&module);
    })?;
    let bytes = fs::read(&module).map_err(|error| AuthorError::file("read", &module, &error))?;
    let component = component_of_module(&bytes).map_err(|why| AuthorError::new(format!("{}: {why}", module.display())))?;
    let path = project.scratch().join(format!("{}.wasm", project.name));
    fs::write(&path, component).map_err(|error| AuthorError::file("write", &path, &error))?;
    Ok(path)
}

/// Writes `plugin.h`, `plugin.c` and an object file that has the world in it, which is what is returned.
fn bindings(wit: &Path, world: &str, to: &Path) -> Result<PathBuf, AuthorError> {
    let fault = |error: &dyn std::fmt::Display| AuthorError::new(format!("there are no bindings for C of {}: {error}", wit.display()));
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_path(wit).map_err(|error| fault(&resolve.render_error(&error)))?;
    let id = resolve.select_world(&[package], Some(world)).map_err(|error| fault(&format_args!("{error:#}")))?;
    let options = wit_bindgen_c::Opts { rename_world: Some(WORLD.to_owned()), ..wit_bindgen_c::Opts::default() };
    let mut files = Files::default();
    options.build().generate(&mut resolve, id, &mut files).map_err(|error| fault(&format_args!("{error:#}")))?;
    let mut object = None;
    for (name, bytes) in files.iter() {
        let path = to.join(name);
        fs::write(&path, bytes).map_err(|error| AuthorError::file("write", &path, &error))?;
        if path.extension().is_some_and(|end| end == "o") {
            object = Some(path);
        }
    }
    object.ok_or_else(|| fault(&"the generator left no object file"))
}

/// Runs clang in the project's folder. What it says is shown as it comes: its warnings are worth reading.
fn clang(toolchain: &Toolchain, project: &Project, with: impl FnOnce(&mut Command)) -> Result<(), AuthorError> {
    let mut command = Command::new(&toolchain.clang);
    command.current_dir(&project.folder).stdin(Stdio::null()).stdout(Stdio::null());
    with(&mut command);
    // The last one counts, so that a target in the author's own flags, which is for the editor, does no harm.
    command.arg(format!("--target={}", toolchain.target));
    let status = command.status().map_err(|error| cannot_start(&toolchain.clang, &error))?;
    if status.success() { Ok(()) } else { Err(failed(&toolchain.clang, status)) }
}

/// Every C file in `src`, in the order of their names.
fn sources(project: &Project) -> Result<Vec<PathBuf>, AuthorError> {
    let folder = project.folder.join(CODE);
    let mut found = Vec::new();
    below(&folder, &mut found);
    found.sort();
    if found.is_empty() {
        return Err(AuthorError::new(format!("there is no code to build: {} has no file that ends with .c", folder.display())));
    }
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            below(&path, found);
        } else if path.extension().is_some_and(|end| end == "c") {
            found.push(path);
        }
    }
}

/// The author's own flags, one a line.
fn flags(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.folder.join(FLAGS)).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
