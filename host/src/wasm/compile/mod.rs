//! From a component's bytes to code that runs: out of the cache, or compiled by a child process.
//!
//! Compiling is not interruptible and its cost can explode (a component of 2 MB was seen to take minutes), so it happens in a child process with limits on
//! its CPU time and memory, and at a lower priority than the calls.
//!
//! There are two compilers. Cranelift's code is the better one, and an interpreter takes it ten seconds and more. So what is not in the cache, and is not
//! small, is compiled by Winch first, and by Cranelift in the background afterwards ([`Compiler::optimise`]). What Winch cannot compile,
//! Cranelift compiles at once.

mod adapt;
mod background;
pub mod cache;
pub mod child;
mod descriptions;
mod estimate;
pub(crate) mod headroom;

pub(crate) use adapt::component as component_of_module;

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::Semaphore,
};
use wasmtime::component::Component;

use super::engine::{EngineError, EngineKind, Engines, Target, Tier};
use crate::{
    config::{HostConfig, PluginCompiler},
    system,
};
use background::Line;
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
    /// This very program.
    #[must_use]
    pub fn own() -> Self {
        Self::Child(system::own_program())
    }
}

/// A component ready to be linked.
pub struct Compiled {
    /// Its code.
    pub component: Component,
    /// Who made it, and what it runs on.
    pub target: Target,
    /// Whether it had been compiled before.
    pub cached: bool,
    /// Whether the cache has it, so that it can be loaded again.
    pub is_kept: bool,
}

/// What the compiler has done since the start.
#[derive(Clone, Copy, Debug)]
pub struct CompileCounts {
    /// Components whose code was in the cache.
    pub hits: u64,
    /// Components that had to be compiled.
    pub misses: u64,
    /// Of these, those that could not be.
    pub failures: u64,
    /// The time that it took.
    pub time: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
}

/// One lock for each content that is being compiled, by each compiler.
type Running = HashMap<(blake3::Hash, Tier), Arc<tokio::sync::Mutex<()>>>;

/// Compiles components, a few at a time, each content once.
pub struct Compiler {
    engines: Arc<Engines>,
    cache: Arc<Cache>,
    worker: Worker,
    host: HostConfig,
    jobs: Semaphore,
    /// Those that nobody waits for.
    line: Line,
    /// Copies of a file under other names wait for the first.
    running: Mutex<Running>,
    counters: Counters,
}

impl Compiler {
    /// Opens the cache.
    ///
    /// # Errors
    ///
    /// [`CacheError`], where the cache's folder cannot be made or is not ours alone.
    pub fn new(engines: Arc<Engines>, host: &HostConfig, worker: Worker) -> Result<Self, CompileError> {
        let cache = Arc::new(Cache::open(host.cache.clone())?);
        Ok(Self {
            engines,
            cache,
            worker,
            host: host.clone(),
            jobs: Semaphore::new(jobs(host)),
            line: Line::default(),
            running: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> CompileCounts {
        let Counters { hits, misses, failures, nanos } = &self.counters;
        CompileCounts {
            hits: hits.load(Relaxed),
            misses: misses.load(Relaxed),
            failures: failures.load(Relaxed),
            time: Duration::from_nanos(nanos.load(Relaxed)),
        }
    }

    /// The code of a component.
    ///
    /// # Errors
    ///
    /// [`CompileError`], in words for the person who put the file there.
    pub async fn compile(&self, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, CompileError> {
        let result = self.find_or_make(bytes, digest).await;
        let Counters { hits, misses, failures, .. } = &self.counters;
        match &result {
            Ok(Compiled { cached: true, .. }) => hits.fetch_add(1, Relaxed),
            Ok(_) => misses.fetch_add(1, Relaxed),
            Err(_) => {
                failures.fetch_add(1, Relaxed);
                misses.fetch_add(1, Relaxed)
            }
        };
        result
    }

    /// The code of a component, if the cache has it.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub async fn code(&self, digest: blake3::Hash) -> Result<Option<Compiled>, CompileError> {
        let found = self.cached(digest, self.known()).await?;
        if found.is_some() {
            self.counters.hits.fetch_add(1, Relaxed);
        }
        Ok(found)
    }

    /// Whose code serves, the better one first.
    fn known(&self) -> &'static [Tier] {
        match self.host.compiler {
            PluginCompiler::Auto => &[Tier::Cranelift, Tier::Winch],
            PluginCompiler::Winch => &[Tier::Winch],
            PluginCompiler::Cranelift => &[Tier::Cranelift],
        }
    }

    /// Whether code of this compiler is to be replaced by better code, where the host lives long enough.
    #[must_use]
    pub fn improves(&self, tier: Tier) -> bool {
        tier == Tier::Winch && self.host.compiler == PluginCompiler::Auto
    }

    /// Optimised code of a component that is served already. Waits until nobody waits for other code, and until smaller components have theirs. Dropping
    /// the future ends it.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub async fn optimise(&self, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, CompileError> {
        let _turn = self.line.turn(bytes.len()).await;
        let compiled = self.make(bytes, digest, Tier::Cranelift, Haste::Background).await.inspect_err(|_| {
            self.counters.failures.fetch_add(1, Relaxed);
        })?;
        let (cache, engines, kind) = (Arc::clone(&self.cache), Arc::clone(&self.engines), compiled.target.kind);
        beside(move || {
            let early = Target { tier: Tier::Winch, kind };
            // Where nothing could be kept, the early code is better than none.
            let optimised = Target { tier: Tier::Cranelift, kind };
            if cache.has(&engines.get(optimised)?, optimised, digest) && cache.has_target(early) {
                cache.forget(&engines.get(early)?, early, digest);
            }
            Ok(())
        })
        .await?;
        Ok(compiled)
    }

    async fn find_or_make(&self, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, CompileError> {
        if let Some(found) = self.cached(digest, self.known()).await? {
            return Ok(found);
        }
        check_header(&bytes)?;
        let is_early = match self.host.compiler {
            PluginCompiler::Auto => self.is_worth_it(&bytes).await?,
            choice => choice == PluginCompiler::Winch,
        };
        if is_early {
            match self.make(bytes.clone(), digest, Tier::Winch, Haste::Foreground).await {
                Ok(compiled) => return Ok(compiled),
                // What it uses is too new for Winch, or the processor too old. What is wrong with it, Cranelift says as well.
                Err(error) => {
                    tracing::debug!(digest = %&digest.to_hex()[..16], %error, "Winch cannot compile it; Cranelift compiles it at once")
                }
            }
        }
        self.make(bytes, digest, Tier::Cranelift, Haste::Foreground).await
    }

    /// Whether it takes Cranelift so long that code of Winch is worth having before.
    async fn is_worth_it(&self, bytes: &Bytes) -> Result<bool, CompileError> {
        let bytes = bytes.clone();
        beside(move || Ok(estimate::is_large(&bytes))).await
    }

    /// Code of one compiler, unless it was made meanwhile.
    async fn make(&self, bytes: Bytes, digest: blake3::Hash, tier: Tier, haste: Haste) -> Result<Compiled, CompileError> {
        let _waited_for = (haste == Haste::Foreground).then(|| self.line.keep());
        let lock = self.lock((digest, tier));
        let guard = lock.lock().await;
        // Another copy of the file may have been compiled while this one waited.
        let known: &'static [Tier] = if tier == Tier::Winch { &[Tier::Winch] } else { &[Tier::Cranelift] };
        let result = match self.cached(digest, known).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.compile_now(bytes, digest, tier, haste).await,
            Err(error) => Err(error),
        };
        drop(guard);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&lock) <= 2 {
            running.remove(&(digest, tier));
        }
        result
    }

    /// The component that a core module was built to be. Anything else stays as it is.
    ///
    /// # Errors
    ///
    /// [`CompileError`], in words for the person who put the file there.
    pub async fn component_of(&self, bytes: Bytes) -> Result<Bytes, CompileError> {
        if !adapt::is_core_module(&bytes) {
            return Ok(bytes);
        }
        let _job = self.jobs.acquire().await.map_err(|error| CompileError::Host(error.to_string()))?;
        let (_, component) = self.attempt_by_worker(&bytes, Level::Component, Haste::Foreground).await?;
        Ok(component.into())
    }

    fn lock(&self, what: (blake3::Hash, Tier)) -> Arc<tokio::sync::Mutex<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default().clone()
    }

    /// What the cache has of these compilers' code, the first of them first. Megabytes are read and digested for it, so it happens beside the workers.
    async fn cached(&self, digest: blake3::Hash, tiers: &'static [Tier]) -> Result<Option<Compiled>, CompileError> {
        let (cache, engines) = (Arc::clone(&self.cache), Arc::clone(&self.engines));
        beside(move || {
            let targets = tiers.iter().flat_map(|tier| EngineKind::ALL.map(|kind| Target { tier: *tier, kind }));
            for target in targets {
                let is_there_anyway = target == Target { tier: Tier::Cranelift, kind: EngineKind::Plain };
                if !is_there_anyway && !cache.has_target(target) {
                    // Another engine is dear: do not make it to look for what cannot be there.
                    continue;
                }
                let engine = match engines.get(target) {
                    // The other compiler's code needs no such engine.
                    Err(error) if target.tier == Tier::Winch => {
                        tracing::debug!(%error, "no engine for early code");
                        continue;
                    }
                    engine => engine?,
                };
                match cache.load(&engine, target, digest) {
                    Ok(Some(component)) => return Ok(Some(Compiled { component, target, cached: true, is_kept: true })),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(digest = %&digest.to_hex()[..16], "cached code cannot be loaded, compiling again: {error:#}");
                    }
                }
            }
            Ok(None)
        })
        .await
    }

    async fn compile_now(&self, bytes: Bytes, digest: blake3::Hash, tier: Tier, haste: Haste) -> Result<Compiled, CompileError> {
        // What nobody waits for has a line of its own, and leaves these turns to others.
        let _job = match haste {
            Haste::Foreground => Some(self.jobs.acquire().await.map_err(|error| CompileError::Host(error.to_string()))?),
            Haste::Background => None,
        };
        let level = if tier == Tier::Winch { Level::Winch } else { Level::Speed };
        let (kind, code) = match self.attempt(&bytes, level, haste).await {
            // Without optimisation it takes less time. It does not take so much less memory that a second try would be worth it.
            Err(CompileError::TooExpensive { limit, key: COMPILE_TIME }) if level == Level::Speed => {
                tracing::warn!(%limit, digest = %&digest.to_hex()[..16], "compiling was too expensive; trying again without optimisation");
                self.attempt(&bytes, Level::None, haste).await?
            }
            other => other?,
        };
        let (cache, engines, target) = (Arc::clone(&self.cache), Arc::clone(&self.engines), Target { tier, kind });
        beside(move || {
            let engine = engines.get(target)?;
            let unfit = |error: wasmtime::Error| CompileError::Invalid(format!("it does not fit into this host's pool: {error:#}"));
            // From the file it is shared with the page cache, where there is one.
            let kept = if cache.store(&engine, target, digest, &code) { cache.load(&engine, target, digest).map_err(unfit)? } else { None };
            let is_kept = kept.is_some();
            let component = match kept {
                Some(component) => component,
                None => Cache::load_bytes(&engine, &code).map_err(unfit)?,
            };
            Ok(Compiled { component, target, cached: false, is_kept })
        })
        .await
    }

    async fn attempt(&self, bytes: &Bytes, level: Level, haste: Haste) -> Result<(EngineKind, Vec<u8>), CompileError> {
        let started = Instant::now();
        let result = self.attempt_by_worker(bytes, level, haste).await;
        self.counters.nanos.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        result
    }

    async fn attempt_by_worker(&self, bytes: &Bytes, level: Level, haste: Haste) -> Result<(EngineKind, Vec<u8>), CompileError> {
        match &self.worker {
            Worker::Child(program) => self.attempt_in_child(program.clone(), bytes, level, haste).await,
            #[cfg(test)]
            Worker::InProcess => child::make(&self.host, bytes, level).map_err(|Refusal(message)| CompileError::Invalid(message)),
        }
    }

    async fn attempt_in_child(
        &self,
        program: PathBuf,
        bytes: &Bytes,
        level: Level,
        haste: Haste,
    ) -> Result<(EngineKind, Vec<u8>), CompileError> {
        let host = |what: &str, error: std::io::Error| CompileError::Host(format!("{what}: {error}"));
        let started = Instant::now();
        let mut command = Command::new(&program);
        command.arg("compile").env_clear();
        if haste == Haste::Background {
            // The compiler takes a thread for each core otherwise. A priority is no help where a container's share of the processors is used up.
            command.arg("--background").env("RAYON_NUM_THREADS", background::threads().to_string());
        }
        let mut child = command
            .args(["--level", level.name()])
            .args(["--cpu-seconds", &self.host.compile_time.as_secs().max(1).to_string()])
            .args(["--memory", &self.host.compile_memory.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The allocator would otherwise take a gigabyte at once, most of it never used, and the limit would count it.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| host(&format!("starting {}", program.display()), error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let written = bytes.clone();
        let write = async move {
            // One that ends before it has read everything says why.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&written).await;
            }
        };
        // CPU time is limited by the kernel. Wall time is too, generously, for a child that sleeps instead of working.
        let deadline = self.host.compile_time.saturating_mul(4).saturating_add(Duration::from_secs(10));
        let finished = tokio::time::timeout(deadline, async {
            let ((), out, err, status) = tokio::join!(write, read_code(stdout), read_some(stderr), child.wait());
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
            let mut out = out.map_err(|error| host("reading what was compiled", error))?;
            let told = out.iter().position(|byte| *byte == b'\n').map(|end| out.drain(..=end).collect::<Vec<u8>>()).unwrap_or_default();
            let told = String::from_utf8_lossy(&told);
            let kind = EngineKind::ALL
                .into_iter()
                .find(|kind| kind.name() == told.trim())
                .ok_or_else(|| CompileError::Host(format!("the compiling process answered {told:?}")))?;
            return Ok((kind, out));
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

/// Whether somebody waits for the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Haste {
    Foreground,
    Background,
}

/// Does what reads and writes much, on a thread for that.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, CompileError> + Send + 'static) -> Result<T, CompileError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CompileError::Host(error.to_string()))?
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

/// The engine's name in a line, and the code. No component makes as much code as this: the compiler would have run out of its time.
async fn read_code(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    const MAX: u64 = 4 << 30;
    let mut code = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX).read_to_end(&mut code).await?;
    }
    Ok(code)
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

    const OPTIMISED: Target = Target { tier: Tier::Cranelift, kind: EngineKind::Plain };
    const EARLY: Target = Target { tier: Tier::Winch, kind: EngineKind::Plain };

    /// A component of so many functions, each of a few dozen bytes.
    fn component(functions: usize) -> Bytes {
        let function =
            "(func (export \"NAME\") (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 123456)) (i32.const 654321)))";
        let functions: String = (0..functions).map(|n| function.replace("NAME", &format!("f{n}"))).collect();
        Bytes::from(wat::parse_str(format!("(component (core module {functions}))")).unwrap())
    }

    #[tokio::test]
    async fn what_is_large_is_compiled_twice_and_what_was_early_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostConfig { instances: 4, cache: Some(folder.path().to_owned()), ..HostConfig::default() };
        let engines = Engines::new(&host).unwrap();
        let compiler = Compiler::new(engines.clone(), &host, Worker::InProcess).unwrap();
        let small = component(10);
        let compiled = compiler.compile(small.clone(), blake3::hash(&small)).await.unwrap();
        assert_eq!(compiled.target, OPTIMISED);
        let large = component(10_000);
        let digest = blake3::hash(&large);
        let early = compiler.compile(large.clone(), digest).await.unwrap();
        assert_eq!((early.target, early.cached), (EARLY, false));
        assert!(compiler.improves(early.target.tier));
        let again = compiler.compile(large.clone(), digest).await.unwrap();
        assert_eq!((again.target, again.cached), (EARLY, true));
        let best = compiler.optimise(large.clone(), digest).await.unwrap();
        assert_eq!((best.target, best.cached), (OPTIMISED, false));
        assert!(!compiler.cache.has(&engines.get(EARLY).unwrap(), EARLY, digest));
        let again = compiler.compile(large.clone(), digest).await.unwrap();
        assert_eq!((again.target, again.cached), (OPTIMISED, true));
        let CompileCounts { hits, misses, failures, .. } = compiler.counts();
        assert_eq!((hits, misses, failures), (2, 2, 0));
    }

    #[tokio::test]
    async fn who_distrusts_a_compiler_has_the_other() {
        let large = component(10_000);
        let digest = blake3::hash(&large);
        let folder = tempfile::tempdir().unwrap();
        for (choice, target) in [
            (PluginCompiler::Auto, EARLY),
            (PluginCompiler::Winch, EARLY),
            (PluginCompiler::Cranelift, OPTIMISED),
            (PluginCompiler::Winch, EARLY),
            (PluginCompiler::Auto, OPTIMISED),
        ] {
            let host = HostConfig { instances: 4, cache: Some(folder.path().to_owned()), compiler: choice, ..HostConfig::default() };
            let compiler = Compiler::new(Engines::new(&host).unwrap(), &host, Worker::InProcess).unwrap();
            let compiled = compiler.compile(large.clone(), digest).await.unwrap();
            assert_eq!(compiled.target, target, "{choice:?}");
            assert_eq!(compiler.improves(compiled.target.tier), choice == PluginCompiler::Auto && target == EARLY);
        }
    }

    #[tokio::test]
    async fn what_winch_cannot_compile_is_compiled_by_cranelift() {
        let folder = tempfile::tempdir().unwrap();
        let host =
            HostConfig { instances: 4, cache: Some(folder.path().to_owned()), compiler: PluginCompiler::Winch, ..HostConfig::default() };
        let compiler = Compiler::new(Engines::new(&host).unwrap(), &host, Worker::InProcess).unwrap();
        let bytes = Bytes::from(wat::parse_str("(component (core module (func $f (return_call $f))))").unwrap());
        let compiled = compiler.compile(bytes.clone(), blake3::hash(&bytes)).await.unwrap();
        assert_eq!(compiled.target, OPTIMISED);
        // What is wrong for both is said in the words of the second.
        let bytes = Bytes::from(wat::parse_str("(component (core module (func (result i32))))").unwrap());
        let error = compiler.compile(bytes.clone(), blake3::hash(&bytes)).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("not a valid component"), "{error}");
    }

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
            assert_eq!((compiled.target, compiled.cached), (OPTIMISED, cached));
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
        let entry = compiler.cache.entry(&engines.get(OPTIMISED).unwrap(), OPTIMISED, digest).unwrap();
        let code = std::fs::read(&entry).unwrap();
        let told = entry.with_extension("digest");
        for at in [0, code.len() / 3, code.len() / 2, code.len() - 1] {
            let mut flipped = code.clone();
            flipped[at] ^= 4;
            std::fs::write(&entry, &flipped).unwrap();
            assert!(!compiler.compile(bytes.clone(), digest).await.unwrap().cached, "a bit of byte {at}");
            assert!(compiler.compile(bytes.clone(), digest).await.unwrap().cached);
        }
        let mut wrong = std::fs::read(&told).unwrap();
        wrong[0] ^= 1;
        std::fs::write(&told, wrong).unwrap();
        assert!(!compiler.compile(bytes.clone(), digest).await.unwrap().cached);
        std::fs::write(folder.path().join("key"), [7; 32]).unwrap();
        assert!(!compiler.compile(bytes.clone(), digest).await.unwrap().cached);
        // What others can write to is not looked at.
        std::fs::set_permissions(&entry, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(!compiler.compile(bytes, digest).await.unwrap().cached);
    }

    #[tokio::test]
    async fn without_a_cache_everything_is_compiled_and_it_is_used_again_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cache");
        let host = HostConfig { instances: 4, cache: Some(place.clone()), ..HostConfig::default() };
        let engines = Engines::new(&host).unwrap();
        let bytes = Bytes::from(wat::parse_str("(component)").unwrap());
        let digest = blake3::hash(&bytes);
        // A file stands where the folder should.
        std::fs::write(&place, "").unwrap();
        let compiler = Compiler::new(engines, &host, Worker::InProcess).unwrap();
        for _ in 0..2 {
            assert!(!compiler.compile(bytes.clone(), digest).await.unwrap().cached);
        }
        std::fs::remove_file(&place).unwrap();
        for _ in 0..2 {
            assert!(!compiler.compile(bytes.clone(), digest).await.unwrap().cached);
            assert!(compiler.compile(bytes.clone(), digest).await.unwrap().cached);
            std::fs::remove_dir_all(&place).unwrap();
        }
    }
}
