//! Servers with the faults of those that are found, by `tests/servers/found.py`.

use super::*;

fn found(options: &[&str]) -> Program {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/found.py");
    let argv = ["python3".to_owned(), script.display().to_string()];
    Program::new(CommandSource {
        argv: argv.into_iter().chain(options.iter().map(|option| (*option).to_owned())).collect(),
        ..CommandSource::default()
    })
}

async fn start(options: &[&str]) -> Server {
    start_program(&found(options), ServerLimits { start: Duration::from_secs(4), ..ServerLimits::default() }).await
}

async fn refused(options: &[&str], limits: &ServerLimits) -> String {
    let launched = found(options).launch().await.unwrap();
    match connect("test", launched, limits, &Arc::default()).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{options:?} is greeted"),
    }
}

fn names(listing: &Listing) -> (usize, usize, usize) {
    (listing.tools.len(), listing.offers.resources.len(), listing.offers.prompts.len())
}

#[tokio::test]
async fn a_list_that_fails_is_missing_alone() {
    for (fault, is_lost) in [("missing", false), ("error", true), ("bad", true), ("hang", true)] {
        for (list, want) in [("resources", (1, 0, 1)), ("prompts", (1, 1, 0))] {
            let option = format!("{list}={fault}");
            let server = start(&["declares=tools,resources,prompts", &option]).await;
            let listing = server.listing();
            assert_eq!(names(listing), want, "{option}");
            assert_eq!(
                listing.lost,
                if is_lost { vec![if list == "prompts" { "prompts/list" } else { "resources/list" }] } else { vec![] }
            );
            let [warning] = &listing.warnings[..] else { panic!("{option}: {:?}", listing.warnings) };
            assert!(
                warning.starts_with(&format!("its {list} are not offered: it declares")) && warning.contains(&format!("{list}/list")),
                "{warning}"
            );
            assert_eq!(said(&server.call("echo", json!({"a": 1})).await.unwrap()), "{\"a\": 1}", "{option}");
        }
    }
}

#[tokio::test]
async fn tools_that_fail_are_missing_where_there_is_something_else_and_else_the_server_is_at_fault() {
    let server = start(&["declares=tools,prompts", "tools=missing"]).await;
    assert_eq!(names(server.listing()), (0, 0, 1));
    assert!(server.listing().warnings[0].starts_with("its tools are not offered"), "{:?}", server.listing().warnings);
    for fault in ["missing", "error", "bad"] {
        let option = format!("tools={fault}");
        let channel = connect("test", found(&[&option]).launch().await.unwrap(), &ServerLimits::default(), &Arc::default()).await.unwrap();
        let error = listing::fetch(
            &*channel,
            Terms { within: Duration::from_secs(4), avoid: &[], publish: crate::config::PublishRules::default() },
        )
        .await
        .unwrap_err();
        assert_eq!(error.method, "tools/list", "{fault}");
    }
}

#[tokio::test]
async fn what_is_offered_without_being_declared_is_offered_and_told() {
    let server = start(&["declares="]).await;
    assert_eq!(names(server.listing()), (1, 1, 1));
    assert_eq!(server.listing().warnings.len(), 3, "{:?}", server.listing().warnings);
    assert!(server.listing().warnings[0].starts_with("the server has tools and does not declare"));
    let server = start(&["declares=prompts"]).await;
    assert_eq!(names(server.listing()), (1, 0, 1), "who declares something is asked for its tools beside it");
    let server = start(&["declares=", "resources=missing", "prompts=hang"]).await;
    assert_eq!((names(server.listing()), server.listing().warnings.len()), ((1, 0, 0), 1), "nobody said that there are any");
}

#[tokio::test]
async fn a_list_at_which_the_server_ended_is_not_asked_for_again() {
    let channel = connect(
        "test",
        found(&["declares=tools,resources", "resources=die"]).launch().await.unwrap(),
        &ServerLimits::default(),
        &Arc::default(),
    )
    .await
    .unwrap();
    let error =
        listing::fetch(&*channel, Terms { within: Duration::from_secs(4), avoid: &[], publish: crate::config::PublishRules::default() })
            .await
            .unwrap_err();
    assert_eq!((error.method, matches!(error.why, ChannelError::Closed(_))), ("resources/list", true), "{error}");
    let channel = connect(
        "test",
        found(&["declares=tools,resources", "resources=die"]).launch().await.unwrap(),
        &ServerLimits::default(),
        &Arc::default(),
    )
    .await
    .unwrap();
    let listing = listing::fetch(
        &*channel,
        Terms { within: Duration::from_secs(4), avoid: &["resources/list"], publish: crate::config::PublishRules::default() },
    )
    .await
    .unwrap();
    assert_eq!(names(&listing), (1, 0, 0));
    assert!(listing.warnings[0].contains("ended each time that it was asked for resources/list"), "{:?}", listing.warnings);
}

#[tokio::test]
async fn ids_are_known_again_however_they_are_written() {
    for ids in ["float", "text", "float-text"] {
        let server = start(&[&format!("ids={ids}")]).await;
        assert_eq!(said(&server.call("echo", json!({})).await.unwrap()), "{}", "{ids}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_repeat_ids_is_told_so_at_once() {
    // None of these is slow: nothing waits for the end of the time.
    let limits = ServerLimits { start: Duration::from_secs(600), ..ServerLimits::default() };
    for (ids, shown) in
        [("ids=0", "0"), ("ids=999", "999"), ("ids=\"x\"", "\"x\""), ("ids=none", "null"), ("ids=1.5", "1.5"), ("ids=1", "1")]
    {
        let error = refused(&[ids], &limits).await;
        assert!(error.contains(&format!("answers under the id {shown}, and no request that waits has that id")), "{ids}: {error}");
    }
}

#[tokio::test]
async fn a_version_that_the_server_names_instead_is_spoken() {
    for version in ["2025-06-18", "2024-11-05", "2024-10-07"] {
        let server = start(&[&format!("speaks={version}")]).await;
        assert_eq!(names(server.listing()).0, 1, "{version}");
    }
    let server = start(&["names=2025-12-31-draft"]).await;
    assert_eq!(said(&server.call("echo", json!({})).await.unwrap()), "{}");
    let error = refused(&["speaks=1.0"], &ServerLimits::default()).await;
    assert!(error.contains("Unsupported protocol version"), "{error}");
}
