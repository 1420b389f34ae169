//! What the repository offers to start with: its own `toolbay.toml`, and the examples that need nothing but what is in it.

use toolbay_tests::{Client, Setup, files, json, models};

#[tokio::test]
async fn the_configuration_of_the_repository_serves_everything_that_ships() {
    let config = files::root().join("toolbay.toml");
    let mut setup = models::with_library(Setup::new()).arg("--config").arg(config.to_str().expect("a path in UTF-8"));
    for name in ["calculator", "classifier", "text-tools", "translator", "weather"] {
        setup = setup.plugin(name);
    }
    let server = setup.start().await;
    let status = server.status().await;
    for (kind, count) in [("plugins", 5), ("models", 2)] {
        let entries = status[kind].as_array().unwrap_or_else(|| panic!("no {kind} in {status:#}"));
        assert_eq!(entries.len(), count, "{kind}: {status:#}");
        for entry in entries {
            assert!(entry["error"].is_null(), "{entry:#}");
        }
    }
    let client = Client::modern(&server);
    let tools = client.tool_names().await;
    for tool in ["add", "slugify", "translate", "classify", "get_alerts"] {
        assert!(tools.iter().any(|name| name == tool), "no {tool} in {tools:?}");
    }
    let french = client.call("translate", json!({ "text": "The table is at the office." })).await.ok();
    assert_eq!(french, "La table est au bureau.");
}

#[tokio::test]
async fn the_examples_with_plugins_are_well() {
    for name in ["plugins", "models", "pipelines"] {
        let config = files::root().join("examples").join(name).join("toolbay.toml");
        let setup = models::with_library(Setup::new());
        let checked = setup.run(["check", "--config", config.to_str().expect("a path in UTF-8")]).await;
        checked.expect_code(0);
        assert!(!checked.all().contains("BROKEN"), "{name}: {}", checked.all());
    }
}
