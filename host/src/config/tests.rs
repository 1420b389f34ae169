//! Whole files, right and wrong: what is understood, and the words in which the rest is refused.

mod servers;

use std::{ffi::OsString, fs, path::Path, time::Duration};

use serde_json::Value;

use super::*;

const FILE: &str = "toolbay.toml";
const SECRET: &str = "s3cr3t-that-nobody-may-see";
const KEY: &str = "s3cr3t-that-is-long-enough-for-a-key";

/// Variables as the tests have them.
fn environment(name: &str) -> Option<OsString> {
    match name {
        "GOOD" => Some(SECRET.into()),
        "OTHER" => Some("another-long-secret-value".into()),
        "SHORT" => Some("s3cr3t".into()),
        "SPACED" => Some("s3cr3t that has white space".into()),
        "UMLAUT" => Some("s3cr3t-with-an-ümlaut-in-it".into()),
        "EMPTY" => Some(OsString::new()),
        "KEY" => Some(KEY.into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    read::parse(text, Path::new(FILE), &environment)
}

#[track_caller]
fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// All lines of the message, without the file's name in front.
#[track_caller]
fn wrong(text: &str) -> String {
    let error = parse(text).expect_err(text);
    let shown = error.to_string();
    assert!(!shown.contains("s3cr3t") && !format!("{error:?}").contains("s3cr3t"), "a secret is shown: {shown}");
    shown.replace("toolbay.toml:", "")
}

fn sidecar(config: &Config, name: &str, text: &str) -> Result<PluginConfig, ConfigError> {
    read::sidecar(config, name, text, &Path::new("plugins").join(format!("{name}.toml")), &environment)
}

#[track_caller]
fn wrong_sidecar(config: &Config, name: &str, text: &str) -> String {
    let shown = sidecar(config, name, text).expect_err(text).to_string();
    assert!(!shown.contains("s3cr3t"), "a secret is shown: {shown}");
    shown
}

#[test]
fn an_empty_file_is_the_default() {
    let config = good("");
    assert_eq!(config.origin(), Some(Path::new(FILE)));
    assert_eq!(Config { origin: None, ..config }, Config::default());
    assert_eq!(Config::default().listen.to_string(), "127.0.0.1:8000");
}

#[test]
fn copies_without_keys_are_warned_of() {
    let copies = |text: &str| good(text).state.warning();
    assert!(copies("[state]\ncopies = 2").unwrap().contains("[state] keys"));
    assert_eq!((copies(""), copies("[state]\ncopies = 2\nkeys = [{ from_env = \"KEY\" }]")), (None, None));
}

#[test]
fn every_key_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("token"), format!("{SECRET}\n")).unwrap();
    fs::write(folder.path().join("key"), format!("{KEY}2\n")).unwrap();
    let text = r#"
        listen = "localhost:9000"
        plugins = "tools"
        [http]
        allowed_hosts = ["Tools.example.com"]
        allowed_origins = ["https://app.example.com"]
        max_body = "1MiB"
        max_bodies = "8MiB"
        max_connections = 10
        header_timeout = "5s"
        max_sessions = 20
        session_idle = "1m"
        ask_timeout = "90s"
        drain = "0s"
        [auth.tokens]
        ci = { from_env = "OTHER" }
        me = { from_file = "token" }
        [state]
        keys = [{ from_env = "KEY" }, { from_file = "key" }]
        ttl = "10m"
        copies = 3
        [host]
        instances = 50
        max_memory = "256MiB"
        max_file = "20MB"
        compile_time = "1m"
        compile_memory = "1GiB"
        compile_jobs = 2
        cache = "/var/cache/toolbay"
        sidecar_grants = false
        container_engine = "unix:///run/podman/podman.sock"
        [telemetry]
        format = "json"
        log = "toolbay=debug,warn"
        [plugin.default]
        timeout = "10s"
        [plugin."my.weather"]
        memory = 0x100000
        table_elements = 5_000
        output = 1000
        log_rate = 0
        concurrency = 1
        queue = 0
        http_connections = 2
        http_body = "1KiB"
        http_timeout = "250ms"
        nn_memory = "1MiB"
        nn_time = "5s"
        nn_load = "2MiB"
        http = ["API.weather.gov", "*.example.com:8443"]
        http_private = ["127.0.0.1:9000"]
        env = { A = "value", B = { from_env = "GOOD" }, C = { from_file = "token" } }
        dirs = [{ host = "data", guest = "/data/" }, { host = "data", guest = "/out", write = true }]
        default_tool = "get_alerts"
        prefix = "w_"
        rename = { get_alerts = "alerts" }
        include = ["get_*"]
        exclude = ["get_secret"]
        [inference]
        library = "lib/libonnxruntime.so"
        max_tensor = "1MiB"
        [model.t5]
        path = "models/t5"
        device = "cuda:1"
        threads = 2
        sessions = 3
        max_batch = 4
        batch_window = "5ms"
        gpu_memory = 0.5
        weight = 6
        plugins = ["translator", "my.weather"]
        [plugin."my.weather".tools.get_alerts]
        title = "Alerts"
        description = "What to fear."
        params = { state = "Two letters." }
    "#;
    let config = read::parse(text, &folder.path().join(FILE), &environment).unwrap();
    assert_eq!((config.listen.to_string(), config.plugins), ("127.0.0.1:9000".to_owned(), folder.path().join("tools")));
    let http = HttpConfig {
        allowed_hosts: vec!["tools.example.com".to_owned()],
        allowed_origins: vec!["https://app.example.com".to_owned()],
        max_body: 1 << 20,
        max_bodies: 8 << 20,
        max_connections: 10,
        header_timeout: Duration::from_secs(5),
        max_sessions: 20,
        session_idle: Duration::from_secs(60),
        ask_timeout: Duration::from_secs(90),
        drain: Duration::ZERO,
    };
    assert_eq!(config.http, http);
    let tokens = [("ci", "another-long-secret-value"), ("me", SECRET)].map(|(name, value)| (name.to_owned(), Secret(value.to_owned())));
    assert_eq!(config.auth.tokens, BTreeMap::from(tokens));
    let keys = vec![Secret(KEY.to_owned()), Secret(format!("{KEY}2"))];
    assert_eq!(config.state, StateConfig { keys, ttl: Duration::from_secs(600), copies: 3 });
    let host = HostConfig {
        instances: 50,
        max_memory: 256 << 20,
        max_file: 20_000_000,
        compile_time: Duration::from_secs(60),
        compile_memory: 1 << 30,
        compile_jobs: 2,
        cache: Some(PathBuf::from("/var/cache/toolbay")),
        sidecar_grants: false,
        container_engine: EngineChoice::Api("unix:///run/podman/podman.sock".to_owned()),
    };
    assert_eq!(config.host, host);
    assert_eq!(config.telemetry, TelemetryConfig { format: LogFormat::Json, log: "toolbay=debug,warn".to_owned() });
    let data = folder.path().join("data");
    let weather = PluginConfig {
        limits: PluginLimits {
            memory: 1 << 20,
            table_elements: 5000,
            timeout: Duration::from_secs(10),
            output: 1000,
            log_rate: 0,
            concurrency: 1,
            queue: 0,
            http_connections: 2,
            http_body: 1024,
            http_timeout: Duration::from_millis(250),
            nn_memory: 1 << 20,
            nn_time: Duration::from_secs(5),
        },
        grants: Grants {
            http: vec![
                HostPattern { host: "api.weather.gov".to_owned(), any_subdomain: false, port: None },
                HostPattern { host: "example.com".to_owned(), any_subdomain: true, port: Some(8443) },
            ],
            http_private: vec![HostPattern { host: "127.0.0.1".to_owned(), any_subdomain: false, port: Some(9000) }],
            env: [("A", "value"), ("B", SECRET), ("C", SECRET)].map(|(name, value)| (name.to_owned(), Secret(value.to_owned()))).into(),
            dirs: vec![
                DirGrant { host: data.clone(), guest: "/data".to_owned(), write: false },
                DirGrant { host: data, guest: "/out".to_owned(), write: true },
            ],
            nn_load: 2 << 20,
        },
        names: NameRules {
            prefix: Some("w_".to_owned()),
            rename: BTreeMap::from([("get_alerts".to_owned(), "alerts".to_owned())]),
            include: vec!["get_*".to_owned()],
            exclude: vec!["get_secret".to_owned()],
            tools: BTreeMap::new(),
        },
        tools: BTreeMap::from([(
            "get_alerts".to_owned(),
            ToolOverride {
                title: Some("Alerts".to_owned()),
                description: Some("What to fear.".to_owned()),
                params: BTreeMap::from([("state".to_owned(), "Two letters.".to_owned())]),
            },
        )]),
        default_tool: Some("get_alerts".to_owned()),
    };
    assert_eq!(config.plugin.get("my.weather"), Some(&weather));
    let library = Some(folder.path().join("lib/libonnxruntime.so"));
    assert_eq!(config.inference, InferenceConfig { library, max_tensor: 1 << 20 });
    let model = ModelConfig {
        path: folder.path().join("models/t5"),
        device: Device::Cuda(1),
        threads: 2,
        sessions: 3,
        max_batch: 4,
        batch_window: Duration::from_millis(5),
        gpu_memory: Some(GpuMemory::Share(0.5)),
        weight: 6,
        plugins: vec!["translator".to_owned(), "my.weather".to_owned()],
    };
    assert_eq!(config.model, BTreeMap::from([("t5".to_owned(), model)]));
}

#[test]
fn each_wrong_key_is_named_with_its_place_and_what_is_allowed() {
    let sources = "{ from_env = \"VARIABLE\" } or { from_file = \"path\" }";
    for (text, message) in [
        // Keys.
        ("[plugin.weather]\nconcurency = 4", "2:1: unknown key \"concurency\" in [plugin.weather]; did you mean \"concurrency\"?"),
        ("listne = \"x\"", "1:1: unknown key \"listne\" at the top level; did you mean \"listen\"?"),
        ("[plugin.w]\ntime-out = \"1s\"", "2:1: unknown key \"time-out\" in [plugin.w]; did you mean \"timeout\"?"),
        (
            "[http]\nmax_body = \"8MiB\"\nmax_bodies = \"4MiB\"",
            "3:14: \"max_bodies\" in [http]: 4MiB is not allowed; it must be 8MiB to 1TiB; one body of max_body has to fit",
        ),
        ("max_body = 4096", "1:1: unknown key \"max_body\" at the top level; it belongs in [http]"),
        (
            "concurrency = 1",
            "1:1: unknown key \"concurrency\" at the top level; it belongs in [plugin.NAME], or at the top level of a sidecar",
        ),
        ("[auth]\nlisten = 1", "2:1: unknown key \"listen\" in [auth]; it belongs at the top level of toolbay.toml"),
        ("[telemetry]\ncolour = 1", "2:1: unknown key \"colour\" in [telemetry]; known keys are format, log"),
        (
            "[plugin.my.weather]\nmemory = 1",
            "1:12: unknown key \"weather\" in [plugin.my]; a plugin's name with dots in it needs quotes: [plugin.\"my.weather\"]",
        ),
        (
            "[plugin.Weather]",
            "1:9: plugin name \"Weather\" is not allowed: 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit, without '__'",
        ),
        (
            "[plugin.w.env]\n\"A=B\" = \"s3cr3t\"",
            "2:1: \"A=B\" in [plugin.w.env]: the name of an environment variable cannot hold \"=\" or a NUL character",
        ),
        ("[plugin.w.env]\n\"\" = \"s3cr3t\"", "2:1: \"\" in [plugin.w.env]: the name of an environment variable cannot be empty"),
        // Types.
        ("listen = 8000", "1:10: \"listen\" at the top level: a port alone is not enough; write \"127.0.0.1:8000\""),
        ("listen = [1]", "1:10: \"listen\" at the top level: must be text in quotes, not an array"),
        ("http = \"x\"", "1:8: \"http\" at the top level: must be a table ([http]), not text"),
        ("plugin = 1", "1:10: \"plugin\" at the top level: must be a table ([plugin]), not a whole number"),
        ("[plugin]\nweather = true", "2:11: \"weather\" in [plugin]: must be a table ([plugin.weather]), not true or false"),
        ("[http]\nmax_connections = 1.5", "2:19: \"max_connections\" in [http]: must be a whole number, not a number with a fraction"),
        ("[http]\nallowed_hosts = \"x\"", "2:17: \"allowed_hosts\" in [http]: must be an array ([…]), not text"),
        ("[http]\nallowed_hosts = [\"x\", 1]", "2:23: \"allowed_hosts\" in [http]: must be text in quotes, not a whole number"),
        ("[host]\nsidecar_grants = \"no\"", "2:18: \"sidecar_grants\" in [host]: must be true or false, not text"),
        ("[plugin.w]\nmemory = true", "2:10: \"memory\" in [plugin.w]: must be a size (\"64MiB\" or a number of bytes), not true or false"),
        ("[plugin.w]\ntimeout = 1979-05-27", "2:11: \"timeout\" in [plugin.w]: must be a duration (\"30s\"), not a date or time"),
        // Sizes, durations, numbers.
        ("[plugin.w]\ntimeout = 30", "2:11: \"timeout\" in [plugin.w]: 30 has no unit; write \"30s\" or \"30ms\""),
        ("[plugin.w]\ntimeout = \"0s\"", "2:11: \"timeout\" in [plugin.w]: 0s is not allowed; it must be 1ms to 1d"),
        ("[plugin.w]\ntimeout = \"30d\"", "2:11: \"timeout\" in [plugin.w]: 30d is not allowed; it must be 1ms to 1d"),
        ("[plugin.w]\nmemory = -1", "2:10: \"memory\" in [plugin.w]: -1 is no size"),
        (
            "[plugin.w]\nmemory = 0",
            "2:10: \"memory\" in [plugin.w]: 0B is not allowed; it must be 64KiB to 1GiB, which is max_memory in [host]",
        ),
        (
            "[plugin.w]\nmemory = \"2GiB\"",
            "2:10: \"memory\" in [plugin.w]: 2GiB is not allowed; it must be 64KiB to 1GiB, which is max_memory in [host]",
        ),
        (
            "[plugin.w]\nmemory = \"64M\"",
            "2:10: \"memory\" in [plugin.w]: \"64M\" is no size: there is no unit \"M\"; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)",
        ),
        ("[plugin.w]\nconcurrency = 0", "2:15: \"concurrency\" in [plugin.w]: 0 is not allowed; it must be 1 to 20000"),
        ("[plugin.w]\nqueue = -1", "2:9: \"queue\" in [plugin.w]: -1 is not allowed; it must be 0 to 1000000"),
        ("[host]\ninstances = 0", "2:13: \"instances\" in [host]: 0 is not allowed; it must be 1 to 20000"),
        ("[host]\ninstances = 20001", "2:13: \"instances\" in [host]: 20001 is not allowed; it must be 1 to 20000"),
        ("[host]\nmax_memory = \"8GiB\"", "2:14: \"max_memory\" in [host]: 8GiB is not allowed; it must be 64KiB to 4GiB"),
        // Texts with a form.
        ("[telemetry]\nformat = \"xml\"", "2:10: \"format\" in [telemetry]: \"xml\" is not allowed; it must be \"text\" or \"json\""),
        (
            "[telemetry]\nlog = \"inof\"",
            "2:7: \"log\" in [telemetry]: \"inof\" is no level; write a level (error, warn, info, debug, trace, off), or levels by part: \"toolbay=debug,warn\"",
        ),
        (
            "[telemetry]\nlog = \"toolbay=loud\"",
            "2:7: \"log\" in [telemetry]: \"toolbay=loud\" is no filter (error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5); write a level (error, warn, info, debug, trace, off), or levels by part: \"toolbay=debug,warn\"",
        ),
        ("plugins = \"\"", "1:11: \"plugins\" at the top level: a path cannot be empty"),
        ("plugins = \"~/plugins\"", "1:11: \"plugins\" at the top level: \"~/plugins\": \"~\" is not expanded; write the whole path"),
        (
            "[plugin.w]\nhttp = [\"https://x.org/\"]",
            "2:9: \"http\" in [plugin.w]: \"https://x.org/\" is a URL; write only the host: \"x.org\"",
        ),
        ("[plugin.w]\nhttp_private = [\"*\"]", "2:17: \"http_private\" in [plugin.w]: \"*\" is not allowed here; name each host"),
        // Secrets.
        (
            "[plugin.w.env]\nKEY = { from_env = \"NOT_THERE\" }",
            "2:7: \"KEY\" in [plugin.w.env]: the environment variable \"NOT_THERE\" is not set; set it where toolbay is started, or use from_file",
        ),
        (
            "[plugin.w.env]\nKEY = { from_file = \"not-there\" }",
            "2:7: \"KEY\" in [plugin.w.env]: cannot take the secret from the file not-there: No such file or directory (os error 2)",
        ),
        (
            "[plugin.w]\nenv = { KEY = { from_env = \"GOOD\", from_file = \"x\" } }",
            "2:15: \"KEY\" in [plugin.w.env]: has both \"from_env\" and \"from_file\"; keep one",
        ),
        (
            "[plugin.w.env]\nKEY = { from_evn = \"GOOD\" }",
            "2:7: \"KEY\" in [plugin.w.env]: has no source; write {sources}\n2:9: unknown key \"from_evn\" in [plugin.w.env.KEY]; did you mean \"from_env\"?",
        ),
        ("[plugin.w.env]\nKEY = 8080", "2:7: \"KEY\" in [plugin.w.env]: must be text in quotes, or {sources}, not a whole number"),
        (
            "[auth.tokens]\nci = \"s3cr3t-in-the-file\"",
            "2:6: \"ci\" in [auth.tokens]: a secret does not stand in the configuration; write {sources}",
        ),
        ("[auth.tokens]\nci = 5", "2:6: \"ci\" in [auth.tokens]: must be {sources}, not a whole number"),
        ("[auth]\ntokens = [\"s3cr3t\"]", "2:10: \"tokens\" in [auth]: must be a table ([auth.tokens]), not an array"),
        (
            "[auth.tokens]\nci = { from_env = \"SHORT\" }",
            "2:6: \"ci\" in [auth.tokens]: the token is too short: 6 characters; it needs at least 16 (make one by: openssl rand -hex 32)",
        ),
        ("[auth.tokens]\nci = { from_env = \"EMPTY\" }", "2:6: \"ci\" in [auth.tokens]: the token is empty"),
        (
            "[auth.tokens]\nci = { from_env = \"SPACED\" }",
            "2:6: \"ci\" in [auth.tokens]: the token has white space in it, which a bearer token cannot",
        ),
        (
            "[auth.tokens]\nci = { from_env = \"UMLAUT\" }",
            "2:6: \"ci\" in [auth.tokens]: the token has a character in it that is not visible ASCII, which a bearer token cannot",
        ),
        (
            "[auth.tokens]\na = { from_env = \"GOOD\" }\nb = { from_env = \"GOOD\" }",
            "3:1: \"b\" in [auth.tokens]: has the same token as \"a\"; each name needs its own",
        ),
        (
            "[auth.tokens]\n\"a b\" = { from_env = \"GOOD\" }",
            "2:1: \"a b\" in [auth.tokens]: the name of a token must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"@\"",
        ),
        // Keys.
        (
            "[state]\nkeys = [{ from_env = \"GOOD\" }]",
            "2:9: \"keys\" in [state]: the key is too short: 26 bytes; it needs at least 32 (make one by: openssl rand -hex 32)",
        ),
        ("[state]\nkeys = [{ from_env = \"KEY\" }, { from_env = \"KEY\" }]", "2:31: \"keys\" in [state]: the same key stands here twice"),
        ("[state]\nkeys = [\"s3cr3t\"]", "2:9: \"keys\" in [state]: a secret does not stand in the configuration; write {sources}"),
        ("[state]\nkeys = { from_env = \"KEY\" }", "2:8: \"keys\" in [state]: must be an array ([…]), not a table"),
        // Folders.
        (
            "[plugin.w]\ndirs = [\"/data\"]",
            "2:9: \"dirs\" in [plugin.w]: must be a table ({ host = \"data\", guest = \"/data\" }), not text",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\" }]",
            "2:9: \"dirs\" in [plugin.w]: has no \"guest\"; write { host = \"data\", guest = \"/data\" }",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/not-there\", guest = \"/x\" }]",
            "2:18: \"host\" in [plugin.w.dirs]: cannot use the folder /not-there: No such file or directory (os error 2)",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/dev/null\", guest = \"/x\" }]",
            "2:18: \"host\" in [plugin.w.dirs]: /dev/null is no folder; only folders can be granted",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"data\" }]",
            "2:31: \"guest\" in [plugin.w.dirs]: \"data\" is not absolute; write the path as the plugin sees it: \"/data\"",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"/a/../b\" }]",
            "2:31: \"guest\" in [plugin.w.dirs]: \"/a/../b\" is not allowed; a path of the plugin has no \".\", \"..\", \"//\" or \"\\\" in it",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"/a\" }, { host = \"/\", guest = \"/a/\" }]",
            "2:39: \"dirs\" in [plugin.w]: two folders cannot both be \"/a\" for the plugin",
        ),
        // Models.
        ("[model.m]", "1:1: \"m\" in [model]: has no \"path\"; write the folder of its ONNX files: path = \"models/t5-small\""),
        (
            "[model.m]\npath = \"x\"\ndevice = \"gpu\"",
            "3:10: \"device\" in [model.m]: \"gpu\" is not allowed; it must be \"cpu\", or \"cuda:0\" with the number of the GPU",
        ),
        (
            "[model.m]\npath = \"x\"\ngpu_memory = 0.5",
            "3:1: \"gpu_memory\" in [model.m]: is for a model on a GPU; set device = \"cuda:0\" beside it, or leave it out",
        ),
        (
            "[model.m]\npath = \"x\"\ndevice = \"cuda:0\"\ngpu_memory = 1.5",
            "4:14: \"gpu_memory\" in [model.m]: a share must be over 0.0 and at most 1.0",
        ),
        (
            "[model.m]\npath = \"x\"\ndevice = \"cuda:0\"\ngpu_memory = \"0.5\"",
            "4:14: \"gpu_memory\" in [model.m]: \"0.5\" is no size; a share is written without quotes: 0.5",
        ),
        (
            "[model.\"a/b\"]\npath = \"x\"",
            "1:8: \"a/b\" in [model]: the name of a model must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\", starting with a letter or a digit",
        ),
        ("[model.m]\npath = \"x\"\nthreads = 0", "3:11: \"threads\" in [model.m]: 0 is not allowed; it must be 1 to 1024"),
        // Tools.
        ("[plugin.w.tools.t]\ntilte = \"x\"", "2:1: unknown key \"tilte\" in [plugin.w.tools.t]; did you mean \"title\"?"),
        (
            "[plugin.w.tools.t]\ntitle = \" \"",
            "2:9: \"title\" in [plugin.w.tools.t]: cannot be empty; leave the key out to keep what the plugin says",
        ),
        ("[plugin.w.tools.t.params]\nstate = 1", "2:9: \"state\" in [plugin.w.tools.t.params]: must be text in quotes, not a whole number"),
        (
            "[plugin.w.tools.\"a b\"]",
            "1:17: \"a b\" in [plugin.w.tools]: tool name \"a b\" is not allowed: 1 to 128 of A-Z, a-z, 0-9, '_', '-', '.' and '/'",
        ),
        (
            "[plugin.default]\ndefault_tool = \"x\"",
            "2:1: \"default_tool\" in [plugin.default]: a tool belongs to one plugin; write it in [plugin.NAME]",
        ),
        (
            "[plugin.w]\ndefault_tool = \"a b\"",
            "2:16: \"default_tool\" in [plugin.w]: tool name \"a b\" is not allowed: 1 to 128 of A-Z, a-z, 0-9, '_', '-', '.' and '/'",
        ),
        (
            "[plugin.default.tools.t]\ntitle = \"x\"",
            "1:17: \"tools\" in [plugin.default]: a tool belongs to one plugin; write it in [plugin.NAME.tools.TOOL]",
        ),
    ] {
        assert_eq!(wrong(text), message.replace("{sources}", sources), "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = "listen = \"nowhere\"\r\nplugin.\"ä\" = 1\n\n[host]\ninstances = 0\n[http]\n  max_bdy = 1\n  drain = 5";
    let places = [
        "toolbay.toml:1:10: ",
        "toolbay.toml:2:8: ",
        "toolbay.toml:2:14: ",
        "toolbay.toml:5:13: ",
        "toolbay.toml:7:3: ",
        "toolbay.toml:8:11: ",
    ];
    let error = parse(text).unwrap_err();
    let shown = error.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!((lines.len(), error.problems().len()), (places.len(), places.len()), "{shown}");
    for (line, place) in lines.iter().zip(places) {
        assert!(line.starts_with(place), "{line} at {place}");
    }
}

#[test]
fn text_that_is_no_toml_is_shown_with_a_mark() {
    for (text, message) in [
        (
            "[plugin.w]\nmemory = 64MiB\n",
            "2:10: this is not TOML: string values must be quoted, expected literal string\n2 | memory = 64MiB\n  |          ^",
        ),
        ("listen = \"x\"\nlisten = \"y\"", "2:1: this is not TOML: duplicate key\n2 | listen = \"y\"\n  | ^"),
    ] {
        assert_eq!(wrong(text), message, "{text}");
    }
    for text in [
        "[plugin.w",
        "= 1",
        "listen",
        "a = [",
        "\u{0}",
        "[plugin.w.env]\nKEY = s3cr3t",
        "[plugin.w.env]\nKEY = \"s3cr3t",
        "[plugin.w.env]\nmemory = s3cr3t\n",
        "[plugin.w]\nenv = { KEY = s3cr3t }",
        "[plugin.w]\nenv = {\n  A = \"ok\",\n  KEY = s3cr3t,\n}",
        "[plugin.w]\nenv.KEY = \"\"\"\n\\s3cr3t s3cr3t\n\"\"\"",
        "[plugin.w]\nenv.KEY = \"\"\"\n[]\ns3cr3t \\q s3cr3t\n\"\"\"",
        "[auth.tokens]\nci = s3cr3t",
        "[plugin.w]\nenv.KEY = \"\"\"\ns3cr3t= \\q\n\"\"\"",
        "[auth.tokens]\ns3cr3t",
        "[auth]\ntokens.ci = 's3cr3t",
        "[auth.tokens]\n\"ci\" \"s3cr3t\" = 1",
    ] {
        let shown = wrong(text);
        assert!(shown.contains("this is not TOML: "), "{shown}");
    }
}

#[test]
fn no_slip_of_a_finger_shows_a_secret() {
    let text = "listen = \"127.0.0.1:1\"\n[auth.tokens]\nci = \"s3cr3t-s3cr3t\"\n[plugin.w]\nmemory = 65536\nenv = { A = \"s3cr3t\", B = 's3cr3t' }\n\
                [plugin.v]\nqueue = 1\nenv.KEY = \"\"\"s3cr3t\ns3cr3t = s3cr3t\n\"\"\"\n[plugin.u.env]\nKEY = \"s3cr3t\"\n[plugin.u.tools.t]\ntitle = \"x\"\n";
    let mut broken = 0;
    for (at, _) in text.char_indices() {
        for slip in ["", "\"", "'", "=", "\n", "[", "]", "{", "}", "\\", "#", "x"] {
            for skip in [0, 1] {
                let slipped = format!("{}{slip}{}", &text[..at], &text[at + skip..]);
                // A secret of which a slip made a key of its own is named as any key is.
                let Err(error) = parse(&slipped) else { continue };
                broken += 1;
                let shown = format!("{error}\n{error:?}").replace("unknown key \"s3cr3t\"", "");
                assert!(!shown.contains("s3cr3t"), "{slipped}\n---\n{shown}");
            }
        }
    }
    assert!(broken > 1000, "{broken}");
}

proptest::proptest! {
    #[test]
    fn no_text_at_all_makes_it_panic(text in "(\\PC|[\\[\\]{}=\"'.,#\n\t]){0,60}", at in 0..6_usize) {
        let before = ["", "[plugin.w]\n", "[plugin.w]\nhttp = [\"", "[http]\nmax_body = \"", "[plugin.w]\ntimeout = \"", "listen = \""][at];
        if let Err(error) = parse(&format!("{before}{text}")) {
            proptest::prop_assert!(!error.problems().is_empty() && !error.to_string().is_empty());
        }
    }
}

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
    let host = |name: &str| HostPattern { host: name.to_owned(), any_subdomain: false, port: None };
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

#[test]
fn relative_paths_go_from_the_folder_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    fs::create_dir_all(plugins.join("data")).unwrap();
    fs::write(plugins.join("key"), "a\n\n").unwrap();
    fs::write(folder.path().join(FILE), "[host]\ncache = \"cache\"").unwrap();
    let config = Config::load(&folder.path().join(FILE)).unwrap();
    assert_eq!((&config.plugins, &config.host.cache), (&plugins, &Some(folder.path().join("cache"))));
    let text = "dirs = [{ host = \"data\", guest = \"/\" }]\nenv.KEY.from_file = \"key\"";
    let config = config.for_plugin("w", Some((text, &plugins.join("w.toml")))).unwrap();
    assert_eq!(config.grants.dirs, [DirGrant { host: plugins.join("data"), guest: "/".to_owned(), write: false }]);
    assert_eq!(config.grants.env.get("KEY"), Some(&Secret("a\n".to_owned())), "one newline is left out, not two");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let missing = Config::load(&path).unwrap_err();
    assert_eq!(missing.to_string(), format!("cannot read the configuration {}: No such file or directory (os error 2)", path.display()));
    fs::write(&path, b"listen = \"\xff\"").unwrap();
    let binary = Config::load(&path).unwrap_err();
    assert_eq!(binary.to_string(), format!("cannot read the configuration {}: it is not UTF-8 text (byte 11 is wrong)", path.display()));
}

#[test]
fn the_real_environment_is_read() {
    let text = "[plugin.w.env]\nDIR = { from_env = \"CARGO_MANIFEST_DIR\" }";
    let config = Config::parse(text, Path::new(FILE)).unwrap();
    let value = config.plugin.get("w").and_then(|plugin| plugin.grants.env.get("DIR"));
    assert_eq!(value, Some(&Secret(std::env::var("CARGO_MANIFEST_DIR").unwrap())));
    assert!(!format!("{config:?}").contains(&std::env::var("CARGO_MANIFEST_DIR").unwrap()), "Debug shows no secret");
}

/// The keys that the reader knows in a table, from its own words.
fn known_keys(header: &str) -> Vec<String> {
    let text = format!("{header}\nqqqqqqqq = 1");
    let shown = wrong(&text);
    let keys = shown.split("known keys are ").nth(1).unwrap_or_else(|| panic!("{shown}"));
    let mut keys: Vec<_> = keys.lines().next().unwrap().split(", ").map(str::to_owned).collect();
    keys.sort();
    keys
}

fn schema_keys(schema: &Value, pointer: &str) -> Vec<String> {
    let mut keys: Vec<_> =
        schema.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("{pointer}")).keys().cloned().collect();
    keys.sort();
    keys
}

const SECTIONS: [(&str, &str); 13] = [
    ("", "/properties"),
    ("[http]", "/$defs/HttpSection/properties"),
    ("[auth]", "/$defs/AuthSection/properties"),
    ("[state]", "/$defs/StateSection/properties"),
    ("[host]", "/$defs/HostSection/properties"),
    ("[telemetry]", "/$defs/TelemetrySection/properties"),
    ("[inference]", "/$defs/InferenceSection/properties"),
    ("[model.m]\npath = \"models/m\"", "/$defs/ModelSection/properties"),
    ("[plugin.w]", "/$defs/PluginSection/properties"),
    ("[[plugin.w.dirs]]\nhost = \"/\"\nguest = \"/\"", "/$defs/DirSection/properties"),
    ("[plugin.w.tools.t]", "/$defs/ToolSection/properties"),
    ("[server.s]\ncommand = [\"x\"]", "/$defs/ServerSection/properties"),
    ("[server.s]\ncommand = [\"x\"]\n[server.s.replicas]", "/$defs/ReplicasSection/properties"),
];

#[test]
fn the_schema_has_the_keys_that_are_read_and_describes_each() {
    let schema = json_schema();
    for (header, pointer) in SECTIONS {
        assert_eq!(known_keys(header), schema_keys(&schema, pointer), "{header}");
        for key in schema_keys(&schema, pointer) {
            let property = &schema.pointer(pointer).unwrap()[&key];
            let described = property.get("description").or_else(|| {
                let definition = property.get("$ref")?.as_str()?.strip_prefix('#')?;
                schema.pointer(definition)?.get("description")
            });
            assert!(described.is_some(), "{header} {key} has no description");
        }
    }
}

#[test]
fn the_defaults_of_the_schema_are_the_defaults() {
    let schema = json_schema();
    let mut text = String::new();
    for (header, pointer) in SECTIONS.iter().filter(|(header, _)| !["dirs", "tools", "server"].iter().any(|word| header.contains(word))) {
        text += &format!("{header}\n");
        for (key, property) in schema.pointer(pointer).unwrap().as_object().unwrap() {
            if let Some(default) = property.get("default").filter(|default| !default.is_object()) {
                text += &format!("{key} = {default}\n");
            }
        }
    }
    assert!(text.matches('=').count() > 30, "{text}");
    let mut config = good(&text);
    assert_eq!(config.plugin.remove("w"), Some(PluginConfig::default()));
    let defaults = |pointer: &str, keep: &dyn Fn(&str) -> bool| -> String {
        let properties = schema.pointer(pointer).unwrap().as_object().unwrap();
        let set = properties.iter().filter(|(key, _)| keep(key)).filter_map(|(key, property)| Some((key, property.get("default")?)));
        set.filter(|(_, default)| !default.is_object()).map(|(key, default)| format!("{key} = {default}\n")).collect()
    };
    /// Keys that only applications have.
    const OPENAPI: [&str; 2] = ["refresh", "follow_references"];
    let server = "/$defs/ServerSection/properties";
    let of_url = good(&format!(
        "[server.s]\nurl = \"http://x/\"\n{}",
        defaults(server, &|key| ["timeout", "start_timeout", "ping", "queue", "concurrency", "max_message", "include", "exclude"]
            .contains(&key))
    ));
    let ServerSource::Url(_) = &of_url.server["s"].source else { panic!() };
    assert_eq!(of_url.server["s"], ServerConfig::new(of_url.server["s"].source.clone()));
    let of_image = good(&format!("[server.s]\nimage = \"x\"\n{}", defaults(server, &|key| !OPENAPI.contains(&key))));
    let image = ServerSource::Image(ImageSource { image: "x".to_owned(), ..ImageSource::default() });
    assert_eq!(of_image.server["s"], ServerConfig::new(image));
    let of_openapi = good(&format!("[server.s]\nopenapi = \"http://x/\"\n{}", defaults(server, &|key| OPENAPI.contains(&key))));
    let openapi = ServerSource::OpenApi(OpenApiSource { document: "http://x/".to_owned(), ..OpenApiSource::default() });
    assert_eq!(of_openapi.server["s"], ServerConfig::new(openapi));
    let replicas =
        good(&format!("[server.s]\ncommand = \"x\"\n[server.s.replicas]\n{}", defaults("/$defs/ReplicasSection/properties", &|_| true)));
    assert_eq!(replicas.server["s"].replicas, Replicas::default());
    assert_eq!(config.model.remove("m"), Some(ModelConfig { path: PathBuf::from("models/m"), ..ModelConfig::default() }));
    assert_eq!(Config { origin: None, places: Arc::default(), ..config }, Config::default());
}

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

#[test]
fn the_published_schema_is_the_one_of_this_build() {
    let path = docs("toolbay.schema.json");
    let schema = json_schema();
    if std::env::var_os("TOOLBAY_RENEW").is_some() {
        fs::write(&path, format!("{:#}\n", schema)).unwrap();
    }
    let published: Option<Value> = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    assert!(
        published == Some(schema),
        "docs/toolbay.schema.json is stale; renew it by: TOOLBAY_RENEW=1 cargo test -p toolbay --lib config::"
    );
}

/// Blocks of TOML in a page: what stands behind `toml` on the fence, the text, and the line where it starts.
fn toml_blocks(page: &str) -> Vec<(String, String, usize)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new(), index + 1)),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text, _)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks.retain(|(info, ..)| info.starts_with("toml"));
    blocks
}

#[test]
fn every_example_of_the_reference_loads_and_fits_the_schema() {
    let page = fs::read_to_string(docs("configuration.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["data", "plugins/data", "secrets", "plugins/secrets"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for name in ["secrets/token", "secrets/key", "plugins/secrets/key"] {
        fs::write(folder.path().join(name), format!("a-long-enough-value-for-{}", name.replace('/', "-"))).unwrap();
    }
    let environment = |name: &str| Some(OsString::from(format!("a-long-enough-value-for-{name}")));
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let mut counts = (0, 0);
    for (info, text, line) in toml_blocks(&page) {
        let place = format!("docs/configuration.md:{line}");
        let value: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
        let (result, instance) = if info.contains("sidecar") {
            counts.1 += 1;
            let result = read::sidecar(&Config::default(), "weather", &text, &folder.path().join("plugins/weather.toml"), &environment);
            (result.map(drop), serde_json::json!({ "plugin": { "weather": value } }))
        } else {
            counts.0 += 1;
            (read::parse(&text, &folder.path().join(FILE), &environment).map(drop), value)
        };
        result.unwrap_or_else(|error| panic!("{place}: {error}"));
        let errors: Vec<_> = validator.iter_errors(&instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{place}: {errors:?}");
    }
    assert!(counts.0 >= 5 && counts.1 >= 1, "{counts:?} examples");
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let page = fs::read_to_string(docs("configuration.md")).unwrap();
    let schema = json_schema();
    for (header, pointer) in SECTIONS {
        for (key, property) in schema.pointer(pointer).unwrap().as_object().unwrap() {
            if property.get("$ref").is_some_and(|target| target.as_str().is_some_and(|target| target.ends_with("Section"))) {
                continue;
            }
            let page = match page.split_once("\n## Servers\n") {
                Some((_, servers)) if header.starts_with("[server") => servers,
                _ => page.as_str(),
            };
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{key}` |")))
                .unwrap_or_else(|| panic!("no row for {key} of {header:?}"));
            if let Some(default) = property.get("default").filter(|default| !default.is_object()) {
                assert!(row.contains(&format!("| `{default}` |")), "{row} should have the default {default}");
            }
        }
    }
}
