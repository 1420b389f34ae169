//! A running `toolbay serve` with a folder, a configuration and a port of its own, ended when it goes out of scope.

use std::{
    ffi::OsString,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::Notify,
};

use crate::{files, secs};

/// The first compilation of a large component on a busy machine takes this long at most.
const START: Duration = secs(120);

/// What a server is started with.
pub struct Setup {
    home: TempDir,
    config: String,
    env: Vec<(OsString, OsString)>,
    args: Vec<OsString>,
    listen: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// An empty folder, no configuration.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("toolbay-e2e-").tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join("plugins")).expect("a plugin folder");
        Self { home, config: String::new(), env: Vec::new(), args: Vec::new(), listen: "127.0.0.1:0".to_owned() }
    }

    /// The folder in which the configuration and `plugins/` lie.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The plugin folder.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home.path().join("plugins")
    }

    /// Adds a plugin that ships.
    #[must_use]
    pub fn plugin(self, name: &str) -> Self {
        self.file(&files::plugin(name), name)
    }

    /// Adds a plugin that is only for tests.
    #[must_use]
    pub fn test_plugin(self, name: &str) -> Self {
        self.file(&files::test_plugin(name), name)
    }

    /// Adds a component under a name.
    #[must_use]
    pub fn file(self, from: &Path, name: &str) -> Self {
        std::fs::copy(from, self.plugins().join(format!("{name}.wasm"))).expect("the plugin can be copied");
        self
    }

    /// Adds a file of these bytes to the plugin folder.
    #[must_use]
    pub fn bytes(self, file: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.plugins().join(file), bytes).expect("the plugin folder can be written");
        self
    }

    /// Appends to `toolbay.toml`.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds an argument to `toolbay serve`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Listens there and not on a free port of loopback.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// `toolbay` with this folder as the working directory, and the shared compile cache.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(files::binary());
        command
            .current_dir(self.home.path())
            .env("XDG_CACHE_HOME", files::cache())
            .env("NO_PROXY", "*")
            .env_remove("RUST_LOG")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn serve(&self) -> Command {
        self.write_config();
        let mut command = self.command();
        command.arg("serve").arg("--plugins").arg(self.plugins()).arg("--listen").arg(&self.listen).args(&self.args);
        command
    }

    fn write_config(&self) {
        let path = self.home.path().join("toolbay.toml");
        if !self.config.is_empty() && std::fs::read_to_string(&path).ok().as_ref() != Some(&self.config) {
            // As a whole: a host that runs reads it at any time.
            let beside = path.with_extension("toml.new");
            std::fs::write(&beside, &self.config).expect("the configuration can be written");
            std::fs::rename(&beside, &path).expect("it can be put in place");
        }
    }

    /// The server, started by something that passes it a listening socket, and prints its port: see `tests/servers/socket_unit.py`.
    #[must_use]
    pub fn by_socket_unit(&self) -> Command {
        let serve = self.serve();
        let serve = serve.as_std();
        let mut command = Command::new("python3");
        command.arg(files::root().join("tests/servers/socket_unit.py")).arg(serve.get_program()).args(serve.get_args());
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = serve.get_current_dir() {
            command.current_dir(folder);
        }
        command.stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// `toolbay stdio` with this folder and configuration.
    #[must_use]
    pub fn stdio(&self) -> Command {
        self.write_config();
        let mut command = self.command();
        command.arg("stdio").arg("--plugins").arg(self.plugins()).args(&self.args);
        command
    }

    /// The same as a list of words, for a client that starts it by itself, wherever that is.
    #[must_use]
    pub fn stdio_words(&self) -> String {
        self.write_config();
        let path = |path: &Path| path.display().to_string();
        let mut words = vec!["/usr/bin/env".to_owned(), format!("XDG_CACHE_HOME={}", path(&files::cache()))];
        words.extend(self.env.iter().map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy())));
        words.extend([path(&files::binary()), "stdio".to_owned(), "--plugins".to_owned(), path(&self.plugins())]);
        if !self.config.is_empty() {
            words.extend(["--config".to_owned(), path(&self.home.path().join("toolbay.toml"))]);
        }
        serde_json::Value::from(words).to_string()
    }

    /// Runs a subcommand in this folder to its end.
    pub async fn run<I, S>(&self, args: I) -> Finished
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        self.write_config();
        let mut command = self.command();
        command.args(args);
        finish(command).await
    }

    /// Runs `toolbay serve`, which is expected to end by itself.
    pub async fn refused(&self) -> Finished {
        finish(self.serve()).await
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Server {
        let server = self.start_unready().await;
        server.wait_ready().await;
        server
    }

    /// Starts the server and waits only until it listens.
    ///
    /// # Panics
    ///
    /// With the server's log, when it ends or says no address.
    pub async fn start_unready(self) -> Server {
        self.spawn().await.unwrap_or_else(|said| panic!("toolbay ended before it served:\n{said}"))
    }

    /// Starts the server, and waits for nothing.
    #[must_use]
    pub fn spawn_only(&self) -> Child {
        let mut command = self.serve();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary can be started")
    }

    /// Starts the server and waits until it is ready, or until it has ended with exit code 2.
    ///
    /// # Errors
    ///
    /// What it said, where it refuses its configuration.
    pub async fn start_or_refused(self) -> Result<Server, String> {
        let server = self.spawn().await?;
        server.wait_ready().await;
        Ok(server)
    }

    /// Fills the shared cache with optimised code of what is large, once for each content: which compiler's code serves is then the same in each run.
    /// What a test compiles into a cache of its own is its own concern.
    async fn warm(&self) {
        const LARGE: usize = 64 << 10;
        if self.config.contains("cache = ") || self.env.iter().any(|(name, _)| name == "XDG_CACHE_HOME") {
            return;
        }
        let binary = std::fs::metadata(files::binary()).and_then(|about| about.modified()).ok();
        for entry in std::fs::read_dir(self.plugins()).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_plugin = path.extension().is_some_and(|end| end == "wasm");
            let Some(bytes) = is_plugin.then(|| std::fs::read(&path).ok()).flatten().filter(|bytes| bytes.len() > LARGE) else { continue };
            let mut hasher = DefaultHasher::new();
            (bytes, binary).hash(&mut hasher);
            let told = files::cache().join(format!("warmed-{:016x}", hasher.finish()));
            if told.exists() {
                continue;
            }
            let mut check = self.command();
            check.env_remove("RUST_LOG").current_dir(self.plugins()).arg("check").arg(&path);
            // Whether it is a good one is for the test to find out.
            finish(check).await;
            // A folder that cannot be written to is warmed again by the next.
            let _ = std::fs::create_dir_all(files::cache()).and_then(|()| std::fs::write(told, ""));
        }
    }

    async fn spawn(self) -> Result<Server, String> {
        self.warm().await;
        let mut command = self.serve();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let logs = Arc::new(Logs::default());
        let out = Arc::new(Logs::default());
        tokio::spawn(copy_lines(child.stderr.take().expect("stderr is a pipe"), Arc::clone(&logs)));
        tokio::spawn(copy_lines(child.stdout.take().expect("stdout is a pipe"), Arc::clone(&out)));
        let line = tokio::select! {
            line = out.wait("the line with the endpoint", START, |line| line.contains("://") && line.contains("/mcp")) => line,
            status = child.wait() => {
                // What it said last may still be on its way.
                tokio::time::sleep(crate::millis(50)).await;
                let status = status.expect("its end can be awaited");
                let said = format!("{status}\n{}\n{}", out.text(), logs.text());
                assert_eq!(status.code(), Some(2), "toolbay ended before it served: {said}");
                return Err(said);
            }
        };
        let start = line.find("http").expect("the line was chosen for it");
        let url: String = line[start..].chars().take_while(|c| !c.is_whitespace()).collect();
        let base = url.trim_end_matches("/mcp").to_owned();
        let pid = child.id().expect("it runs");
        Ok(Server { url, base, pid, logs, out, child, setup: self })
    }
}

/// A process that has ended.
pub struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Asserts the exit code, and shows what was written where it is another.
    ///
    /// # Panics
    ///
    /// Where it is another.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "exit code\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Both outputs, for searching.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

async fn finish(mut command: Command) -> Finished {
    let output: Output =
        tokio::time::timeout(START, command.output()).await.expect("the command ends by itself").expect("it can be started");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A server that runs.
pub struct Server {
    /// `http://127.0.0.1:PORT/mcp`.
    pub url: String,
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    /// Its process.
    pub pid: u32,
    logs: Arc<Logs>,
    out: Arc<Logs>,
    child: Child,
    setup: Setup,
}

impl Server {
    /// The plugin folder.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.setup.plugins()
    }

    /// Where one plugin's file lies.
    #[must_use]
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        self.plugins().join(format!("{name}.wasm"))
    }

    /// The folder of the configuration.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.setup.home()
    }

    /// What it was started with, to run subcommands beside it.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The MCP endpoint of one provider: `http://127.0.0.1:PORT/NAME/mcp`.
    #[must_use]
    pub fn url_of(&self, provider: &str) -> String {
        format!("{}/{provider}/mcp", self.base)
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.logs.text()
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.out.text()
    }

    /// Waits for a line of the log.
    pub async fn wait_log(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.logs.wait(what, secs(20), wanted).await
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_ready(&self) {
        let http = crate::client::http();
        crate::eventually("/readyz answers 200", START, || async {
            let answer = http.get(format!("{}/readyz", self.base)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// `/status`.
    ///
    /// # Panics
    ///
    /// Where it answers anything but JSON.
    pub async fn status(&self) -> serde_json::Value {
        let text =
            crate::client::http().get(format!("{}/status", self.base)).send().await.expect("/status answers").text().await.expect("a body");
        serde_json::from_str(&text).expect("/status is JSON")
    }

    /// `/status`, as who has this token sees it.
    ///
    /// # Panics
    ///
    /// Where it answers anything but JSON.
    pub async fn status_as(&self, token: &str) -> serde_json::Value {
        let request = crate::client::http().get(format!("{}/status", self.base)).bearer_auth(token);
        let text = request.send().await.expect("/status answers").text().await.expect("a body");
        serde_json::from_str(&text).expect("/status is JSON")
    }

    /// One plugin's part of `/status`.
    pub async fn plugin_status(&self, name: &str) -> Option<serde_json::Value> {
        let status = self.status().await;
        status["plugins"].as_array()?.iter().find(|plugin| plugin["name"] == name).cloned()
    }

    /// Waits until `/status` says of a plugin what is wanted.
    pub async fn wait_plugin(&self, name: &str, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        crate::eventually(&format!("{name} {what}"), secs(60), || async { self.plugin_status(name).await.filter(|status| wanted(status)) })
            .await
    }

    /// Sends a signal to the server's process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a process has an id");
        kill_process(pid, signal).expect("it still runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// With its log, when it does not end.
    pub async fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.expect("its end can be awaited"),
            Err(_) => panic!("toolbay still runs after {patience:?}\n{}", self.log()),
        }
    }

    /// Whether the process is still there.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    ///
    /// User and system time so far, in steps of 10 ms.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("it still runs");
        let fields: Vec<&str> = text.rsplit(')').next().expect("the name is in brackets").split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks of 10 ms");
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// Where the process is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.pid)).expect("it still runs");
        let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("statm has a second number");
        pages * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stdout of toolbay\n{}\n--- log of toolbay\n{}", self.out.shown(), self.logs.shown());
        }
    }
}

/// Lines as they come.
#[derive(Default)]
struct Logs {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Logs {
    fn text(&self) -> String {
        self.lines.lock().expect("no writer panics").join("\n")
    }

    /// For a person: the last lines, and of a long one its beginning.
    fn shown(&self) -> String {
        let lines = self.lines.lock().expect("no writer panics");
        let shorten = |line: &String| line.chars().take(600).collect::<String>();
        lines.iter().skip(lines.len().saturating_sub(200)).map(shorten).collect::<Vec<_>>().join("\n")
    }

    async fn wait(&self, what: &str, patience: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let search = async {
            loop {
                let changed = self.changed.notified();
                if let Some(line) = self.lines.lock().expect("no writer panics").iter().find(|line| wanted(line)) {
                    return line.clone();
                }
                changed.await;
            }
        };
        match tokio::time::timeout(patience, search).await {
            Ok(line) => line,
            Err(_) => panic!("waited {patience:?} in vain for {what} in\n{}", self.shown()),
        }
    }
}

async fn copy_lines(from: impl AsyncRead + Unpin, to: Arc<Logs>) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        to.lines.lock().expect("no writer panics").push(text);
        to.changed.notify_waiters();
        line.clear();
    }
}
