//! Models for the suites: those of the repository, the library that runs them, and folders with changed files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Setup, files};

/// The folder of a model that the repository has.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    files::root().join("models").join(name)
}

/// A JSON file of such a folder.
///
/// # Panics
///
/// Where it is none.
#[must_use]
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH`, or where `scripts/onnxruntime.sh` puts it.
///
/// # Panics
///
/// Where it is not there.
#[must_use]
pub fn onnxruntime() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"))).expect("a home");
    let path = std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| cache.join("toolbay/onnxruntime/libonnxruntime.so"), PathBuf::from);
    assert!(path.exists(), "{} is not there: run scripts/onnxruntime.sh", path.display());
    path
}

/// A copy of a model's folder below the server's own, with each file that `change` answers something for replaced by that.
///
/// # Panics
///
/// Where it cannot be written.
pub fn copy(setup: &Setup, name: &str, to: &str, change: impl Fn(&str, Value) -> Option<Value>) {
    let into = setup.home().join(to);
    std::fs::create_dir(&into).expect("a folder");
    for entry in std::fs::read_dir(folder(name)).expect("the model's folder") {
        let path = entry.expect("an entry").path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()).filter(|_| path.is_file()) else { continue };
        let changed = Some(file).filter(|file| file.ends_with(".json")).and_then(|file| change(file, json(&path)));
        match changed {
            Some(json) => std::fs::write(into.join(file), json.to_string()).expect("it can be written"),
            None => {
                std::fs::copy(&path, into.join(file)).expect("it can be copied");
            }
        }
    }
}

/// With a library to run models.
#[must_use]
pub fn with_library(setup: Setup) -> Setup {
    let library = onnxruntime();
    setup.env("ORT_DYLIB_PATH", library.to_str().expect("a path in UTF-8"))
}

/// The model of sentences that `scripts/sentences.sh` makes. None: it is not there, which is said; under CI it has to be.
///
/// # Panics
///
/// Where it is missing under CI.
#[must_use]
pub fn sentences() -> Option<PathBuf> {
    let printed = std::process::Command::new(files::root().join("scripts/sentences.sh")).arg("--print").output().expect("the script runs");
    let folder = PathBuf::from(String::from_utf8(printed.stdout).expect("a path in UTF-8").trim());
    if folder.join("model.onnx").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there: run scripts/sentences.sh", folder.display());
    eprintln!("skipped: {} is not there; scripts/sentences.sh makes it", folder.display());
    None
}

/// `[model.NAME]` for a folder, granted to a plugin.
#[must_use]
pub fn section(name: &str, folder: &Path, plugin: &str) -> String {
    format!("[model.{name}]\npath = {:?}\nplugins = [{plugin:?}]\n", folder.to_str().expect("a path in UTF-8"))
}
