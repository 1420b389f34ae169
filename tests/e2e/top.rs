//! `toolbay top`: the live figures of a server, as text and on a terminal.

use tokio::process::Command;
use toolbay_tests::{Client, Server, Setup, files, json, secs};

/// Runs it, on a terminal with these steps, or without one. What it showed, and its exit status.
async fn top(server: &Server, arguments: &[&str], steps: Option<&toolbay_tests::Value>) -> (String, Option<i32>) {
    let mut words = vec![files::binary().display().to_string(), "top".to_owned(), "--url".to_owned(), server.base.clone()];
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    if let Some(steps) = steps {
        let script = files::root().join("tests/servers/terminal.py").display().to_string();
        words.splice(0..0, ["python3".to_owned(), script, "110x30".to_owned(), steps.to_string()]);
    }
    let (first, rest) = words.split_first().expect("a command");
    let run = Command::new(first).args(rest).env("TOKEN", "operator-0123456789abcdef").kill_on_drop(true).output();
    let output = tokio::time::timeout(secs(120), run).await.expect("it ends within 120 s").expect("it can be started");
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (shown, output.status.code())
}

async fn with_calls() -> Server {
    let worker = files::root().join("tests/servers/worker.py");
    let servers = format!("[server.worker]\ncommand = [\"python3\", {worker:?}]\n[server.gone]\ncommand = [\"false\"]\n");
    let server = Setup::new().plugin("calculator").config(&servers).start().await;
    let client = Client::modern(&server);
    for divisor in [1, 0, 2] {
        client.call("divide", json!({ "a": 1, "b": divisor })).await;
    }
    client.call("add", json!({ "a": 1, "b": 2 })).await;
    server
}

#[tokio::test]
async fn one_table_as_text() {
    let server = with_calls().await;
    let (shown, status) = top(&server, &["--once", "--interval", "1", "--sort", "name"], None).await;
    assert_eq!(status, Some(0), "{shown}");
    let row = |tool: &str| {
        let line =
            shown.lines().find(|line| line.split_whitespace().nth(1) == Some(tool)).unwrap_or_else(|| panic!("no {tool} in {shown}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((row("divide").last().map(String::as_str), row("add").last().map(String::as_str)), (Some("3"), Some("1")), "{shown}");
    assert!(shown.find(" add ") < shown.find(" divide "), "{shown}");
    assert!(
        shown.starts_with(&format!("Toolbay {}, ready", env!("CARGO_PKG_VERSION"))) && shown.contains("calculator  serving"),
        "{shown}"
    );
    let replicas = |server: &str| {
        let line = shown.lines().find(|line| line.starts_with(server)).unwrap_or_else(|| panic!("no {server} in {shown}"));
        line.split_whitespace().nth(4).map(str::to_owned)
    };
    assert_eq!((replicas("worker").as_deref(), replicas("gone").as_deref()), (Some("1/1"), Some("0/1")), "{shown}");
    let (shown, status) = top(&server, &[], None).await;
    assert!(status == Some(2) && shown.contains("--once"), "without a terminal: {shown}");
}

#[tokio::test]
async fn it_is_sorted_by_keys_and_ended_by_one() {
    let server = with_calls().await;
    for end in ["q", "\u{1b}", "\u{3}"] {
        let steps = json!([{ "wait": "divide" }, { "wait": "q quit" }, { "type": "n" }, { "type": end }]);
        let (shown, status) = top(&server, &["--interval", "1"], Some(&steps)).await;
        assert_eq!(status, Some(0), "{end:?}: {shown}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_screen_is_taken() {
    let config = "[auth.tokens]\nann = { from_env = \"TOKEN\", roles = [\"some\"] }\n[role.some]\ntools = [\"add\"]\n";
    let server = Setup::new().plugin("calculator").config(config).env("TOKEN", "operator-0123456789abcdef").start().await;
    for (arguments, words) in [
        (&[] as &[&str], "needs a bearer token: put it in an environment variable and name that with --token-env"),
        (&["--token-env", "TOKEN"], "needs a role that allows everything"),
        (&["--token-env", "NO_SUCH_VARIABLE"], "there is no such environment variable"),
    ] {
        let (shown, status) = top(&server, &[&["--once"], arguments].concat(), None).await;
        assert!(status != Some(0) && shown.contains(words) && !shown.contains("operator-0"), "{arguments:?}: {shown}");
    }
    let server = Setup::new().plugin("calculator").config("[metrics]\nenabled = false\n").start().await;
    let (shown, status) = top(&server, &["--once"], None).await;
    assert!(status == Some(1) && shown.contains("see `enabled` and `listen` in [metrics]"), "{shown}");
}
