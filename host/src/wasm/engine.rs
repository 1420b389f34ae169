//! The engines: how Wasmtime is set up.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

use super::{compile::headroom, epoch_ticker::Clock, limits, memory::HostMemory};
use crate::config::HostConfig;

/// Bytes of a slot's memory that are zeroed by hand where the kernel tells which pages were written: beyond this, pages go back to the kernel.
/// Measured: a call that writes 16 pages costs 4.8 µs with it and 38 µs without.
const KEEP_RESIDENT: usize = 2 << 20;

/// The same for tables.
const TABLE_KEEP_RESIDENT: usize = 1 << 20;

/// Without the kernel's help every kept byte is zeroed for every call, used or not: a small size is the better bargain.
const KEEP_RESIDENT_NO_SCAN: usize = 64 << 10;

/// A guest's native stack. Recursion ends here with a trap.
const WASM_STACK: usize = 512 << 10;

/// The stack that a call runs on: the guest's and, above it, that of the host functions which it calls.
const ASYNC_STACK: usize = 2 << 20;

/// Memories and tables of the pool for each instance. One with more takes the places of several.
pub(crate) const MEMORIES_EACH: u32 = 2;
pub(crate) const TABLES_EACH: u32 = 4;

/// Elements that a slot for a table can hold. A plugin's own limit is counted over all its tables and may be lower.
const TABLE_ELEMENTS: usize = 1_000_000;

/// Bytes of what the host keeps for one instance beside its memory; a 19 MB interpreter needs 0.4 MB.
const INSTANCE_SIZE: usize = 8 << 20;

/// What can go wrong with the engines as a whole.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The pool cannot be made.
    #[error("cannot reserve address space for {instances} instances ({source}); lower `instances` in [host], or raise `ulimit -v`")]
    Pool {
        /// As configured.
        instances: u32,
        /// Wasmtime's words.
        source: wasmtime::Error,
    },
    /// The clock's thread cannot be started.
    #[error("cannot start the thread that interrupts guests: {0}")]
    Clock(std::io::Error),
}

/// Which of the two engines a component runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Without support for the component model's async features: a call costs 5 µs less. Almost all components run here.
    Plain,
    /// With it, for components that need it.
    Async,
}

impl EngineKind {
    /// Both, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Async];

    /// As it stands in file names and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Async => "async",
        }
    }
}

/// Which compiler makes the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Winch: compiles in one pass, four to seven times quicker, for code that runs slower.
    Winch,
    /// Cranelift: optimises.
    Cranelift,
}

impl Tier {
    /// As it stands in logs, statuses and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Winch => "winch",
            Self::Cranelift => "cranelift",
        }
    }
}

/// What code is compiled for: code of the one compiler does not run on the engine of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Who makes the code.
    pub tier: Tier,
    /// What it runs on.
    pub kind: EngineKind,
}

impl Target {
    /// As it stands in the names of the cache's folders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.tier, self.kind) {
            (Tier::Cranelift, EngineKind::Plain) => "plain",
            (Tier::Cranelift, EngineKind::Async) => "async",
            (Tier::Winch, EngineKind::Plain) => "winch-plain",
            (Tier::Winch, EngineKind::Async) => "winch-async",
        }
    }
}

/// The engines of a host, and their clock.
pub struct Engines {
    plain: Engine,
    /// Made when the first component needs it: it reserves as much address space as the other.
    other: OnceLock<Engine>,
    /// Those for Winch's code, plain and async, while any plugin runs on it: their pools are as large as those of the others, so that no call finds
    /// less room for being early.
    early: Mutex<[Option<EngineWeak>; 2]>,
    host: HostConfig,
    scan: bool,
    clock: Clock,
    memory: Arc<HostMemory>,
}

impl Engines {
    /// Makes the pool and starts the clock.
    ///
    /// # Errors
    ///
    /// [`EngineError`], where address space or threads are not to be had.
    pub fn new(host: &HostConfig) -> Result<Arc<Self>, EngineError> {
        let (plain, scan) = match Engine::new(&config(host, PLAIN, OptLevel::Speed, true)) {
            Ok(engine) => (engine, true),
            Err(error) => {
                tracing::debug!(%error, "no pool with a page map scan");
                let engine = Engine::new(&config(host, PLAIN, OptLevel::Speed, false))
                    .map_err(|source| EngineError::Pool { instances: host.instances, source })?;
                (engine, false)
            }
        };
        if scan {
            tracing::debug!(instances = host.instances, "pool ready; the kernel reports which pages a call has written");
        } else {
            tracing::info!(
                instances = host.instances,
                "pool ready; this kernel has no PAGEMAP_SCAN (Linux 6.7 and later), so calls cost some 10 µs more"
            );
        }
        let clock = Clock::start(&plain).map_err(EngineError::Clock)?;
        Ok(Arc::new(Self {
            plain,
            other: OnceLock::new(),
            early: Mutex::default(),
            host: host.clone(),
            scan,
            clock,
            memory: host.memory.map_or_else(HostMemory::of_machine, HostMemory::new),
        }))
    }

    /// What keeps guests from running for ever.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The memory of all instances.
    pub(crate) fn memory(&self) -> &Arc<HostMemory> {
        &self.memory
    }

    /// The engine for a target. One for Winch's code goes when nobody holds it any more.
    ///
    /// # Errors
    ///
    /// [`EngineError`], where another engine has to be made and cannot.
    pub fn get(&self, target: Target) -> Result<Engine, EngineError> {
        match target {
            Target { tier: Tier::Cranelift, kind: EngineKind::Plain } => Ok(self.plain.clone()),
            Target { tier: Tier::Cranelift, kind: EngineKind::Async } => {
                if let Some(engine) = self.other.get() {
                    return Ok(engine.clone());
                }
                let engine = self.make(target)?;
                let engine = self.other.get_or_init(|| engine);
                self.clock.add(engine);
                Ok(engine.clone())
            }
            Target { tier: Tier::Winch, kind } => {
                let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
                let [plain, other] = &mut *early;
                let slot = if kind == EngineKind::Plain { plain } else { other };
                if let Some(engine) = slot.as_ref().and_then(EngineWeak::upgrade) {
                    return Ok(engine);
                }
                let engine = self.make(target)?;
                self.clock.add(&engine);
                *slot = Some(engine.weak());
                Ok(engine)
            }
        }
    }

    fn make(&self, target: Target) -> Result<Engine, EngineError> {
        Engine::new(&config(&self.host, target, OptLevel::Speed, self.scan))
            .map_err(|source| EngineError::Pool { instances: self.host.instances, source })
    }
}

/// What most code is compiled for.
const PLAIN: Target = Target { tier: Tier::Cranelift, kind: EngineKind::Plain };

/// An engine that only compiles, for the child process: no pool, no clock. What it makes loads into the engine for the same target.
///
/// # Errors
///
/// Where Wasmtime refuses the settings.
pub fn compile_engine(host: &HostConfig, target: Target, level: OptLevel) -> wasmtime::Result<Engine> {
    let mut config = config(host, target, level, false);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// What has to be equal for compiled code to fit an engine: Wasmtime's own hash over version, processor and settings, and what is done to modules before.
#[must_use]
pub fn compatibility(engine: &Engine) -> u64 {
    struct Blake(blake3::Hasher);
    impl Hasher for Blake {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let digest = self.0.finalize();
            let mut first = [0; 8];
            first.copy_from_slice(digest.as_bytes().split_at(8).0);
            u64::from_le_bytes(first)
        }
    }
    // Not the standard hasher: its result may change between Rust releases, and the cache would be lost without a reason.
    let mut hasher = Blake(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    headroom::VERSION.hash(&mut hasher);
    hasher.finish()
}

fn config(host: &HostConfig, target: Target, level: OptLevel, scan: bool) -> Config {
    let instances = host.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_memories(instances.saturating_mul(MEMORIES_EACH).min(30_000))
        .total_tables(instances.saturating_mul(TABLES_EACH))
        // A count only: each is made when it is needed.
        .total_core_instances(instances.saturating_mul(limits::INSTANCES))
        .max_core_instances_per_component(limits::INSTANCES)
        .max_memories_per_component(limits::MEMORIES)
        .max_tables_per_component(limits::TABLES)
        .max_memories_per_module(limits::MEMORIES)
        .max_tables_per_module(limits::TABLES)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(host.max_memory)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(if scan { KEEP_RESIDENT } else { KEEP_RESIDENT_NO_SCAN })
        .table_keep_resident(if scan { TABLE_KEEP_RESIDENT } else { KEEP_RESIDENT_NO_SCAN })
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .strategy(match target.tier {
            Tier::Winch => Strategy::Winch,
            Tier::Cranelift => Strategy::Cranelift,
        })
        .cranelift_opt_level(level)
        .epoch_interruption(true)
        .concurrency_support(target.kind == EngineKind::Async)
        // No garbage-collected types: nothing that is built today needs them, and two advisories against 48.0.8 do.
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_component_model(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: [Target; 4] = [
        PLAIN,
        Target { tier: Tier::Cranelift, kind: EngineKind::Async },
        Target { tier: Tier::Winch, kind: EngineKind::Plain },
        Target { tier: Tier::Winch, kind: EngineKind::Async },
    ];

    #[test]
    fn what_the_compile_engine_makes_fits_the_pool_of_the_same_target() {
        let host = HostConfig { instances: 10, ..HostConfig::default() };
        let engines = Engines::new(&host).unwrap();
        let mut all = Vec::new();
        for target in TARGETS {
            let compiler = compile_engine(&host, target, OptLevel::Speed).unwrap();
            assert_eq!(compatibility(&compiler), compatibility(&engines.get(target).unwrap()), "{target:?}");
            all.push(compatibility(&compiler));
        }
        all.dedup();
        assert_eq!(all.len(), TARGETS.len(), "{all:?}");
    }

    #[test]
    fn the_pool_for_early_code_goes_with_the_last_that_runs_it() {
        let engines = Engines::new(&HostConfig { instances: 10, ..HostConfig::default() }).unwrap();
        let target = Target { tier: Tier::Winch, kind: EngineKind::Plain };
        let (first, second) = (engines.get(target).unwrap(), engines.get(target).unwrap());
        assert!(Engine::same(&first, &second));
        let weak = first.weak();
        drop((first, second));
        assert!(weak.upgrade().is_none());
        engines.get(target).unwrap();
    }
}
