//! What a right file means.

use super::*;

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
        max_answers = "2MiB"
        max_connections = 10
        header_timeout = "5s"
        sessions = "none"
        max_sessions = 20
        session_idle = "1m"
        session_ttl = "1d"
        lame_duck = "7s"
        ask_timeout = "90s"
        drain = "0s"
        rest_result = "mcp"
        rest_default_tool = "w_get_alerts"
        card = true
        card_name = "com.example/tools"
        card_url = " https://example.com/tools/mcp "
        card_title = "Tools"
        card_description = " All of them. "
        [auth.tokens]
        ci = { from_env = "OTHER" }
        me = { from_file = "token" }
        [store]
        path = "kept.redb"
        size = "2GiB"
        quota = "1MiB"
        value = "64KiB"
        [state]
        keys = [{ from_env = "KEY" }, { from_file = "key" }]
        ttl = "10m"
        copies = 3
        [host]
        instances = 50
        loaded_plugins = 70
        memory = "2GiB"
        max_memory = "256MiB"
        max_file = "20MB"
        compiler = "cranelift"
        compile_time = "1m"
        compile_memory = "1GiB"
        compile_jobs = 2
        cache = "/var/cache/toolbay"
        registry_cache = "/var/cache/plugins"
        sidecar_grants = false
        container_engine = "unix:///run/podman/podman.sock"
        [telemetry]
        format = "json"
        log = "toolbay=debug,warn"
        [plugin.default]
        timeout = "10s"
        [registry."localhost:5000"]
        username = "u"
        password = { from_env = "GOOD" }
        ca = "ca.pem"
        [registry."ghcr.io"]
        token = { from_env = "GOOD" }
        insecure = true
        [plugin."my.weather"]
        source = "oci://localhost:5000/acme/weather:1"
        pull = "missing"
        interval = "1m"
        sidecar = true
        memory = 0x100000
        table_elements = 5_000
        output = 1000
        log_rate = 0
        concurrency = 1
        cpu = 0.2
        queue = 0
        open_files = 30
        http_connections = 2
        http_body = "1KiB"
        http_timeout = "250ms"
        nn_memory = "1MiB"
        nn_time = "5s"
        calls = ["image_*", "files__read"]
        store = "4MiB"
        reuse = 50
        reuse_across = "all"
        store_scope = "caller"
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
        rename_params = { q = "query" }
        read_only = true
        destructive = false
        idempotent = true
        open_world = false
        app = "ui://weather/alerts.html"
    "#;
    let config = load::parse(text, &folder.path().join(FILE), &environment, &mut Files::default()).unwrap();
    assert_eq!((config.listen.to_string(), config.plugins), ("127.0.0.1:9000".to_owned(), folder.path().join("tools")));
    let http = HttpConfig {
        allowed_hosts: vec![AllowedHost::Named("tools.example.com".to_owned(), None)],
        allowed_origins: vec![crate::config::AllowedOrigin::parse("https://app.example.com").unwrap()],
        max_body: 1 << 20,
        max_bodies: 8 << 20,
        max_answers: 2 << 20,
        max_connections: 10,
        header_timeout: Duration::from_secs(5),
        sessions: Sessions::None,
        max_sessions: 20,
        session_idle: Duration::from_secs(60),
        session_ttl: Duration::from_secs(86_400),
        lame_duck: Some(Duration::from_secs(7)),
        ask_timeout: Duration::from_secs(90),
        drain: Duration::ZERO,
        rest_result: RestResult::Mcp,
        rest_default_tool: Some("w_get_alerts".to_owned()),
        card: Some(true),
        card_name: Some("com.example/tools".to_owned()),
        card_url: Some("https://example.com/tools/mcp".to_owned()),
        card_title: Some("Tools".to_owned()),
        card_description: Some("All of them.".to_owned()),
        ..HttpConfig::default()
    };
    assert_eq!(config.http, http);
    let tokens: Vec<_> = config.auth.tokens.iter().map(|(name, token)| (name, token.expose())).collect();
    assert_eq!(tokens, [("ci", "another-long-secret-value"), ("me", SECRET)]);
    let keys = vec![Secret(KEY.to_owned()), Secret(format!("{KEY}2"))];
    assert_eq!(config.state, StateConfig { keys, ttl: Duration::from_secs(600), copies: 3 });
    let host = HostConfig {
        instances: 50,
        memory: Some(2 << 30),
        max_memory: 256 << 20,
        loaded_plugins: 70,
        max_file: 20_000_000,
        compiler: PluginCompiler::Cranelift,
        compile_time: Duration::from_secs(60),
        compile_memory: 1 << 30,
        compile_jobs: 2,
        cache: Some(PathBuf::from("/var/cache/toolbay")),
        registry_cache: Some(PathBuf::from("/var/cache/plugins")),
        sidecar_grants: false,
        container_engine: EngineChoice::Api("unix:///run/podman/podman.sock".to_owned()),
    };
    assert_eq!(config.host, host);
    let store = StoreConfig { path: Some(folder.path().join("kept.redb")), size: 2 << 30, quota: 1 << 20, value: 1 << 16 };
    assert_eq!(config.store, store);
    assert_eq!(config.telemetry, TelemetryConfig { format: LogFormat::Json, log: "toolbay=debug,warn".to_owned() });
    let registries = [
        RegistryConfig {
            username: Some("u".to_owned()),
            password: Some(Secret(SECRET.to_owned())),
            ca: Some(folder.path().join("ca.pem")),
            ..RegistryConfig::default()
        },
        RegistryConfig { token: Some(Secret(SECRET.to_owned())), insecure: Some(true), ..RegistryConfig::default() },
    ];
    let names = ["localhost:5000", "ghcr.io"].map(str::to_owned);
    assert_eq!(config.registry, names.into_iter().zip(registries).collect());
    let data = folder.path().join("data");
    let weather = PluginConfig {
        origin: PluginOrigin {
            source: Some(OciReference::parse("oci://localhost:5000/acme/weather:1").unwrap()),
            pull: PullPlugin::Missing,
            interval: Duration::from_secs(60),
            sidecar: true,
        },
        limits: PluginLimits {
            memory: 1 << 20,
            table_elements: 5000,
            timeout: Duration::from_secs(10),
            output: 1000,
            reuse: 50,
            log_rate: 0,
            concurrency: 1,
            cpu: Some(0.2),
            queue: 0,
            open_files: 30,
            http_connections: 2,
            http_body: 1024,
            http_timeout: Duration::from_millis(250),
            nn_memory: 1 << 20,
            nn_time: Duration::from_secs(5),
        },
        grants: Grants {
            http: vec![
                HostPattern::parse("api.weather.gov", false).unwrap(),
                HostPattern { host: HostMatch::Below("example.com".to_owned()), port: Some(8443) },
            ],
            http_private: vec![HostPattern::parse("127.0.0.1:9000", false).unwrap()],
            env: [("A", "value"), ("B", SECRET), ("C", SECRET)].map(|(name, value)| (name.to_owned(), Secret(value.to_owned()))).into(),
            dirs: vec![
                DirGrant { host: data.clone(), guest: "/data".to_owned(), write: false },
                DirGrant { host: data, guest: "/out".to_owned(), write: true },
            ],
            calls: vec!["image_*".to_owned(), "files__read".to_owned()],
            store: StoreGrant::Bytes(4 << 20),
            store_scope: StoreScope::Caller,
            reuse_across: ReuseAcross::All,
            nn_load: 2 << 20,
        },
        names: NameRules {
            prefix: Some("w_".to_owned()),
            rename: BTreeMap::from([("get_alerts".to_owned(), "alerts".to_owned())]),
            include: vec!["get_*".to_owned()],
            exclude: vec!["get_secret".to_owned()],
            ..NameRules::default()
        },
        tools: BTreeMap::from([(
            "get_alerts".to_owned(),
            ToolOverride {
                title: Some("Alerts".to_owned()),
                description: Some("What to fear.".to_owned()),
                params: BTreeMap::from([("state".to_owned(), "Two letters.".to_owned())]),
                rename_params: BTreeMap::from([("q".to_owned(), "query".to_owned())]),
                read_only: Some(true),
                destructive: Some(false),
                idempotent: Some(true),
                open_world: Some(false),
                app: Some("ui://weather/alerts.html".to_owned()),
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
fn the_real_environment_is_read() {
    let text = "[plugin.w.env]\nDIR = { from_env = \"CARGO_MANIFEST_DIR\" }";
    let config = Config::parse(text, Path::new(FILE)).unwrap();
    let value = config.plugin.get("w").and_then(|plugin| plugin.grants.env.get("DIR"));
    assert_eq!(value, Some(&Secret(std::env::var("CARGO_MANIFEST_DIR").unwrap())));
    assert!(!format!("{config:?}").contains(&std::env::var("CARGO_MANIFEST_DIR").unwrap()), "Debug shows no secret");
}

#[test]
fn two_configurations_are_compared_key_by_key() {
    let one = good("[http]\ndrain = \"5s\"\n[plugin.a]\nqueue = 1\n[plugin.b]\n[server.s]\ncommand = \"x\"");
    let other =
        good("listen = \"127.0.0.1:1\"\n[http]\ndrain = \"6s\"\n[host]\ninstances = 7\n[plugin.a]\nqueue = 2\n[server.t]\ncommand = \"x\"");
    let named = |one: &Config, other: &Config, restart| {
        let found = one.differences(other).into_iter().filter(|difference| difference.restart == restart);
        found.map(|difference| difference.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named(&one, &one, false), [""; 0]);
    assert_eq!(named(&one, &other, false), ["[http] drain", "[plugin.a]", "[plugin.b]", "[server.s]", "[server.t]"]);
    assert_eq!(named(&other, &one, true), ["listen", "[host] instances"]);
}
