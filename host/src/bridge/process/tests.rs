//! Real processes under a real supervisor.

use std::time::Duration;

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::*;

/// Not a test of its own: what the others start.
#[test]
#[ignore = "started by others"]
fn supervisor() {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        task: supervise::Task,
    }
    let how = std::env::var(supervise::TEST_VARIABLE).unwrap();
    let line = Line::parse_from(std::iter::once("supervise").chain(how.split('\u{1f}')));
    std::process::exit(supervise::run(&line.task));
}

/// Not a test of its own: a host that is killed.
#[tokio::test]
#[ignore = "started by others"]
async fn host() {
    let mut launched = shell(FAMILY).launch().await.unwrap();
    for pid in lines(&mut launched.stdout, 2).await {
        println!("pid {pid}");
    }
    std::future::pending::<()>().await;
}

/// Not a test of its own: a process in which nothing else opens files.
#[tokio::test]
#[ignore = "started by others"]
async fn restarts() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = 0;
    for round in 0..60 {
        let mut launched = shell("echo up; cat").launch().await.unwrap();
        assert_eq!(lines(&mut launched.stdout, 1).await, ["up"]);
        match round % 3 {
            0 => drop(launched),
            1 => {
                drop(launched.stdin);
                launched.running.stop(Duration::from_secs(60)).await;
            }
            _ => launched.running.stop(Duration::ZERO).await,
        }
        if round == 5 {
            before = descriptors();
        }
    }
    // Those that were dropped are reaped when the kernel tells of their end.
    let reaped = async {
        while !children().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), reaped).await.unwrap_or_else(|_| panic!("zombies: {:?}", children()));
    assert!(descriptors() <= before, "{} descriptors, {before} before", descriptors());
    println!("nothing is left");
}

fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    children.filter(|children| !children.trim().is_empty()).collect()
}

/// One of the tests above, as a process.
fn child(name: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.args(["--exact", &format!("bridge::process::tests::{name}"), "--ignored", "--nocapture"]).kill_on_drop(true);
    command
}

fn shell(script: &str) -> Program {
    Program::new(CommandSource { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..CommandSource::default() })
}

/// The lines that a program writes, without those of the test program that it was before.
async fn lines(stdout: impl AsyncRead + Unpin, count: usize) -> Vec<String> {
    let mut lines = BufReader::new(stdout).lines();
    let mut seen = Vec::new();
    while seen.len() < count
        && let Some(line) = lines.next_line().await.unwrap()
    {
        if !line.is_empty() && !line.starts_with("running ") {
            seen.push(line);
        }
    }
    seen
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Waits until a process that is not a child of this one is gone.
async fn gone(pid: Pid) {
    let waits = async {
        while test_kill_process(pid).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), waits).await.unwrap_or_else(|_| panic!("{pid:?} lives on"));
}

#[test]
fn what_is_told_of_a_command_line_is_no_secret() {
    for (line, told) in [
        ("/usr/bin/npx -y some-server /srv", "`npx -y some-server …`"),
        ("server", "`server`"),
        ("server --token s3cr3t", "`server --token …`"),
        ("uvx server --api-key=s3cr3t", "`uvx server --api-key=…`"),
        ("server -k s3cr3t", "`server -k …`"),
        ("uvx postgres-mcp postgresql://me:s3cr3t@host/db", "`uvx postgres-mcp …`"),
        ("server KEY=s3cr3t", "`server …`"),
    ] {
        let argv = line.split(' ').map(str::to_owned).collect();
        assert_eq!(Program::new(CommandSource { argv, ..CommandSource::default() }).what(), told, "{line}");
    }
}

#[tokio::test]
async fn a_program_is_named_by_its_own_number_and_its_end_is_told() {
    for (script, how) in [("exit 3", "exit status 3"), ("kill -9 $$", "killed by signal 9"), ("exit 0", "exit status 0")] {
        let mut launched = shell(&format!("echo $$; read line; {script}")).launch().await.unwrap();
        let seen = lines(&mut launched.stdout, 1).await;
        assert_eq!(launched.running.name(), format!("pid {}", seen[0]));
        launched.stdin.write_all(b"go\n").await.unwrap();
        assert_eq!(launched.running.ended().await, how);
        launched.running.stop(Duration::ZERO).await;
        gone(pid(&seen[0])).await;
    }
}

#[tokio::test]
async fn the_environment_is_the_short_list_and_what_was_configured() {
    let mut source = shell("env; echo end").source;
    source.env.insert("GIVEN".to_owned(), crate::config::Secret("value".to_owned()));
    let launched = Program::new(source).launch().await.unwrap();
    let seen = lines(launched.stdout, usize::MAX).await.join("\n");
    assert!(seen.contains("GIVEN=value") && seen.contains("PATH=") && seen.ends_with("end"), "{seen}");
    // Cargo sets these for every test.
    assert!(!seen.contains("CARGO_") && !seen.contains("TOOLBAY_"), "{seen}");
}

#[tokio::test]
async fn the_end_of_input_ends_a_program_and_a_deaf_one_is_asked_and_then_killed() {
    let mut launched = shell("echo $$; cat >/dev/null").launch().await.unwrap();
    let seen = lines(&mut launched.stdout, 1).await;
    drop(launched.stdin);
    launched.running.stop(Duration::from_secs(60)).await;
    gone(pid(&seen[0])).await;

    let asked = shell("trap 'echo asked; exit' TERM; echo $$; while :; do sleep 0.02; done").launch().await.unwrap();
    let mut stdout = BufReader::new(asked.stdout);
    let first = lines(&mut stdout, 1).await;
    drop(asked.stdin);
    asked.running.stop(Duration::from_millis(100)).await;
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest.trim(), "asked");
    gone(pid(&first[0])).await;

    let mut deaf = shell("trap '' TERM; echo $$; while :; do sleep 0.02; done").launch().await.unwrap();
    let seen = lines(&mut deaf.stdout, 1).await;
    drop(deaf.stdin);
    deaf.running.stop(Duration::from_millis(50)).await;
    gone(pid(&seen[0])).await;
}

/// A program that starts another one which hides from its group.
const FAMILY: &str = "setsid sleep 600 & echo $!; echo $$; cat >/dev/null";

#[tokio::test]
async fn what_a_program_started_ends_with_it_even_where_it_left_the_group() {
    let mut launched = shell(FAMILY).launch().await.unwrap();
    let seen = lines(&mut launched.stdout, 2).await;
    kill_process(pid(&seen[1]), Signal::KILL).unwrap();
    assert_eq!(launched.running.ended().await, "killed by signal 9");
    gone(pid(&seen[0])).await;

    let mut dropped = shell(FAMILY).launch().await.unwrap();
    let seen = lines(&mut dropped.stdout, 2).await;
    drop(dropped.running);
    gone(pid(&seen[0])).await;
    gone(pid(&seen[1])).await;
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_nothing() {
    let mut host = child("host").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let mut pids = Vec::new();
    while pids.len() < 2 {
        let line = lines.next_line().await.unwrap().expect("the host says what it started");
        pids.extend(line.split_once("pid ").map(|(_, number)| pid(number)));
    }
    host.kill().await.unwrap();
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn restarts_leave_no_zombie_and_no_descriptor() {
    let output = child("restarts").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("nothing is left"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_program_does_not_outlive_its_supervisor() {
    let mut launched = shell("echo $PPID; echo $$; trap '' TERM; while :; do sleep 0.02; done").launch().await.unwrap();
    let seen = lines(&mut launched.stdout, 2).await;
    kill_process(pid(&seen[0]), Signal::KILL).unwrap();
    assert_eq!(launched.running.ended().await, "its supervisor was killed by signal 9");
    gone(pid(&seen[1])).await;
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let start = |argv: &[&str]| {
        let source = CommandSource { argv: argv.iter().map(|word| (*word).to_owned()).collect(), ..CommandSource::default() };
        async move { Program::new(source).launch().await.unwrap_err().to_string() }
    };
    let error = start(&["no-such-program", "a", "b", "secret"]).await;
    assert!(error.starts_with("cannot start `no-such-program a b …`: there is no program \"no-such-program\" in /"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let source = CommandSource { argv: vec![script.display().to_string()], ..CommandSource::default() };
    let mut launched = Program::new(source).launch().await.unwrap();
    let mut said = String::new();
    launched.stderr.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("cannot execute") && said.contains("No such file"), "{said}");
    assert_eq!(launched.running.ended().await, "exit status 126");
}
