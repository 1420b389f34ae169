//! A container engine by its program, `podman` or `docker`: where no API is to be had.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::process::Command;

use super::{Backend, Ended, OPEN_FILES, PROCESSES, Pipes, Resolved, Spec, owner};

/// How long a question to the program may take.
const QUESTION: Duration = Duration::from_secs(60);

/// What the program reads from its own environment. A container's variable of such a name cannot be handed to it in silence.
const OWN: [&str; 12] = ["PATH", "HOME", "USER", "TMPDIR", "LANG", "SHELL", "LD_", "XDG_", "DOCKER_", "CONTAINER", "REGISTRY_", "STORAGE_"];

/// Variables of proxies, which are written in capitals too.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// One engine.
pub(super) struct Cli {
    program: PathBuf,
}

impl Cli {
    /// Asks the program for the engine's version: the client alone is no engine.
    pub(super) async fn open(program: &Path) -> Result<(Self, String), String> {
        let cli = Self { program: program.to_owned() };
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        // Only a client that talks to an engine knows the server's version; podman without a service has none, and is the engine itself.
        let format = if name.contains("docker") { "{{.Server.Version}}" } else { "{{.Client.Version}}" };
        let version = cli.ask(&["version", "--format", format]).await?;
        Ok((cli, format!("{name} {}", version.trim())))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Podman's monitor leaves an empty file `oom` in the folder where it runs when a container goes over its memory.
        command.current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs it to its end: what it printed, or what it complained of.
    async fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let running = self.command().args(arguments).output();
        let output = tokio::time::timeout(QUESTION, running).await.map_err(|_| format!("no answer within {QUESTION:?}"))?;
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(complaint(&output.stderr, output.status))
        }
    }

    fn run_command(&self, spec: &Spec) -> Result<Command, String> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).args(arguments(spec)?);
        // Podman gives a container the proxies of its own environment, whose addresses may hold passwords. Nothing is fetched here that would need them.
        for name in PROXIES {
            command.env_remove(name).env_remove(name.to_ascii_uppercase());
        }
        // By name only: the value is on nobody's command line.
        command.envs(spec.source.env.iter().map(|(name, value)| (name, &value.0)));
        // Ctrl-C in a terminal is for the host, which ends its containers itself.
        command.process_group(0);
        Ok(command)
    }

    async fn run(&self, spec: &Spec) -> Result<Pipes, String> {
        let mut command = self.run_command(spec)?;
        let mut client = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        match (client.stdin.take(), client.stdout.take(), client.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => {
                Ok(Pipes { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr), client: Some(client) })
            }
            _ => Err("the program has no pipes".to_owned()),
        }
    }
}

impl Backend for Cli {
    fn resolve<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<Resolved>, String>> {
        async move {
            match self.ask(&["image", "inspect", "--format", "{{.Id}}{{range .RepoDigests}} {{.}}{{end}}", "--", image]).await {
                Ok(text) => {
                    let mut words = text.split_whitespace().map(str::to_owned);
                    let id = words.next().ok_or("the program says nothing of the image")?;
                    Ok(Some(Resolved { id, digests: words.collect() }))
                }
                Err(error) if ["no such image", "image not known"].iter().any(|words| error.to_lowercase().contains(words)) => Ok(None),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn pull<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let output = self.command().args(["pull", "--quiet", "--", image]).output().await.map_err(|error| error.to_string())?;
            if output.status.success() { Ok(()) } else { Err(complaint(&output.stderr, output.status)) }
        }
        .boxed()
    }

    fn start<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<Pipes, String>> {
        self.run(spec).boxed()
    }

    fn wait<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            // A container that is just being made is not known yet, and one that is gone is not known any more: the caller's deadline tells them apart.
            for _ in 0..50 {
                let waiting = self.command().args(["wait", "--", name]).output().await;
                if waiting.is_ok_and(|output| output.status.success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        .boxed()
    }

    fn ended<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Ended>> {
        async move {
            let text =
                self.ask(&["container", "inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", "--", name]).await.ok()?;
            let (code, out_of_memory) = text.trim().split_once(' ')?;
            Some(Ended { code: code.parse().ok()?, out_of_memory: out_of_memory == "true" })
        }
        .boxed()
    }

    fn signal<'a>(&'a self, name: &'a str, signal: &'a str) -> BoxFuture<'a, ()> {
        async move {
            // One that has ended takes no signal.
            if let Err(error) = self.ask(&["kill", "--signal", signal, "--", name]).await {
                tracing::debug!(container = name, signal, "{error}");
            }
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let Err(error) = self.ask(&["rm", "--volumes", "--", name]).await else { return Ok(()) };
            if is_missing(&error) {
                return Ok(());
            }
            // It runs. With `--force` alone podman asks it to end first, and waits ten seconds for that.
            self.signal(name, "KILL").await;
            match self.ask(&["rm", "--force", "--volumes", "--", name]).await {
                Err(error) if !is_missing(&error) => Err(error),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, String>> {
        async move {
            let filter = format!("label={}", owner::LABEL);
            let ids = self.ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await?;
            let mut found = Vec::new();
            for id in ids.split_whitespace() {
                // One that went meanwhile is none to remove.
                let Ok(text) = self.ask(&["container", "inspect", "--format", "{{json .Config.Labels}}", "--", id]).await else { continue };
                let labels: Value = serde_json::from_str(text.trim()).unwrap_or_default();
                if let Some(label) = labels.get(owner::LABEL).and_then(Value::as_str) {
                    found.push((id.to_owned(), label.to_owned()));
                }
            }
            Ok(found)
        }
        .boxed()
    }
}

/// Whether the program says that there is no such container.
fn is_missing(error: &str) -> bool {
    error.to_lowercase().contains("no such container") || error.contains("no container with name")
}

/// The command line of `run`: nothing that was not granted, and no secret.
fn arguments(spec: &Spec) -> Result<Vec<String>, String> {
    let source = &spec.source;
    let mut line: Vec<String> =
        ["run", "--interactive", "--name", &spec.name, "--pull=never", "--log-driver=none"].map(str::to_owned).into();
    line.extend(spec.labels.iter().map(|(name, value)| format!("--label={name}={value}")));
    line.extend([
        format!("--network={}", source.network),
        "--cap-drop=ALL".to_owned(),
        "--security-opt=no-new-privileges".to_owned(),
        format!("--memory={}b", source.memory),
        format!("--memory-swap={}b", source.memory),
        format!("--cpus={}", source.cpus),
        format!("--pids-limit={}", source.pids),
        format!("--ulimit=nofile={OPEN_FILES}:{OPEN_FILES}"),
        format!("--ulimit=nproc={PROCESSES}:{PROCESSES}"),
    ]);
    line.extend(super::tmpfs(source).iter().map(|(folder, options)| format!("--tmpfs={folder}:{options}")));
    if !source.writable {
        line.push("--read-only".to_owned());
    }
    line.extend(source.user.iter().map(|user| format!("--user={user}")));
    for name in source.env.keys() {
        if OWN.iter().any(|own| name == own || (own.ends_with('_') || *own == "CONTAINER") && name.starts_with(own)) {
            return Err(format!(
                "the variable {name} cannot be passed by the engine's command, which reads it itself; use the engine's API by [host] container_engine"
            ));
        }
        line.push(format!("--env={name}"));
    }
    for dir in &source.dirs {
        let host = dir.host.display().to_string();
        if host.contains([',', '"']) || dir.guest.contains([',', '"']) {
            return Err(format!("the folder {host} has a comma or a quote in its path, which the engine's command does not accept"));
        }
        let mode = if dir.write { "" } else { ",readonly" };
        line.push(format!("--mount=type=bind,source={host},target={}{mode}", dir.guest));
    }
    let mut before = source.entrypoint.iter().flatten();
    line.extend(before.next().map(|first| format!("--entrypoint={first}")));
    line.extend(["--".to_owned(), spec.image.clone()]);
    line.extend(before.cloned());
    line.extend(source.args.iter().cloned());
    Ok(line)
}

/// What a program that failed said last: the lines before are often warnings.
fn complaint(stderr: &[u8], status: std::process::ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| status.to_string(), |line| line.trim().trim_start_matches("Error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::config::{ImageSource, Secret};

    #[test]
    fn a_proxy_of_the_host_is_not_handed_on() {
        let cli = Cli { program: "podman".into() };
        let env = BTreeMap::from([("HTTPS_PROXY".to_owned(), Secret("http://granted".to_owned()))]);
        let source = Arc::new(ImageSource { image: "i".to_owned(), env, ..ImageSource::default() });
        let command = cli.run_command(&Spec { name: "n".to_owned(), labels: BTreeMap::new(), image: "i".to_owned(), source }).unwrap();
        let variable = |name: &str| command.as_std().get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
        let is_removed = |name: &str| command.as_std().get_envs().any(|(key, value)| key == name && value.is_none());
        assert!(is_removed("http_proxy") && is_removed("HTTP_PROXY") && is_removed("https_proxy") && is_removed("no_proxy"));
        assert_eq!(variable("HTTPS_PROXY").unwrap(), "http://granted");
    }
}
