//! What the system tells a supervisor of its host and of what the program leaves behind.
//!
//! Linux watches the host, and hands over every process that has lost its parent. Elsewhere there is neither: the host is looked for again and again, and
//! of what the program has started, that is found which stayed in its process group.

use rustix::process::{Pid, getpid};

/// Takes over what the program leaves behind, from now on.
pub(super) fn adopt() -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))?;
    Ok(())
}

/// The host, as it can be waited for.
#[cfg(target_os = "linux")]
pub(super) struct Host(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Host {
    /// The process of that number, which is this one's parent.
    pub(super) fn watch(host: Pid) -> std::io::Result<Self> {
        let host = rustix::process::pidfd_open(host, rustix::process::PidfdFlags::empty())?;
        #[expect(deprecated, reason = "its successor is unsafe for types whose descriptor could change; that of an OwnedFd cannot")]
        tokio::io::unix::AsyncFd::with_interest(host, tokio::io::Interest::READABLE).map(Self)
    }

    /// Returns when it has ended.
    pub(super) async fn ended(&self) {
        let _ = self.0.readable().await;
    }
}

/// The host, as it can be waited for.
#[cfg(not(target_os = "linux"))]
pub(super) struct Host(Pid);

#[cfg(not(target_os = "linux"))]
impl Host {
    /// The process of that number, which is this one's parent.
    pub(super) fn watch(host: Pid) -> std::io::Result<Self> {
        Ok(Self(host))
    }

    /// Returns when it has ended: then this process has another parent.
    pub(super) async fn ended(&self) {
        const LOOK: std::time::Duration = std::time::Duration::from_millis(250);
        while rustix::process::getppid() == Some(self.0) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What is left of a program: the processes whose parent this one is.
#[cfg(target_os = "linux")]
pub(super) fn left(_: Pid) -> Vec<Pid> {
    let own = getpid();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let process = |entry: std::io::Result<std::fs::DirEntry>| {
        let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // `pid (name) state parent …`, where the name may hold anything.
        let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
        (Pid::from_raw(parent)? == own).then_some(pid)
    };
    processes.filter_map(process).collect()
}

/// What is left of a program: the processes whose parent this one is, and those in the program's group.
#[cfg(not(target_os = "linux"))]
pub(super) fn left(program: Pid) -> Vec<Pid> {
    let listed = std::process::Command::new("/bin/ps").args(["-A", "-o", "pid=,ppid=,pgid="]).output();
    let listed = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
    kin(&listed, getpid(), program)
}

/// Of lines `PID PARENT GROUP`, the children of `own` and the group of `program`.
#[cfg(any(test, not(target_os = "linux")))]
fn kin(listed: &str, own: Pid, program: Pid) -> Vec<Pid> {
    let process = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| Pid::from_raw(number.parse().ok()?));
        let (pid, parent, group) = (numbers.next()??, numbers.next()?, numbers.next()?);
        (parent == Some(own) || group == Some(program)).then_some(pid)
    };
    listed.lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_and_the_programs_group_are_what_is_left() {
        let pid = |number| Pid::from_raw(number).unwrap();
        let listed = "    1     0     1\n   20    10    20\n   21     1    20\n   22     1    22\n    x\n   23    10    23\n";
        assert_eq!(kin(listed, pid(10), pid(20)), [20, 21, 23].map(pid));
    }
}
