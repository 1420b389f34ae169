//! A container engine by its Docker-compatible API: docker's own, or podman's.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::{AttachContainerResults, LogOutput},
    errors::Error,
    models::{ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder, KillContainerOptionsBuilder,
        ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptions,
    },
};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, TryStreamExt, channel::mpsc, future::BoxFuture};
use tokio::io::AsyncWrite;
use tokio_util::io::StreamReader;

use super::{Backend, Ended, OPEN_FILES, PROCESSES, Pipes, Resolved, Spec, owner};

/// Seconds for one request, but for those that wait for a container's end, which are made again.
const REQUEST: u64 = 120;

/// Pieces of output that wait for their reader; then the container waits.
const PIECES: usize = 16;

/// How often, and after what pause, an answer that cannot be read is asked for again.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// How often the progress of a pull is logged.
const PROGRESS: Duration = Duration::from_secs(5);

/// One engine.
pub(super) struct Api {
    docker: Docker,
}

impl Api {
    /// Asks the engine for its version, and agrees on one of the API.
    pub(super) async fn connect(url: &str) -> Result<(Self, String), String> {
        let docker = match url.strip_prefix("unix://") {
            Some(path) => Docker::connect_with_unix(path, REQUEST, API_DEFAULT_VERSION),
            None if url.starts_with("ssh://") => return Err("an engine is not reached by ssh from here; forward its socket".to_owned()),
            None => Docker::connect_with_http(url, REQUEST, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(words)?.negotiate_version().await.map_err(words)?;
        let version = docker.version().await.map_err(words)?;
        let name = version.components.unwrap_or_default().into_iter().next().map_or_else(|| "engine".to_owned(), |part| part.name);
        // Podman's is called so; docker calls its own by no name.
        let name = name.strip_suffix(" Engine").unwrap_or("docker").to_lowercase();
        let text = format!("{name} {}", version.version.unwrap_or_default());
        Ok((Self { docker }, text))
    }

    async fn make(&self, spec: &Spec) -> Result<Pipes, String> {
        let options = CreateContainerOptionsBuilder::default().name(&spec.name).build();
        self.docker.create_container(Some(options), body(spec)).await.map_err(words)?;
        // Before the start: what it says first is heard.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
        let AttachContainerResults { output, input } = self.docker.attach_container(&spec.name, Some(options)).await.map_err(words)?;
        let (mut out, stdout) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES);
        let (mut err, stderr) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES);
        // Ends with the container's output, or when nobody reads it any more.
        tokio::spawn(async move {
            let mut output = output;
            while let Some(Ok(piece)) = output.next().await {
                let sent = match piece {
                    LogOutput::StdErr { message } => err.send(Ok(message)).await,
                    LogOutput::StdOut { message } | LogOutput::Console { message } => out.send(Ok(message)).await,
                    LogOutput::StdIn { .. } => Ok(()),
                };
                if sent.is_err() && out.is_closed() {
                    return;
                }
            }
        });
        self.docker.start_container(&spec.name, None).await.map_err(words)?;
        Ok(Pipes {
            stdin: Box::new(Input(input)),
            stdout: Box::new(StreamReader::new(stdout)),
            stderr: Box::new(StreamReader::new(stderr)),
            client: None,
        })
    }

    /// What is known of a container. Podman has a state between running and ended that docker does not have, and that is not understood here: it is over
    /// in a moment.
    async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, Error> {
        for _ in 0..TRIES {
            match self.docker.inspect_container(name, None).await {
                Err(Error::JsonDataError { .. } | Error::JsonSerdeError { .. }) => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
        self.docker.inspect_container(name, None).await
    }

    async fn is_running(&self, name: &str) -> bool {
        match self.inspect(name).await {
            Ok(found) => found.state.and_then(|state| state.running).unwrap_or(false),
            // An engine that is being started again knows its containers afterwards.
            Err(error) => !is_missing(&error) && !matches!(error, Error::HyperLegacyError { .. } | Error::IOError { .. }),
        }
    }
}

/// The way to a container's stdin. It shares its connection with the output, which stays open: its end has to be said.
struct Input(Pin<Box<dyn AsyncWrite + Send>>);

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // A socket's writing half is shut at once. Where it is not, the container is asked to end by a signal.
        let _ = self.0.as_mut().poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl Backend for Api {
    fn resolve<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<Resolved>, String>> {
        async move {
            match self.docker.inspect_image(image).await {
                Ok(found) => {
                    let id = found.id.ok_or("the engine says nothing of the image")?;
                    Ok(Some(Resolved { id, digests: found.repo_digests.unwrap_or_default() }))
                }
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(words(error)),
            }
        }
        .boxed()
    }

    fn pull<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let options = CreateImageOptionsBuilder::default().from_image(image).build();
            let mut said = tokio::time::Instant::now();
            let mut pieces = self.docker.create_image(Some(options), None, None);
            while let Some(piece) = pieces.try_next().await.map_err(words)? {
                if let Some(message) = piece.error_detail.and_then(|error| error.message) {
                    return Err(message);
                }
                if said.elapsed() > PROGRESS {
                    said = tokio::time::Instant::now();
                    let progress = piece.progress_detail.unwrap_or_default();
                    tracing::info!(
                        image,
                        current = progress.current,
                        total = progress.total,
                        "pulling: {}",
                        piece.status.unwrap_or_default()
                    );
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn start<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<Pipes, String>> {
        self.make(spec).boxed()
    }

    fn wait<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            while self.is_running(name).await {
                let mut waiting = self.docker.wait_container(name, None::<WaitContainerOptions>);
                // An exit status other than 0 is an error here; so is a request that took too long. The next look tells them apart, and an engine that
                // refuses both looks is not asked without a pause.
                if !matches!(waiting.next().await, Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        .boxed()
    }

    fn ended<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Ended>> {
        async move {
            let state = self.inspect(name).await.ok()?.state?;
            Some(Ended { code: state.exit_code?, out_of_memory: state.oom_killed.unwrap_or(false) })
        }
        .boxed()
    }

    fn signal<'a>(&'a self, name: &'a str, signal: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let options = KillContainerOptionsBuilder::default().signal(signal).build();
            // One that has ended takes no signal.
            if let Err(error) = self.docker.kill_container(name, Some(options)).await {
                tracing::debug!(container = name, signal, "{}", words(error));
            }
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            // Podman asks one that runs to end first, and waits ten seconds for that.
            self.signal(name, "SIGKILL").await;
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match self.docker.remove_container(name, Some(options)).await {
                Ok(()) => Ok(()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(words(error)),
            }
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, String>> {
        async move {
            let filters = HashMap::from([("label", vec![owner::LABEL])]);
            let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let mut found = self.docker.list_containers(Some(options.clone())).await;
            for _ in 0..TRIES {
                if !matches!(found, Err(Error::JsonDataError { .. } | Error::JsonSerdeError { .. })) {
                    break;
                }
                // As in `inspect`.
                tokio::time::sleep(PAUSE).await;
                found = self.docker.list_containers(Some(options.clone())).await;
            }
            let found = found.map_err(words)?;
            Ok(found.into_iter().filter_map(|one| Some((one.id?, one.labels?.remove(owner::LABEL)?))).collect())
        }
        .boxed()
    }
}

/// Nothing that was not granted.
fn body(spec: &Spec) -> ContainerCreateBody {
    let source = &spec.source;
    let memory = i64::try_from(source.memory).unwrap_or(i64::MAX);
    let ulimit = |name: &str, most: u64| {
        let most = i64::try_from(most).ok();
        ResourcesUlimits { name: Some(name.to_owned()), soft: most, hard: most }
    };
    // An empty or wild value was refused with the configuration.
    #[expect(clippy::cast_possible_truncation, reason = "checked with the configuration: at most 1024 cores")]
    let nano_cpus = (source.cpus * 1e9) as i64;
    let mounts = source.dirs.iter().map(|dir| Mount {
        typ: Some(MountType::BIND),
        source: Some(dir.host.display().to_string()),
        target: Some(dir.guest.clone()),
        read_only: Some(!dir.write),
        ..Mount::default()
    });
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: (!source.args.is_empty()).then(|| source.args.clone()),
        entrypoint: source.entrypoint.clone(),
        env: Some(source.env.iter().map(|(name, value)| format!("{name}={}", value.0)).collect()),
        user: source.user.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some(source.network.clone()),
            readonly_rootfs: Some(!source.writable),
            tmpfs: Some(super::tmpfs(source).into_iter().collect()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some(nano_cpus),
            pids_limit: Some(source.pids.into()),
            ulimits: Some(vec![ulimit("nofile", OPEN_FILES), ulimit("nproc", PROCESSES)]),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            mounts: Some(mounts.collect()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// The engine's own words, where it said some.
fn words(error: Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message,
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            text
        }
    }
}
