//! `[server.NAME]`, right and wrong.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// Headers as they are sent.
fn sent(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn servers_of_each_kind_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["data", "bin"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("app.json"), "{}").unwrap();
    fs::write(folder.path().join("mcp.json"), r#"{"mcpServers": {"Desk": {"command": "x"}}}"#).unwrap();
    let text = r#"
        mcp_json = "mcp.json"
        [server.git]
        command = ["./bin/git-server", "-v"]
        cwd = "data"
        env = { A = "value", B = { from_env = "GOOD" } }
        replicas = 3
        start_timeout = "10s"
        timeout = "5s"
        stop_timeout = "1s"
        ping = "0s"
        concurrency = 1
        queue = 0
        max_message = "1MiB"
        apps = false
        prefix = "git_"
        rename = { log = "history" }
        include = ["*"]
        exclude = ["reset"]
        instructions = "Read the log first."
        default_tool = "status"
        protocol = "2025-11-25"
        tools.log.description = "What happened."
        [server.time]
        command = "uvx"
        args = ["mcp-server-time"]
        replicas = { min = 0, max = 4, target_ongoing_requests = 1, upscale_delay = "1s", downscale_delay = "1m" }
        [server.boxed]
        image = "ghcr.io/acme/server:1"
        args = ["--stdio"]
        entrypoint = ["/bin/server"]
        env = { A = "value" }
        memory = "64MiB"
        cpus = 0.5
        pids = 20
        network = "bridge"
        tmpfs = "1MiB"
        scratch = ["/root/", "/var/cache"]
        writable = true
        user = "1000:1000"
        dirs = [{ host = "data", guest = "/data" }]
        pull = "never"
        [server.far]
        url = "https://tools.example.com/mcp"
        headers = { X-Team = "a" }
        bearer = { from_env = "GOOD" }
        [server.app]
        openapi = "app.json"
        base_url = "http://127.0.0.1:9000"
        refresh = "5m"
        headers = { Authorization = { from_env = "GOOD" } }
        query = { appid = { from_env = "GOOD" }, lang = "de" }
        credentials = { "an odd scheme" = { from_env = "GOOD" } }
        follow_references = true
    "#;
    let config =
        load::parse(text, &folder.path().join(FILE), &environment, &mut Files::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.server.keys().collect::<Vec<_>>(), ["app", "boxed", "desk", "far", "git", "time"]);
    let secret = |text: &str| Secret(text.to_owned());
    let git = ServerConfig {
        source: ServerSource::Command(CommandSource {
            argv: vec![folder.path().join("bin/git-server").display().to_string().replace("/./", "/"), "-v".to_owned()],
            cwd: Some(folder.path().join("data")),
            env: BTreeMap::from([("A".to_owned(), secret("value")), ("B".to_owned(), secret(SECRET))]),
        }),
        replicas: Replicas { min: 3, max: 3, ..Replicas::default() },
        limits: ServerLimits {
            start: Duration::from_secs(10),
            call: Duration::from_secs(5),
            stop: Duration::from_secs(1),
            concurrency: 1,
            queue: 0,
            max_message: 1 << 20,
            ping: Duration::ZERO,
            protocol: Revision::Sessions,
        },
        publish: PublishRules::default(),
        names: NameRules {
            prefix: Some("git_".to_owned()),
            rename: BTreeMap::from([("log".to_owned(), "history".to_owned())]),
            instructions: Some("Read the log first.".to_owned()),
            include: vec!["*".to_owned()],
            exclude: vec!["reset".to_owned()],
            apps: false,
            tools: BTreeMap::from([(
                "log".to_owned(),
                ToolOverride { description: Some("What happened.".to_owned()), ..ToolOverride::default() },
            )]),
        },
        default_tool: Some("status".to_owned()),
    };
    assert_eq!(config.server["git"], git);
    let ServerSource::Command(time) = &config.server["time"].source else { panic!() };
    assert_eq!(time.argv, ["uvx", "mcp-server-time"]);
    let replicas = Replicas {
        min: 0,
        max: 4,
        target_ongoing_requests: 1.0,
        upscale_delay: Duration::from_secs(1),
        downscale_delay: Duration::from_secs(60),
    };
    assert_eq!(config.server["time"].replicas, replicas);
    let image = ImageSource {
        image: "ghcr.io/acme/server:1".to_owned(),
        args: vec!["--stdio".to_owned()],
        entrypoint: Some(vec!["/bin/server".to_owned()]),
        env: BTreeMap::from([("A".to_owned(), secret("value"))]),
        memory: 64 << 20,
        cpus: 0.5,
        pids: 20,
        network: "bridge".to_owned(),
        tmpfs: 1 << 20,
        scratch: vec!["/root".into(), "/var/cache".into()],
        writable: true,
        user: Some("1000:1000".to_owned()),
        dirs: vec![DirGrant { host: folder.path().join("data"), guest: "/data".to_owned(), write: false }],
        pull: Pull::Never,
        accepted: None,
    };
    assert_eq!(config.server["boxed"], ServerConfig::new(ServerSource::Image(image)));
    let far = UrlSource {
        url: "https://tools.example.com/mcp".parse().unwrap(),
        headers: sent(&[("x-team", "a"), ("authorization", &format!("Bearer {SECRET}"))]),
        auth: UpstreamAuth::default(),
    };
    assert_eq!(config.server["far"], ServerConfig::new(ServerSource::Url(far)));
    let app = OpenApiSource {
        document: DocumentPlace::File(folder.path().join("app.json")),
        base_url: Some("http://127.0.0.1:9000".parse().unwrap()),
        refresh: Duration::from_secs(300),
        headers: sent(&[("authorization", SECRET)]),
        auth: UpstreamAuth::default(),
        query: BTreeMap::from([("appid".to_owned(), secret(SECRET)), ("lang".to_owned(), secret("de"))]),
        credentials: BTreeMap::from([("an odd scheme".to_owned(), secret(SECRET))]),
        follow_references: true,
    };
    assert_eq!(config.server["app"], ServerConfig::new(ServerSource::OpenApi(app)));
    let shown = format!("{:?}", config.server);
    assert!(!shown.contains(SECRET) && shown.contains("tools.example.com"), "{shown}");
}

#[test]
fn each_mistake_in_a_server_is_named_with_its_place_and_what_is_allowed() {
    for (text, message) in [
        (
            "[server.s]",
            "1:9: \"s\" in [server]: has no source; write one of command = [\"program\", \"argument\"], image = \"registry/name:tag\", url = \"https://host/mcp\", openapi = \"file or URL\"",
        ),
        (
            "[server.s]\ncommand = \"x\"\nurl = \"http://x/\"",
            "3:1: \"url\" in [server.s]: there is \"command\" already; a server has one of them",
        ),
        (
            "[server.Git]\ncommand = \"x\"",
            "1:9: server name \"Git\" is not allowed: 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit, without '__'",
        ),
        (
            "[server.my.git]\ncommand = \"x\"",
            "1:9: \"my\" in [server]: has no source; write one of command = [\"program\", \"argument\"], image = \"registry/name:tag\", url = \"https://host/mcp\", openapi = \"file or URL\"\n1:12: unknown key \"git\" in [server.my]; a server's name with dots in it needs quotes: [server.\"my.git\"]",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nforward = [\"authorization\", \"Cookie\", \"Host\", \"TE\"]",
            "3:12: \"forward\" in [server.s]: \"authorization\" cannot be passed on: it has the caller's credentials, which are meant for this host alone; use `token_exchange` or `identity`\n3:29: \"forward\" in [server.s]: \"cookie\" cannot be passed on: cookies are meant for this host alone\n3:39: \"forward\" in [server.s]: \"Host\" cannot be passed on: it is a header that the host sets itself\n3:47: \"forward\" in [server.s]: \"te\" cannot be passed on: it is about one connection, and the next one is another",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nheaders = { X-A = \"1\" }\nforward = [\"x-a\"]",
            "4:11: \"forward\" in [server.s]: x-a is set by \"headers\" already, so that of the caller would never be sent; keep one of them",
        ),
        (
            "[server.s]\ncommand = \"x\"\nforward = [\"x-a\"]",
            "3:1: \"forward\" in [server.s]: belongs to a server with \"url\" or \"openapi\", and this one has \"command\"",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nclient_credentials = { client_id = \"a\" }",
            "3:1: \"client_credentials\" in [server.s]: says no authorization server; write issuer = \"https://login.example.com\", or token_url\n3:1: \"client_credentials\" in [server.s]: has no \"client_secret\", without which no client is given a token of its own",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\ntoken_exchange = { client_id = \"a\", token_url = \"https://a/token\", audience = \"b\" }",
            "1:9: \"s\" in [server]: has `token_exchange`, which needs an [auth.issuer.NAME]: only a token of an authorization server can be exchanged",
        ),
        ("[server.s]\ncommand = \"x\"\nimgae = 1", "3:1: unknown key \"imgae\" in [server.s]; did you mean \"image\"?"),
        ("image = 1", "1:1: unknown key \"image\" at the top level; it belongs in [server.NAME]"),
        (
            "[server.s]\ncommand = \"x\"\nmemory = 1",
            "3:1: \"memory\" in [server.s]: belongs to a server with \"image\", and this one has \"command\"",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nargs = []\nreplicas = 2",
            "3:1: \"args\" in [server.s]: belongs to a server with \"command\" or \"image\", and this one has \"url\"\n4:1: \"replicas\" in [server.s]: belongs to a server with \"command\" or \"image\", and this one has \"url\"",
        ),
        (
            "[server.s]\nopenapi = \"http://x/\"\nenv = {}",
            "3:1: \"env\" in [server.s]: belongs to a server with \"command\" or \"image\", and this one has \"openapi\"",
        ),
        ("[server.s]\ncommand = []", "2:11: \"command\" in [server.s]: has no program; write [\"program\", \"argument\"]"),
        (
            "[server.s]\ncommand = 1",
            "2:11: \"command\" in [server.s]: must be a list ([\"program\", \"argument\"]), or text with \"args\" beside it, not a whole number",
        ),
        (
            "[server.s]\ncommand = \"npx -y x\"",
            "2:11: \"command\" in [server.s]: no shell splits this into words; write command = [\"npx\", \"-y\", \"x\"]",
        ),
        (
            "[server.s]\ncommand = [\"x\"]\nargs = [\"y\"]",
            "3:1: \"args\" in [server.s]: \"command\" is a list already: write the arguments into it",
        ),
        ("[server.s]\ncommand = \"~/x\"", "2:11: \"command\" in [server.s]: \"~/x\": \"~\" is not expanded; write the whole path"),
        (
            "[server.s]\ncommand = \"x\"\ncwd = \"/not-there\"",
            "3:7: \"cwd\" in [server.s]: cannot use the folder /not-there: No such file or directory (os error 2)",
        ),
        (
            "[server.s]\ncommand = \"x\"\nenv = { A = { from_env = \"NOT_THERE\" } }",
            "3:13: \"A\" in [server.s.env]: the environment variable \"NOT_THERE\" is not set; set it where toolbay is started, or use from_file",
        ),
        (
            "[server.s]\nimage = \"a b\"",
            "2:9: \"image\" in [server.s]: \"a b\" is not an image; write \"registry/name:tag\", and arguments into \"args\"",
        ),
        ("[server.s]\nimage = \"x\"\ncpus = 0", "3:8: \"cpus\" in [server.s]: 0 is not allowed; it must be 0.01 to 1024"),
        ("[server.s]\nimage = \"x\"\ncpus = \"1\"", "3:8: \"cpus\" in [server.s]: must be a number, not text"),
        ("[server.s]\nimage = \"x\"\nmemory = \"1KiB\"", "3:10: \"memory\" in [server.s]: 1KiB is not allowed; it must be 6MiB to 4TiB"),
        (
            "[server.s]\nimage = \"x\"\npull = \"often\"",
            "3:8: \"pull\" in [server.s]: \"often\" is not allowed; it must be \"missing\", \"always\" or \"never\"",
        ),
        (
            "[server.s]\nimage = \"x\"\nnetwork = \"\"",
            "3:11: \"network\" in [server.s]: \"\" is not a network; write \"none\", \"bridge\", \"host\", or the name of a network of the engine",
        ),
        (
            "[server.s]\nurl = \"example.com/mcp\"",
            "2:7: \"url\" in [server.s]: \"example.com/mcp\" is not a URL (relative URL without a base); write \"https://host/mcp\"",
        ),
        (
            "[server.s]\nurl = \"localhost:9/mcp\"",
            "2:7: \"url\" in [server.s]: \"localhost:9/mcp\" says neither http:// nor https://; write \"http://localhost:9/mcp\" or \"https://localhost:9/mcp\"",
        ),
        ("[server.s]\nurl = \"ws://x/\"", "2:7: \"url\" in [server.s]: \"ws\" is not spoken here; write an http or https URL"),
        (
            "[server.s]\nurl = \"http://me:s3cr3t@x/\"",
            "2:7: \"url\" in [server.s]: a URL holds no password here; write bearer = { from_env = \"VARIABLE\" } or headers",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nheaders = { Host = \"y\" }",
            "3:13: \"Host\" in [server.s.headers]: is a header that the host sets itself",
        ),
        (
            "[server.s]\nurl = \"http://x/\"\nbearer = \"s3cr3t\"",
            "3:10: \"bearer\" in [server.s]: a secret cannot be written in the configuration; write { from_env = \"VARIABLE\" } or { from_file = \"path\" }",
        ),
        (
            "[server.s]\nopenapi = \"/not-there.json\"",
            "2:11: \"openapi\" in [server.s]: there is no file /not-there.json; write the path of an OpenAPI document, or its http(s) URL",
        ),
        (
            "[server.s]\ncommand = \"x\"\nreplicas = 0",
            "3:12: \"replicas\" in [server.s]: 0 would never run; write { min = 0, max = 1 } to run it only while it is called",
        ),
        (
            "[server.s]\ncommand = \"x\"\nreplicas = \"3\"",
            "3:12: \"replicas\" in [server.s]: must be a number, or a table ({ min = 1, max = 4 }), not text",
        ),
        ("[server.s]\ncommand = \"x\"\nreplicas = { min = 3, max = 2 }", "3:12: \"replicas\" in [server.s]: min (3) is more than max (2)"),
        (
            "[server.s]\ncommand = \"x\"\nreplicas = { min = 1, target_ongoing_requests = 0.0 }",
            "3:49: \"target_ongoing_requests\" in [server.s.replicas]: 0.0 is not allowed; it must be 0.01 to 10000",
        ),
        (
            "[server.s]\ncommand = \"x\"\nprefix = \" a\"",
            "3:10: \"prefix\" in [server.s]: tool name \" a\" is not allowed: 1 to 256 bytes, no control characters, no white space at its ends",
        ),
        (
            "[server.s]\ncommand = \"x\"\nrename = { a = \"c\", b = \"c\" }",
            "3:25: \"b\" in [server.s.rename]: \"a\" is renamed to \"c\" already; two cannot have one name",
        ),
        (
            "[server.s]\ncommand = \"x\"\ntools.t.title = \"\"",
            "3:17: \"title\" in [server.s.tools.t]: cannot be empty; leave the key out to keep what the tool itself says",
        ),
        (
            "[plugin.s]\n[server.s]\ncommand = \"x\"",
            "2:9: \"s\" in [server]: there is a [plugin.s] too; tools are called by the name of their plugin or server, so rename one of them",
        ),
        ("mcp_json = \"/not-there.json\"", "1:1: cannot read the configuration /not-there.json: No such file or directory (os error 2)"),
    ] {
        assert_eq!(wrong(text), message, "{text}");
    }
}

#[test]
fn a_server_of_the_other_file_takes_no_name_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    fs::write(&path, r#"{"mcpServers": {"git": {"command": "x"}, "weather": {"command": "x"}, "bad": {}}}"#).unwrap();
    let text = format!("mcp_json = {path:?}\n[server.git]\ncommand = \"own\"\n[plugin.weather]");
    let config = good(&text);
    assert!(matches!(&config.server["git"].source, ServerSource::Command(git) if git.argv == ["own"]));
    let note = format!("the entry \"git\" at {}:1:24 is ignored: there is a server of this name already", path.display());
    assert_eq!(config.imported["git"].notes, [note]);
    let (weather, imported) = config.imported.iter().find(|(_, imported)| imported.name == "weather").unwrap();
    assert!(weather.starts_with("weather-") && config.server.contains_key(weather) && !config.server.contains_key("weather"));
    assert!(imported.notes[0].ends_with("as \"weather\" is taken"), "{imported:?}");
    assert!(!config.server.contains_key("bad") && config.imported["bad"].error.is_some());
}
