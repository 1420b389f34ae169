//! Programs on stdio: found, given an environment of their own, started under a supervisor, and ended with all that they started.

mod environment;
mod find;
mod kin;
pub mod supervise;
#[cfg(test)]
mod tests;

use std::{path::Path, process::Stdio, time::Duration};

use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    time::timeout,
};

use super::launch::{Launch, LaunchError, Launched, Running};
use crate::config::CommandSource;

/// From the start of the supervisor to that of the program: milliseconds, on a machine that is not overloaded.
const BEGIN: Duration = Duration::from_secs(20);

/// What the supervisor needs to kill all that the program started. It kills in a loop; the processes are gone at once, unless the kernel holds them.
const KILLED: Duration = Duration::from_secs(5);

/// A program that is started again and again.
pub struct Program {
    source: CommandSource,
}

impl Program {
    /// Nothing is started or looked for yet.
    #[must_use]
    pub fn new(source: CommandSource) -> Self {
        Self { source }
    }

    async fn start(&self) -> Result<Launched, LaunchError> {
        let source = self.source.clone();
        // Folders may lie on a slow disk.
        let found = tokio::task::spawn_blocking(move || (find::program(&source), environment::of_program(&source)));
        let (program, environment) = found.await.map_err(|error| self.fail(&error))?;
        let program = program.map_err(|why| self.fail(&why))?;
        let mut how = vec!["--parent".into(), std::process::id().to_string().into(), "--".into(), program.into_os_string()];
        how.extend(self.source.argv.iter().skip(1).map(Into::into));
        let mut command = tokio::process::Command::from(supervise::command(&how));
        command.env_clear().envs(environment);
        if let Some(cwd) = &self.source.cwd {
            command.current_dir(cwd);
        }
        supervise::mark(command.as_std_mut(), &how);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.fail(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let supervisor = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut running = Process { child, supervisor, pid: None };
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else { return Err(self.fail(&"it has no pipes")) };
        match timeout(BEGIN, begun(&mut stderr)).await {
            Ok(Ok(pid)) => running.pid = Pid::from_raw(pid),
            Ok(Err(why)) => return Err(self.fail(&why)),
            Err(_) => return Err(self.fail(&format!("it was not started within {} s", BEGIN.as_secs()))),
        }
        Ok(Launched {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            running: Box::new(running),
            advice: None,
        })
    }

    fn fail(&self, why: &dyn std::fmt::Display) -> LaunchError {
        LaunchError(format!("cannot start {}: {why}", self.what()))
    }
}

impl Launch for Program {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        Box::pin(self.start())
    }

    /// The program and its first arguments. Arguments may hold what is nobody's business, so that no more of them is told than says which server it is.
    fn what(&self) -> String {
        let argv = &self.source.argv;
        let program = argv.first().map(|program| Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned());
        let told = told(argv.get(1..).unwrap_or_default());
        let more = if argv.len() > told.len() + 1 { " …" } else { "" };
        let words: Vec<String> = program.into_iter().chain(told).collect();
        format!("`{}{more}`", words.join(" "))
    }
}

/// The arguments that may be shown. A value of an option (`--token x`, `--token=x`) may be a secret, and so may what stands in an address.
fn told(arguments: &[String]) -> Vec<String> {
    const MOST: usize = 2;
    /// Of common launchers; what stands behind is what they launch.
    const PLAIN: [&str; 4] = ["-y", "--yes", "-m", "-u"];
    let mut told = Vec::new();
    for argument in arguments.iter().take(MOST) {
        let is_option = argument.starts_with('-');
        if argument.contains("://") || (argument.contains('=') && !is_option) {
            break;
        }
        told.push(argument.split_once('=').map_or_else(|| argument.clone(), |(option, _)| format!("{option}=…")));
        if is_option && !PLAIN.contains(&argument.as_str()) {
            break;
        }
    }
    told
}

/// Reads the line by which the program's process says that it is there, from a stream that nobody else writes to before.
async fn begun(stderr: &mut (impl AsyncRead + Unpin)) -> Result<i32, String> {
    const LONGEST: usize = 2_000;
    let mut line = Vec::new();
    loop {
        match stderr.read_u8().await {
            Ok(b'\n') => {
                if let Some(pid) = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix(supervise::BEGUN)?.parse().ok()) {
                    return Ok(pid);
                }
                return Err(String::from_utf8_lossy(&line).into_owned());
            }
            Ok(byte) if line.len() < LONGEST => line.push(byte),
            Ok(_) => return Err(String::from_utf8_lossy(&line).into_owned()),
            Err(_) => return Err(format!("its supervisor process ended {}", String::from_utf8_lossy(&line)).trim_end().to_owned()),
        }
    }
}

/// A program that runs, as the child of its supervisor.
struct Process {
    child: Child,
    /// None once it was reaped, so that nobody else who got its number is sent a signal.
    supervisor: Option<Pid>,
    pid: Option<Pid>,
}

impl Process {
    async fn wait(&mut self) -> String {
        let status = self.child.wait().await;
        let supervised = self.supervisor.take().is_some();
        match status {
            Ok(status) => match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
                (Some(code), _) if code > SIGNALLED && code <= SIGNALLED + 64 => format!("killed by signal {}", code - SIGNALLED),
                (Some(code), _) => format!("exit status {code}"),
                (None, signal) => {
                    // Somebody killed the supervisor. The kernel kills the program for it; what the program started is still there.
                    if let (true, Some(pid)) = (supervised, self.pid) {
                        let _ = kill_process_group(pid, Signal::KILL);
                    }
                    format!("its supervisor was killed by signal {}", signal.unwrap_or_default())
                }
            },
            Err(error) => format!("it cannot be waited for: {error}"),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(supervisor) = self.supervisor {
            let _ = kill_process(supervisor, signal);
        }
    }
}

/// A process that was killed by signal N is told by this status + N, as shells do.
const SIGNALLED: i32 = 128;

impl Running for Process {
    fn name(&self) -> String {
        self.pid.or(self.supervisor).map_or_else(|| "a process that ended".to_owned(), |pid| format!("pid {}", pid.as_raw_nonzero()))
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        Box::pin(self.wait())
    }

    fn stop(mut self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            for signal in [None, Some(supervise::END), Some(supervise::KILL), Some(Signal::KILL)] {
                let limit = match signal {
                    None | Some(supervise::END) => grace,
                    Some(_) => KILLED,
                };
                if let Some(signal) = signal {
                    self.signal(signal);
                }
                if timeout(limit, self.wait()).await.is_ok() {
                    return;
                }
            }
            tracing::error!("{} cannot be killed: the kernel holds it", self.name());
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It kills the program and all that it started, and ends. The runtime reaps it.
        self.signal(supervise::KILL);
    }
}
