//! The official conformance suite, in both eras: every scenario that does not ask the client something in return, which is not served yet.

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
    "completion-complete",
    "resources-list",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "resources-subscribe",
    "resources-unsubscribe",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
    "dns-rebinding-protection",
];

/// Scenarios of 2026-07-28.
const MODERN: &[&str] = &[
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
    "sep-2164-resource-not-found",
    "completion-complete",
    "resources-list",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
    "caching",
    "dns-rebinding-protection",
    "http-header-validation",
    "http-custom-header-server-validation",
    "input-required-result-missing-input-response",
    "input-required-result-unsupported-methods",
    "input-required-result-ignore-extra-params",
    "input-required-result-validate-input",
];

/// Scenarios that pass with a warning, since they ask for what is not served yet.
const WITH_WARNINGS: &[&str] =
    &["sep-2164-resource-not-found", "input-required-result-missing-input-response", "input-required-result-ignore-extra-params"];

/// Scenarios of 2026-07-28 of which some checks ask for what is not served yet: those, and no others, may fail.
const MODERN_IN_PART: &[(&str, &[&str])] = &[
    // These call tools that ask the client.
    (
        "server-stateless",
        &[
            "sep-2575-server-rejects-undeclared-capability",
            "sep-2575-missing-capability-http-400",
            "sep-2575-http-server-no-independent-requests-on-stream",
        ],
    ),
];

async fn assert_passes(revision: &str, scenarios: &[&str]) {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("everything").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let mut failed = Vec::new();
    for scenario in scenarios {
        let ran = lab.conformance(&url, revision, scenario).await;
        // The verdict is its own last word: `Passed: 2/2, 0 failed, 0 warnings`.
        let passed = ran.all.lines().any(|line| {
            line.starts_with("Passed: ")
                && !line.starts_with("Passed: 0/")
                && line.contains(", 0 failed, ")
                && (line.ends_with(", 0 warnings") || WITH_WARNINGS.contains(scenario))
        });
        if !ran.success || !passed {
            failed.push(format!("=== {scenario}\n{}", ran.all));
        }
    }
    assert!(failed.is_empty(), "{} of {} scenarios of {revision} fail:\n{}", failed.len(), scenarios.len(), failed.join("\n"));
}

#[tokio::test]
async fn the_scenarios_of_2025_11_25_pass() {
    assert_passes("2025-11-25", LEGACY).await;
}

#[tokio::test]
async fn the_scenarios_of_2026_07_28_pass() {
    assert_passes("2026-07-28", MODERN).await;
}

#[tokio::test]
async fn scenarios_in_part_about_what_is_served_fail_only_where_they_are_about_more() {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("everything").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    for (scenario, excused) in MODERN_IN_PART {
        let ran = lab.conformance(&url, "2026-07-28", scenario).await;
        // `TIME [check] SUCCESS What it is about`
        let checks: Vec<(&str, &str)> = ran
            .all
            .lines()
            .filter_map(|line| {
                let (check, rest) = line.split_once('[')?.1.split_once(']')?;
                Some((check.trim(), rest.split_whitespace().next()?))
            })
            .collect();
        assert!(checks.iter().filter(|(_, verdict)| *verdict == "SUCCESS").count() > 3, "{}", ran.all);
        let failed: Vec<_> = checks.iter().filter(|(check, verdict)| *verdict == "FAILURE" && !excused.contains(check)).collect();
        assert!(failed.is_empty(), "{scenario}: {failed:?}\n{}", ran.all);
    }
}

#[tokio::test]
async fn a_scenario_that_asks_for_more_than_is_served_fails_so_the_verdicts_mean_something() {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("everything").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let ran = lab.conformance(&url, "2025-11-25", "tools-call-elicitation").await;
    assert!(!ran.success, "{}", ran.all);
}
