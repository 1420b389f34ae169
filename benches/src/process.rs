//! Servers as processes: started, measured from outside, ended.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A server that is asked to end and does not within this time is killed.
const END: Duration = Duration::from_secs(10);
/// A server that says nothing for so long will not say anything; the first start with 1,000 plugins compiles them.
const START: Duration = Duration::from_secs(300);

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// `HOST:PORT`
    pub(crate) address: String,
}

impl Server {
    /// Starts it and waits until it says on stdout where it is: `http://HOST:PORT/mcp`. What it says on stderr goes to the file.
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>, log: &Path) -> anyhow::Result<Self> {
        let mut server = Self { child: spawn(program, args, log, Stdio::piped())?, address: String::new() };
        let stdout = server.child.stdout.take().context("no stdout")?;
        let (found, address) = mpsc::channel();
        // Reads on to the end, so that the server never waits for its banner to be read.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/mcp")) {
                    let _ = found.send(address.to_owned());
                }
            }
        });
        server.address =
            address.recv_timeout(START).map_err(|_| anyhow!("{} did not say where it serves; see {}", program.display(), log.display()))?;
        Ok(server)
    }

    /// Starts it at an address that is known, and does not wait for it.
    pub(crate) fn start_at<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        log: &Path,
        address: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self { child: spawn(program, args, log, Stdio::null())?, address: address.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended by itself: {status}"),
        }
    }

    /// Resident memory in MiB.
    pub(crate) fn rss_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/PID/status")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    /// It is asked to, at first: one that is instrumented writes down what it ran when it ends.
    fn drop(&mut self) {
        let asked = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let asked_at = Instant::now();
        while asked && asked_at.elapsed() < END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>, log: &Path, stdout: Stdio) -> anyhow::Result<Child> {
    let stderr = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// CPU time that all threads of a process have used, to the nanosecond. (`/proc/PID/stat` counts hundredths of a second.) Threads that have ended
/// are not in it; no server here ends any while it works.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos +=
            text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).context("/proc/PID/task/TID/schedstat has no time in it")?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The same of a process, of all that it has started and that still run, and of those that have ended: of the last to the hundredth of a second only.
pub(crate) fn family_cpu_time(pid: u32) -> anyhow::Result<Duration> {
    /// `USER_HZ`: what `/proc` counts in, on every architecture.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The second field is the program's name, in parentheses and with whatever characters it likes.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace();
    // cutime and cstime are the fields 16 and 17 of proc(5).
    let ticks = fields.skip(13).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>().context("no times of children in /proc/PID/stat")?;
    let mut time = cpu_time(pid)? + TICK * ticks;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(children) = fs::read_to_string(thread?.path().join("children")) else { continue };
        // One that ends in this moment is in neither sum.
        let children = children.split_whitespace().filter_map(|child| family_cpu_time(child.parse().ok()?).ok());
        time += children.sum::<Duration>();
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_cpu_time() {
        let before = cpu_time(std::process::id()).unwrap();
        let started = Instant::now();
        let mut sum = 0u64;
        while started.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_time(std::process::id()).unwrap() > before);
    }

    #[test]
    fn what_a_process_has_started_counts_with_it_running_or_ended() {
        // A shell whose child counts to a number, says that it is done, and stays.
        let count = |after: &str| {
            let script = format!("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; {after}'; echo over; read line");
            let mut shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
            let last = if after.is_empty() { "over" } else { "done" };
            assert!(lines.any(|line| line.unwrap() == last));
            let (own, family) = (cpu_time(shell.id()).unwrap(), family_cpu_time(shell.id()).unwrap());
            drop(shell.stdin.take());
            shell.wait().unwrap();
            assert!(family >= own + Duration::from_millis(20), "{after:?}: {own:?}, {family:?}");
        };
        count("");
        count("read line");
    }
}
