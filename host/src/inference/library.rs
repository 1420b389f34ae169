//! ONNX Runtime's library: where it is looked for, and how it is taken into the process once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ort::environment::Environment;

/// The oldest version that is taken: `1.23`, by the API that the host is built against.
const LEAST: u32 = ort::MINOR_VERSION;

/// What installs it.
const INSTALL: &str = "run  toolbay setup inference  (or scripts/onnxruntime.sh), or install it by your package manager, or set  library  in [inference] of toolbay.toml or the environment variable ORT_DYLIB_PATH to the path of libonnxruntime.so";

/// Why there is no ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It is nowhere.
    #[error("models need ONNX Runtime 1.{LEAST} or later, which is not installed (looked for {}); {INSTALL}", looked(tried))]
    Missing {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// It is where it was named, and cannot be taken.
    #[error("cannot load ONNX Runtime from {}, which is named by {source_of}: {reason}; models need version 1.{LEAST} or later for this machine: {INSTALL}", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// Who named it.
        source_of: String,
        /// What is wrong.
        reason: String,
    },
}

fn looked(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A place where the library may be.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Who named it. None: nobody, so that the next place is looked at where nothing is there.
    named: Option<&'static str>,
}

/// Takes the library into this process. A process has one: later calls get the same, whatever they name.
///
/// # Errors
///
/// [`LibraryError`]; a later call tries again.
pub(super) fn load(configured: Option<&Path>) -> Result<Environment, LibraryError> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let places = places(configured, &|name| env::var_os(name).map(PathBuf::from));
    let place = find(&places)?;
    let unusable = |reason: String| LibraryError::Unusable {
        path: place.path.clone(),
        source_of: place.named.unwrap_or("the search for it").to_owned(),
        reason,
    };
    // By the path of the file itself: what runs a GPU lies beside it, and is looked for beside the path by which the library was loaded.
    let path = fs::canonicalize(&place.path).map_err(|error| unusable(error.to_string()))?;
    let builder = ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    let environment = builder
        .with_name("toolbay")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, category: &str, id: &str, _: &str, message: &str| log(level, category, id, message)))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Warning);
    tracing::info!(library = %path.display(), "ONNX Runtime loaded");
    *loaded = Some(environment.clone());
    Ok(environment)
}

/// What the library says goes where our own log goes. Its errors are told to whoever asked, so that here they are details.
fn log(level: ort::logging::LogLevel, category: &str, id: &str, message: &str) {
    use ort::logging::LogLevel::{Error, Fatal, Warning};
    match level {
        Fatal => tracing::error!(category, id, "{message}"),
        Error | Warning => tracing::debug!(category, id, "{message}"),
        _ => tracing::trace!(category, id, "{message}"),
    }
}

/// The first place where something is.
fn find(places: &[Place]) -> Result<&Place, LibraryError> {
    for place in places {
        match (fs::metadata(&place.path), place.named) {
            (Ok(found), _) if found.is_file() => return Ok(place),
            (_, None) => {}
            (found, Some(named)) => {
                let reason = found.map_or_else(|error| error.to_string(), |_| "it is not a file; name the library itself".to_owned());
                return Err(LibraryError::Unusable { path: place.path.clone(), source_of: named.to_owned(), reason });
            }
        }
    }
    Err(LibraryError::Missing { tried: places.iter().map(|place| place.path.clone()).collect() })
}

/// Where to look, in order: the configuration, the environment, our cache, and where package managers put libraries.
fn places(configured: Option<&Path>, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<Place> {
    let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    let mut places = Vec::new();
    if let Some(path) = configured {
        places.push(Place { path: path.to_owned(), named: Some("[inference] library") });
    }
    if let Some(path) = set("ORT_DYLIB_PATH") {
        places.push(Place { path, named: Some("the environment variable ORT_DYLIB_PATH") });
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    places.extend(cache.map(|cache| Place { path: cache.join("toolbay/onnxruntime").join(FILE), named: None }));
    // Debian and Fedora, by hand, Homebrew, Arch.
    let arch = env::consts::ARCH;
    for folder in [&*format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib", "/usr/lib"] {
        places.push(Place { path: Path::new(folder).join(FILE), named: None });
        // Distributions give the name without a version to developers only.
        places.extend(versions(Path::new(folder)).map(|path| Place { path, named: None }));
    }
    places
}

const FILE: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// `libonnxruntime.so.1.23` and the like.
fn versions(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so.")))
        .collect();
    found.sort();
    found.into_iter().rev()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_looked_for_from_the_nearest_word_to_the_farthest() {
        let folder = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "ORT_DYLIB_PATH" => Some(PathBuf::from("/named/libonnxruntime.so")),
            "HOME" => Some(folder.path().to_owned()),
            _ => None,
        };
        let places = places(Some(Path::new("/configured/x.so")), &variable);
        let paths: Vec<_> = places.iter().map(|place| place.path.clone()).take(3).collect();
        let cached = folder.path().join(".cache/toolbay/onnxruntime").join(FILE);
        assert_eq!(paths, [Path::new("/configured/x.so"), Path::new("/named/libonnxruntime.so"), &cached]);
        assert!(places.iter().any(|place| place.path.starts_with("/usr/lib")), "{places:?}");

        fs::create_dir_all(cached.parent().unwrap()).unwrap();
        fs::write(&cached, "").unwrap();
        assert_eq!(find(&places[2..]).unwrap().path, cached);
        let message = find(&places).unwrap_err().to_string();
        assert!(
            message.contains("cannot load ONNX Runtime from /configured/x.so, which is named by [inference] library: No such file"),
            "{message}"
        );
    }

    #[test]
    fn where_there_is_none_it_is_said_how_to_get_it() {
        let nowhere = Place { path: "/not-there/libonnxruntime.so".into(), named: None };
        let message = find(&[nowhere]).unwrap_err().to_string();
        for part in ["ONNX Runtime 1.23 or later", "/not-there/libonnxruntime.so", "toolbay setup inference", "ORT_DYLIB_PATH"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
