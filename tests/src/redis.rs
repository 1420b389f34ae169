//! A real Redis or Valkey, as Debian has it: with a password, with TLS or with what it keeps on disk, killed and started again where it was.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command as StdCommand, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::registry;

/// A server that runs, ended when it goes out of scope.
pub struct Redis {
    folder: TempDir,
    port: u16,
    arguments: Vec<OsString>,
    is_tls: bool,
    child: Child,
}

impl Redis {
    /// Starts one that keeps every write on disk before it acknowledges it. None: it is not installed, which CI does not accept.
    pub async fn start() -> Option<Self> {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"], false).await
    }

    /// Starts one with these arguments; with TLS: by an authority that is in `ca.pem` of its folder.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn with(arguments: &[&str], is_tls: bool) -> Option<Self> {
        let Some(program) = program() else {
            let how = "redis-server or valkey-server is missing: apt-get install redis-server";
            assert!(std::env::var_os("CI").is_none(), "{how}");
            eprintln!("skipped: {how}");
            return None;
        };
        let mut log = String::new();
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound address").port();
            let mut all: Vec<OsString> = [program, "--save", "", "--bind", "127.0.0.1"].map(OsString::from).into();
            if is_tls {
                registry::certificates(folder.path());
                let file = |name: &str| folder.path().join(name).into_os_string();
                all.extend(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"].map(OsString::from));
                all.extend(["--tls-ca-cert-file".into(), file("ca.pem"), "--tls-cert-file".into(), file("cert.pem")]);
                all.extend(["--tls-key-file".into(), file("key.pem")]);
            } else {
                all.extend(["--port", &port.to_string()].map(OsString::from));
            }
            all.extend(arguments.iter().map(OsString::from));
            let child = run(folder.path(), &all);
            let mut redis = Self { folder, port, arguments: all, is_tls, child };
            if redis.listens().await {
                return Some(redis);
            }
            // Somebody else has taken the port meanwhile.
            log = redis.log();
        }
        panic!("{program} does not start: {log}");
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        // The certificate is for that name.
        if self.is_tls { format!("rediss://localhost:{}", self.port) } else { format!("redis://127.0.0.1:{}", self.port) }
    }

    /// The authority of its certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Kills it, so that it can write nothing more.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Stops it in the middle of whatever it does, or lets it go on.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process(pid, signal).expect("it runs");
    }

    /// Starts it again where it was, with what it has kept.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn restart(&mut self) {
        self.child = run(self.folder.path(), &self.arguments);
        assert!(self.listens().await, "it starts again: {}", self.log());
    }

    /// What it says to a command, by its own client.
    ///
    /// # Panics
    ///
    /// Where there is no such client.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> String {
        let client = if is_there("redis-cli") { "redis-cli" } else { "valkey-cli" };
        let port = self.port.to_string();
        let output =
            StdCommand::new(client).args(["-p", &port, "--no-auth-warning"]).args(words).output().expect("it comes with the server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether it listens before it ends.
    async fn listens(&mut self) -> bool {
        let port = self.port;
        let child = &mut self.child;
        let mut has_ended = false;
        while !has_ended && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            has_ended = !matches!(child.try_wait(), Ok(None));
        }
        !has_ended && matches!(child.try_wait(), Ok(None))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// What there is on this machine.
fn program() -> Option<&'static str> {
    ["redis-server", "valkey-server"].into_iter().find(|program| is_there(program))
}

fn is_there(program: &str) -> bool {
    StdCommand::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn run(folder: &Path, arguments: &[OsString]) -> Child {
    let log = fs::File::create(folder.join("log")).expect("a log can be made");
    let (program, arguments) = arguments.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("it can be started")
}
