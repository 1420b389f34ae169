//! Replicas under load: as many as help, started as fast as the machine starts them, and never fewer than none.

use std::sync::Arc;

use toolbay_tests::{Client, Load, Setup, files, json};

/// The figures of a deployment that failed: 60 callers made eleven replicas start at once, which made each other miss their deadline, and the breaker
/// opened though the first replica served.
#[tokio::test]
async fn a_server_that_needs_a_second_of_cpu_to_start_grows_under_load_without_an_error() {
    const CALLERS: usize = 60;
    let config = format!(
        "[server.slow]\ncommand = [\"python3\", {:?}]\nstart_timeout = \"10s\"\nstop_timeout = \"1s\"\n\
         replicas = {{ min = 1, max = 20, target_ongoing_requests = 5 }}\n",
        files::root().join("tests/servers/slow_start.py")
    );
    let server = Setup::new().config(&config).start().await;
    let load = Load::start(&server, CALLERS, |client: Arc<Client>| async move {
        let reply = client.call("t", json!({})).await;
        (reply.status != 200 || reply.answer().get("error").is_some()).then(|| format!("{reply:?}"))
    });
    // While the load lasts there are more and more of them, and the breaker stays closed.
    let status = server
        .wait_plugin("slow", "has several replicas", |status| {
            assert_eq!(status["replicas"]["breaker"], "closed", "{status}");
            status["replicas"]["up"].as_array().is_some_and(|up| up.len() >= 5)
        })
        .await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(status["replicas"]["restarts"], 0, "{status}");
    let log = server.log();
    assert!(!log.contains("did not start"), "{log}");
}
