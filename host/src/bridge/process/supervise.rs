//! `toolbay supervise`, hidden: the parent of one program. It sees to it that nothing of the program is left when the program or the host has ended,
//! however that was.
//!
//! Three processes: the host starts a supervisor, the supervisor starts itself once more, and that one becomes the program. The supervisor is told by the
//! kernel of the end of the host; all that the program starts and leaves behind becomes a child of the supervisor; and should somebody kill the
//! supervisor, the kernel kills the program. None of that could be set up between fork and exec without unsafe code.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, kill_process_group, wait},
    stdio::{dup2_stdin, dup2_stdout},
};
use tokio::signal::unix::{SignalKind, signal};

use super::kin::{self, Host};
use crate::system;

/// The name of the subcommand.
pub const SUBCOMMAND: &str = "supervise";

/// Asks the program to end: the supervisor hands it on.
pub const END: Signal = Signal::TERM;

/// Has the supervisor kill everything.
pub const KILL: Signal = Signal::INT;

/// What the program's process writes to its stderr before it becomes the program, with its number after it.
pub(super) const BEGUN: &str = "toolbay-begun ";

/// The program's input ends with the host. Programs that take notice end by themselves, so long after it at most.
const ORPHANED: Duration = Duration::from_secs(1);

/// What is left of a program is killed for so long.
const SWEEP: Duration = Duration::from_secs(5);

/// The exit status of a program that cannot be executed, as in shells.
const NOT_EXECUTABLE: i32 = 126;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Task {
    /// Who started this process, and has to be its parent still.
    #[arg(long)]
    parent: u32,
    /// Become the program, instead of supervising it.
    #[arg(long)]
    become_it: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    argv: Vec<OsString>,
}

/// This program, started again to supervise.
pub(super) fn command(how: &[OsString]) -> Command {
    let mut command = Command::new(system::own_program());
    if cfg!(test) {
        command.args(super::supervise::TEST_ARGS);
    } else {
        command.arg(SUBCOMMAND).args(how);
    }
    command
}

/// In a unit test this program is the test, whose command line is not ours: it is told in the environment what to do.
pub(super) fn mark(command: &mut Command, how: &[OsString]) {
    if cfg!(test) {
        command.env(TEST_VARIABLE, how.join(std::ffi::OsStr::new("\u{1f}")));
    }
}

/// What makes the test program a supervisor.
const TEST_ARGS: [&str; 5] = ["--exact", "bridge::process::tests::supervisor", "--ignored", "--nocapture", "--quiet"];

/// What that supervisor is to do.
pub(super) const TEST_VARIABLE: &str = "TOOLBAY_TEST_SUPERVISE";

/// The whole life of this process, after its command line was read. Answers the exit status.
#[must_use]
pub fn run(task: &Task) -> i32 {
    let outcome = if task.become_it { become_program(task) } else { supervise(task) };
    outcome.unwrap_or_else(|why| {
        let _ = writeln!(io::stderr(), "{why}");
        NOT_EXECUTABLE
    })
}

fn fails<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

fn parent(task: &Task) -> Option<Pid> {
    getppid().filter(|parent| u32::try_from(parent.as_raw_nonzero().get()) == Ok(task.parent))
}

/// Ties this process to its parent and turns it into the program.
fn become_program(task: &Task) -> Result<i32, String> {
    system::end_with_parent().map_err(fails("the program cannot be tied to its supervisor"))?;
    if parent(task).is_none() {
        return Ok(NOT_EXECUTABLE);
    }
    let [program, arguments @ ..] = &task.argv[..] else { return Err("there is no program".to_owned()) };
    // One write: a line in pieces could be mixed with another.
    let begun = format!("{BEGUN}{}\n", getpid().as_raw_nonzero());
    io::stderr().write_all(begun.as_bytes()).map_err(fails("nobody listens"))?;
    let error = Command::new(program).args(arguments).env_remove(TEST_VARIABLE).exec();
    Err(format!("cannot execute {}: {error}", program.display()))
}

fn supervise(task: &Task) -> Result<i32, String> {
    kin::adopt().map_err(fails("what the program leaves behind cannot be collected"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fails("the supervisor cannot run"))?;
    runtime.block_on(watch(task))
}

async fn watch(task: &Task) -> Result<i32, String> {
    let listen = |kind| signal(kind).map_err(fails("the supervisor cannot listen for signals"));
    let (mut children, mut end, mut kill) =
        (listen(SignalKind::child())?, listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let host = parent(task).ok_or("the host has ended")?;
    let host = Host::watch(host).map_err(fails("the host cannot be watched"))?;
    // Between both looks the number may have gone to another process.
    parent(task).ok_or("the host has ended")?;
    let program = start(task)?;
    loop {
        tokio::select! {
            _ = children.recv() => {
                if let Some(status) = reap(program) {
                    sweep(program);
                    return Ok(status);
                }
            }
            // It may have ended in this moment.
            _ = end.recv() => drop(kill_process_group(program, Signal::TERM)),
            _ = kill.recv() => {
                sweep(program);
                return Ok(NOT_EXECUTABLE);
            }
            _ = host.ended() => {
                let ended = async {
                    while reap(program).is_none() {
                        children.recv().await;
                    }
                };
                let _ = tokio::time::timeout(ORPHANED, ended).await;
                sweep(program);
                return Ok(NOT_EXECUTABLE);
            }
        }
    }
}

/// Starts the program, in a process group of its own: `kill 0` in a script means the script's, and not the supervisor.
fn start(task: &Task) -> Result<Pid, String> {
    let mut how = vec!["--parent".into(), getpid().as_raw_nonzero().to_string().into(), "--become-it".into(), "--".into()];
    how.extend(task.argv.iter().cloned());
    let mut command = command(&how);
    mark(&mut command, &how);
    let child = command.process_group(0).spawn().map_err(fails("the program cannot be started"))?;
    // The program's alone from now on: its end of a pipe has to be the last.
    let null = File::options().read(true).write(true).open("/dev/null").map_err(fails("cannot open /dev/null"))?;
    dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).map_err(fails("cannot close the program's pipes"))?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| "the program has no number".to_owned())
}

/// Reaps whatever has ended. Answers the exit status of the program, if it is among them.
fn reap(program: Pid) -> Option<i32> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => ended = Some(exit_status(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return ended,
            // There is no child left, the program neither.
            Err(_) => return ended.or(Some(NOT_EXECUTABLE)),
        }
    }
}

fn exit_status(status: WaitStatus) -> i32 {
    let status = ExitStatus::from_raw(status.as_raw());
    status.code().or_else(|| status.signal().map(|signal| super::SIGNALLED + signal)).unwrap_or(NOT_EXECUTABLE)
}

/// Kills all that is left of the program. On Linux these are children of this process; their children become ours, and are next.
fn sweep(program: Pid) {
    let until = Instant::now() + SWEEP;
    while Instant::now() < until {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Err(Errno::CHILD) if cfg!(target_os = "linux") => return,
            _ => {}
        }
        let left = kin::left(program);
        if left.is_empty() && !cfg!(target_os = "linux") {
            return;
        }
        for process in left {
            let _ = kill_process(process, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
