//! The memory of all instances together: so much of the machine's that it never runs out, and no more than half of that for one plugin.
//!
//! Each call has a limit of its own, and there are many calls. What is counted is what guests may touch, not what they have touched.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Where the machine does not say how much it has.
const UNKNOWN: usize = 8 << 30;

/// Less than this is no limit that anything could run under.
const LEAST: usize = 256 << 20;

/// What instances may have, of all plugins.
#[derive(Debug)]
pub(crate) struct HostMemory {
    max: usize,
    used: AtomicUsize,
}

/// What the instances of one plugin have.
#[derive(Debug)]
pub(crate) struct PluginMemory {
    host: Arc<HostMemory>,
    used: AtomicUsize,
}

/// What one instance has. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct InstanceMemory {
    plugin: Arc<PluginMemory>,
    bytes: usize,
}

impl HostMemory {
    /// Three quarters of what the machine, or the container, has.
    pub(crate) fn of_machine() -> Arc<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<usize>().ok());
        let machine = read("/proc/meminfo").and_then(|text| {
            let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB").parse::<usize>().ok()?;
            kib.checked_mul(1 << 10)
        });
        let least = group.into_iter().chain(machine).min().unwrap_or(UNKNOWN);
        Self::new((least / 4 * 3).max(LEAST))
    }

    /// So many bytes.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0) })
    }

    /// What instances have, and what they may have.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.used.load(Relaxed), self.max)
    }

    pub(crate) fn plugin(self: &Arc<Self>) -> Arc<PluginMemory> {
        Arc::new(PluginMemory { host: Arc::clone(self), used: AtomicUsize::new(0) })
    }
}

impl PluginMemory {
    /// What all instances of this plugin may have together.
    pub(crate) fn max(&self) -> usize {
        self.host.max / 2
    }

    pub(crate) fn instance(self: &Arc<Self>) -> InstanceMemory {
        InstanceMemory { plugin: Arc::clone(self), bytes: 0 }
    }
}

impl InstanceMemory {
    /// Takes so much more. False: there is no more for this plugin, or for anybody.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let PluginMemory { host, used } = &*self.plugin;
        if used.fetch_add(bytes, Relaxed).saturating_add(bytes) > self.plugin.max() {
            used.fetch_sub(bytes, Relaxed);
            return false;
        }
        if host.used.fetch_add(bytes, Relaxed).saturating_add(bytes) > host.max {
            host.used.fetch_sub(bytes, Relaxed);
            used.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// What all instances of the plugin may have together.
    pub(crate) fn share(&self) -> usize {
        self.plugin.max()
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        self.plugin.used.fetch_sub(self.bytes, Relaxed);
        self.plugin.host.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plugin_leaves_half_of_it_and_all_comes_back() {
        let host = HostMemory::new(100);
        let (greedy, other) = (host.plugin(), host.plugin());
        let mut instances: Vec<_> = (0..10).map(|_| greedy.instance()).collect();
        let took = instances.iter_mut().filter_map(|instance| instance.take(10).then_some(())).count();
        assert_eq!(took, 5);
        let mut neighbour = other.instance();
        assert!(neighbour.take(50) && !neighbour.take(1));
        drop(instances);
        assert!(greedy.instance().take(50));
        drop(neighbour);
        assert_eq!(host.used.load(Relaxed), 0);
    }

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert!(HostMemory::of_machine().max >= LEAST);
    }
}
