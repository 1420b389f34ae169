//! The container engine and the images that `scripts/test-images.sh` found and made.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{eventually, secs};

/// A container engine that works on this machine.
pub struct Engine {
    /// Its program.
    pub program: String,
    /// The image of `tests/servers/contained.rs`.
    pub image: String,
}

impl Engine {
    /// None where there is no engine; says so. The test has nothing to do then.
    ///
    /// # Panics
    ///
    /// Where there is none and `CI=true`.
    #[must_use]
    pub fn find() -> Option<Self> {
        let found = std::env::var("TOOLBAY_TEST_ENGINE").ok().zip(std::env::var("TOOLBAY_TEST_IMAGE").ok());
        if found.is_none() {
            let why = std::env::var("TOOLBAY_TEST_NO_ENGINE").unwrap_or_else(|_| "run by scripts/test.sh, which looks for one".to_owned());
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a container engine: {why}");
            eprintln!("SKIPPED, no container engine: {why}");
        }
        found.map(|(program, image)| Self { program, image })
    }

    /// The image of Node and npm's server-everything.
    ///
    /// # Panics
    ///
    /// Where it was not built, as the folder of `scripts/lab.sh` was not given.
    #[must_use]
    pub fn everything(&self) -> String {
        std::env::var("TOOLBAY_TEST_EVERYTHING").expect("scripts/test-images.sh LAB builds the image of server-everything")
    }

    /// Whether its API can be started and ended by a test.
    #[must_use]
    pub fn has_service(&self) -> bool {
        self.program.contains("podman")
    }

    /// Each way that there is to it: a value of `container_engine`, and what has to live as long as it is used.
    pub async fn ways(&self) -> Vec<(String, Option<Service>)> {
        let mut ways = vec![(self.program.clone(), None)];
        if self.has_service() {
            let service = Service::start(self).await;
            ways.push((service.address(), Some(service)));
        } else {
            ways.push(("auto".to_owned(), None));
        }
        ways
    }

    /// Runs its program and answers what it printed.
    ///
    /// # Panics
    ///
    /// With its words, where it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::new(&self.program).args(arguments).output().await.expect("the engine's program runs");
        assert!(output.status.success(), "{} {arguments:?}: {}", self.program, String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The containers of the Toolbay with this process id, ended ones too.
    pub async fn containers_of(&self, pid: u32) -> Vec<String> {
        let all = self.run(&["ps", "--all", "--filter", "label=io.toolbay.owner", "--format", "{{.Names}}"]).await;
        let part = format!("-{pid}-");
        all.lines().filter(|name| name.starts_with("toolbay-") && name.contains(&part)).map(str::to_owned).collect()
    }

    /// Waits until there are none.
    pub async fn wait_none_of(&self, pid: u32) {
        eventually(&format!("no container of process {pid} is left"), secs(60), || async {
            self.containers_of(pid).await.is_empty().then_some(())
        })
        .await;
    }
}

/// Podman's Docker-compatible API, of one test.
pub struct Service {
    program: String,
    folder: TempDir,
    child: Child,
}

impl Service {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    ///
    /// Where the program cannot be started.
    pub async fn start(engine: &Engine) -> Self {
        let folder = tempfile::Builder::new().prefix("toolbay-engine-").tempdir().expect("a temporary folder");
        let child = Self::spawn(&engine.program, &folder);
        let service = Self { program: engine.program.clone(), folder, child };
        service.wait().await;
        service
    }

    fn spawn(program: &str, folder: &TempDir) -> Child {
        let address = format!("unix://{}", folder.path().join("engine.sock").display());
        let mut command = Command::new(program);
        command
            .args(["system", "service", "--time=0", &address])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("podman can be started")
    }

    async fn wait(&self) {
        eventually("podman's service listens", secs(60), || async { tokio::net::UnixStream::connect(self.socket()).await.ok() }).await;
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// The value of `container_engine`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Kills it. Its containers go on, as conmon holds them.
    pub fn kill(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
        let _absent = std::fs::remove_file(self.socket());
    }

    /// Starts it again, at the same address.
    pub async fn start_again(&mut self) {
        self.child = Self::spawn(&self.program, &self.folder);
        self.wait().await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
