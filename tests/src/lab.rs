//! Real clients and the official conformance suite, as `scripts/lab.sh` installs them.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{files, secs};

/// The installed lab.
pub struct Lab {
    folder: PathBuf,
}

impl Lab {
    /// Finds it (`TOOLBAY_LAB`), and installs it where it is not there.
    ///
    /// # Panics
    ///
    /// With what the script said, when it cannot be installed.
    #[must_use]
    pub fn find() -> Self {
        if let Some(folder) = std::env::var_os("TOOLBAY_LAB") {
            return Self { folder: PathBuf::from(folder) };
        }
        let output = std::process::Command::new(files::root().join("scripts/lab.sh")).output().expect("scripts/lab.sh can be started");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "scripts/lab.sh failed:\n{}", String::from_utf8_lossy(&output.stderr));
        Self { folder: PathBuf::from(said.lines().last().expect("its last line is the folder")) }
    }

    /// The folder itself, for `toolbay check --clients=FOLDER`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    fn node(&self) -> PathBuf {
        let bin = |arch: &str| self.modules().join(format!("node-linux-{arch}/bin/node"));
        [bin("x64"), bin("arm64")].into_iter().find(|node| node.exists()).expect("the lab has a Node for this machine")
    }

    /// Envoy, which may not be installed.
    pub(crate) fn envoy(&self) -> PathBuf {
        self.folder.join("envoy/bin/envoy")
    }

    /// The command of an MCP server from npm, `@modelcontextprotocol/server-NAME`.
    #[must_use]
    pub fn node_server(&self, name: &str, arguments: &[&str]) -> Vec<String> {
        let script = self.modules().join(format!("@modelcontextprotocol/server-{name}/dist/index.js"));
        words(&[&self.node().display().to_string(), &script.display().to_string()], arguments)
    }

    /// The command of an MCP server from PyPI, by its module.
    #[must_use]
    pub fn python_server(&self, module: &str, arguments: &[&str]) -> Vec<String> {
        words(&[&self.folder.join("python/bin/python").display().to_string(), "-m", module], arguments)
    }

    /// A client script of `tests/clients`: Node for `.mjs`, Python for `.py`.
    ///
    /// Node looks for packages from the script's own folder, so the script is copied beside a link to them.
    pub async fn client(&self, script: &str, arguments: &[&str]) -> Ran {
        self.script("python", script, arguments).await
    }

    /// The same with the Python SDK 1.x and the tool converters of the model APIs.
    pub async fn converters(&self, script: &str, arguments: &[&str]) -> Ran {
        self.script("converters", script, arguments).await
    }

    /// The same with the Python SDK that the tutorials pin. None: it is not installed, which CI does not accept.
    pub async fn tutorial(&self, script: &str, arguments: &[&str]) -> Option<Ran> {
        if !self.folder.join("tutorial/ready").exists() {
            assert!(std::env::var_os("CI").is_none(), "the lab lacks mcp 1.11: run scripts/lab.sh");
            eprintln!("skipped: the lab lacks mcp 1.11: run scripts/lab.sh");
            return None;
        }
        Some(self.script("tutorial", script, arguments).await)
    }

    /// A script of `tests/clients` that may take so long.
    pub async fn long_client(&self, script: &str, arguments: &[&str], patience: Duration) -> Ran {
        let (mut command, folder) = self.command("python", script);
        command.args(arguments);
        run_for(command, folder, patience).await
    }

    async fn script(&self, python: &str, script: &str, arguments: &[&str]) -> Ran {
        let (mut command, folder) = self.command(python, script);
        command.args(arguments);
        run(command, folder).await
    }

    /// A script of `tests/clients` that runs until it is dropped, once it has said that it is ready.
    ///
    /// # Panics
    ///
    /// Where it ends before, or says something else.
    pub async fn running(&self, script: &str, arguments: &[&str]) -> Running {
        let (mut command, folder) = self.command("python", script);
        command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = tokio::time::timeout(secs(60), lines.next_line()).await.expect("it says something within 60 s").expect("text");
        assert_eq!(first.as_deref(), Some("ready"), "{script}");
        Running { _child: child, _output: lines, _folder: folder }
    }

    fn command(&self, python: &str, script: &str) -> (Command, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clients = files::root().join("tests/clients");
        let copy = folder.path().join(script);
        // Those that `toolbay check --clients` runs as well are part of it.
        let places = ["tests/clients", "host/src/cli/clients"].map(|place| files::root().join(place).join(script));
        let script_file = places.iter().find(|place| place.exists()).expect("the script is there");
        std::fs::copy(script_file, &copy).expect("the script can be copied");
        // What scripts import.
        for shared in ["oauth_browser.mjs", "dpop.mjs"] {
            std::fs::copy(clients.join(shared), folder.path().join(shared)).expect("it can be copied");
        }
        let mut command = if Path::new(script).extension().is_some_and(|ext| ext == "py") {
            Command::new(self.folder.join(python).join("bin/python"))
        } else {
            std::os::unix::fs::symlink(self.modules(), folder.path().join("node_modules")).expect("a link to the packages");
            Command::new(self.node())
        };
        command.arg(&copy);
        (command, folder)
    }

    /// The Inspector's command line.
    pub async fn inspector(&self, arguments: &[&str]) -> Ran {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(self.node());
        command.arg(self.modules().join("@modelcontextprotocol/inspector/clients/launcher/build/index.js")).arg("--cli").args(arguments);
        command.env("HOME", folder.path());
        run(command, folder).await
    }

    /// Every scenario of the conformance suite that a revision requires, and those that it does not score.
    pub async fn requirements(&self, url: &str, revision: &str) -> Ran {
        self.suite(&["--url", url, "--requirements", revision]).await
    }

    /// One scenario of the conformance suite, at a revision. The second value is what it says of each check.
    pub async fn conformance(&self, url: &str, revision: &str, scenario: &str) -> Ran {
        self.suite(&["--url", url, "--scenario", scenario, "--spec-version", revision]).await
    }

    async fn suite(&self, arguments: &[&str]) -> Ran {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(self.node());
        command
            .arg(self.modules().join("@modelcontextprotocol/conformance/dist/index.js"))
            .args(["server", "--timeout", "30000"])
            .args(arguments)
            .current_dir(folder.path());
        run(command, folder).await
    }
}

/// A script that runs.
pub struct Running {
    _child: Child,
    /// Kept open: a script that writes more would end by a broken pipe.
    _output: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

/// A client that has ended.
pub struct Ran {
    /// Whether it was content.
    pub success: bool,
    /// What it wrote to stdout.
    pub stdout: String,
    /// Both outputs, for a message.
    pub all: String,
}

/// Without colours: the conformance suite writes them whatever it is told.
fn plain(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').strip_prefix('m').unwrap_or(part)
    })
}

async fn run(command: Command, folder: TempDir) -> Ran {
    run_for(command, folder, secs(240)).await
}

async fn run_for(mut command: Command, _folder: TempDir, patience: Duration) -> Ran {
    command.env("NO_PROXY", "*").env("no_proxy", "*").stdin(Stdio::null()).kill_on_drop(true);
    // With CI set they would write colours, terminal or not.
    command.env("NO_COLOR", "1").env_remove("CI");
    let output = tokio::time::timeout(patience, command.output()).await;
    let output: Output = output.unwrap_or_else(|_| panic!("the client still runs after {patience:?}")).expect("it can be started");
    let stdout = plain(&output.stdout);
    let all = format!("{stdout}\n{}", plain(&output.stderr));
    Ran { success: output.status.success(), stdout, all }
}

fn words(first: &[&str], rest: &[&str]) -> Vec<String> {
    first.iter().chain(rest).map(|word| (*word).to_owned()).collect()
}
