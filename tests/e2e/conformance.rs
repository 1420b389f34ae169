//! The official conformance suite: everything that each revision requires, with no failure that is expected.

use toolbay_tests::{Setup, lab::Lab};

/// What a run says of one scenario: `✓ tools-list: 4 passed, 0 failed`.
struct Verdict<'a> {
    scenario: &'a str,
    good: bool,
}

fn verdicts(lines: &str) -> Vec<Verdict<'_>> {
    lines
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let (mark, rest) = line.split_once(' ')?;
            let good = match mark {
                "✓" => true,
                "✗" => false,
                _ => return None,
            };
            Some(Verdict { scenario: rest.split([':', ' ']).next()?, good })
        })
        .collect()
}

/// Scenarios that are not scored and that are not followed, on purpose.
///
/// `json-schema-2020-12` wants schemas published word for word, `additionalProperties: false` and `$anchor` too.
/// Readers of published clients fail on these, and lose the whole list with them: see `schema::portable`.
const DEPARTURES: [&str; 1] = ["json-schema-2020-12"];

/// Runs what a revision requires, and what is not scored.
async fn assert_conforms(revision: &str, required: usize) {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("everything").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let ran = lab.requirements(&url, revision).await;
    let (_, summary) = ran.stdout.split_once("=== SUMMARY ===").unwrap_or_else(|| panic!("no summary: {}", ran.all));
    let (all, unscored) = summary.split_once("Not scored for").unwrap_or((summary, ""));
    let unscored = verdicts(unscored);
    let scored: Vec<_> = verdicts(all).into_iter().filter(|all| !unscored.iter().any(|other| other.scenario == all.scenario)).collect();
    for verdict in &unscored {
        println!("not scored: {} {}", verdict.scenario, if verdict.good { "passes" } else { "fails" });
    }
    let failed: Vec<_> = scored.iter().filter(|verdict| !verdict.good).map(|verdict| verdict.scenario).collect();
    assert!(ran.success && failed.is_empty(), "{failed:?} of {revision} fail:\n{}", ran.all);
    assert_eq!(scored.len(), required, "scenarios that {revision} requires:\n{}", ran.all);
    let worse: Vec<_> = unscored.iter().filter(|verdict| !verdict.good && !DEPARTURES.contains(&verdict.scenario)).collect();
    assert!(
        worse.is_empty(),
        "{:?} are not scored, and fail:\n{}",
        worse.iter().map(|verdict| verdict.scenario).collect::<Vec<_>>(),
        ran.all
    );
}

#[tokio::test]
async fn everything_that_2025_11_25_requires_passes() {
    assert_conforms("2025-11-25", 30).await;
}

#[tokio::test]
async fn everything_that_2026_07_28_requires_passes() {
    assert_conforms("2026-07-28", 37).await;
}

/// A summary does not tell of warnings, so the scenarios that can end with one are run by themselves.
#[tokio::test]
async fn what_is_only_recommended_is_done_too() {
    let lab = Lab::find();
    let server = Setup::new().test_plugin("everything").start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    for scenario in [
        "sep-2164-resource-not-found",
        "input-required-result-missing-input-response",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    ] {
        let ran = lab.conformance(&url, "2026-07-28", scenario).await;
        // The verdict is its own last word: `Passed: 2/2, 0 failed, 0 warnings`.
        let passed = ran.all.lines().any(|line| line.starts_with("Passed: ") && line.ends_with(", 0 failed, 0 warnings"));
        assert!(ran.success && passed, "{scenario}: {}", ran.all);
    }
}

#[tokio::test]
async fn a_server_without_the_fixtures_fails_so_the_verdicts_mean_something() {
    let lab = Lab::find();
    let server = Setup::new().start().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let ran = lab.conformance(&url, "2025-11-25", "tools-call-elicitation").await;
    assert!(!ran.success, "{}", ran.all);
}
