//! `toolbay dev`: build, serve, and build again whenever a file of the project changes.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Failure, Outcome,
    build::{OUT, build_now},
    runtime, serve,
};
use crate::{
    app::{AppOptions, ConfigSource},
    author::project::{Effort, Project},
    config::{self, Loaded, Overrides},
    descriptors,
    servers::Run,
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Serves the project at http://127.0.0.1:8000/mcp and builds it again when a file changes: the next call runs the new
version. The terminal shows what the plugin prints and logs, and how long each call took. toolbay.toml of the project is
its configuration, and NAME.toml says what the plugin is granted.

  toolbay dev
  toolbay dev greeter --listen 127.0.0.1:9000"#;

/// How often the project is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Folders that hold what is made, and not what it is made from.
const MADE: [&str; 6] = ["target", "node_modules", OUT, "__pycache__", "tests", "venv"];

/// What is logged: each call and all that the plugin says.
const SHOWN: &str = "warn,toolbay=info,toolbay::plugin=debug,toolbay::dispatch=debug,rmcp=off";

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Dev {
    pub(super) fn run(self) -> Outcome {
        let project = Project::open(&self.dir)?;
        let out = project.folder.join(OUT);
        fs::create_dir_all(&out).map_err(|error| Failure::failed(format!("cannot create the folder {}: {error}", out.display())))?;
        let listen = self
            .listen
            .as_ref()
            .map(|listen| config::parse_listen(listen).map_err(|error| Failure::usage(format!("--listen {listen}: {error}"))));
        let path = Some(project.folder.join("toolbay.toml")).filter(|path| path.is_file());
        // The next build comes soon, and needs the processors more than the code that it replaces.
        let overrides = Overrides { plugins: Some(out), listen: listen.transpose()?, first_code: true, ..Overrides::default() };
        let source = ConfigSource { path, overrides };
        let Loaded { config, files } = source.load();
        let config = config?;
        let _logs = telemetry::init_terminal(SHOWN).map_err(Failure::usage)?;
        let folder = project.folder.clone();
        let seen = fingerprint(&folder);
        built(&folder);
        // It ends with the process: there is nothing that it would leave behind.
        std::thread::Builder::new()
            .name("rebuild".to_owned())
            .spawn(move || rebuild(&folder, seen))
            .map_err(|error| Failure::failed(format!("cannot start the thread that builds: {error}")))?;
        descriptors::raise();
        let options = AppOptions { run: Run::Serve, folder_required: true, insecure: false, follows: false };
        runtime()?.block_on(serve::serve(config, options, source, files, None))
    }
}

/// Builds, and says what is wrong where it cannot: the last good version is served on.
fn built(folder: &Path) {
    if let Err(failure) = build_now(folder, None, Effort::Quick) {
        eprintln!("error: {}", failure.message);
    }
}

fn rebuild(folder: &Path, mut seen: u64) {
    loop {
        std::thread::sleep(LOOK);
        let now = fingerprint(folder);
        if now != seen {
            seen = now;
            built(folder);
        }
    }
}

/// A number that is another one when a file of the project is.
fn fingerprint(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    look(folder, &mut hasher);
    hasher.finish()
}

fn look(folder: &Path, hasher: &mut DefaultHasher) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if shown.starts_with('.') || MADE.contains(&&*shown) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            look(&entry.path(), hasher);
        } else if shown != "Cargo.lock" {
            (entry.path(), metadata.len(), metadata.modified().ok()).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_plugin_is_made_from_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("src/lib.rs", "a");
        let before = fingerprint(folder.path());
        for made in ["target/x", "dist/a.wasm", ".toolbay/x", "node_modules/a/b.js", "Cargo.lock"] {
            file(made, "x");
            assert_eq!(fingerprint(folder.path()), before, "{made}");
        }
        file("src/lib.rs", "ab");
        let changed = fingerprint(folder.path());
        assert_ne!(changed, before);
        file("greeter.toml", "http = []");
        assert_ne!(fingerprint(folder.path()), changed);
    }
}
