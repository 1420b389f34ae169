//! What the child process does: limit itself, compile one component from stdin, write the engine's name and the code to stdout.

use std::io::{Read as _, Write as _};

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use wasmtime::OptLevel;

use super::{adapt, headroom};
use crate::{
    config::HostConfig,
    system::end_with_parent,
    wasm::engine::{EngineKind, Target, Tier, compile_engine},
};

/// The child's exit status for a file that cannot be compiled; why is on its stderr.
pub const EXIT_REFUSED: i32 = 3;

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// By Winch, in one pass.
    Winch,
    /// For speed.
    Speed,
    /// Not at all: some inputs take minutes with optimisation and a second without.
    None,
    /// No code is made: a core module becomes a component, which is compiled by another run.
    Component,
}

impl Level {
    /// As it stands on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Winch => "winch",
            Self::Speed => "speed",
            Self::None => "none",
            Self::Component => "component",
        }
    }

    /// Who makes the code.
    pub(super) fn tier(self) -> Tier {
        match self {
            Self::Winch => Tier::Winch,
            Self::Speed | Self::None | Self::Component => Tier::Cranelift,
        }
    }

    fn opt(self) -> OptLevel {
        match self {
            Self::Speed => OptLevel::Speed,
            Self::Winch | Self::None | Self::Component => OptLevel::None,
        }
    }
}

/// What the child is asked to do.
#[derive(Debug)]
pub struct Task {
    /// How hard to try.
    pub level: Level,
    /// CPU time, all threads together.
    pub cpu_seconds: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Whether nobody waits for it: then everything else comes first.
    pub background: bool,
}

/// Why a component was refused, in the compiler's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// The whole life of the child, after its command line was read. Answers the exit status.
#[must_use]
pub fn run(task: &Task) -> i32 {
    let fail = |what: &str, error: &dyn std::fmt::Display| {
        eprintln!("{what}: {error}");
        1
    };
    // Nobody waits for this process once the host is gone.
    if let Err(error) = end_with_parent() {
        return fail("cannot bind this process to its parent", &error);
    }
    // Data, not address space: engines reserve terabytes that they never touch.
    let limits =
        [(Resource::Cpu, task.cpu_seconds, task.cpu_seconds + 2), (Resource::Data, task.memory, task.memory), (Resource::Core, 0, 0)];
    for (resource, current, maximum) in limits {
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) }) {
            return fail(&format!("cannot limit {resource:?} to {current}"), &error);
        }
    }
    // The calls come first. Where the priority cannot be lowered, compiling at the same one is no failure.
    let _ = nice(if task.background { 19 } else { 10 });
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut bytes) {
        return fail("cannot read the component", &error);
    }
    match make(&HostConfig::default(), &bytes, task.level) {
        Ok((kind, code)) => {
            let mut stdout = std::io::stdout().lock();
            match writeln!(stdout, "{}", kind.name()).and_then(|()| stdout.write_all(&code)).and_then(|()| stdout.flush()) {
                Ok(()) => 0,
                Err(error) => fail("cannot write the code", &error),
            }
        }
        Err(Refusal(message)) => {
            eprintln!("{message}");
            EXIT_REFUSED
        }
    }
}

/// What is asked for, of a component or a core module.
///
/// # Errors
///
/// Why that cannot be had, in words for the person who put the file there.
pub fn make(host: &HostConfig, bytes: &[u8], level: Level) -> Result<(EngineKind, Vec<u8>), Refusal> {
    match level {
        Level::Winch | Level::Speed | Level::None => compile(host, bytes, level),
        Level::Component => adapt::component(bytes).map(|component| (EngineKind::Plain, component)).map_err(Refusal),
    }
}

/// Compiles for the first engine that takes the component.
///
/// # Errors
///
/// The first engine's words, unless only the second one knows what the component uses.
fn compile(host: &HostConfig, bytes: &[u8], level: Level) -> Result<(EngineKind, Vec<u8>), Refusal> {
    let roomy = headroom::give(bytes);
    let bytes = roomy.as_deref().unwrap_or(bytes);
    let attempt = |kind| {
        let target = Target { tier: level.tier(), kind };
        compile_engine(host, target, level.opt()).and_then(|engine| engine.precompile_component(bytes))
    };
    let first = match attempt(EngineKind::Plain) {
        Ok(code) => return Ok((EngineKind::Plain, code)),
        Err(error) => format!("{error:#}"),
    };
    // A broken file is broken for both: only a missing feature is worth a second try.
    if !first.contains("feature") {
        let cut_off = ["unexpected end", "out of bounds (bound"].iter().any(|words| first.contains(words));
        let advice = if cut_off { "; the file seems to be cut off: copy it again, whole" } else { "" };
        return Err(Refusal(format!("it is not a valid component: {first}{advice}")));
    }
    match attempt(EngineKind::Async) {
        Ok(code) => Ok((EngineKind::Async, code)),
        Err(error) => Err(Refusal(format!("it is not a component that this host can run: {error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_off_says_so() {
        let whole = wat::parse_str(r#"(component (core module $m (func (export "run") (result i32) (i32.const 1))))"#).unwrap();
        let message = |bytes: &[u8]| compile(&HostConfig::default(), bytes, Level::None).unwrap_err().0;
        for length in [whole.len() - 1, whole.len() / 2] {
            let said = message(whole.get(..length).unwrap());
            assert!(said.contains("cut off"), "{length}: {said}");
        }
        let said = message(b"\0asm\x0d\0\x01\0\xff\x00");
        assert!(!said.contains("cut off"), "{said}");
    }
}
