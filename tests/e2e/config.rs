//! A wrong configuration is told with its place and what would be right, before any port is bound.

use toolbay_tests::{Client, Setup, json};

/// A configuration that cannot be taken, and what must be in the message.
const WRONG: &[(&str, &[&str])] = &[
    ("lisen = \"127.0.0.1:0\"", &["toolbay.toml", "1", "lisen", "listen"]),
    ("listen = \"127.0.0.1\"", &["listen", "127.0.0.1", "port"]),
    ("listen = 8000", &["listen", "1"]),
    ("\n\nplugins = [\"a\"]", &["plugins", "3"]),
    ("[http]\nmax_bdy = \"1MiB\"", &["2", "max_bdy", "max_body"]),
    ("[http]\nmax_body = \"lots\"", &["2", "max_body", "lots", "64KiB"]),
    ("[http]\ndrain = \"10 parsecs\"", &["2", "drain", "parsecs", "ms, s, m"]),
    ("[http]\ndrain = \"1h30\"", &["2", "drain", "30 has no unit"]),
    ("[http]\nallowed_origins = [\"app.example.com\"]", &["2", "allowed_origins", "app.example.com", "https://"]),
    ("[plugin.weather]\nmemry = \"1MiB\"", &["2", "memry", "memory"]),
    ("[plugin.weather]\ntimeout = \"-1s\"", &["2", "timeout", "-1s"]),
    ("[plugin.weather]\nconcurrency = 0", &["2", "concurrency", "0"]),
    ("[plugin.weather]\nmemory = \"4GiB\"", &["memory", "max_memory"]),
    ("[plugin.weather]\nhttp = [\"https://api.weather.gov/path\"]", &["2", "http", "api.weather.gov"]),
    ("[plugin.weather]\nhttp = [\"a.*.example.com\"]", &["2", "a.*.example.com"]),
    ("[plugin.weather]\nhttp = [\"example.com:99999\"]", &["2", "99999"]),
    ("[plugin.weather]\nenv = { KEY = { from_env = \"SURELY_NOT_SET\" } }", &["KEY", "SURELY_NOT_SET"]),
    ("[plugin.weather]\nenv = { KEY = { from_file = \"not-there\" } }", &["KEY", "not-there"]),
    ("[plugin.weather]\nenv = { KEY = { form_file = \"x\" } }", &["form_file", "from_file"]),
    ("[plugin.weather]\ndirs = [{ host = \"not-there\", guest = \"/data\" }]", &["not-there"]),
    ("[plugin.weather]\ndirs = [{ host = \".\", guest = \"data\" }]", &["guest", "/data"]),
    ("[plugin.\"We ather\"]\nmemory = \"1MiB\"", &["We ather"]),
    ("[auth.tokens]\nalice = { from_env = \"SURELY_NOT_SET\" }", &["alice", "SURELY_NOT_SET"]),
    ("[auth.tokens]\nalice = \"in-clear-text\"", &["alice", "from_env"]),
    ("[telemetry]\nformat = \"xml\"", &["2", "xml", "text", "json"]),
    ("[host]\ninstances = -1", &["2", "instances"]),
    ("[plugin.weather\nmemory = 1", &["1"]),
    ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"", &["2", "listen"]),
];

#[tokio::test]
async fn a_wrong_key_or_value_is_named_with_its_line_and_what_is_allowed() {
    let mut wrong = Vec::new();
    for (toml, expected) in WRONG {
        let refused = Setup::new().plugin("weather").config(toml).refused().await;
        let missing: Vec<_> = expected.iter().filter(|word| !refused.stderr.contains(**word)).collect();
        if refused.code != Some(2) || !missing.is_empty() || refused.stderr.contains("panicked") {
            wrong.push(format!("{toml:?}: exit code {:?}, not said: {missing:?}\n{}", refused.code, refused.stderr));
        }
        assert!(!refused.stderr.contains("in-clear-text"), "a secret is not repeated: {}", refused.stderr);
        assert!(!refused.stdout.contains("/mcp"), "it did not serve: {}", refused.stdout);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), WRONG.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_serve_refuses_check_refuses_with_the_same_words() {
    let token = |value: &str| {
        let config = "listen = \"0.0.0.0:0\"\n[auth.tokens]\nci = { from_env = \"CI_TOKEN\" }";
        Setup::new().plugin("calculator").config(config).env("CI_TOKEN", value)
    };
    for value in ["0123456789$abcdef", "two words and more", "tiny-one", "================"] {
        let (setup, of) = (token(value), |text: &str| text.lines().find(|line| line.contains(":3:")).map(str::to_owned));
        let (check, serve) = (setup.run(["check"]).await, setup.refused().await);
        assert_eq!((check.code, serve.code), (Some(2), Some(2)), "{value}: {}\n{}", check.all(), serve.all());
        assert!(of(&check.stderr).is_some() && of(&check.stderr) == of(&serve.stderr), "{}\n{}", check.all(), serve.all());
        assert!(!check.all().contains(value), "{}", check.all());
    }
    token("0123456789-._~+/abcdef==").run(["check"]).await.expect_code(0);
    let open = Setup::new().plugin("calculator").config("listen = \"0.0.0.0:0\"");
    let check = open.run(["check"]).await;
    assert!(check.expect_code(2).stderr.contains("--insecure") && check.stderr.contains("auth.tokens"), "{}", check.all());
    open.run(["check", "--insecure"]).await.expect_code(0);
}

#[tokio::test]
async fn what_keeps_serve_from_starting_is_told_by_check_before() {
    for (config, code, words) in [
        ("[audit]\nfile = \"none/audit.jsonl\"", 1, "[audit] file: cannot open the file"),
        ("[audit]\nsyslog = \"none/log\"", 1, "[audit] syslog: cannot open the socket"),
        ("[metrics]\nlisten = \"192.0.2.7:9100\"\nauthenticate = false", 1, "[metrics] listen: cannot listen at 192.0.2.7:9100"),
        ("[metrics]\nlisten = \"0.0.0.0:9100\"", 2, "[metrics] listen: "),
        ("listen = \"127.0.0.1:8001\"\n[metrics]\nlisten = \"127.0.0.1:8001\"", 2, "[metrics] listen: 127.0.0.1:8001 is taken by `listen`"),
    ] {
        let setup = Setup::new().plugin("calculator").config(config);
        let check = setup.run(["check"]).await;
        assert!(check.expect_code(code).all().contains(words), "{words}: {}", check.all());
        if !config.starts_with("listen") {
            let serve = setup.refused().await;
            assert_eq!(serve.code, Some(code), "{}", serve.all());
        }
        assert!(!setup.home().join("none").exists());
    }
    // A port that somebody uses now is told, and no reason to fail: it may be the host that is to be replaced.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    let check = Setup::new().plugin("calculator").config(&format!("listen = \"{address}\"")).run(["check"]).await;
    assert!(check.expect_code(0).stdout.contains(&format!("warning listen: cannot listen at {address}")), "{}", check.all());
}

#[tokio::test]
async fn files_of_teams_are_one_configuration_and_units_are_as_people_type_them() {
    let setup =
        Setup::new().plugin("calculator").config("include = [\"conf.d/*.toml\"]\n[http]\ndrain = \"1m 30s\"\nmax_body = \"1.5 MiB\"");
    let (folder, home) = (setup.home().join("conf.d"), setup.home().to_owned());
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("sum.toml"), "[plugin.calculator]\ntimeout = \"500ms\"\ntools.add.title = \"Sum\"").unwrap();
    let server = setup.start().await;
    let tools = Client::modern(&server).tools().await;
    assert!(json!(tools).to_string().contains("\"Sum\""), "{tools:?}");
    std::fs::write(home.join("conf.d/other.toml"), "[plugin.calculator]\nqueue = 1\n[http]\ndrain = 5").unwrap();
    let check = server.setup().run(["check"]).await;
    for words in ["sum.toml:1:9: \"calculator\" in [plugin] is set here and in", "\"drain\" in [http] is set here and in", "other.toml:1:9"]
    {
        assert!(check.expect_code(2).stderr.contains(words), "{words}: {}", check.all());
    }
}

#[tokio::test]
async fn a_wrong_sidecar_breaks_its_plugin_and_no_other() {
    let setup = Setup::new().plugin("calculator").plugin("weather").bytes("weather.toml", b"\nmemry = \"1MiB\"\n");
    let server = setup.start().await;
    let status = server.wait_plugin("weather", "is broken", |status| status["state"] == "broken").await;
    let error = status["error"].as_str().expect("it says why");
    for word in ["weather.toml", "2", "memry", "memory"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert_eq!(Client::modern(&server).call("add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"], 3.0);
    let check = server.setup().run(["check", "plugins"]).await;
    assert!(check.expect_code(1).all().contains("memry"), "{}", check.all());
}

#[tokio::test]
async fn a_small_output_limits_answers_and_not_the_list_of_tools() {
    let setup = Setup::new().test_plugin("probe").bytes("probe.toml", b"output = \"1KiB\"");
    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("echo", json!({ "a": 1 })).await.result()["structuredContent"], json!({ "a": 1 }));
    let answer = client.call("answer", json!({ "bytes": 2000 })).await;
    assert!(answer.result()["isError"] == true && answer.result().to_string().contains("output limit"), "{:?}", answer.result());
}

#[tokio::test]
async fn a_description_from_the_configuration_is_published() {
    let setup = Setup::new().plugin("calculator");
    let config = "[plugin.calculator.tools.add]\ntitle = \"Sum\"\ndescription = \"Sums up.\"\nparams = { a = \"The first.\" }";
    let server = setup.config(config).start().await;
    let tools = Client::modern(&server).tools().await;
    let add = tools.iter().find(|tool| tool["name"] == "add").expect("add is listed");
    assert_eq!(add["title"], "Sum");
    assert_eq!(add["description"], "Sums up.");
    assert_eq!(add["inputSchema"]["properties"]["a"]["description"], "The first.", "{add}");
}
