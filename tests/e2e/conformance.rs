//! The official conformance suite: every scenario that a server of tools can pass, in both eras.
//!
//! What is not in these lists asks for prompts, resources, completion, or for asking the client, which are not served yet.

use toolbay_tests::{Setup, lab::Lab};

/// Scenarios of 2025-11-25.
const LEGACY: &[&str] = &[
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "logging-set-level",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-with-logging",
    "tools-call-with-progress",
    "tools-call-error",
    "json-schema-2020-12",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
];

/// Scenarios of 2026-07-28.
const MODERN: &[&str] = &[
    "server-stateless",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-with-progress",
    "tools-call-error",
    "json-schema-2020-12",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
    "caching",
    "http-header-validation",
];

async fn assert_passes(revision: &str, scenarios: &[&str]) {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("conformance").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let mut failed = Vec::new();
    for scenario in scenarios {
        let ran = lab.conformance(&url, revision, scenario).await;
        // The verdict is its own last word: `Passed: 2/2, 0 failed, 0 warnings`.
        let passed = ran
            .all
            .lines()
            .any(|line| line.starts_with("Passed: ") && !line.starts_with("Passed: 0/") && line.ends_with(", 0 failed, 0 warnings"));
        if !ran.success || !passed {
            failed.push(format!("=== {scenario}\n{}", ran.all));
        }
    }
    assert!(failed.is_empty(), "{} of {} scenarios of {revision} fail:\n{}", failed.len(), scenarios.len(), failed.join("\n"));
}

#[tokio::test]
async fn the_scenarios_for_tools_of_2025_11_25_pass() {
    assert_passes("2025-11-25", LEGACY).await;
}

#[tokio::test]
async fn the_scenarios_for_tools_of_2026_07_28_pass() {
    assert_passes("2026-07-28", MODERN).await;
}

#[tokio::test]
async fn a_scenario_that_asks_for_more_than_tools_fails_so_the_verdicts_mean_something() {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("conformance").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let ran = lab.conformance(&url, "2025-11-25", "prompts-get-simple").await;
    assert!(!ran.success, "{}", ran.all);
}
