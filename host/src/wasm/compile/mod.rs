//! From a component's bytes to code that runs: out of the cache, or compiled by a child process.
//!
//! Compiling is not interruptible and its cost can explode (a component of 2 MB was seen to take minutes), so it happens in a child process with limits on
//! its CPU time and memory, and at a lower priority than the calls.

pub mod cache;
pub mod child;

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{io::AsyncReadExt, process::Command, sync::Semaphore};
use wasmtime::component::Component;

use super::engine::{EngineError, EngineKind, Engines};
use crate::config::HostConfig;
use cache::{Cache, CacheError};
use child::Level;
#[cfg(test)]
use child::Refusal;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The file is no component that can run here.
    #[error("{0}")]
    Invalid(String),
    /// Compiling took too much.
    #[error("compiling it went over {limit}; raise `{key}` in [host] if you trust this file")]
    TooExpensive {
        /// Which limit, with its value.
        limit: String,
        /// The key that raises it.
        key: &'static str,
    },
    /// The host could not do it.
    #[error("cannot compile it: {0}")]
    Host(String),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Who does the compiling.
#[derive(Clone, Debug)]
pub enum Worker {
    /// This program, started again with the hidden subcommand `compile`.
    Child(PathBuf),
    /// This process, with no limits: for unit tests, which have no program of ours to start.
    #[cfg(test)]
    InProcess,
}

impl Worker {
    /// This very program, as it was when it started: an upgrade that replaces the file does not change who compiles.
    #[must_use]
    pub fn own() -> Self {
        Self::Child(PathBuf::from("/proc/self/exe"))
    }
}

/// A component ready to be linked.
pub struct Compiled {
    /// Its code.
    pub component: Component,
    /// What it runs on.
    pub kind: EngineKind,
    /// Whether it had been compiled before.
    pub cached: bool,
}

/// Compiles components, a few at a time, each content once.
pub struct Compiler {
    engines: Arc<Engines>,
    cache: Cache,
    worker: Worker,
    host: HostConfig,
    jobs: Semaphore,
    /// One lock for each content that is being compiled: copies of a file under other names wait for the first.
    running: Mutex<HashMap<blake3::Hash, Arc<tokio::sync::Mutex<()>>>>,
}

impl Compiler {
    /// Opens the cache.
    ///
    /// # Errors
    ///
    /// [`CacheError`], where the cache's folder cannot be made or is not ours alone.
    pub fn new(engines: Arc<Engines>, host: &HostConfig, worker: Worker) -> Result<Self, CompileError> {
        let cache = Cache::open(host.cache.clone())?;
        Ok(Self { engines, cache, worker, host: host.clone(), jobs: Semaphore::new(jobs(host)), running: Mutex::default() })
    }

    /// The code of a component.
    ///
    /// # Errors
    ///
    /// [`CompileError`], in words for the person who put the file there.
    pub async fn compile(&self, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, CompileError> {
        if let Some(found) = self.cached(digest)? {
            return Ok(found);
        }
        check_header(&bytes)?;
        let lock = self.lock(digest);
        let guard = lock.lock().await;
        // Another copy of the file may have been compiled while this one waited.
        let result = match self.cached(digest)? {
            Some(found) => Ok(found),
            None => self.compile_now(bytes, digest).await,
        };
        drop(guard);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&lock) <= 2 {
            running.remove(&digest);
        }
        result
    }

    fn lock(&self, digest: blake3::Hash) -> Arc<tokio::sync::Mutex<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default().clone()
    }

    fn cached(&self, digest: blake3::Hash) -> Result<Option<Compiled>, CompileError> {
        for kind in EngineKind::ALL {
            if !self.cache.has_engine(kind) && kind == EngineKind::Async {
                // The second engine is dear: do not make it to look for what cannot be there.
                continue;
            }
            let engine = self.engines.get(kind)?;
            match self.cache.load(engine, kind, digest) {
                Ok(Some(component)) => return Ok(Some(Compiled { component, kind, cached: true })),
                Ok(None) => {}
                Err(error) => tracing::warn!(digest = %&digest.to_hex()[..16], "cached code cannot be loaded, compiling again: {error:#}"),
            }
        }
        Ok(None)
    }

    async fn compile_now(&self, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, CompileError> {
        let _job = self.jobs.acquire().await.map_err(|error| CompileError::Host(error.to_string()))?;
        let (kind, code) = match self.attempt(&bytes, Level::Speed).await {
            // Without optimisation it takes less time. It does not take so much less memory that a second try would be worth it.
            Err(CompileError::TooExpensive { limit, key: COMPILE_TIME }) => {
                tracing::warn!(%limit, digest = %&digest.to_hex()[..16], "compiling was too expensive; trying again without optimisation");
                self.attempt(&bytes, Level::None).await?
            }
            other => other?,
        };
        let engine = self.engines.get(kind)?;
        self.cache.store(engine, kind, digest, &code)?;
        drop(code);
        match self.cache.load(engine, kind, digest) {
            Ok(Some(component)) => Ok(Compiled { component, kind, cached: false }),
            Ok(None) => Err(CompileError::Host("what was compiled is gone from the cache".to_owned())),
            Err(error) => Err(CompileError::Invalid(format!("it does not fit into this host's pool: {error:#}"))),
        }
    }

    async fn attempt(&self, bytes: &Bytes, level: Level) -> Result<(EngineKind, Vec<u8>), CompileError> {
        match &self.worker {
            Worker::Child(program) => self.attempt_in_child(program.clone(), bytes, level).await,
            #[cfg(test)]
            Worker::InProcess => child::compile(&self.host, bytes, level).map_err(|Refusal(message)| CompileError::Invalid(message)),
        }
    }

    async fn attempt_in_child(&self, program: PathBuf, bytes: &Bytes, level: Level) -> Result<(EngineKind, Vec<u8>), CompileError> {
        let host = |what: &str, error: std::io::Error| CompileError::Host(format!("{what}: {error}"));
        let input = self.cache.scratch(bytes)?;
        let output = self.cache.scratch(&[])?;
        let started = Instant::now();
        let mut child = Command::new(&program)
            .arg("compile")
            .arg(input.path())
            .arg(output.path())
            .args(["--level", level.name()])
            .args(["--cpu-seconds", &self.host.compile_time.as_secs().max(1).to_string()])
            .args(["--memory", &self.host.compile_memory.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            // The allocator would otherwise take a gigabyte at once, most of it never used, and the limit would count it.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| host(&format!("starting {}", program.display()), error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // CPU time is limited by the kernel. Wall time is too, generously, for a child that sleeps instead of working.
        let deadline = self.host.compile_time.saturating_mul(4).saturating_add(Duration::from_secs(10));
        let finished = tokio::time::timeout(deadline, async {
            let (out, err, status) = tokio::join!(read_some(stdout), read_some(stderr), child.wait());
            (out, err, status)
        })
        .await;
        let Ok((out, err, status)) = finished else {
            let _ = child.kill().await;
            return Err(self.too_long());
        };
        let status = status.map_err(|error| host("waiting for the compiling process", error))?;
        tracing::debug!(?status, level = level.name(), ms = started.elapsed().as_millis(), "compiled in a child process");
        if status.success() {
            let kind = EngineKind::ALL
                .into_iter()
                .find(|kind| kind.name() == out.trim())
                .ok_or_else(|| CompileError::Host(format!("the compiling process answered {out:?}")))?;
            let code = tokio::fs::read(output.path()).await.map_err(|error| host("reading what was compiled", error))?;
            return Ok((kind, code));
        }
        if status.code() == Some(child::EXIT_REFUSED) {
            return Err(CompileError::Invalid(err.trim().to_owned()));
        }
        Err(self.classify(status, &err))
    }

    /// Why a child ended that neither compiled nor refused.
    fn classify(&self, status: std::process::ExitStatus, stderr: &str) -> CompileError {
        use std::os::unix::process::ExitStatusExt;
        let out_of_memory =
            stderr.contains("memory allocation of") || stderr.contains("Cannot allocate memory") || stderr.contains("os error 12");
        match status.signal() {
            _ if out_of_memory => {
                CompileError::TooExpensive { limit: format!("{} MiB of memory", self.host.compile_memory >> 20), key: COMPILE_MEMORY }
            }
            // SIGXCPU, and the SIGKILL that follows where that one is not enough.
            Some(24 | 9) => self.too_long(),
            // The compiler recursed too deeply, or a bug of it.
            Some(signal) => {
                CompileError::Invalid(format!("the compiler was killed by signal {signal} on this file: {}", last_line(stderr)))
            }
            None => CompileError::Host(format!("the compiling process ended with {status}: {}", last_line(stderr))),
        }
    }

    fn too_long(&self) -> CompileError {
        CompileError::TooExpensive { limit: format!("{} s of CPU time", self.host.compile_time.as_secs()), key: COMPILE_TIME }
    }
}

/// Keys of `[host]`.
const COMPILE_TIME: &str = "compile_time";
const COMPILE_MEMORY: &str = "compile_memory";

/// How many components compile at once.
#[must_use]
pub fn jobs(host: &HostConfig) -> usize {
    match host.compile_jobs {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        jobs => jobs,
    }
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("it printed nothing")
}

/// What a child says is short; a broken one must not fill our memory.
async fn read_some(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    const MAX: u64 = 16 << 10;
    let Some(stream) = stream else { return String::new() };
    let mut text = Vec::new();
    let mut stream = stream.take(MAX);
    if stream.read_to_end(&mut text).await.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Says what a file is that is no component, before a process is started for it.
fn check_header(bytes: &[u8]) -> Result<(), CompileError> {
    let invalid = |text: &str| Err(CompileError::Invalid(text.to_owned()));
    match bytes {
        [] => invalid("the file is empty"),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => invalid(
            "it is a core WebAssembly module, not a component; build it for the target wasm32-wasip2, or wrap it with `wasm-tools component new`",
        ),
        [0, b'a', b's', b'm', ..] => {
            invalid("it is WebAssembly of a version that this host does not know; build it for the target wasm32-wasip2")
        }
        [0x7f, b'E', b'L', b'F', ..] => {
            invalid("it is a compiled program (ELF), not a WebAssembly component; put the .wasm file here, the host compiles it")
        }
        [b'(', ..] => invalid("it is WebAssembly text; translate it with `wasm-tools parse` first"),
        _ => invalid("it is not a WebAssembly component: the first bytes are not those of one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b"\0asm\x02\0\0\0", "version"),
            (b"\x7fELF\x02", "ELF"),
            (b"(component)", "text"),
            (b"#!/bin/sh", "not a WebAssembly"),
        ] {
            let message = check_header(bytes).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        assert!(check_header(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[tokio::test]
    async fn the_second_time_comes_from_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostConfig { instances: 4, cache: Some(folder.path().join("cache")), ..HostConfig::default() };
        let engines = Engines::new(&host).unwrap();
        let bytes = Bytes::from(wat::parse_str("(component)").unwrap());
        let digest = blake3::hash(&bytes);
        for cached in [false, true] {
            let compiler = Compiler::new(engines.clone(), &host, Worker::InProcess).unwrap();
            let compiled = compiler.compile(bytes.clone(), digest).await.unwrap();
            assert_eq!((compiled.kind, compiled.cached), (EngineKind::Plain, cached));
        }
    }

    #[tokio::test]
    async fn a_damaged_cache_entry_is_compiled_again() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostConfig { instances: 4, cache: Some(folder.path().to_owned()), ..HostConfig::default() };
        let engines = Engines::new(&host).unwrap();
        let bytes = Bytes::from(wat::parse_str("(component)").unwrap());
        let digest = blake3::hash(&bytes);
        let compiler = Compiler::new(engines.clone(), &host, Worker::InProcess).unwrap();
        compiler.compile(bytes.clone(), digest).await.unwrap();
        let entry = compiler.cache.entry(engines.get(EngineKind::Plain).unwrap(), EngineKind::Plain, digest);
        std::fs::write(&entry, b"not code").unwrap();
        assert!(!compiler.compile(bytes, digest).await.unwrap().cached);
    }
}
