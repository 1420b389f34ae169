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
    author::{
        build::grant,
        project::{Effort, Project},
    },
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
        let seen = Seen::of(&folder);
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

/// The same component under other grants.
fn granted(folder: &Path) {
    if let Err(error) = Project::open(folder).and_then(|project| grant(&project, &project.folder.join(OUT))) {
        eprintln!("error: {error}");
    }
}

fn rebuild(folder: &Path, mut seen: Seen) {
    loop {
        std::thread::sleep(LOOK);
        let now = Seen::of(folder);
        if now.code != seen.code {
            built(folder);
        } else if now.settings != seen.settings {
            granted(folder);
        }
        seen = now;
    }
}

/// Numbers that are others when files of the project are.
struct Seen {
    /// Of what the component is made from.
    code: u64,
    /// Of what it may do.
    settings: u64,
}

impl Seen {
    fn of(folder: &Path) -> Self {
        let sidecar = Project::open(folder).map(|project| format!("{}.toml", project.name)).unwrap_or_default();
        let (mut code, mut settings) = (DefaultHasher::new(), DefaultHasher::new());
        let settings_of = ["toolbay.toml", &sidecar].map(|name| folder.join(name));
        for path in &settings_of {
            fs::read(path).ok().hash(&mut settings);
        }
        look(folder, &settings_of, &mut code);
        Self { code: code.finish(), settings: settings.finish() }
    }
}

fn look(folder: &Path, others: &[PathBuf], hasher: &mut DefaultHasher) {
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
            look(&entry.path(), others, hasher);
        } else if shown != "Cargo.lock" && !others.contains(&entry.path()) {
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
        file("Cargo.toml", "[package]\nname = \"greeter\"");
        let seen = || {
            let Seen { code, settings } = Seen::of(folder.path());
            (code, settings)
        };
        let before = seen();
        for made in ["target/x", "dist/a.wasm", ".toolbay/x", "node_modules/a/b.js", "venv/lib/x.py", "Cargo.lock"] {
            file(made, "x");
            assert_eq!(seen(), before, "{made}");
        }
        file("src/lib.rs", "ab");
        let changed = seen();
        assert!(changed.0 != before.0 && changed.1 == before.1);
        // What it is granted needs no other component.
        for settings in ["greeter.toml", "toolbay.toml"] {
            let before = seen();
            file(settings, "http = []");
            assert!(seen().0 == before.0 && seen().1 != before.1, "{settings}");
        }
    }
}
