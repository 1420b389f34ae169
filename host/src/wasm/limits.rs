//! What one instance may use: an aggregate limiter over memories and tables, and the words for what went over.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::{
    compile::headroom::{self, HEADROOM},
    memory::InstanceMemory,
};
use crate::config::PluginLimits;

/// Core instances, memories and tables of one instance. A component made by one compiler has one memory and two to six core instances. A composed one has
/// as many of each of its parts: a server of wasmcp has some six, and two for each tool.
pub(super) const INSTANCES: u32 = 256;
pub(super) const MEMORIES: u32 = 32;
pub(super) const TABLES: u32 = 64;

/// Handles to resources that one instance may hold, its own and those of the host.
pub(crate) const HANDLES: usize = 10_000;

/// Resources of the host's that one instance may hold: each can take the host up to [`FIELDS`] or two [`CHUNK`]s. An exchange over HTTP takes some ten.
pub(crate) const RESOURCES: usize = 1000;

/// Bytes of randomness in one request for it.
pub(crate) const RANDOM: u64 = 1 << 20;

/// Bytes of HTTP header fields in one request or response.
pub(crate) const FIELDS: usize = 128 << 10;

/// Bytes of an outgoing HTTP body that wait to be sent, at most two such pieces.
pub(crate) const CHUNK: usize = 64 << 10;

/// Bytes of the method, and of the authority, of an outgoing HTTP request.
pub(crate) const WORD: usize = 4 << 10;

/// Bytes that the host copies out of a guest in one host call or one answer, as the host counts them: a value of a typed export takes some 32 bytes, so an answer
/// can cost four times its size and more.
pub(crate) fn copied(limits: &PluginLimits) -> usize {
    const LEAST: usize = 4 << 20;
    const MOST: usize = 128 << 20;
    limits.output.saturating_mul(4).clamp(LEAST, MOST)
}

/// Bytes of a plugin's list of tools. A small `output` is meant for answers: it does not keep a plugin with many tools from being loaded.
pub(crate) fn listed(limits: &PluginLimits) -> usize {
    const LEAST: usize = 1 << 20;
    limits.output.max(LEAST)
}

/// A limit that a call went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Memory(usize),
    /// Of what there is for the instances of one plugin together, or for all.
    Share(usize),
    Tables(usize),
    Instances(usize),
    Timeout(Duration),
    Output(usize),
    Copied(usize),
    Listed(usize),
    Handles(usize),
    Stack,
}

impl Exceeded {
    /// The key of the plugin's configuration that raises it, where there is one.
    pub(crate) fn key(self) -> Option<&'static str> {
        match self {
            Self::Memory(_) => Some("memory"),
            Self::Tables(_) => Some("table_elements"),
            Self::Timeout(_) => Some("timeout"),
            Self::Output(_) | Self::Copied(_) | Self::Listed(_) => Some("output"),
            Self::Share(_) | Self::Instances(_) | Self::Handles(_) | Self::Stack => None,
        }
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "memory limit ({})", Bytes(*bytes)),
            Self::Share(bytes) => {
                write!(f, "share of the memory for all calls ({} for one plugin; other plugins may use some of it)", Bytes(*bytes))
            }
            Self::Tables(elements) => write!(f, "table limit ({elements} elements)"),
            Self::Instances(count) => write!(f, "instance limit ({count} core instances, {MEMORIES} memories, {TABLES} tables)"),
            Self::Timeout(time) => write!(f, "time limit ({time:?})"),
            Self::Output(bytes) => write!(f, "output limit ({})", Bytes(*bytes)),
            Self::Copied(bytes) => write!(f, "output limit (copying it takes the host more than {})", Bytes(*bytes)),
            Self::Listed(bytes) => write!(f, "output limit for a list of what it offers ({})", Bytes(*bytes)),
            Self::Handles(count) => write!(f, "handle limit ({count} open resources)"),
            Self::Stack => write!(f, "stack limit (the recursion is too deep)"),
        }
    }
}

struct Bytes(usize);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// Counts over all memories and all tables of an instance. (Wasmtime's own limits are for each memory.)
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    memory_left: usize,
    /// Bytes that memories have beyond what their guests know of, and that are not counted yet.
    headroom: usize,
    /// What it takes of the memory for all instances.
    share: InstanceMemory,
    elements: usize,
    elements_left: usize,
    /// The last thing that was refused.
    pub(crate) exceeded: Option<Exceeded>,
}

impl Limiter {
    pub(crate) fn new(limits: &PluginLimits, share: InstanceMemory) -> Self {
        Self {
            memory: limits.memory,
            memory_left: limits.memory,
            headroom: 0,
            share,
            elements: limits.table_elements,
            elements_left: limits.table_elements,
            exceeded: None,
        }
    }
}

impl Limiter {
    /// Whether another call would find enough: an instance that hoards is not kept.
    pub(crate) fn has_room(&self) -> bool {
        self.memory_left >= self.memory / 4 && self.elements_left >= self.elements / 4
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own maximum: its business, no limit of ours.
            return Ok(false);
        }
        // The guest knows nothing of its headroom until it has used all of it.
        let spare = if current == 0 && headroom::has_headroom(maximum) { HEADROOM.min(more) } else { 0 };
        let counted = if current == 0 { more - spare } else { more.saturating_add(self.headroom) };
        match self.memory_left.checked_sub(counted) {
            Some(_) if !self.share.take(more) => {
                self.exceeded = Some(Exceeded::Share(self.share.share()));
                Ok(false)
            }
            Some(left) => {
                self.memory_left = left;
                self.headroom = if current == 0 { self.headroom + spare } else { 0 };
                Ok(true)
            }
            None => {
                self.exceeded = Some(Exceeded::Memory(self.memory));
                Ok(false)
            }
        }
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "a memory could not grow");
        // The slot is at its end: what the plugin was given is more than a slot holds.
        self.exceeded.get_or_insert(Exceeded::Memory(self.memory));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        match self.elements_left.checked_sub(more) {
            Some(left) => {
                self.elements_left = left;
                Ok(true)
            }
            None => {
                self.exceeded = Some(Exceeded::Tables(self.elements));
                Ok(false)
            }
        }
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

/// Whether a guest reached for memory just below address 0. Linkers put the stack at the beginning of the memory, from where it grows down: what goes past
/// its end comes round to the highest addresses, where there is no memory.
pub(crate) fn is_below_the_stack(error: &wasmtime::Error) -> bool {
    const FAULT: &str = "memory fault at wasm address 0x";
    /// Frames are seldom larger. There is as much memory only where a plugin has nearly 4 GiB.
    const FRAME: u64 = 1 << 20;
    let address = error.chain().find_map(|cause| {
        let text = cause.to_string();
        let digits = text.strip_prefix(FAULT)?.split(' ').next()?.to_owned();
        u64::from_str_radix(&digits, 16).ok()
    });
    address.is_some_and(|address| ((1 << 32) - FRAME..1 << 32).contains(&address))
}

/// Which limit an error of Wasmtime speaks of, if any. Where Wasmtime has no type for it, its words have to do: a test holds them against the real thing.
pub(crate) fn exceeded(error: &wasmtime::Error, limiter: &Limiter, limits: &PluginLimits) -> Option<Exceeded> {
    if let Some(limit) = error.downcast_ref::<Overrun>() {
        return Some(limit.0);
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => return Some(Exceeded::Stack),
        Some(wasmtime::Trap::Interrupt) => return Some(Exceeded::Timeout(limits.timeout)),
        _ => {}
    }
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") {
        return Some(Exceeded::Copied(copied(limits)));
    }
    if text.contains("resource table has no free keys") {
        return Some(Exceeded::Handles(RESOURCES));
    }
    if text.contains("too many handles") || text.contains("handle limit") {
        return Some(Exceeded::Handles(HANDLES));
    }
    if text.contains("resource limit exceeded") {
        return Some(limiter.exceeded.unwrap_or(Exceeded::Instances(INSTANCES as usize)));
    }
    limiter.exceeded
}

/// A limit of ours as an error that passes through Wasmtime.
#[derive(Debug, thiserror::Error)]
#[error("over the {0}")]
pub(crate) struct Overrun(pub(crate) Exceeded);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::memory::HostMemory;

    fn share() -> InstanceMemory {
        HostMemory::of_machine().plugin().instance()
    }

    #[test]
    fn memories_are_counted_together() {
        let limits = PluginLimits { memory: 100, ..PluginLimits::default() };
        let mut limiter = Limiter::new(&limits, share());
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.exceeded, Some(Exceeded::Memory(100)));
        assert!(limiter.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn a_modules_own_maximum_is_no_limit_of_ours() {
        let mut limiter = Limiter::new(&PluginLimits::default(), share());
        assert!(!limiter.memory_growing(0, 200, Some(100)).unwrap());
        assert_eq!(limiter.exceeded, None);
    }

    #[test]
    fn headroom_is_counted_when_it_is_used_up() {
        const MIB: usize = 1 << 20;
        let maximum = Some(65_535 << 16);
        let limits = PluginLimits { memory: 4 * MIB, ..PluginLimits::default() };
        let mut limiter = Limiter::new(&limits, share());
        assert!(limiter.memory_growing(0, MIB + HEADROOM, maximum).unwrap());
        assert_eq!(limiter.memory_left, 3 * MIB);
        assert!(limiter.memory_growing(MIB + HEADROOM, 4 * MIB, maximum).unwrap());
        assert_eq!(limiter.memory_left, 0);
        assert!(!limiter.memory_growing(4 * MIB, 4 * MIB + 1, maximum).unwrap());
    }

    #[test]
    fn limits_are_named_with_their_value() {
        assert_eq!(Exceeded::Memory(128 << 20).to_string(), "memory limit (128 MiB)");
        assert_eq!(Exceeded::Timeout(Duration::from_millis(1500)).to_string(), "time limit (1.5s)");
    }
}
