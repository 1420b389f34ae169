//! Plugins from an OCI registry, a real one: pushed, pulled and served; what is tampered with or
//! not signed is not served; a registry that is away, and a tag that moves, cost no call.

use std::{fs, path::Path, process::Stdio};

use toolbay_tests::{
    Client, Load, Registry, Server, Setup, Value, eventually, files, json,
    registry::{Liar, Lie, PASSWORD, SigningKey, USER},
    secs,
    wat::{self, binary},
};

/// An empty folder, and a cache of its own.
fn setup(more: &str) -> Setup {
    let setup = Setup::new();
    let cache = setup.home().join("registry-cache");
    setup.config(&format!("[host]\nregistry_cache = {cache:?}\n{more}"))
}

/// The plugin `v` from there, asked for often.
fn from(reference: &str) -> String {
    format!("[plugin.v]\nsource = {reference:?}\ninterval = \"1s\"\n")
}

/// Pushes the version of this number, and says the reference with its digest.
async fn push(setup: &Setup, number: u32, to: &str) -> String {
    let path = setup.home().join(format!("v{number}.wasm"));
    fs::write(&path, binary(&wat::version(number))).expect("a file can be written");
    let pushed = setup.run(["push", path.to_str().expect("a path"), to]).await;
    pushed.expect_code(0).stdout.trim().to_owned()
}

/// The digest in a reference.
fn digest(reference: &str) -> &str {
    reference.split_once('@').expect("a digest").1
}

async fn version(server: &Server) -> Option<u64> {
    let reply = Client::modern(server).call("version", json!({})).await;
    reply.answer().get("result").and_then(|result| result["structuredContent"]["result"].as_u64())
}

async fn until_version(server: &Server, wanted: u64) {
    eventually(&format!("version {wanted} answers"), secs(60), || async { (version(server).await == Some(wanted)).then_some(()) }).await;
}

/// Waits until `/status` says this of the plugin.
async fn until_said(server: &Server, key: &str, words: &str) -> Value {
    server.wait_plugin("v", &format!("has {words:?} in {key}"), |status| status[key].to_string().contains(words)).await
}

#[tokio::test]
async fn what_is_pushed_is_pulled_as_it_was_and_served() {
    let Some(registry) = Registry::start().await else { return };
    let to = registry.reference("acme/v:1");
    let setup = setup(&format!("[plugin.v]\nsource = {to:?}\nprefix = \"my_\"\n"));
    let pushed = push(&setup, 7, &to).await;
    assert!(pushed.starts_with(&format!("{to}@sha256:")), "{pushed}");
    assert_eq!(push(&setup, 7, &to).await, pushed, "the same component is the same artifact");
    let shown = setup.run(["inspect", &to]).await;
    for words in [digest(&pushed), "application/wasm", "export       version", "signatures   0"] {
        assert!(shown.expect_code(0).stdout.contains(words), "{words}: {}", shown.stdout);
    }
    let shown = setup.run(["inspect", &pushed, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown.expect_code(0).stdout).expect("JSON");
    assert_eq!((&shown["reference"], &shown["exports"][0]), (&json!(pushed), &json!("version")));
    let out = setup.home().join("out.wasm");
    setup.run(["pull", &pushed, "-o", out.to_str().expect("a path")]).await.expect_code(0);
    assert_eq!(fs::read(&out).expect("it was pulled"), binary(&wat::version(7)));
    let listed = setup.run(["check"]).await;
    assert!(listed.expect_code(0).stdout.contains("my_version"), "{}", listed.all());

    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["my_slow_version", "my_version"]);
    let status = server.plugin_status("v").await.expect("its status");
    assert_eq!((&status["source"], &status["state"], &status["warnings"]), (&json!(pushed), &json!("serving"), &Value::Null));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_words() {
    let Some(registry) = Registry::start().await else { return };
    let setup = setup("");
    let none = registry.reference("acme/none:1");
    let failed = setup.run(["pull", &none]).await;
    for words in ["cannot pull", &none, "has no manifest 1 of acme/none"] {
        assert!(failed.expect_code(1).stderr.contains(words), "{}", failed.stderr);
    }
    registry.put("acme/image", "1", &[("application/vnd.oci.image.layer.v1.tar+gzip", b"tar", Value::Null)]).await;
    let failed = setup.run(["pull", &registry.reference("acme/image:1")]).await;
    assert!(failed.expect_code(1).stderr.contains("it is no WebAssembly component"), "{}", failed.stderr);
    let text = setup.home().join("text.wasm");
    fs::write(&text, "text").expect("a file can be written");
    let failed = setup.run(["push", text.to_str().expect("a path"), &registry.reference("acme/text:1")]).await;
    assert!(failed.expect_code(1).stderr.contains("it is no WebAssembly component"), "{}", failed.stderr);
    let failed = setup.run(["pull", "ghcr.io/acme/x"]).await;
    assert!(failed.expect_code(2).stderr.contains("does not begin with oci://"), "{}", failed.stderr);
    let server = setup.config(&from(&none)).start().await;
    let status = until_said(&server, "error", "has no manifest 1").await;
    assert_eq!((&status["state"], &status["source"]), (&json!("broken"), &json!(none)));
    server.wait_log("why", |line| line.contains("cannot pull the plugin, and it is not served")).await;
}

#[tokio::test]
async fn a_component_as_wassette_writes_it_is_served_and_its_sidecar_where_that_is_wanted() {
    let Some(registry) = Registry::start().await else { return };
    let component = binary(&wat::version(3));
    let layers = [
        ("application/vnd.wasm.component.v1", &component[..], json!({ "org.opencontainers.image.title": "v.wasm" })),
        ("application/vnd.wasm.policy.v1+yaml", b"version: \"1.0\"", Value::Null),
        ("application/vnd.toolbay.sidecar.v1+toml", b"prefix = \"of_sidecar_\"", Value::Null),
    ];
    registry.put("acme/v", "1", &layers).await;
    let server = setup(&from(&registry.reference("acme/v:1"))).start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["slow_version", "version"]);
    server.wait_log("a hint", |line| line.contains("its sidecar in the registry does not count")).await;
    // As with all keys of a plugin, a change takes effect at once.
    let text = fs::read_to_string(server.home().join("toolbay.toml")).expect("it was written");
    files::put(format!("{text}sidecar = true\n").as_bytes(), &server.home().join("toolbay.toml"));
    eventually("the sidecar counts", secs(30), || async {
        (Client::modern(&server).tool_names().await == ["of_sidecar_slow_version", "of_sidecar_version"]).then_some(())
    })
    .await;
    // One in the folder is the operator's own, and counts before it.
    files::put(b"prefix = \"mine_\"", &server.plugins().join("v.toml"));
    eventually("the operator's own counts", secs(30), || async {
        (Client::modern(&server).tool_names().await == ["mine_slow_version", "mine_version"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_registry_with_a_password_and_tls_is_asked_with_what_is_configured() {
    let Some(registry) = Registry::with(true, true).await else { return };
    let to = registry.reference("acme/v:1");
    let host = registry.host();
    let table = |user: &str| format!("[registry.{host:?}]\nca = {:?}\n{user}", registry.ca());
    let user = format!("username = {USER:?}\npassword = {{ from_env = \"REGISTRY_PASSWORD\" }}\n");

    // Without its authority, without a password, with a wrong one.
    let failed = setup("").run(["pull", &to]).await;
    assert!(failed.expect_code(1).stderr.contains(&host), "{}", failed.stderr);
    let failed = setup(&format!("[registry.{host:?}]\ninsecure = false\n")).run(["pull", &to]).await;
    assert!(failed.expect_code(1).stderr.contains("name the authority of its certificate by `ca`"), "{}", failed.stderr);
    let failed = setup(&table("")).env("HOME", "/nowhere").env("DOCKER_CONFIG", "/nowhere").run(["pull", &to]).await;
    for words in ["401", "no credentials", "/nowhere/config.json"] {
        assert!(failed.expect_code(1).stderr.contains(words), "{}", failed.stderr);
    }
    let wrong = setup(&table(&user)).env("REGISTRY_PASSWORD", "not-the-password");
    let failed = wrong.run(["pull", &to]).await;
    assert!(failed.expect_code(1).stderr.contains("401") && !failed.all().contains("not-the-password"), "{}", failed.all());
    assert!(failed.stderr.contains(USER), "{}", failed.stderr);

    let good = setup(&format!("{}{}", table(&user), from(&to))).env("REGISTRY_PASSWORD", PASSWORD);
    let pushed = push(&good, 5, &to).await;
    let server = good.start().await;
    until_version(&server, 5).await;
    assert!(!format!("{}{}", server.log(), server.status().await).contains(PASSWORD));

    // What `docker login` has kept, in its own folder and in the file that podman is told by.
    let auth = json!({ "auths": { &host: { "auth": base64(&format!("{USER}:{PASSWORD}")) } } }).to_string();
    for (variable, file) in [("DOCKER_CONFIG", "config.json"), ("REGISTRY_AUTH_FILE", "auth.json")] {
        let setup = setup(&table(""));
        fs::write(setup.home().join(file), &auth).expect("a file can be written");
        let value = if variable == "DOCKER_CONFIG" { setup.home().to_owned() } else { setup.home().join(file) };
        let setup = setup.env(variable, value.to_str().expect("a path"));
        let pulled = setup.run(["pull", &to]).await;
        assert!(pulled.expect_code(0).stdout.contains(digest(&pushed)), "{}", pulled.all());
    }

    // What it leaves to a program.
    let kept = [json!({ "credHelpers": { &host: "e2e" } }), json!({ "credsStore": "e2e", "auths": { &host: {} } })];
    for (kept, password) in kept.iter().map(|kept| (kept, PASSWORD)).chain([(&kept[0], "not-the-password")]) {
        let setup = setup(&table(""));
        fs::write(setup.home().join("config.json"), kept.to_string()).expect("a file can be written");
        let program = setup.home().join("docker-credential-e2e");
        let answer = json!({ "ServerURL": &host, "Username": USER, "Secret": password });
        let script = format!("#!/bin/sh\nread server && [ \"$1 $server\" = 'get {host}' ] && echo '{answer}'\n");
        fs::write(&program, script).expect("a file can be written");
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it can be made a program");
        let path = format!("{}:{}", setup.home().display(), std::env::var("PATH").unwrap_or_default());
        let folder = setup.home().display().to_string();
        let setup = setup.env("DOCKER_CONFIG", &folder).env("PATH", &path);
        let pulled = setup.run(["pull", &to]).await;
        assert!(!pulled.all().contains("not-the-password"), "{}", pulled.all());
        if password == PASSWORD {
            assert!(pulled.expect_code(0).stdout.contains(digest(&pushed)), "{}", pulled.all());
        } else {
            assert!(pulled.expect_code(1).stderr.contains("401"), "{}", pulled.all());
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_not_served() {
    let Some(registry) = Registry::start().await else { return };
    let liar = Liar::start(&registry).await;
    let setup = setup(&from(&liar.reference("acme/v:1")));
    let first = push(&setup, 1, &registry.reference("acme/v:1")).await;
    for (lie, says) in [
        (Lie::Blob, &["what was sent has another digest"][..]),
        // A break can come before the head of the answer.
        (Lie::Torn, &["it broke off after", "cannot be reached"]),
        (Lie::Short, &["it ended after"]),
        (Lie::Endless, &["bytes were sent"]),
        (Lie::Manifest, &["what was sent has another digest"]),
        (Lie::Busy, &["503"]),
    ] {
        liar.lies(lie);
        let by_digest = format!("{}@{}", liar.reference("acme/v"), digest(&first));
        for reference in [&liar.reference("acme/v:1"), &by_digest] {
            let out = setup.home().join("out.wasm");
            let failed = setup.run(["pull", reference, "-o", out.to_str().expect("a path")]).await;
            assert!(says.iter().any(|says| failed.expect_code(1).stderr.contains(says)), "{lie:?}: {}", failed.stderr);
            assert!(!out.exists(), "{lie:?}");
        }
    }
    // A host does not serve it either, goes on asking, and serves it when it is right.
    let server = setup.start().await;
    until_said(&server, "error", "503").await;
    liar.lies(Lie::Blob);
    until_said(&server, "error", "another digest").await;
    assert_eq!(version(&server).await, None);
    liar.lies(Lie::None);
    until_version(&server, 1).await;
    // What serves is not lost by a lie about the next version.
    liar.lies(Lie::Short);
    push(server.setup(), 2, &registry.reference("acme/v:1")).await;
    until_said(&server, "warnings", "it ended after").await;
    assert_eq!(version(&server).await, Some(1));
    liar.lies(Lie::None);
    until_version(&server, 2).await;
    server.wait_plugin("v", "is well again", |status| status["warnings"].is_null()).await;
}

#[tokio::test]
async fn what_has_to_be_signed_is_served_only_with_a_signature_by_that_key() {
    let Some(registry) = Registry::start().await else { return };
    let (key, other) = (SigningKey::new(), SigningKey::new());
    let to = registry.reference("acme/v:1");
    let rule = format!("[trust]\nsigned = [{{ source = \"{}/acme/*\", keys = [{:?}] }}]\n", registry.host(), key.public());
    let setup = setup(&format!("{}{rule}", from(&to)));
    let first = push(&setup, 1, &to).await;
    let pull = async |says: &str| {
        let failed = setup.run(["pull", &to]).await;
        assert!(failed.expect_code(1).stderr.contains(says), "{}", failed.stderr);
    };
    pull("the registry has no signature of sha256:").await;
    registry.sign("acme/v", digest(&first), &other).await;
    pull("its signature is by another key, or of something else").await;
    // The right key, of something else.
    let something = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    registry.sign("acme/v", something, &key).await;
    pull("by another key").await;
    // A repository that no rule is about needs none.
    let elsewhere = registry.reference("other/v:1");
    push(&setup, 1, &elsewhere).await;
    setup.run(["pull", &elsewhere]).await.expect_code(0);

    let server = setup.start().await;
    until_said(&server, "error", "by another key").await;
    registry.sign("acme/v", digest(&first), &key).await;
    until_version(&server, 1).await;
    // The next version is not signed: the one before stays, until it is.
    let second = push(server.setup(), 2, &to).await;
    until_said(&server, "warnings", "has no signature").await;
    assert_eq!(version(&server).await, Some(1));
    registry.sign("acme/v", digest(&second), &key).await;
    until_version(&server, 2).await;
    // Another key is demanded from now on: what serves is not signed by it.
    let path = server.home().join("toolbay.toml");
    let (mine, others) = (key.public(), other.public());
    let text = fs::read_to_string(&path).expect("it was written").replace(mine.to_str().expect("a path"), others.to_str().expect("a path"));
    files::put(text.as_bytes(), &path);
    until_said(&server, "error", "by another key").await;
    eventually("it is withdrawn", secs(30), || async { version(&server).await.is_none().then_some(()) }).await;
    registry.sign("acme/v", digest(&second), &other).await;
    until_version(&server, 2).await;
}

#[tokio::test]
async fn what_is_in_the_cache_serves_while_the_registry_is_away() {
    let Some(mut registry) = Registry::start().await else { return };
    let key = SigningKey::new();
    let to = registry.reference("acme/v:1");
    let rule = format!("[trust]\nsigned = [{{ source = \"*\", keys = [{:?}] }}]\n", key.public());
    let home = setup("");
    let cache = home.home().join("registry-cache");
    let text = format!("[host]\nregistry_cache = {cache:?}\n{}{rule}", from(&to));
    let first = push(&home, 1, &to).await;
    registry.sign("acme/v", digest(&first), &key).await;
    let server = Setup::new().config(&text).start().await;
    until_version(&server, 1).await;
    registry.kill().await;
    until_said(&server, "warnings", "cannot be reached").await;
    assert_eq!(version(&server).await, Some(1));
    server.wait_log("what serves", |line| line.contains("the version that was pulled before keeps serving")).await;
    drop(server);

    // A host that starts without the registry: of the cache, as signed as ever.
    let server = Setup::new().config(&text).start().await;
    assert_eq!(version(&server).await, Some(1));
    let status = until_said(&server, "warnings", "cannot be reached").await;
    assert_eq!((&status["state"], &status["source"]), (&json!("serving"), &json!(first)));
    drop(server);
    // The cache was changed: that is not served.
    for file in walk(&cache.join("blobs")) {
        let mut bytes = fs::read(&file).expect("a blob");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&file, bytes).expect("it can be written");
    }
    let server = Setup::new().config(&text).start().await;
    until_said(&server, "error", "cannot be reached").await;
    assert_eq!(version(&server).await, None);
    registry.restart().await;
    until_version(&server, 1).await;
    let second = push(&home, 2, &to).await;
    registry.sign("acme/v", digest(&second), &key).await;
    until_version(&server, 2).await;
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves_under_load_costs_not_one_call() {
    let Some(registry) = Registry::start().await else { return };
    let to = registry.reference("acme/v:1");
    let setup = setup(&from(&to));
    push(&setup, 0, &to).await;
    let server = setup.start().await;
    until_version(&server, 0).await;
    let load =
        Load::start(&server, 4, async |client| match client.try_rpc("tools/call", json!({ "name": "version", "arguments": {} })).await {
            Ok(reply) if reply.status == 200 && reply.result()["isError"] != true => None,
            Ok(reply) => Some(format!("{reply:?}")),
            Err(error) => Some(error.to_string()),
        });
    for number in 1..=4 {
        push(server.setup(), number, &to).await;
        until_version(&server, number.into()).await;
    }
    load.more(100).await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn the_lock_file_keeps_a_tag_at_the_version_that_was_accepted() {
    let Some(registry) = Registry::start().await else { return };
    let (to, next) = (registry.reference("acme/v:1"), registry.reference("acme/v:next"));
    let setup = setup(&from(&to));
    let first = push(&setup, 1, &to).await;
    setup.run(["lock"]).await.expect_code(0);
    let lock = setup.home().join("toolbay.lock");
    let text = fs::read_to_string(&lock).expect("it was written");
    assert!(text.contains(&format!("source = \"{first}\"")), "{text}");
    let second = push(&setup, 2, &to).await;
    // Also a host that has never seen the first one.
    fs::remove_dir_all(setup.home().join("registry-cache")).expect("it is there");
    let server = setup.start().await;
    until_version(&server, 1).await;
    let status = server.plugin_status("v").await.expect("its status");
    assert_eq!((&status["source"], &status["held"]), (&json!(first), &Value::Null));
    let shown = server.setup().run(["lock", "--diff"]).await;
    assert!(shown.expect_code(1).stdout.contains("changed"), "{}", shown.all());
    server.setup().run(["lock", "--accept", "v"]).await.expect_code(0);
    until_version(&server, 2).await;
    assert!(fs::read_to_string(&lock).expect("it is there").contains(digest(&second)));
    // Another tag is nothing that was accepted.
    push(server.setup(), 3, &next).await;
    let path = server.home().join("toolbay.toml");
    let text = fs::read_to_string(&path).expect("it was written").replace(&to, &next);
    files::put(text.as_bytes(), &path);
    until_said(&server, "held", "version").await;
    assert_eq!(version(&server).await, None);
}

#[tokio::test]
async fn where_a_plugin_comes_from_can_change_while_it_runs() {
    let Some(registry) = Registry::start().await else { return };
    let (one, two) = (registry.reference("acme/v:1"), registry.reference("acme/v:2"));
    let setup = setup("").bytes("v.wasm", &binary(&wat::version(1)));
    push(&setup, 2, &one).await;
    let third = push(&setup, 3, &two).await;
    let server = setup.start().await;
    until_version(&server, 1).await;
    let path = server.home().join("toolbay.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    files::put(format!("{text}{}", from(&one)).as_bytes(), &path);
    until_version(&server, 2).await;
    server.wait_log("the file that is not served", |line| line.contains("v.wasm is not served, as [plugin.v] has a `source`")).await;
    files::put(format!("{text}{}", from(&third)).as_bytes(), &path);
    until_version(&server, 3).await;
    files::put(text.as_bytes(), &path);
    until_version(&server, 1).await;
}

#[tokio::test]
async fn a_host_without_a_folder_serves_what_is_pulled() {
    let Some(registry) = Registry::start().await else { return };
    let to = registry.reference("acme/v:1");
    let setup = setup(&from(&to));
    push(&setup, 1, &to).await;
    fs::remove_dir(setup.plugins()).expect("it is empty");
    let called = setup.run(["call", "version"]).await;
    assert_eq!(called.expect_code(0).stdout.trim(), "1", "{}", called.all());
    let mut command = setup.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it can be started");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("/mcp") {
        line.clear();
        assert!(tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.expect("it says where it listens") > 0);
    }
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
    let client = Client::at(&url);
    eventually("its tools are there", secs(60), || async { (client.tool_names().await == ["slow_version", "version"]).then_some(()) })
        .await;
    child.kill().await.expect("it runs");
}
