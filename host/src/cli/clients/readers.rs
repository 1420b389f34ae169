//! Real clients and converters as they are installed, run over a file with the lists.

use std::{
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

/// The readers that run in Node.
const NODE: &str = include_str!("lint_tools.mjs");
/// The readers that run in Python.
const PYTHON: &str = include_str!("lint_tools.py");
/// How long one of them may take. Each gives up on a single tool far earlier.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of an error that are shown.
const SHOWN: usize = 600;

/// Where packages are looked for.
#[derive(Debug)]
pub(crate) struct Packages {
    folder: PathBuf,
    /// Whether the folder was named: then it is an error that nothing is there.
    named: bool,
}

/// What the readers found.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) readers: Vec<String>,
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// What a script prints.
#[derive(Deserialize)]
struct Said {
    readers: Vec<String>,
    problems: Vec<String>,
}

impl Packages {
    /// In this folder; None: in the current one.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        match folder {
            Some(folder) => Self { folder: folder.to_owned(), named: true },
            None => Self { folder: PathBuf::from("."), named: false },
        }
    }

    /// Runs all readers that are installed.
    pub(super) async fn read(&self, lists: &Value) -> Read {
        let mut read = Read::default();
        let made = Scratch::new().and_then(|folder| {
            std::fs::write(folder.0.join("lists.json"), lists.to_string())?;
            std::fs::write(folder.0.join("lint_tools.mjs"), NODE)?;
            std::fs::write(folder.0.join("lint_tools.py"), PYTHON)?;
            Ok(folder)
        });
        let folder = match made {
            Ok(folder) => folder,
            Err(error) => {
                read.problems.push(format!("the lists cannot be written for the readers: {error}"));
                return read;
            }
        };
        let at = folder.0.as_path();
        if let Some(modules) = self.node_modules() {
            // Node looks for packages beside the script.
            match std::os::unix::fs::symlink(&modules, at.join("node_modules")) {
                Ok(()) => run(&self.node(&modules), at, "lint_tools.mjs", &mut read).await,
                Err(error) => read.problems.push(format!("{} cannot be used: {error}", modules.display())),
            }
        }
        for python in self.pythons() {
            run(&python, at, "lint_tools.py", &mut read).await;
        }
        read.readers.dedup();
        if read.readers.is_empty() {
            let folder = self.folder.display();
            let what = format!(
                "no client's packages are installed in {folder}: `npm install @modelcontextprotocol/sdk @modelcontextprotocol/client ajv ajv-formats` \
                 and `python3 -m venv .venv && .venv/bin/pip install mcp jsonschema google-genai openai-agents anthropic` there, and \
                 `toolbay check --clients=FOLDER` runs them too"
            );
            if self.named { read.problems.push(what) } else { read.notes.push(what) }
        }
        read
    }

    fn node_modules(&self) -> Option<PathBuf> {
        std::fs::canonicalize(self.folder.join("node_modules")).ok().filter(|folder| folder.is_dir())
    }

    /// The Node that is installed beside the packages, else that of the PATH.
    fn node(&self, modules: &Path) -> PathBuf {
        let own = |arch: &str| modules.join(format!("node-linux-{arch}/bin/node"));
        [own("x64"), own("arm64")].into_iter().find(|node| node.exists()).unwrap_or_else(|| PathBuf::from("node"))
    }

    /// Every environment of Python in the folder, and below it, else that of the PATH where no folder was named.
    fn pythons(&self) -> Vec<PathBuf> {
        let here = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let below = std::fs::read_dir(&here).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut found: Vec<PathBuf> =
            [here.clone()].into_iter().chain(below).filter(|folder| folder.join("pyvenv.cfg").is_file()).collect();
        found.sort();
        found.iter_mut().for_each(|folder| folder.push("bin/python"));
        if found.is_empty() && !self.named {
            found.push(PathBuf::from("python3"));
        }
        found
    }
}

/// A folder that nobody else may look into, and that is gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("toolbay-clients-{}", std::process::id()));
        // It is an error that it is there: nobody else can have put something into it.
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, as other files in its folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs one script, and takes what it says.
async fn run(program: &Path, folder: &Path, script: &str, read: &mut Read) {
    let mut command = Command::new(program);
    command.arg(folder.join(script)).arg(folder.join("lists.json")).current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            read.notes.push(format!("{} cannot be started, and reads nothing: {error}", program.display()));
            return;
        }
        Err(_) => {
            read.problems.push(format!("{script} by {} did not end within {} s", program.display(), PATIENCE.as_secs()));
            return;
        }
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.lines().last().and_then(|line| serde_json::from_str::<Said>(line).ok()).filter(|_| output.status.success()) {
        Some(said) => {
            read.readers.extend(said.readers);
            read.problems.extend(said.problems);
        }
        None => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let shown: String = stderr.trim().chars().rev().take(SHOWN).collect::<Vec<_>>().into_iter().rev().collect();
            read.problems.push(format!("{script} by {} failed ({}): {shown}", program.display(), output.status));
        }
    }
}
