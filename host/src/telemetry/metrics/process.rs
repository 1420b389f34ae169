//! What the system knows of this process, under the names that all programs use for it.

use std::{fmt, fs, sync::OnceLock};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use serde::Serialize;

use super::{Out, Source, family};

/// The process itself, asked when the page is made.
#[derive(Debug, Default)]
pub struct Process(
    /// When it was started, in seconds since 1970.
    OnceLock<Option<f64>>,
);

/// What this process uses now.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    /// CPU time since the start, in seconds.
    pub cpu: f64,
    /// Memory that is in RAM, in bytes.
    pub resident: u64,
    /// Its threads.
    pub threads: u64,
}

impl Usage {
    /// Asks the system.
    #[must_use]
    pub fn now() -> Option<Self> {
        let Stat { cpu_ticks, threads, resident_pages, .. } = Stat::read()?;
        let cpu = cpu_ticks as f64 / clock_ticks_per_second() as f64;
        Some(Self { cpu, resident: resident_pages * page_size() as u64, threads })
    }
}

/// Fields of `/proc/self/stat`.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// proc_pid_stat(5). The name, the second field, may hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        // The first of these is the third of the manual.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn boot() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

impl Source for Process {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        out.family(&family::BUILD_INFO)?.add([env!("CARGO_PKG_VERSION")], 1_u64)?;
        let ticks = clock_ticks_per_second() as f64;
        if let Some(stat) = Stat::read() {
            out.single(&family::PROCESS_CPU, stat.cpu_ticks as f64 / ticks)?;
            out.single(&family::PROCESS_RESIDENT, stat.resident_pages * page_size() as u64)?;
            out.single(&family::PROCESS_VIRTUAL, stat.virtual_bytes)?;
            out.single(&family::PROCESS_THREADS, stat.threads)?;
            if let Some(start) = self.0.get_or_init(|| Some(boot()? + stat.start_ticks as f64 / ticks)) {
                out.single(&family::PROCESS_START, *start)?;
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // The folder itself is open while it is read.
            out.single(&family::PROCESS_OPEN_FDS, open.count().saturating_sub(1))?;
        }
        match getrlimit(Resource::Nofile).current {
            Some(limit) => out.single(&family::PROCESS_MAX_FDS, limit),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_anything() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = Stat::parse(&format!("17 (a) b) (S 1 2) R {}", fields.join(" "))).unwrap();
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks), (29, 20, 22));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (23, 24));
        assert!(Stat::read().is_some_and(|stat| stat.resident_pages > 0 && stat.threads > 0));
        assert!(Stat::parse("17 (a) R 1").is_none());
    }
}
