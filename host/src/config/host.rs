//! `[host]`: what the host itself may use.

use std::{path::PathBuf, time::Duration};

use super::{
    engine::{ChoiceError, EngineChoice},
    section::section,
    types::{Boolean, DAY, FilePath, GIB, KIB, MIB, SECOND, TIB, choice, duration, number, optional, size, text},
};

/// The pool reserves 4 GiB of address space for each; 31,000 fit into a process.
pub(super) const MOST_INSTANCES: u32 = 20_000;
/// What a 32-bit memory can have.
pub(super) const MOST_MEMORY: u64 = 4 * GIB;

/// Which compiler makes the code of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginCompiler {
    /// Winch first, so that a plugin serves soon, then Cranelift in the background.
    Auto,
    /// Winch alone, where it can compile the plugin.
    Winch,
    /// Cranelift alone.
    Cranelift,
}

const COMPILERS: &[(&str, PluginCompiler)] =
    &[("auto", PluginCompiler::Auto), ("winch", PluginCompiler::Winch), ("cranelift", PluginCompiler::Cranelift)];

section! {
    /// Pools, compilation and containers.
    pub struct HostConfig {
        /// Concurrent plugin instances, of all plugins together.
        instances: u32 = 1000, number(1..=MOST_INSTANCES) => restart;
        /// Upper bound for the `memory` of any plugin.
        max_memory: usize = 1 << 30, size(64 * KIB..=MOST_MEMORY) => restart;
        /// Memory of all plugin instances together. One plugin gets at most half of it.
        memory: Option<usize> = None, optional(size(256 * MIB..=TIB))
            => restart, unset("three quarters of the machine's or the container's");
        /// Plugins whose code is in memory. Where there are more, each is listed from what the cache
        /// says of it and loaded when it is first called; the one that was not called for longest
        /// makes room.
        loaded_plugins: usize = 200, number(1..=1_000_000) => restart;
        /// Largest `.wasm` file.
        max_file: u64 = 128 * MIB, size(KIB..=4 * GIB) => restart;
        /// The compiler of plugins. `"auto"` serves a plugin that is not in the cache from code of
        /// Winch, which is there four to seven times sooner and runs slower, until Cranelift's is
        /// ready. `"cranelift"` waits for that. `"winch"` keeps Winch's.
        compiler: PluginCompiler = PluginCompiler::Auto, choice(COMPILERS) => restart;
        /// CPU time limit for compiling one component.
        compile_time: Duration = SECOND * 5 * 60, duration(SECOND..=DAY) => restart;
        /// Memory limit for compiling one component.
        compile_memory: u64 = 4 * GIB, size(128 * MIB..=TIB) => restart;
        /// Components compiled concurrently; 0 means one per core.
        compile_jobs: usize = 0, number(0..=1024) => restart;
        /// The compilation cache. Anyone who can write to it can run code as Toolbay.
        cache: Option<PathBuf> = None, optional(FilePath)
            => restart, unset("`${XDG_CACHE_HOME:-~/.cache}/toolbay/compiled`");
        /// Where plugins from an OCI registry are kept, by digest. Anyone who can write to it can
        /// withhold a new version.
        registry_cache: Option<PathBuf> = None, optional(FilePath)
            => restart, unset("`${XDG_CACHE_HOME:-~/.cache}/toolbay/registry`");
        /// Whether a sidecar `NAME.toml` in the plugin folder may grant access.
        /// With `false`, it can set limits and descriptions only.
        sidecar_grants: bool = true, Boolean;
        /// Runs images: `auto`, `podman`, `docker`, the path of such a program, or a
        /// Docker-compatible API (`unix:///run/podman/podman.sock`). `auto` takes what
        /// `CONTAINER_HOST` or `DOCKER_HOST` names, else the first socket or program that answers.
        container_engine: EngineChoice = EngineChoice::Auto, text("text", parse_engine) => restart;
    }
}

fn parse_engine(text: &str) -> Result<EngineChoice, String> {
    text.parse().map_err(|error: ChoiceError| error.to_string())
}
