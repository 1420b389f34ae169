//! `[plugin.default]`, `[plugin.NAME]` and sidecars: what wins, and what may not be set twice.

use super::*;

#[test]
fn a_plugin_has_the_default_then_its_section_then_its_sidecar() {
    let config = good(
        r#"
        [plugin.default]
        timeout = "10s"
        queue = 7
        http = ["everywhere.example"]
        env = { A = "base", B = "base" }
        [plugin.weather]
        queue = 8
        http = ["api.weather.gov"]
        env = { B = "section", C = "section" }
        tools.get.title = "Section"
        "#,
    );
    let host = |name: &str| HostPattern::parse(name, false).unwrap();
    let merged = sidecar(
        &config,
        "weather",
        "memory = \"1MiB\"\ntools.get.description = \"Sidecar\"\ntools.other.title = \"Sidecar\"\nenv.D = { from_env = \"GOOD\" }",
    )
    .unwrap();
    assert_eq!((merged.limits.timeout, merged.limits.queue, merged.limits.memory), (Duration::from_secs(10), 8, 1 << 20));
    assert_eq!(merged.limits.concurrency, PluginLimits::default().concurrency);
    assert_eq!(merged.grants.http, [host("api.weather.gov")]);
    let env: Vec<_> = merged.grants.env.iter().map(|(name, value)| (name.as_str(), value.0.as_str())).collect();
    assert_eq!(env, [("A", "base"), ("B", "section"), ("C", "section"), ("D", SECRET)]);
    let get = ToolOverride { title: Some("Section".to_owned()), description: Some("Sidecar".to_owned()), ..ToolOverride::default() };
    let other = ToolOverride { title: Some("Sidecar".to_owned()), ..ToolOverride::default() };
    assert_eq!(merged.tools, BTreeMap::from([("get".to_owned(), get), ("other".to_owned(), other)]));

    let unknown = config.for_plugin("unknown", None).unwrap();
    assert_eq!((unknown.limits.queue, unknown.grants.http.clone(), unknown.grants.env.len()), (7, vec![host("everywhere.example")], 2));
    let with_sidecar = sidecar(&config, "unknown", "queue = 9\nhttp = []").unwrap();
    assert_eq!((with_sidecar.limits.queue, with_sidecar.grants.http.len()), (9, 0));
    assert_eq!(Config::default().for_plugin("any", None).unwrap(), PluginConfig::default());
}

#[test]
fn what_the_operator_set_no_sidecar_sets_again() {
    let config = good("[plugin.weather]\nqueue = 8\nenv.KEY = \"x\"\ntools.get.params.a = \"x\"\n[plugin.\"my.tool\"]\nhttp = []");
    assert_eq!(
        wrong_sidecar(&config, "weather", "timeout = \"1s\"\nqueue = 9\n[env]\nKEY = \"s3cr3t\"\n[tools.get.params]\na = \"y\""),
        "plugins/weather.toml:2:1: \"queue\" is set here and in [plugin.weather] (toolbay.toml:2:1); keep one of them\n\
         plugins/weather.toml:4:1: \"env.KEY\" is set here and in [plugin.weather] (toolbay.toml:3:5); keep one of them\n\
         plugins/weather.toml:6:1: \"tools.get.params.a\" is set here and in [plugin.weather] (toolbay.toml:4:18); keep one of them"
    );
    assert_eq!(
        wrong_sidecar(&config, "my.tool", "http = [\"x.org\"]"),
        "plugins/my.tool.toml:1:1: \"http\" is set here and in [plugin.\"my.tool\"] (toolbay.toml:6:1); keep one of them"
    );
}

#[test]
fn a_sidecar_has_the_rules_of_a_section_and_its_own() {
    let config = good("[host]\nmax_memory = \"64MiB\"");
    for (text, message) in [
        ("memroy = 1", "plugins/w.toml:1:1: unknown key \"memroy\" at the top level; did you mean \"memory\"?"),
        ("listen = \"x\"", "plugins/w.toml:1:1: unknown key \"listen\" at the top level; it belongs at the top level of toolbay.toml"),
        (
            "[plugin.w]\nmemory = 1",
            "plugins/w.toml:1:2: unknown key \"plugin\" at the top level; a sidecar speaks of its own plugin only: write the keys without [plugin.NAME]",
        ),
        (
            "memory = \"128MiB\"",
            "plugins/w.toml:1:10: \"memory\" at the top level: 128MiB is not allowed; it must be 64KiB to 64MiB, which is max_memory in [host]",
        ),
        (
            "[tools.t]\ntimeout = 1",
            "plugins/w.toml:2:1: unknown key \"timeout\" in [tools.t]; it belongs in [plugin.NAME], or at the top level of a sidecar",
        ),
    ] {
        assert_eq!(wrong_sidecar(&config, "w", text), message, "{text}");
    }
    assert_eq!(config.for_plugin("w", None).unwrap().limits.memory, 64 << 20, "the default gives way to a smaller host.max_memory");
}

#[test]
fn a_sidecar_grants_nothing_where_the_operator_says_so() {
    let config = good("[host]\nsidecar_grants = false");
    let refused = "a sidecar may grant nothing, as sidecar_grants is false in [host]; move it to [plugin.w] of toolbay.toml";
    for (text, key) in [
        ("http = []", "http"),
        ("http_private = []", "http_private"),
        ("env.A = \"s3cr3t\"", "env"),
        ("dirs = []", "dirs"),
        ("nn_load = 1", "nn_load"),
    ] {
        assert_eq!(wrong_sidecar(&config, "w", text), format!("plugins/w.toml:1:1: {key:?} at the top level: {refused}"));
    }
    assert_eq!(sidecar(&config, "w", "queue = 1\ntools.t.title = \"x\"").unwrap().limits.queue, 1);
}
